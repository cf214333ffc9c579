"""The WebSocket connection that `listener` accepts: `websockets`' own, with what a charger's needs besides.

Three things happen below the WebSocket: TCP_NODELAY is set whatever made the socket, every byte that arrives
is a sign of life (quirk 12: pongs and pings count, which the application never sees), and connections are
counted and paced before their first byte is read.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol

from websockets.asyncio.server import Server, ServerConnection
from websockets.server import ServerProtocol


class Door(Protocol):
    """Who counts connections: the listener."""

    def entered(self, connection: ChargerConnection) -> bool:
        """A connection was accepted. Return False to drop it at once."""

    def left(self, connection: ChargerConnection) -> None:
        """A connection that had entered is gone."""


class ChargerConnection(ServerConnection):
    """A charger's connection. `peer` is its address, `heard_at` the loop time of the last byte received."""

    def __init__(self, protocol: ServerProtocol, server: Server, *, door: Door, **settings: Any) -> None:
        super().__init__(protocol, server, **settings)
        self._door = door
        self._entered = False
        self.peer = ""
        self.heard_at = self.loop.time()
        self.charger = ""  #: the identity as stored, set when the handshake has admitted it
        self.offered: tuple[str, ...] = ()  #: subprotocols that the charger offered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up the socket and ask the door."""
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "local"
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio leaves this out for sockets that were made without a protocol number, and then the
            # second of two frames waits 40 ms for the peer's delayed ACK
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self._entered = self._door.entered(self)
        if not self._entered:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Note the sign of life."""
        self.heard_at = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the door."""
        super().connection_lost(exc)
        if self._entered:
            self._entered = False
            self._door.left(self)
