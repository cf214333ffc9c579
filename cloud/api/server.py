"""The listener: uvicorn on one socket, started and stopped by us, with TLS when files are given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from common import sync
from common.errors import Code, LocalFault

#: Connections that may wait to be accepted.
BACKLOG = 1024
#: For open requests at the end of the process; links are told goodbye before.
GRACE_S = 2
PING_S = 20.0


class _Server(uvicorn.Server):
    """The process's signals are the composition root's business; `ready` says when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """An open HTTP listener. `port` is the one that it really has."""

    def __init__(self, app: Any, host: str, port: int, *, cert: Path | None, key: Path | None) -> None:
        """Binds at once. Raises LocalFault(bad_settings) when it cannot, or the TLS files are unusable."""
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=sync.TUNNEL_BYTES_MAX,
            ws_max_queue=8,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
        try:
            config.load()
        except OSError as unusable:  # ssl.SSLError is one
            self._socket.close()
            raise LocalFault(Code.BAD_SETTINGS, f"the TLS files cannot be used: {unusable}") from None
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve until cancelled; connections are then closed in good order, within `GRACE_S`."""
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            await self._server.shutdown(sockets=[self._socket])
            raise

    async def started(self) -> None:
        """Wait until connections are accepted."""
        await self._server.ready.wait()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def _bind(host: str, port: int) -> socket.socket:
    with contextlib.ExitStack() as undo:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            family, kind, protocol, _, address = found[0]
            # With its protocol named: asyncio turns off Nagle only on sockets that say they are TCP.
            plug = undo.enter_context(socket.socket(family, kind, protocol))
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            plug.bind(address)
            plug.listen(BACKLOG)
            plug.setblocking(False)
        except OSError as taken:
            raise LocalFault(
                Code.BAD_SETTINGS,
                f"cannot listen on {host}:{port}: {taken.strerror or taken}",
                hint="Choose another --listen, or stop what is there.",
            ) from None
        undo.pop_all()
    return plug
