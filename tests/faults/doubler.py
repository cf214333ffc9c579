"""A line that says things twice: a relay of WebSocket messages that doubles some, in either direction.

What TCP never does, a queue or a proxy on the way may: the same message again, whole, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from websockets import ConnectionClosed, Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import InvalidHandshake


class Doubler:
    """Relay to 127.0.0.1:`port`; dial it at 127.0.0.1:`here`, 0 = any. Every `every`th goes twice.

    spared: the first messages each way of a connection: a handshake told twice ends it before anything moves.
    """

    def __init__(self, port: int, *, every: int = 1, here: int = 0, spared: int = 0) -> None:
        self.here = here
        self.doubled = 0
        self._to, self._every, self._spared = port, every, spared
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._carry,
            "127.0.0.1",
            self.here,
            compression=None,
            max_size=None,
            ping_interval=None,
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
        )
        self.here = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _carry(self, near: ServerConnection) -> None:
        assert near.request is not None
        protocols = [Subprotocol(near.subprotocol)] if near.subprotocol else None
        with contextlib.suppress(ConnectionClosed, OSError, InvalidHandshake):
            async with (
                connect(
                    f"ws://127.0.0.1:{self._to}{near.request.path}",
                    subprotocols=protocols,
                    compression=None,
                    max_size=None,
                    ping_interval=None,
                    proxy=None,
                ) as far,
                asyncio.TaskGroup() as both,
            ):
                both.create_task(self._pump(near, far))
                both.create_task(self._pump(far, near))

    async def _pump(
        self, reader: ServerConnection | ClientConnection, writer: ServerConnection | ClientConnection
    ) -> None:
        carried = -self._spared
        with contextlib.suppress(ConnectionClosed):
            async for message in reader:
                await writer.send(message)
                carried += 1
                if carried > 0 and carried % self._every == 0:
                    self.doubled += 1
                    await writer.send(message)
        await writer.close()
