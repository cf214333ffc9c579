"""A network cable that a test can cut, mend, slow and silence: a TCP relay on loopback.

It stands between a charger, an app or a box and whom that dials, so that a client of another author can lose
its connection as it would in the field, without being told and without code of its own for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

from common.clock import SystemIds


class Cable:
    """Relay to 127.0.0.1:`port`; dial it at 127.0.0.1:`here`. `async with` it."""

    def __init__(self, port: int) -> None:
        self.here = 0
        self.carried = 0  #: connections that came through so far
        self.delay_s = 0.0  #: how long what is carried takes at least, each way
        self.jitter_s = 0.0  #: and by how much longer at most
        self._left: int | None = None  #: bytes that still go there before it breaks
        self._to = port
        self._whole = True
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self.unblock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._calls: set[_Call] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.here = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Take it away; its port is free."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._idle.wait()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection off, without a close frame, and let none through until `mend`."""
        self._whole = False
        self.unblock()
        for call in tuple(self._calls):
            call.abort()

    def mend(self) -> None:
        self._whole = True

    def block(self, *, there: bool = True, back: bool = True) -> None:
        """Keep connections up but carry nothing more that way, not even an end, until `unblock` or `cut`.

        there: what is said by who dials; back: what is said to it.
        """
        for flows, blocked in ((self._there, there), (self._back, back)):
            if blocked:
                flows.clear()

    def unblock(self) -> None:
        """Carry on, with what was held back first, as TCP would."""
        self._there.set()
        self._back.set()

    def vanish(self) -> None:
        """Who dialled is gone without a word (half open): the other end is not told, and hears no more."""
        for call in tuple(self._calls):
            call.vanish()

    async def noticed(self) -> None:
        """Wait until the other end has given up every connection that is half open."""
        while any(call.half_open for call in self._calls):
            self._changed.clear()
            await self._changed.wait()

    def break_after(self, count: int) -> None:
        """Let so many bytes more go there, then break off in the middle of whatever that is; once."""
        self._left = count

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = _Call(writer)
        self._calls.add(call)
        self._idle.clear()
        try:
            if not self._whole:
                return
            far_reader, call.far = await self._dial()
            self.carried += 1
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(call, reader, call.far, self._there))
                both.create_task(self._pump(call, far_reader, writer, self._back))
        except OSError:
            pass  # nobody listens there: the caller sees its connection end
        finally:
            call.abort()
            self._calls.discard(call)
            self._changed.set()
            if not self._calls:
                self._idle.set()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # Small buffers: the kernel's own would hide for megabytes that nobody reads at the other end.
        plug = socket.socket()
        plug.setblocking(False)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", self._to))
        except OSError:
            plug.close()
            raise
        return await asyncio.open_connection(sock=plug, limit=4096)

    async def _pump(
        self, call: _Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await flows.wait()
                if call.half_open:
                    continue
                if self.delay_s or self.jitter_s:
                    await asyncio.sleep(self.delay_s + self.jitter_s * SystemIds().jitter())
                if self._left is not None and flows is self._there:
                    data, self._left = data[: self._left], self._left - len(data)
                writer.write(data)
                await writer.drain()
                if self._left is not None and self._left <= 0:
                    self._left = None
                    break
        await flows.wait()  # an end is carried like all else
        if not (call.half_open and flows is self._there):
            call.abort()  # one direction's end is the connection's


class _Call:
    """One connection through a cable: from who dialled to whom it reached."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self._near = near
        self.far: asyncio.StreamWriter | None = None
        self.half_open = False

    def vanish(self) -> None:
        if self.far is not None:
            self.half_open = True
            self._near.transport.abort()

    def abort(self) -> None:
        for end in (self._near, self.far):
            if end is not None:
                end.transport.abort()
