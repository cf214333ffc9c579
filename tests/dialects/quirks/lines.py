"""Between charger and box: an event loop whose time is virtual, links in memory, and the charger's end.

The listener cannot tell: `VirtualLoop.create_server` hands its connections a transport in memory, and a wait
of a day takes no time. On a real socket the same `Client` is used with the system's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

PROTOCOL_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class _Jump(selectors.SelectSelector):
    """Never waits: when nothing is ready, time goes to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        assert timeout is not None, "nothing is left that could ever happen"
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that is always where its next timer is."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.servers: list[MemoryServer] = []

    def time(self) -> float:
        return self._jump.now

    async def create_server(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        """Stands for the system's: `dial` reaches the newest of them."""
        server = MemoryServer(self, protocol_factory)
        self.servers.append(server)
        return server

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *_: Any,
        address: str = "10.0.0.7",
        **__: Any,
    ) -> tuple[Any, Any]:
        """Dial the newest server from an address."""
        server = self.servers[-1]
        if not server.is_serving():
            raise ConnectionRefusedError("the box does not listen")
        here, there = protocol_factory(), server.factory()
        near, far = MemoryTransport(self, here, "box"), MemoryTransport(self, there, address)
        near.other, far.other = far, near
        server.lines.append(far)
        here.connection_made(near)
        there.connection_made(far)
        return near, here


class MemoryServer:
    """What `create_server` returns, as far as `websockets` uses it."""

    def __init__(self, loop: VirtualLoop, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._loop, self.factory = loop, factory
        self.lines: list[MemoryTransport] = []
        self.sockets = (_NoSocket(),)
        self._serving = True

    def is_serving(self) -> bool:
        return self._serving

    def get_loop(self) -> VirtualLoop:
        return self._loop

    def close(self) -> None:
        self._serving = False

    async def wait_closed(self) -> None:
        while any(not line.is_closing() for line in self.lines):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)


class _NoSocket:
    family = socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        return ("10.0.0.1", 8887)


class MemoryTransport(asyncio.Transport):
    """One end of a link. What is written arrives in a later turn of the loop, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, peer: str) -> None:
        super().__init__({"peername": (peer, 40000)})
        self._loop, self._protocol = loop, protocol
        self.other: MemoryTransport | None = None
        self._arrived: deque[bytes | None] = deque()
        self._paused = self._closing = self._over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing and self.other is not None:
            self.other._arrives(bytes(data))

    def _arrives(self, data: bytes | None) -> None:
        self._arrived.append(data)
        self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._arrived and not self._paused and not self._over:
            data = self._arrived.popleft()
            if data is None:
                self._protocol.eof_received()  # type: ignore[attr-defined]
                self.close()
            else:
                self._protocol.data_received(data)  # type: ignore[attr-defined]

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return not self._paused

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if self.other is not None and not self.other._closing:
                self.other._arrives(None)
            self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        """The link goes at once, at both ends."""
        for end in (self, self.other):
            if end is not None and not end._over:
                end._closing = True
                end._arrived.clear()
                self._loop.call_soon(end._lost, None if end is self else ConnectionResetError("link dropped"))

    def _lost(self, why: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._protocol.connection_lost(why)


class Client(asyncio.Protocol):
    """The charger's end of one connection: dials by hand, so it can dial wrongly; speaks WebSocket."""

    def __init__(self, *, pongs: bool = True) -> None:
        self._ws = Protocol(CLIENT, state=OPEN, max_size=None)
        self._pongs = pongs
        self._buffer = b""
        self._handshaken = False
        self.transport: Any = None
        self.status: int | None = None
        self.response = b""
        self.headers: dict[str, str] = {}
        self.frames: deque[Any] = deque()  #: what came and was not looked at: decoded JSON
        self.pings = 0
        self.closed: Close | None = None
        self.lost = False
        self.news = asyncio.Event()
        self.arrived: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._handshaken:
            self._buffer += data
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if end:
                self._answered(head, rest)
        else:
            self._received(data)
        self.news.set()
        self.arrived()

    def _answered(self, head: bytes, rest: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self._handshaken = True
        self.status = int(first.split(" ")[1]) if first.startswith("HTTP/1.1 ") else 0
        pairs = (line.partition(":") for line in lines)
        self.headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
        self.response = rest
        if self.status == 101 and rest:
            self._received(rest)

    def _received(self, data: bytes) -> None:
        if self.status != 101:
            self.response += data
            return
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.TEXT:
                self.frames.append(json.loads(bytes(event.data)))
            elif event.opcode is Opcode.PING:
                self.pings += 1
            elif event.opcode is Opcode.CLOSE:
                self.closed = Close.parse(event.data)
        for out in self._ws.data_to_send():
            if out and (self._pongs or out[0] & 0x0F != Opcode.PONG):
                self.transport.write(out)
            elif not out:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.news.set()

    def send(self, text: bytes) -> None:
        self._ws.send_text(text)
        for out in self._ws.data_to_send():
            self.transport.write(out)

    def hang_up(self, code: int) -> None:
        self._ws.send_close(code)
        for out in self._ws.data_to_send():
            self.transport.write(out)

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Whether the condition comes true in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():
                    self.news.clear()
                    await self.news.wait()
        return condition()


def request(path: str, headers: Mapping[str, str]) -> bytes:
    """The handshake as a charger writes it."""
    lines = [f"GET {path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items() if value), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")
