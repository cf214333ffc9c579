"""The file server: a small HTTP listener that serves firmware to chargers and takes their logs.

One request a connection. An address stands for one command of one charger (`passes`), and only that charger's
own network address may use it. What arrives is streamed to the disk under a name of ours; the core is told
once it is there, and the charger hears 201 once that is written down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections import Counter
from http import HTTPStatus
from typing import Any, BinaryIO, Final
from urllib.parse import unquote

import msgspec

from common.errors import Code, LocalFault, PlugsideError, Unavailable
from common.facts import SecurityNoted
from common.ports import Ids
from edge.chargers.admission import Buckets, Throttle
from edge.chargers.files import http
from edge.chargers.files.http import HttpError, answer
from edge.chargers.files.passes import Pass, Passes
from edge.chargers.files.shelf import PIECE_BYTES, Incoming, Shelf
from edge.chargers.ports import Gateway
from edge.core.inputs import Acknowledged, FileArrived, FileTaken, Input, Note, Reply

log = logging.getLogger("plugside.files")

_TEXT: Final = "This box serves chargers only; there is nothing to see here.\n"
_NOT_NAME = re.compile(r"[^0-9A-Za-z._ -]")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the server."""

    #: Chargers that move a file at once; a site updates them a few at a time.
    connections_max: int = 32
    #: Of one address: a try that hangs, its successor, and some to spare.
    connections_each: int = 4
    #: From the connection to the end of the head, in s.
    head_s: float = 10
    #: Without a byte in either direction, in s: slow modems stall for some.
    idle_s: float = 30
    #: For one transfer in all, in s: 64 MiB at 150 kbit/s.
    whole_s: float = 3600
    #: Requests of one address: retries of a charger, not a search for addresses.
    burst: int = 30
    per_s: float = 1


class _Committed:
    """`ReplyTo` of an input of ours: done once its facts are on disk."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def render(self, reply: Reply) -> bytes:
        assert isinstance(reply, Acknowledged)
        return b""

    def send(self, payload: bytes) -> None:  # noqa: ARG002 - there is nothing to say but that it is done
        if not self.done.done():
            self.done.set_result(None)


class FileServer:
    """A `doors.Listener`: `start` it, `ended` waits for its end, `close` stops it. May be started again."""

    def __init__(
        self,
        shelf: Shelf,
        passes: Passes,
        gateway: Gateway,
        *,
        host: str,
        port: int,
        ids: Ids,
        limits: Limits | None = None,
    ) -> None:
        self._shelf, self._passes, self._gateway, self._ids = shelf, passes, gateway, ids
        self.host = host
        self._port = port
        self._limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._each: Counter[str] = Counter()
        self._buckets = Buckets(burst=self._limits.burst, per_second=self._limits.per_s)
        self._notes = Throttle(every_ms=60_000)

    # --- life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Raises LocalFault(bad_settings) if the address cannot be had."""
        self._closed.clear()
        await asyncio.to_thread(self._shelf.clear)
        try:
            self._server = await asyncio.start_server(
                self._accept, self.host or None, self._port, limit=http.HEAD_BYTES_MAX
            )
        except OSError as failed:
            where = f"{self.host}:{self._port}"
            hint = "Give `run` another --files address, or stop what holds this one."
            raise LocalFault(
                Code.BAD_SETTINGS, f"chargers cannot move files at {where}: {failed}", hint=hint
            ) from None

    @property
    def port(self) -> int | None:
        """The port that chargers use; None while it does not listen."""
        if self._server is None or not self._server.sockets:
            return None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def busy(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    async def ended(self) -> None:
        """Return once it listens no more."""
        await self._closed.wait()

    async def close(self) -> None:
        """Stop listening and cut what is under way; chargers try again."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if server is not None:
            await server.wait_closed()
        self._closed.set()

    # --- a connection --------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """asyncio makes a task for it, and keeps that until it ends."""
        peer = _plain_address(writer.get_extra_info("peername"))
        task = asyncio.current_task()
        assert task is not None
        if (
            len(self._tasks) >= self._limits.connections_max
            or self._each[peer] >= self._limits.connections_each
        ):
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._each[peer] += 1
        try:
            async with asyncio.timeout(self._limits.whole_s):
                await self._serve(reader, writer, peer)
        except (TimeoutError, ConnectionError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()  # the server closes; nobody waits for this task but `close`
        except Exception:
            log.exception("a file request from %s failed; please report this", peer)
            writer.transport.abort()
        finally:
            self._each[peer] -= 1
            if not self._each[peer]:
                del self._each[peer]
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        try:
            async with asyncio.timeout(self._limits.head_s):
                request = await http.read_head(reader)
            if request is None:
                return
            await self._answer(request, reader, writer, peer)
        except TimeoutError:
            writer.write(answer(HTTPStatus.REQUEST_TIMEOUT, text="Nothing came for too long.\n"))
        except HttpError as wrong:
            writer.write(answer(wrong.status, text=f"{wrong.sentence}\n"))
        except PlugsideError as refused:
            writer.write(answer(_STATUS.get(refused.code, HTTPStatus.NOT_FOUND), text=f"{refused.message}\n"))
        await self._linger(reader, writer)

    async def _linger(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let the answer arrive: a close with unread bytes would reset the connection before it is read."""
        with contextlib.suppress(TimeoutError, ConnectionError, OSError):
            async with asyncio.timeout(2):
                await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
                for _ in range(64):
                    if not await reader.read(PIECE_BYTES):
                        return

    async def _answer(
        self, request: http.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        if not self._buckets.take(peer, self._mono_ms()):
            raise HttpError(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; wait a minute.")
        token, _, name = request.path.partition("?")[0].lstrip("/").partition("/")
        found = self._passes.find(token)
        if found is None:
            raise HttpError(HTTPStatus.NOT_FOUND, _TEXT.strip())
        home = self._passes.address_of(found.charger)
        if _plain_address((home,)) != peer:
            self._noted(found, peer)
            raise HttpError(HTTPStatus.FORBIDDEN, "This address is for a charger at another network address.")
        match request.method, found.kind:
            case "GET" | "HEAD", "firmware":
                await self._send(request, writer, found)
            case "PUT" | "POST", "upload":
                await self._take(request, reader, writer, found, name)
            case _:
                allowed = "GET, HEAD" if found.kind == "firmware" else "PUT, POST"
                writer.write(
                    answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed}, f"Use one of {allowed}.\n")
                )

    def _noted(self, found: Pass, peer: str) -> None:
        if self._notes.passes(f"{found.charger} {peer}", self._mono_ms()):
            body = SecurityNoted(what="file_from_elsewhere", charger=found.charger, address=peer)
            self._submit(Note(body=body))

    def _mono_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    # --- firmware to a charger -----------------------------------------------------------------------------

    async def _send(self, request: http.Request, writer: asyncio.StreamWriter, found: Pass) -> None:
        """The file, or the part of it that the charger still lacks."""
        file, size = await asyncio.to_thread(self._shelf.open_firmware, found.file)
        try:
            part = http.range_of(request.headers.get("range"), size)
            start, end = part or (0, size)
            headers = {
                "Content-Length": str(end - start),
                "Accept-Ranges": "bytes",
                "ETag": f'"{found.file}"',
                "Content-Disposition": "attachment",
            }
            if part is not None:
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
            writer.write(answer(status, headers))
            if request.method == "HEAD":
                return
            await self._pour(file, start, end, writer)
        finally:
            file.close()
        if end == size:
            self._submit(FileTaken(charger=found.charger, command=found.command))

    async def _pour(self, file: BinaryIO, start: int, end: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, end - start))
            if not piece:
                raise ConnectionError("the file became shorter")  # the charger sees that bytes are missing
            start += len(piece)
            writer.write(piece)
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    await writer.drain()
            except TimeoutError:
                # an answer has begun: nothing else can be said within it
                raise ConnectionError("the charger does not read") from None

    # --- a log from a charger ------------------------------------------------------------------------------

    async def _take(
        self,
        request: http.Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        found: Pass,
        name: str,
    ) -> None:
        if not self._gateway.accepting:
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "Nothing can be written down now.")
        if request.length == 0:
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "Send the file as the request's body.")
        upload = self._ids.uid()
        incoming = await asyncio.to_thread(self._shelf.begin_upload, upload, request.length)
        try:
            if request.awaits_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async for piece in http.body(reader, request, self._limits.idle_s):
                await asyncio.to_thread(incoming.write, piece)
            if self._passes.find(self._passes.token(found.command)) is None:
                raise HttpError(HTTPStatus.GONE, "This address has served; the file is here already.")
            await asyncio.to_thread(self._shelf.keep_upload, incoming, upload)
        finally:
            await asyncio.shield(asyncio.to_thread(incoming.drop))
        await self._arrived(found, upload, incoming, _shown(name, request.headers))
        writer.write(answer(HTTPStatus.CREATED, text="It is here.\n"))

    async def _arrived(self, found: Pass, upload: str, incoming: Incoming, name: str) -> None:
        committed = _Committed()
        told = FileArrived(
            charger=found.charger,
            command=found.command,
            file=upload,
            name=name,
            size_bytes=incoming.size_bytes,
            sha256=incoming.sha256,
        )
        if not self._submit(told, committed):
            raise Unavailable(Code.BUSY)
        async with asyncio.timeout(self._limits.idle_s):
            await committed.done

    def _submit(self, given: Input, reply_to: _Committed | None = None) -> bool:
        try:
            self._gateway.submit(given, reply_to)
        except Exception as broken:
            log.error("%s was not taken: %s", type(given).__name__, broken)  # noqa: TRY400
            return False
        return True


_STATUS: Final = {
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.DISK_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Code.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
}


def _shown(path: str, headers: dict[str, str]) -> str:
    """What the charger calls its file, for people only: never a path here."""
    told = re.search(r'filename="?([^";]*)', headers.get("content-disposition", ""))
    name = os.path.basename(unquote(path).replace("\\", "/")) or (told[1] if told else "")  # noqa: PTH119
    return _NOT_NAME.sub("_", name)[:128]


def _plain_address(peer: Any) -> str:
    """An address without what one stack or another adds: an IPv4 address within an IPv6 one, a zone."""
    text = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    return text.partition("%")[0].removeprefix("::ffff:")
