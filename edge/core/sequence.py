"""A transaction's numbered events: what is new, what repeats, what is missing. Pure arithmetic on numbers.

A 2.x station counts the events of a transaction. The key of an event is (station, transaction, number): the
same content under it is a repeat, other content a contradiction (QUIRKS.md, "The deduplication rule"). What
stations really do:

    count from 0, or on from the transaction before ....... the first number heard is where it begins
    skip numbers, or deliver them late or out of order .... ranges of missing numbers, filled when they come
    say 0 in every event .................................. not counting: content alone tells a repeat, and
                                                            nothing can be known to be missing
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from common.domain import Phase

#: Digests kept for repeats: what a station still repeats after an outage is a few messages back. An older
#: number that is not missing is taken for a repeat.
RECENT_MAX: Final = 64
#: Ranges of missing numbers; a transaction with more holes than that is never whole.
HOLES_MAX: Final = 32
#: A station's number as a signed 64-bit integer holds it; beyond it there is no count.
NUMBER_MAX: Final = 2**53 - 1


class Verdict(Enum):
    """What an event is to what was heard before."""

    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"  #: another event under a number that was used


class Sequence(msgspec.Struct, omit_defaults=True):
    """The events of one session so far."""

    started: bool = False
    ended: bool = False
    counts: bool = True  #: False: its numbers say nothing
    low: int | None = None
    high: int | None = None
    holes: list[tuple[int, int]] = []  #: first and last of each range that is missing, ascending
    torn: bool = False  #: more holes than are kept
    recent: dict[str, int | None] = {}  #: digest → number, the newest last
    conflicts: int = 0
    phase: Phase | None = None
    newest_at: str = ""  #: the station's time of the newest event that told one
    charged: bool = False  #: energy was asked for since it began

    @property
    def whole(self) -> bool:
        """Whether every event from the first to the last was heard, as far as numbers can tell."""
        heard = self.started and self.ended and not self.conflicts
        return heard and not (self.counts and (self.holes or self.torn))


def judge(known: Sequence, number: int | None, digest: str) -> Verdict:
    """Return what an event with this number and content is."""
    if digest in known.recent:
        return Verdict.REPEAT
    if number is None or not known.counts or known.low is None or known.high is None:
        return Verdict.NEW
    if number < known.low or number > known.high or _hole(known, number) is not None:
        return Verdict.NEW
    if known.low == known.high:
        return Verdict.NEW  # the first number again, and nothing else so far: it does not count
    if number in known.recent.values():
        return Verdict.CONFLICT
    return Verdict.NEW if known.torn else Verdict.REPEAT


def take(known: Sequence, number: int | None, digest: str) -> None:
    """Bring the sequence up to an event that was judged new. Changes it in place."""
    known.recent[digest] = number
    if len(known.recent) > RECENT_MAX:
        del known.recent[next(iter(known.recent))]
    if number is None or not known.counts:
        known.counts = False
        return
    if known.low is None or known.high is None:
        known.low = known.high = number
    elif number > known.high:
        _miss(known, known.high + 1, number - 1)
        known.high = number
    elif number < known.low:
        _miss(known, number + 1, known.low - 1)
        known.low = number
    else:
        _fill(known, number)


def _hole(known: Sequence, number: int) -> int | None:
    return next((at for at, (first, last) in enumerate(known.holes) if first <= number <= last), None)


def _miss(known: Sequence, first: int, last: int) -> None:
    if first <= last:
        known.holes = sorted([*known.holes, (first, last)])
    _bound(known)


def _fill(known: Sequence, number: int) -> None:
    at = _hole(known, number)
    if at is None:
        known.counts = known.counts and known.low != known.high
        return
    first, last = known.holes[at]
    rest = [(first, number - 1), (number + 1, last)]
    known.holes = [*known.holes[:at], *[(a, b) for a, b in rest if a <= b], *known.holes[at + 1 :]]
    _bound(known)


def _bound(known: Sequence) -> None:
    if len(known.holes) > HOLES_MAX:
        known.holes, known.torn = known.holes[-HOLES_MAX:], True
