"""The fast lane: whole messages cut out of a charger's byte stream before the WebSocket package parses it.

    bytes ─▶ Lane.feed ─┬─ a message that is one small frame ──────────────▶ the link, at once
                        └─ all else, byte for byte and in order ───────────▶ the package

Nearly every frame of a charger is a text message of its own. The package's parser, its queue and the task
that waits at its end cost as much processor time for one as reading and deciding it does. Control frames,
fragments, large frames, whatever is not allowed, and messages behind one that the package has and nobody has
read yet: that stays the package's. So it sees a valid stream in which some messages do not occur, and all its
rules and bounds hold. Pure; source: RFC 6455 §5.2.
"""

from __future__ import annotations

from typing import Final, NamedTuple

try:  # compiled, where the package has it so
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

#: The largest payload to wait for here, in bytes. A MeterValues with three phases has 2 KiB; a long
#: transactionData goes the package's way.
WHOLE_MAX_BYTES: Final = 16 * 1024

_FINAL_TEXT: Final = 0x81
_MASKED: Final = 0x80
_BINARY: Final = 0x2
_CLOSE: Final = 0x8


class Piece(NamedTuple):
    """A part of the stream, in order. `frame` is its bytes as they came.

    `text` is the message, unmasked, where the part is exactly one; else None. `messages`: how many messages
    the package will have received once it has read this part (and, of a large frame, what follows of it).
    """

    frame: bytes
    text: bytes | None
    messages: int


class Lane:
    """Splits what a client sends after its handshake. `feed` it everything, from the first byte on."""

    def __init__(self, whole_max_bytes: int = WHOLE_MAX_BYTES) -> None:
        self._whole_max = whole_max_bytes
        self._held = b""  #: the begin of a frame that is not whole yet
        self._passing = 0  #: bytes still to come of a frame that goes on as it comes
        self._fragmented = False  #: between the first and the last frame of a message
        self._closed = False  #: behind a close frame, or behind what is no frame of a client

    def feed(self, data: bytes) -> list[Piece]:
        """Return what has come, in order. Holds back less than one whole frame."""
        if self._held:
            data, self._held = self._held + data, b""
        if self._closed:
            return [Piece(data, None, 0)]
        pieces: list[Piece] = []
        at, end = 0, len(data)
        if self._passing:
            at = min(self._passing, end)
            self._passing -= at
            pieces.append(Piece(data[:at], None, 0))
        while at < end:
            piece = self._next(data, at, end)
            if piece is None:
                self._held = data[at:] if at else data
                break
            pieces.append(piece)
            at += len(piece.frame)
        return pieces

    def _next(self, data: bytes, at: int, end: int) -> Piece | None:
        """Return the piece that begins at `at`; None if more has to come before that can be told."""
        if end - at < 2:
            return None
        first, second = data[at], data[at + 1]
        size, head = second & 0x7F, 6
        if size > 125:
            head = 8 if size == 126 else 14
            if end - at < head:
                return None
            size = int.from_bytes(data[at + 2 : at + head - 4], "big")
        stop = at + head + size
        if first == _FINAL_TEXT and second & _MASKED and size <= self._whole_max and not self._fragmented:
            if stop > end:
                return None
            mask = data[at + head - 4 : at + head]
            return Piece(data[at:stop], apply_mask(data[at + head : stop], mask), 1)
        if not second & _MASKED:  # a client has to mask: the package ends this
            self._closed = True
            return Piece(data[at:], None, 0)
        opcode, final = first & 0x0F, bool(first & 0x80)
        if opcode == _CLOSE:
            self._closed = True
            return Piece(data[at:], None, 0)
        self._passing = max(0, stop - end)
        if opcode > _BINARY:  # ping, pong
            return Piece(data[at:stop], None, 0)
        self._fragmented = not final
        return Piece(data[at:stop], None, int(final))
