"""Signed meter data that is longer than a fact: cut into samples of one moment, and joined again. Pure.

A document (OCMF or any other text) is opaque: what a charger sent is what anybody gets back, character for
character, because a signature holds for nothing else (quirk 73). A fact has 16 KiB (design §4), so a longer
document becomes samples of the same time, context and location, one piece in each, named `part="2/5"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from common.domain import MeterSample

#: A piece, in characters: JSON makes at most six bytes of one, and a fact holds 12 KiB of samples.
PIECE_CHARS = 2000
#: The longest document that is kept whole: sixteen times the largest that is known. Of a longer one the
#: beginning is kept, and `documents` gives nothing, since nobody could verify it.
DOCUMENT_CHARS_MAX = 256 * 1024


def pieces(sample: MeterSample) -> Iterator[MeterSample]:
    """A sample with its documents taken out, and behind it their pieces in order."""
    yield msgspec.structs.replace(sample, signed=())
    for document in sample.signed:
        count = -(-len(document) // PIECE_CHARS)
        for number in range(min(count, DOCUMENT_CHARS_MAX // PIECE_CHARS)):
            cut = number * PIECE_CHARS
            yield MeterSample(
                at=sample.at,
                context=sample.context,
                location=sample.location,
                signed=(document[cut : cut + PIECE_CHARS],),
                part=f"{number + 1}/{count}",
            )


def is_cut(piece: MeterSample) -> bool:
    """Whether a piece is of a document that is longer than is kept."""
    return int(piece.part.partition("/")[2]) > DOCUMENT_CHARS_MAX // PIECE_CHARS


def documents(samples: Iterable[MeterSample]) -> list[str]:
    """The signed documents of a session's samples in order, each exactly as the charger sent it.

    A piece that came twice is taken once; a document with a piece missing is left out.
    """
    found: list[str] = []
    held: list[str] = []
    total = 0
    for sample in samples:
        if not sample.part:
            found += sample.signed
            continue
        number, of = (int(word) for word in sample.part.split("/"))
        if number == 1:
            held, total = [], of
        if of != total or number != len(held) + 1:
            continue  # a repeat of what is held, or what follows a gap
        held += sample.signed
        if number == total:
            found.append("".join(held))
            held, total = [], 0
    return found
