"""A WebSocket client that costs next to nothing, so that what is measured is the other end.

It sends frames that are ready made and hands each text frame's payload to `on_text`, from within the read
callback. Not for anything but the bench: it trusts the server, and its mask is zero (which is a valid one).
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import struct
from collections.abc import Callable

from tests.bench.processes import HOST

_MASK = b"\0\0\0\0"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One client frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + _MASK + payload


class RawWebSocket(asyncio.Protocol):
    """One open connection. Made by `dial`."""

    def __init__(self, path: str, subprotocol: str) -> None:
        offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            f"Sec-WebSocket-Version: 13\r\n{offer}\r\n"
        ).encode()
        self._buffer = bytearray()
        self._open = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_text: Callable[[bytes], None] = lambda _: None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)

    def send(self, payload: bytes) -> None:
        self.transport.write(frame(payload))

    def send_frame(self, ready: bytes) -> None:
        """A frame that `frame` has made."""
        self.transport.write(ready)

    def close(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open and not self._upgrade():
            return
        while (found := self._next()) is not None:
            opcode, payload = found
            if opcode == _TEXT:
                self.on_text(payload)
            elif opcode == _PING:
                self.transport.write(frame(payload, _PONG))
            elif opcode == _CLOSE:
                self.transport.close()

    def _upgrade(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if b" 101 " not in head.partition(b"\r\n")[0]:
            if not self.opened.done():
                self.opened.set_exception(ConnectionError(head[:200].decode(errors="replace")))
            return False
        self._open = True
        self.opened.set_result(None)
        return True

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < at or len(buffer) < at + size:
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[at : at + size])
        del buffer[: at + size]
        return opcode, payload

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed in the handshake"))
        if not self.closed.done():
            self.closed.set_result(None)


async def dial(
    port: int, path: str, *, subprotocol: str = "", tls: ssl.SSLContext | None = None
) -> RawWebSocket:
    """Open a connection to a server on this machine."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: RawWebSocket(path, subprotocol), HOST, port, ssl=tls)
    async with asyncio.timeout(15):
        await protocol.opened
    return protocol
