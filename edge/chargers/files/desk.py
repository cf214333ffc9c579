"""The desk between gateway and listener: requests about files get an address that the charger can reach.

The core says which file; here it is looked at (firmware: checked against its hash), and the request leaves
with a URL on the box's own network address, the one at which this charger has dialled the box: nothing else
need be reachable. A request whose file is not to be had ends here as `no_file`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from typing import Final, Protocol

import msgspec

from common.errors import Code, PlugsideError, Refused
from common.supervise import Supervisor
from edge.chargers.files.passes import Passes
from edge.chargers.files.server import FileServer
from edge.chargers.files.shelf import Firmware, Shelf
from edge.chargers.ports import Gateway
from edge.core.inputs import CallEnded, FetchLog, Request, UpdateFirmware

log = logging.getLogger("plugside.files")

#: A file's name within a URL: some chargers go by its ending, and choke on more than this.
_NOT_NAME: Final = re.compile(r"[^0-9A-Za-z._-]")
_CLOSED: Final = "the box's file port is not open; `plugside-edge health` says why"


class Chargers(Protocol):
    """The charger listener."""

    def send(self, request: Request) -> None: ...
    def reached_at(self, charger: str) -> str | None:
        """The box's own address on a charger's connection, None if it has none."""


class FileDesk:
    """`gateway.Requests` in front of the listener's."""

    def __init__(
        self,
        chargers: Chargers,
        gateway: Gateway,
        shelf: Shelf,
        passes: Passes,
        server: FileServer,
        tasks: Supervisor,
    ) -> None:
        self._chargers, self._gateway = chargers, gateway
        self._shelf, self._passes, self._server, self._tasks = shelf, passes, server, tasks

    def send(self, request: Request) -> None:
        """Send a request; firmware after its bytes were checked, in a later turn."""
        action = request.action
        if isinstance(action, FetchLog):
            # A folder, as 1.6 has it (§6.19): chargers add a name of their own, or send to it as it is.
            self._forward(request, action, action.command, "")
        elif isinstance(action, UpdateFirmware):
            try:
                self._tasks.spawn(f"firmware for {request.charger}", self._firmware(request, action))
            except PlugsideError as busy:
                self._end(request, str(busy))
        else:
            self._chargers.send(request)

    async def _firmware(self, request: Request, action: UpdateFirmware) -> None:
        try:
            about = await asyncio.to_thread(self._checked, action)
        except PlugsideError as missing:
            self._end(request, missing.message)
            return
        signed = msgspec.structs.replace(action, certificate=about.certificate, signature=about.signature)
        name = _NOT_NAME.sub("_", about.name)[:64].lstrip(".") or "firmware.bin"
        self._forward(request, signed, action.command, name)

    def _checked(self, action: UpdateFirmware) -> Firmware:
        about = self._shelf.about_firmware(action.file)
        if not action.legacy and not (about.certificate and about.signature):
            raise Refused(Code.UNKNOWN_FILE, "it was added without its maker's signature")
        file, _ = self._shelf.open_firmware(action.file)
        file.close()
        return about

    def _forward(self, request: Request, action: FetchLog | UpdateFirmware, command: str, name: str) -> None:
        own, port = self._chargers.reached_at(request.charger), self._server.port
        if own is not None and port is None:
            self._end(request, _CLOSED)
            return
        if own is not None:  # else the charger is away, and the listener says so
            location = f"http://{_host(self._server.host, own)}:{port}/{self._passes.token(command)}/{name}"
            request = msgspec.structs.replace(
                request, action=msgspec.structs.replace(action, location=location)
            )
        self._chargers.send(request)

    def _end(self, request: Request, why: str) -> None:
        ended = CallEnded(
            charger=request.charger,
            request=request.id,
            command=request.command,
            answer="no_file",
            detail=why,
        )
        # in a turn of its own: this may run inside the gateway's, which takes one input at a time
        asyncio.get_running_loop().call_soon(self._submit, ended)

    def _submit(self, ended: CallEnded) -> None:
        try:
            self._gateway.submit(ended)
        except PlugsideError as broken:
            log.error("the end of a request was not taken: %s", broken)  # noqa: TRY400


def _host(bound: str, own: str) -> str:
    """Where the files are: the address that the server is bound to, or the one that the charger knows."""
    plain = own.partition("%")[0].removeprefix("::ffff:")
    if bound and not ipaddress.ip_address(bound).is_unspecified:
        plain = bound
    return f"[{plain}]" if ":" in plain else plain
