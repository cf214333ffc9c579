"""What times mean after the box's clock was set: corrected ones, beside those that were told. Pure.

A box without a battery may begin with a clock that is days behind, and learns the time minutes later. Within
one boot its times run with the monotonic clock, so one fact (`clock_stepped`) says by how much everything
that was written in that boot before it is off. Originals stay as they are; readers get both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from common.domain import from_iso, iso
from common.facts import ClockStepped

#: A charger whose clock tells the box's time to within this has it from the box (the heartbeat's answer), and
#: is off by as much as the box was. One that is further off has a time of its own.
FOLLOWS_MS: Final = 300_000

#: A clock may creep by so much (ms) before that is a step: what was told is later than its line by no more.
CREEPS_MS: Final = 2000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of the box's clock, at its place in the order of facts."""

    seq: int
    boot: str
    before_ms: int
    after_ms: int
    mono_ms: int
    since_ms: int | None = None

    @property
    def shift_ms(self) -> int:
        return self.after_ms - self.before_ms

    @property
    def offset_ms(self) -> int:
        """What the boot's monotonic clock and the time differ by from then on."""
        return self.after_ms - self.mono_ms


def step_of(seq: int, body: ClockStepped) -> Step | None:
    """A step from its fact; None when its times cannot be read."""
    try:
        before_ms, after_ms = from_iso(body.before), from_iso(body.after)
        since_ms = from_iso(body.since) if body.since else None
    except ValueError:
        return None
    return Step(
        seq=seq,
        boot=body.boot,
        before_ms=before_ms,
        after_ms=after_ms,
        mono_ms=body.mono_ms,
        since_ms=since_ms,
    )


def shift_ms(seq: int, at_ms: int, steps: Sequence[Step]) -> int:
    """By how much the time of the fact at `seq` is off. steps: of its epoch, in order."""
    following = [step for step in steps if step.seq > seq]
    if not following:
        return 0
    first = following[0]
    between = any(step.seq <= seq and step.boot == first.boot for step in steps)
    # What was told before this boot's clock began belongs to an earlier one, which had a clock of its own.
    since_ms = first.before_ms - first.mono_ms if first.since_ms is None else first.since_ms + 1
    if not between and at_ms < since_ms:
        return 0
    # A step is noticed a moment after it happened: what was told in between is later than the clock would
    # have come to, and needs it no more.
    mine = [step for step in following if step.boot == first.boot]
    while mine and at_ms > mine[0].before_ms + CREEPS_MS:
        mine.pop(0)
    # From the first reading to the last, whatever was told of those between: a step may be told twice.
    return mine[-1].offset_ms - (mine[0].before_ms - mine[0].mono_ms) if mine else 0


def corrected(told: str, at: str, seq: int, steps: Sequence[Step]) -> str:
    """The true time for one that the charger told in a fact of site time `at`; empty = as it was told."""
    try:
        told_ms, at_ms = from_iso(told), from_iso(at)
    except ValueError:
        return ""
    shift = shift_ms(seq, at_ms, steps)
    if not shift or abs(told_ms - at_ms) > FOLLOWS_MS:
        return ""
    return iso(told_ms + shift)
