"""A network cable that a test can cut, mend and block: a TCP relay on loopback.

It stands between a charger (or an app) and the box, so that a client of another author can lose its
connection as it would in the field, without being told and without code of its own for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self


class Cable:
    """Relay to 127.0.0.1:`port`; dial it at 127.0.0.1:`here`. `async with` it."""

    def __init__(self, port: int) -> None:
        self.here = 0
        self.carried = 0  #: connections that came through so far
        self.delay_s = 0.0  #: how long what is carried takes, each way
        self._left: int | None = None  #: bytes that still go there before it breaks
        self._to = port
        self._whole = True
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self.unblock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ends: set[asyncio.StreamWriter] = set()
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
        for end in tuple(self._ends):
            end.transport.abort()

    def mend(self) -> None:
        self._whole = True

    def block(self, *, replies_only: bool = False) -> None:
        """Keep connections up but carry nothing more (or nothing more back), until `unblock` or `cut`."""
        self._back.clear()
        if not replies_only:
            self._there.clear()

    def unblock(self) -> None:
        self._there.set()
        self._back.set()

    def break_after(self, count: int) -> None:
        """Let so many bytes more go there, then break off in the middle of whatever that is; once."""
        self._left = count

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        self._idle.clear()
        try:
            if not self._whole:
                return
            far_reader, far_writer = await self._dial()
            self._ends.add(far_writer)
            self.carried += 1
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, far_writer, self._there))
                    both.create_task(self._pump(far_reader, writer, self._back))
            finally:
                self._ends.discard(far_writer)
                far_writer.transport.abort()
        except OSError:
            pass  # nobody listens there: the caller sees its connection end
        finally:
            self._ends.discard(writer)
            writer.transport.abort()
            if not self._ends:
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
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await flows.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self._left is not None and flows is self._there:
                    data, self._left = data[: self._left], self._left - len(data)
                writer.write(data)
                await writer.drain()
                if self._left is not None and self._left <= 0:
                    self._left = None
                    break
        writer.transport.abort()  # one direction's end is the connection's
