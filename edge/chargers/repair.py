"""One bounded pass over a frame that is not JSON, for the breakages that chargers were seen to send.

Used by `frames.decode` when the strict decoder has refused a frame, and nowhere else. It mends syntax and
never invents content: what was cut off at the end of a frame stays missing, because it may have been digits
of a meter value. Sources: quirks 19 (NUL, corrupt text) and 26 (AEFA, Beny, Grizzl-E).
"""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

#: Longest frame that is looked at. The pass runs in Python, some 20 ms for this much on a small box, and
#: the broken frames seen in the field are below 2 KiB; a longer one is reported unreadable.
REPAIR_MAX_BYTES: Final = 16 * 1024

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+|"', re.DOTALL)
_NOT_NUMBERS = {b"nan", b"-nan", b"inf", b"-inf", b"infinity", b"-infinity", b"none", b"undefined"}
_CLOSER = {b"[": b"]", b"{": b"}"}


def repair(text: bytes) -> bytes | None:
    """Return the frame with its known breakages mended, or None if it is beyond that.

    Mended: a member without a value (`"transactionId":,` becomes null, which the dialect reads as absent), a
    stray comma (`[,{`, `,]`), NaN, raw control bytes, NUL and half surrogates in strings, and the envelope's
    own final bracket. The result is not promised to be JSON: the caller decodes it again.
    """
    if len(text) > REPAIR_MAX_BYTES:
        return None
    out: list[bytes] = []
    unclosed: list[bytes] = []
    previous = b""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == b'"':  # a string without an end: the frame was cut
            return None
        if token[:1] == b'"':
            token = _mend_string(token)
        elif token in (b",", b"}", b"]"):
            if previous == b":":
                out.append(b"null")
            elif token == b"," and previous in (b",", b"[", b"{"):
                continue
            elif previous == b",":
                out.pop()
            if token != b"," and (not unclosed or _CLOSER[unclosed.pop()] != token):
                return None
        elif token in _CLOSER:
            unclosed.append(token)
        elif token.lower() in _NOT_NUMBERS:
            token = b"null"
        out.append(token)
        previous = token
    if unclosed == [b"["]:  # only the envelope is open: its payload came whole
        if previous == b",":
            out.pop()
        out.append(b"]")
    elif unclosed:
        return None
    return b" ".join(out)


def _mend_string(token: bytes) -> bytes:
    """Return the JSON string without NUL, half surrogates and raw control bytes; as it is if hopeless."""
    if token.isascii() and b"\\" not in token and token.decode("ascii").isprintable():
        return token
    try:
        text: str = json.loads(token, strict=False)
    except ValueError:
        return token
    return msgspec.json.encode(clean(text.replace("\x00", "")))


def clean(text: str) -> str:
    """Return text that can be encoded: half surrogates become question marks."""
    return text.encode("utf-8", "replace").decode()
