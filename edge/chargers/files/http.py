"""As much HTTP/1.1 as a charger's file transfer needs: a request's head, a body, a range, a plain answer.

For `server`. Everything is bounded and anything doubtful is refused: a request with two lengths, or a length
and chunks, is how one is smuggled past a proxy. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import msgspec

#: A request line and its headers. Chargers' are below 1 KiB.
HEAD_BYTES_MAX: Final = 8 * 1024
#: A chunk's size line, and what may come behind the last one.
_LINE_BYTES_MAX: Final = 256
_TRAILERS_MAX: Final = 16
PIECE_BYTES: Final = 64 * 1024

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) ([!-~]{1,2048}) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


class HttpError(Exception):
    """What is wrong with a request: the status that it gets, and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Request(msgspec.Struct, frozen=True):
    """A request's head. `length`: None = chunked; 0 = no body. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    length: int | None
    awaits_continue: bool


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """Read a request's head; None if the connection ended before one began. Raises HttpError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cut:
        if not cut.partial:
            return None
        raise HttpError(HTTPStatus.BAD_REQUEST, "That was no whole request.") from None
    except asyncio.LimitOverrunError:
        raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Send fewer headers.") from None
    return parse_head(head)


def parse_head(head: bytes) -> Request:
    """Return the request of these bytes, up to the empty line. Raises HttpError."""
    if len(head) > HEAD_BYTES_MAX:
        raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Send fewer headers.")
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise HttpError(HTTPStatus.BAD_REQUEST, "That is no HTTP/1.1 request line.")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        name = header[1].lower() if header else ""
        if header is None or (name in headers and name in ("content-length", "transfer-encoding", "range")):
            raise HttpError(HTTPStatus.BAD_REQUEST, "A header is malformed or doubled.")
        headers[name] = header[2]
    return Request(
        asked[1],
        asked[2],
        headers,
        _length(headers),
        asked[3] == "1" and headers.get("expect", "").lower() == "100-continue",
    )


def _length(headers: dict[str, str]) -> int | None:
    told, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if told is not None or coding.lower() != "chunked":
            raise HttpError(HTTPStatus.BAD_REQUEST, "Send a Content-Length, or chunks, not both.")
        return None
    if told is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,15}", told):
        raise HttpError(HTTPStatus.BAD_REQUEST, "Content-Length is a number.")
    return int(told)


async def body(reader: asyncio.StreamReader, request: Request, idle_s: float) -> AsyncIterator[bytes]:
    """Go through a request's body in pieces. Raises HttpError, also when nothing comes for `idle_s`."""
    try:
        if request.length is None:
            async for piece in _chunks(reader, idle_s):
                yield piece
            return
        left = request.length
        while left:
            piece = await _within(idle_s, reader.read(min(left, PIECE_BYTES)))
            if not piece:
                raise HttpError(HTTPStatus.BAD_REQUEST, "The body ended early.")
            left -= len(piece)
            yield piece
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise HttpError(HTTPStatus.BAD_REQUEST, "The body ended early, or in the midst of a chunk.") from None
    except TimeoutError:
        raise HttpError(HTTPStatus.REQUEST_TIMEOUT, "Nothing came for too long.") from None


async def _chunks(reader: asyncio.StreamReader, idle_s: float) -> AsyncIterator[bytes]:
    while True:
        line = await _within(idle_s, reader.readuntil(b"\n"))
        size = _CHUNK.fullmatch(line) if len(line) <= _LINE_BYTES_MAX else None
        if size is None:
            raise HttpError(HTTPStatus.BAD_REQUEST, "A chunk's size is malformed.")
        left = int(size[1], 16)
        if left == 0:
            break
        while left:
            piece = await _within(idle_s, reader.read(min(left, PIECE_BYTES)))
            if not piece:
                raise HttpError(HTTPStatus.BAD_REQUEST, "The body ended early.")
            left -= len(piece)
            yield piece
        if (await _within(idle_s, reader.readuntil(b"\n"))).strip():
            raise HttpError(HTTPStatus.BAD_REQUEST, "A chunk is longer than it said.")
    for _ in range(_TRAILERS_MAX):
        if not (await _within(idle_s, reader.readuntil(b"\n"))).strip():
            return
    raise HttpError(HTTPStatus.BAD_REQUEST, "Send fewer trailers.")


async def _within(idle_s: float, reading: object) -> bytes:
    async with asyncio.timeout(idle_s):
        read: bytes = await reading  # type: ignore[misc]  # a coroutine of the reader's
        return read


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last, None for the whole file. Raises HttpError(416).

    Several ranges at once, and what is no range, are answered with the whole file, as RFC 9110 §14.2 allows.
    """
    asked = _RANGE.fullmatch(header.strip()) if header else None
    if asked is None or asked[0] == "bytes=-":
        return None
    first, last = asked[1], asked[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start = int(first)
        end = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise HttpError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"The file has {size} bytes.")
    return start, end


def answer(status: HTTPStatus, headers: dict[str, str] | None = None, text: str = "") -> bytes:
    """A response's head with a sentence as its body; every answer ends the connection."""
    sent = text.encode()
    fields = {
        "Content-Type": "text/plain; charset=utf-8" if text else "application/octet-stream",
        "Content-Length": str(len(sent)),
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **(headers or {}),
    }
    first = f"HTTP/1.1 {status.value} {status.phrase}"
    lines = [first, *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + sent
