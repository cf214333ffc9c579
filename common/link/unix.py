"""Links over a Unix socket, for local commands: one frame a line.

Who may open the socket may act for the box (mode 0660 and a group of its own); that is decided by the file's
place and mode, before a byte is read. JSON never holds a raw line break, so a line is a frame.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath

from common import wire
from common.domain import Path
from common.errors import Code, LocalFault
from common.link import CLOSE_TIMEOUT_S, Link

#: Local commands at once; a terminal needs one.
LINKS_MAX = 32
#: sun_path of Linux (unix(7)) with its final NUL.
_PATH_BYTES_MAX = 107
_MODE = 0o660
_UCRED = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED, unix(7)


class UnixLink:
    """A link over one connected Unix stream, of either end."""

    path = Path.LOCAL
    binding = ""
    visit = None

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.peer = _peer(writer)

    async def send(self, frame: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionError("the link is closed")
        self._writer.write(frame + b"\n")
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        try:
            line = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return None  # the end, a frame cut short, or one that is too long
        return line[:-1]

    async def close(self, code: Code | None = None) -> None:  # noqa: ARG002 - the last message said why
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


def _peer(writer: asyncio.StreamWriter) -> str:
    plug = writer.get_extra_info("socket")
    credentials = plug.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return f"uid:{_UCRED.unpack(credentials)[1]}"


async def connect_unix(file: FilePath) -> UnixLink:
    """Open a link to the process that serves `file`. Raises LocalFault(not_running)."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(file), limit=wire.SERVER_BYTES_MAX)
    except PermissionError:
        hint = "Run it as root, or as a member of the socket's group."
        raise LocalFault(Code.NOT_RUNNING, f"you may not open {file}", hint=hint) from None
    except OSError as absent:
        raise LocalFault(Code.NOT_RUNNING, f"{file}: {absent.strerror or absent}") from None
    return UnixLink(reader, writer)


class UnixListener:
    """An open local socket. `close` removes the file."""

    def __init__(self, file: FilePath, on_link: Callable[[Link], Awaitable[None]], links_max: int) -> None:
        self._file = file
        self._on_link = on_link
        self._links_max = links_max
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._ended = asyncio.Event()

    async def _open(self) -> None:
        plug = _bind(self._file)
        self._server = await asyncio.start_unix_server(self._accept, sock=plug, limit=wire.CLIENT_BYTES_MAX)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = UnixLink(reader, writer)
        task = asyncio.current_task()
        assert task is not None, "the server runs each connection as a task"
        if len(self._handlers) >= self._links_max:
            await link.close(Code.BUSY)
            return
        self._handlers.add(task)
        try:
            await self._on_link(link)
        except asyncio.CancelledError:
            # Only `close` cancels; asyncio would report the cancellation as an error of the callback.
            pass
        finally:
            self._handlers.discard(task)
            await link.close()

    async def ended(self) -> None:
        """Return once it listens no more."""
        await self._ended.wait()

    async def close(self) -> None:
        """Stop listening, end every link, remove the file."""
        if self._server is None:
            return
        self._server.close()
        handlers = list(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        self._file.unlink(missing_ok=True)
        self._server = None
        self._ended.set()


async def listen_unix(
    file: FilePath, on_link: Callable[[Link], Awaitable[None]], *, links_max: int = LINKS_MAX
) -> UnixListener:
    """Listen on `file` (mode 0660), and run `on_link` for each link until it returns.

    A file that a dead process left behind is replaced; one that is being served is not.
    Raises LocalFault(folder_in_use | folder_unusable | bad_settings).
    """
    listener = UnixListener(file, on_link, links_max)
    await listener._open()
    return listener


def _bind(file: FilePath) -> socket.socket:
    if len(os.fsencode(file)) > _PATH_BYTES_MAX:
        raise LocalFault(Code.BAD_SETTINGS, f"a socket's path has at most {_PATH_BYTES_MAX} bytes: {file}")
    plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(file)
        # The file is born with its mode: between a bind and a chmod it would be open to everybody.
        before = os.umask(0o777 & ~_MODE)
        try:
            plug.bind(str(file))
        finally:
            os.umask(before)
        plug.setblocking(False)
    except OSError as unusable:
        plug.close()
        raise LocalFault(Code.FOLDER_UNUSABLE, f"{file}: {unusable.strerror or unusable}") from None
    except LocalFault:
        plug.close()
        raise
    return plug


def _remove_stale(file: FilePath) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(CLOSE_TIMEOUT_S)
        try:
            probe.connect(str(file))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if not stat.S_ISSOCK(file.lstat().st_mode):
                raise LocalFault(Code.FOLDER_UNUSABLE, f"{file} is there, and is no socket") from None
            file.unlink(missing_ok=True)
            return
    raise LocalFault(Code.FOLDER_IN_USE, f"another process serves {file}")
