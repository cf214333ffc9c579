"""The little HTTP by itself: any bytes are a request or a refusal, and bodies are what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.files.http import HttpError, Request, body, parse_head, range_of

T = TypeVar("T")


def refused(work: Callable[[], T]) -> tuple[T | None, int]:
    """What came of it, or with which status it was refused."""
    try:
        return work(), 0
    except HttpError as wrong:
        return None, wrong.status


HEADER = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=40)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_else(head: bytes) -> None:
    request, status = refused(lambda: parse_head(head + b"\r\n\r\n"))
    assert status in (400, 431) if request is None else status == 0


@given(st.sampled_from(["GET /a HTTP/1.1", "PUT /b/c HTTP/1.0"]), st.lists(HEADER, max_size=4))
def test_a_head_is_read_or_refused_whole(first: str, headers: list[str]) -> None:
    request, _ = refused(lambda: parse_head("\r\n".join([first, *headers, "", ""]).encode("latin-1")))
    if request is None:
        return
    assert request.path in ("/a", "/b/c")
    assert all(name == name.lower() and not set(name) & set(": \t\r\n") for name in request.headers)
    assert request.length is None or request.length >= 0


@given(st.text(max_size=30), st.integers(0, 1000))
def test_a_range_lies_within_the_file(header: str, size: int) -> None:
    for asked in (header, f"bytes={header}"):
        found, status = refused(partial(range_of, asked, size))
        assert status in (0, 416)
        assert found is None or 0 <= found[0] < found[1] <= size


def _read(wire: bytes, request: Request, cuts: list[int]) -> bytes:
    async def read() -> bytes:
        reader = asyncio.StreamReader(limit=8192)
        last = 0
        for cut in sorted({min(cut, len(wire)) for cut in cuts} | {len(wire)}):
            reader.feed_data(wire[last:cut])
            last = cut
        reader.feed_eof()
        return b"".join([piece async for piece in body(reader, request, 5)])

    return asyncio.run(read())


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.lists(st.integers(0, 400), max_size=4))
def test_chunks_add_up_to_what_was_sent(chunks: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nA: b\r\n\r\n"
    assert _read(wire, Request("PUT", "/", {}, None, False), cuts) == b"".join(chunks)


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_no_body_is_longer_than_it_said(sent: bytes, more: bytes) -> None:
    assert _read(sent + more, Request("PUT", "/", {}, len(sent), False), [3]) == sent


@given(st.binary(max_size=200))
def test_broken_chunks_are_refused(wire: bytes) -> None:
    _, status = refused(lambda: _read(wire, Request("PUT", "/", {}, None, False), []))
    assert status in (0, 400)
