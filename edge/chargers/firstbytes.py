"""The first bytes of a connection: what they are, mended where a charger may be helped, safe to keep.

`connection` shows them here before `websockets` reads them, because what cannot be parsed is dropped there
without a word (quirk 6). Kept for the doctor is only what `readable` leaves: no password, no tag, no body.
Pure.
"""

from __future__ import annotations

import re
from typing import Final

from common.link.opening import is_tls
from edge.chargers.reasons import Reason

#: How much of a connection's beginning is kept until its request is read.
FIRST_BYTES_MAX: Final = 512
#: A request line longer than this is left to the parser, which refuses it.
LINE_MAX: Final = 8192

_UNFIT = re.compile(rb"[^!-~]")
_METHOD = re.compile(rb"[A-Z]{1,16}[ \t]")
_SECRET = re.compile(rb"[ \t]*(?:proxy-)?auth[a-z]*[ \t]*:?|[ \t]*cookie[ \t]*:?", re.IGNORECASE)
_LINE_END = re.compile(rb"\r?\n")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_QUERY = re.compile(rb"\?[^ ]*")
_USERINFO = re.compile(rb"//[^/@ ]*@")
_TAG = re.compile(rb"id[\s_-]*(?:tag|token)", re.IGNORECASE)


def mended(line: bytes) -> bytes:
    """Return a request line whose path holds no blank and no other byte that a URL cannot hold.

    Chargers put the identity into the URL as it was typed (quirk 6). What is not a request line of HTTP/1.x,
    and what needs no mending, comes back as it is. `line` has no line end.
    """
    parts = _request_line(line)
    if parts is None:
        return line
    method, path, version = parts
    return b" ".join((method, _UNFIT.sub(lambda found: b"%%%02X" % found[0][0], path), version))


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return method, path and version, None if it is no request line of HTTP/1.x."""
    method, _, rest = line.partition(b" ")
    path, _, version = rest.rstrip(b" \t").rpartition(b" ")
    path = path.strip(b" \t")
    fits = _METHOD.fullmatch(method + b" ") and path and version in (b"HTTP/1.1", b"HTTP/1.0")
    return (method, path, version) if fits else None


def unparsed(data: bytes) -> Reason:
    """Return why a connection that ended without a request was none."""
    if not data.strip():
        return Reason.SILENT
    if is_tls(data):
        return Reason.TLS_ON_PLAIN
    if not _METHOD.match(data):
        return Reason.NOT_HTTP
    complete = len(data) >= FIRST_BYTES_MAX or _BLANK_LINE.search(data) is not None
    line, _, _ = data.partition(b"\n")
    well_begun = len(line) == len(data) or _request_line(line.rstrip(b"\r")) is not None
    return Reason.CUT_SHORT if well_begun and not complete else Reason.BAD_HTTP


def readable(data: bytes) -> str:
    """Return first bytes as they may be kept and shown: printable text without secrets.

    Of HTTP the head, without the values of Authorization and cookies and without the query; of TLS and other
    binary data some hexadecimal digits; of text nothing from a tag's name on.
    """
    if is_tls(data):
        return f"TLS hello, {data[:16].hex()}"
    if not _METHOD.match(data):
        tag = _TAG.search(data)
        return _printable(data[: tag.start()] if tag else data)
    head = _BLANK_LINE.split(data, maxsplit=1)[0]
    first, *lines = _LINE_END.split(head)
    first = _USERINFO.sub(b"//(not kept)@", _QUERY.sub(b"?(not kept)", first))
    # a continued line belongs to a header that may be secret
    kept = [_safe(line) for line in lines if line[:1] not in b" \t"]
    return "\n".join(_printable(line) for line in (first, *kept))


def _safe(line: bytes) -> bytes:
    if (secret := _SECRET.match(line)) is not None:
        return secret[0] + b" (not kept)"
    tag = _TAG.search(line)
    return line[: tag.start()] if tag else line


def _printable(data: bytes) -> str:
    return ascii(data.decode("latin-1"))[1:-1]
