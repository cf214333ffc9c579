"""The WebSocket connection that `listener` accepts: `websockets`' own, with what a charger's needs besides.

What happens below the WebSocket's messages: TCP_NODELAY is set whatever made the socket, every byte that
arrives is a sign of life (quirk 12: pongs and pings count, which the application never sees), silent peers
are pinged, and connections are counted and paced before their first byte is read. The first bytes are looked
at before the WebSocket's parser sees them, which drops what it cannot read without a word (quirk 6).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final, Protocol, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from common.link.opening import is_tls
from edge.chargers.firstbytes import FIRST_BYTES_MAX, LINE_MAX, mended
from edge.chargers.proving import Certificate, Proof

#: Pings that are waited for at once: a charger that never pongs must not cost memory for each.
_PINGS_MAX: Final = 3
#: How long a ping may wait for a write buffer that is full.
_PING_S: Final = 2
#: A close frame's reason has 123 bytes (RFC 6455 §5.5).
_REASON_MAX: Final = 123


class Door(Protocol):
    """Who counts connections: the listener."""

    def entered(self, connection: ChargerConnection) -> bool:
        """A connection was accepted. Return False to drop it at once."""

    def left(self, connection: ChargerConnection) -> None:
        """A connection that had entered is gone. Its `request` is None if it never was one."""


class ChargerConnection(ServerConnection):
    """A charger's connection. `peer` is its address, `heard_at` the loop time of the last byte received.

    `first` are its first bytes as they came, until `forget_first`; `mended` is whether its request line had
    to be mended to be one.
    """

    def __init__(self, protocol: ServerProtocol, server: Server, *, door: Door, **settings: Any) -> None:
        super().__init__(protocol, server, **settings)
        self._door = door
        self.entered = False  #: counted in by the door
        self._raw: asyncio.Transport | None = None
        self.peer = ""
        self.heard_at = self.loop.time()
        self.charger = ""  #: the identity as stored, set when the handshake has admitted it
        self.proof = Proof(0)  #: what the handshake has proven
        self.offered: tuple[str, ...] = ()  #: subprotocols that the charger offered
        self.first = b""
        self.mended = False
        self.explained = False  #: why it did not become a request is written down
        self._opening = True  #: until the request is read
        self._line: bytearray | None = bytearray()  #: the request line, until it is complete

    def enter(self, transport: asyncio.BaseTransport) -> bool:
        """Set up the socket and ask the door whether it may stay. On a TLS port, before the TLS handshake."""
        self._raw = cast("asyncio.Transport", transport)  # uvloop's are none by descent
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "local"
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio leaves this out for sockets that were made without a protocol number, and then the
            # second of two frames waits 40 ms for the peer's delayed ACK
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.entered = self._door.entered(self)
        return self.entered

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS, as the socket knows; nothing that the peer says counts."""
        return self.transport.get_extra_info("ssl_object") is not None

    @property
    def certificate(self) -> Certificate | None:
        """The certificate that the peer proved to be its own, signed by the site's authority; else None."""
        return self.transport.get_extra_info("peercert") or None if self.tls else None

    def turn_out(self) -> None:
        """Drop it if it has not come as far as a request."""
        if self.request is None and self._raw is not None:
            self._raw.abort()

    def leave(self) -> None:
        """Tell the door that it is gone."""
        if self.entered:
            self.entered = False
            self._door.left(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if it may stay."""
        stays = self.entered or self.enter(transport)
        super().connection_made(transport)
        if not stays:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Note the sign of life."""
        self.heard_at = self.loop.time()
        if self._opening:
            data = self._opened(data)
            if not data:
                return
        super().data_received(data)
        if self._opening and self.request is not None:
            self._opening = False

    def _opened(self, data: bytes) -> bytes:
        """Keep the first bytes; return what of these the parser may see, its request line mended."""
        self.first += data[: FIRST_BYTES_MAX - len(self.first)]
        if self._line is None:
            return data
        self._line += data
        if is_tls(self._line):  # the parser would wait for a line's end
            self.transport.abort()
            return b""
        end = self._line.find(b"\r\n")
        if end < 0 and len(self._line) < LINE_MAX:
            return b""
        held, self._line = bytes(self._line), None
        if end < 0:
            return held
        line = mended(held[:end])
        self.mended = line != held[:end]
        return line + held[end:]

    def forget_first(self) -> None:
        """The first bytes are of no interest any more."""
        self.first = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the door."""
        super().connection_lost(exc)
        self.leave()

    async def silence(
        self, until: asyncio.Future[Any], *, ping_after_s: float, gone_after_s: float, unponged_s: float
    ) -> float | None:
        """Return how long the peer was silent once it has to be taken for gone; None if `until` comes first.

        Pings when nothing was heard for `ping_after_s`. A peer that has ponged before is gone after
        `gone_after_s`; one that never did may just not answer pings, and is gone after `unponged_s`.
        """
        pings: list[asyncio.Future[float]] = []
        pinged = ponged = False
        while not (await asyncio.wait((until,), timeout=ping_after_s))[0]:
            silent_s = self.loop.time() - self.heard_at
            waiting = [ping for ping in pings if not ping.done()]
            ponged, pings = ponged or len(waiting) < len(pings), waiting
            if silent_s >= (gone_after_s if ponged else unponged_s):
                return silent_s
            # once in any case: to know, when it falls silent, whether it would pong
            if len(pings) < _PINGS_MAX and (silent_s >= ping_after_s or not pinged):
                pinged = True
                with contextlib.suppress(TimeoutError, ConnectionClosed):
                    pings.append(await self._pong_of_a_ping())
        return None

    async def answers_ping(self, within_s: float) -> bool:
        """Return whether the peer is heard within this time when pinged."""
        before = self.heard_at
        try:
            async with asyncio.timeout(within_s):
                await (await self._pong_of_a_ping())
        except (TimeoutError, ConnectionClosed):
            return self.heard_at > before
        return True

    async def _pong_of_a_ping(self) -> asyncio.Future[float]:
        async with asyncio.timeout(_PING_S):
            pong = await self.ping()
        assert isinstance(pong, asyncio.Future)
        return pong

    async def end(self, code: int, reason: str, *, within_s: float) -> None:
        """Close, by force if the peer does not agree in time."""
        try:
            # websockets bounds the closing handshake, but not the wait for a full write buffer before it
            async with asyncio.timeout(within_s):
                await self.close(code, reason[:_REASON_MAX])
        except TimeoutError:
            self.transport.abort()

    def why_closed(self) -> str:
        """Return how the connection ended, for a person."""
        if self.close_code in (None, CloseCode.ABNORMAL_CLOSURE):
            return "the connection broke off"
        return f"closed with code {self.close_code}" + (f": {self.close_reason}" if self.close_reason else "")
