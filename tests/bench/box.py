"""The real box under the bench: its own process, its own folder on the disk under test, and a driver's app.

    app (this process) ── TLS, the app link ──▶ box ── OCPP ──▶ chargers (another process)

The box is `plugside-edge run`, unchanged. The app is `ClientSession`, the protocol machine of every client of
ours, over a lean WebSocket: what an app costs on its own phone is not the box's.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from common import commands, trust, wire
from common.appsession import ClientSession
from common.clock import SystemClock, SystemIds
from common.domain import Path as Way
from common.domain import Target, iso
from common.keystore import generate_identity
from common.link.tls import peer_hash, pinned_context
from common.link.unix import UnixLink, connect_unix
from common.link.websocket import LINK_PATH
from common.trust import b64
from common.trust.handshake import NONCE_BYTES
from tests.bench.processes import HOST, READY_S, Process, pinned
from tests.bench.rawws import RawWebSocket, dial

_clock, _ids = SystemClock(), SystemIds()
#: How long a command of the bench may take before the bench gives up, in s.
PATIENCE_S = 20.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Box(Process):
    """The edge, running in `folder`, on this core alone if one is named."""

    def __init__(
        self, folder: Path, *, core: int | None = None, module: tuple[str, ...] = (), adopt: str = "any"
    ) -> None:
        """module: another module than the command line's, with its first arguments."""
        folder.mkdir(mode=0o700)
        self.ocpp_port, self.lan_port = free_port(), free_port()
        self._control = folder / "edge.sock"
        command = [
            *(sys.executable, "-m", *(module or ("edge.cli.main",))),
            *("--data", str(folder / "data"), "--socket", str(self._control)),
            *("run", "--ocpp", f"{HOST}:{self.ocpp_port}", "--lan", f"{HOST}:{self.lan_port}"),
            *("--adopt", adopt, "--log-level", "WARNING"),
        ]
        with pinned(core):
            super().__init__(command, log=folder / "log")
        until = time.monotonic() + READY_S
        while not self._serves():
            if not self.running or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"the box did not come up: {self.last_words()}")
            time.sleep(0.01)

    def _serves(self) -> bool:
        # The chargers' door is opened last.
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.ocpp_port)) == 0

    def last_words(self) -> str:
        """The end of its log."""
        assert self.log is not None
        return self.log.read_text(errors="replace")[-2000:]

    async def manage(self, name: str, **args: Any) -> dict[str, Any]:
        """Administration, as somebody at the box."""
        link = await connect_unix(self._control)
        try:
            session = ClientSession(nonce=_nonce(), path=Way.LOCAL, server=None)
            session.hello()
            while session.welcome is None:
                await _exchange(link, session)
            request = wire.Manage(id=_ids.uid(), site=session.welcome.sites[0].site, name=name, args=args)
            session.ask(request)
            while True:
                for message in await _exchange(link, session):
                    if isinstance(message, wire.Managed):
                        return message.result
                    if isinstance(message, wire.Refusal):
                        raise RuntimeError(f"{name}: {message.message}")
        finally:
            await link.close()


async def _exchange(link: UnixLink, session: ClientSession) -> list[Any]:
    for frame in session.data_to_send():
        await link.send(frame)
    frame = await link.receive()
    if frame is None:
        raise RuntimeError("the box hung up")
    return list(session.receive(frame))


def _nonce() -> str:
    return b64(_ids.token(NONCE_BYTES))


class Tap(msgspec.Struct, frozen=True):
    """One command, by the app's clock, in ns from the moment the finger was there."""

    signed_ns: int  #: the command is encoded and signed, and leaves
    accepted_ns: int  #: the box has it on disk
    confirmed_ns: int  #: the charger has answered, and the box has that on disk
    session: str  #: once settled
    sent_bytes: int
    confirmed_bytes: int


class _Open(msgspec.Struct):
    accepted_ns: int = 0
    confirmed_ns: int = 0
    confirmed_bytes: int = 0
    session: str = ""


class App:
    """A driver's app on an open link. `async with App(box, invite)`; `tap` commands."""

    def __init__(self, box: Box, invite: str) -> None:
        self._box = box
        self._invite = trust.Invite.from_text(invite)
        self._key = generate_identity()
        self._open: dict[str, _Open] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._welcomed: asyncio.Future[None]
        self._socket: RawWebSocket
        self._session: ClientSession
        self.pushed = 0  #: snapshots and facts

    async def __aenter__(self) -> Self:
        self._welcomed = asyncio.get_running_loop().create_future()
        self._socket = socket_ = await dial(self._box.lan_port, LINK_PATH, tls=pinned_context())
        self._session = ClientSession(
            nonce=_nonce(),
            path=Way.LAN,
            server=self._invite.server,
            key=self._key,
            invite=self._invite.secret,
            binding=peer_hash(socket_.transport.get_extra_info("ssl_object")),
            client="bench",
        )
        socket_.on_text = self._heard
        self._session.hello()
        self._flush()
        async with asyncio.timeout(PATIENCE_S):
            await self._welcomed
        assert self._session.welcome is not None
        self._site = self._session.welcome.sites[0].site
        self._session.follow(self._site)
        self._flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def tap(self, name: commands.Name, charger: str, args: dict[str, Any] | None = None) -> Tap:
        """Sign and send a command, and hear of it until it is settled. Raises RuntimeError if declined."""
        command_id = _ids.uid()
        kept = self._open[command_id] = _Open()
        settled = self._waiting[command_id] = asyncio.get_running_loop().create_future()
        began = time.perf_counter_ns()
        command = commands.Command(
            site=self._site,
            id=command_id,
            name=name,
            target=Target(charger, 1),
            args=args or {},
            expires_at=iso(_clock.now_ms() + 15_000),
        )
        envelope = trust.seal(commands.encode(command), self._key)
        message = wire.SendCommand(
            id=command_id, site=self._site, envelope=envelope, grant=self._session.grants[0]
        )
        self._session.ask(message)
        signed = time.perf_counter_ns()
        sent_bytes = self._flush()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await settled
        finally:
            del self._waiting[command_id], self._open[command_id]
        return Tap(
            signed - began,
            kept.accepted_ns - began,
            kept.confirmed_ns - began,
            kept.session,
            sent_bytes,
            kept.confirmed_bytes,
        )

    def _flush(self) -> int:
        sent = 0
        for frame in self._session.data_to_send():
            self._socket.send(frame)
            sent = len(frame)
        return sent

    def _heard(self, text: bytes) -> None:
        messages = self._session.receive(text)
        self._flush()
        now = time.perf_counter_ns()
        for message in messages:
            match message:
                case wire.Welcome():
                    if not self._welcomed.done():
                        self._welcomed.set_result(None)
                case wire.Accepted():
                    self._open[message.id].accepted_ns = now
                case wire.Confirmed():
                    kept = self._open[message.id]
                    kept.confirmed_ns, kept.confirmed_bytes = now, len(text)
                case wire.Settled() | wire.Refusal():
                    self._over(message)
                case _:
                    self.pushed += 1

    def _over(self, message: wire.Settled | wire.Refusal) -> None:
        settled = self._waiting.get(message.id)
        if settled is None or settled.done():
            return
        if isinstance(message, wire.Settled) and message.outcome == "succeeded":
            self._open[message.id].session = message.session
            settled.set_result(None)
        else:
            settled.set_exception(RuntimeError(f"declined: {message}"))
