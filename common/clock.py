"""The one place where wall time, ids and randomness enter. Everything else is handed a `Clock` and `Ids`."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: A system clock further behind than this (ns) is not believed at all: a box without a battery boots in 1970.
_BELIEVED_NS = 24 * 3600 * 1_000_000_000
#: The system clock may differ from the monotonic one by so much (ns) without being told as a step.
_STEP_NS = 2 * 1_000_000_000


#: What a checkout knows: this source is no older (2026-11-01).
SOURCE_MS = 1_793_491_200_000


def built_ms(file: Path) -> int:
    """When this build was made, as its wheel says (`systemd/build.py`); a checkout has no such file."""
    try:
        return max(SOURCE_MS, int(file.read_text()))
    except (OSError, ValueError):
        return SOURCE_MS


#: No clock of a machine was right before: one that says so was never set.
BUILT_MS = built_ms(Path(__file__).with_name("built.txt"))
#: Beside a time that was proven, the system clock may differ by so much (ns); more, and it is not believed.
_PROVEN_NS = 5 * 60 * 1_000_000_000
#: The system clock may be so far behind (ns) before rights of staff are refused: a step of NTP is far less.
_SURE_NS = _PROVEN_NS
#: What an issuer has signed moves the floor by so much (ms) at most; what is beyond needs the tunnel.
HEARD_MAX_MS = 366 * 24 * 3600 * 1000


def local_offset_min(at_ms: int) -> int:
    """How far this machine's time zone is ahead of UTC then, in minutes."""
    return time.localtime(at_ms // 1000).tm_gmtoff // 60


class Step(NamedTuple):
    """The clock was set: what a site would have told, what is true now, and the monotonic clock then (ms)."""

    before_ms: int
    after_ms: int
    mono_ms: int


class SystemClock:
    """The machine's clock, as a site may use it: it never goes back behind what it has told (design §4).

    While the system clock is behind that, time runs on with the monotonic clock: at half its pace if the
    system clock was set back (by less than a day), so that both meet again; else at its full pace, because
    a clock that far behind was never set. So within one boot time is the monotonic clock plus one number,
    but for those half-paced stretches, and every timer still ends.

    One exception: time that was *proven*, by the tunnel or by somebody in front of the box, is taken even
    where it goes back, and from then on a system clock that disagrees with it is not believed. So one wrong
    answer of a time server locks no site out (design §10).
    """

    def __init__(
        self,
        floor_ms: int = 0,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """wall_ns, mono_ns: the machine's two clocks, for tests."""
        self._wall_ns, self._mono_ns = wall_ns, mono_ns
        self._told_ns = floor_ms * 1_000_000
        self._at_ns = mono_ns()
        self._ahead = False
        self._proven: tuple[int, int] | None = None  #: a proven time, and the monotonic clock then
        self._seen_ns = self._offset()  #: as `stepped` saw it last

    def raise_floor(self, at_ms: int) -> None:
        """Time has been at least `at_ms`; from now on it is never told as earlier."""
        self._told_ns = max(self._told_ns, at_ms * 1_000_000)
        self._seen_ns = self._offset()

    def now_ms(self) -> int:
        return self._tell() // 1_000_000

    def mono_ms(self) -> int:
        return self._mono_ns() // 1_000_000

    @property
    def quality(self) -> str:
        self._tell()
        return "floor" if self._ahead else "synced"

    @property
    def sure(self) -> bool:
        """Whether rights that last hours can be judged. False: the time is a floor, maybe long behind."""
        told = self._tell()
        return not self._ahead or told - self._believed(self._mono_ns()) <= _SURE_NS

    def prove(self, at_ms: int) -> Step | None:
        """The time is `at_ms`, and whoever says so may be believed. Returns the step, if it is one.

        Nothing before `BUILT_MS` is a time.
        """
        if at_ms < BUILT_MS:
            return None
        told, mono = self._tell(), self._mono_ns()
        self._proven = (at_ms * 1_000_000, mono)
        far = abs(told - at_ms * 1_000_000) > _PROVEN_NS
        if far:
            self._told_ns, self._at_ns = at_ms * 1_000_000, mono
        # One that moves time by seconds only is a step, too; what `stepped` has told before is where from.
        # It leads to the line that time goes on by: the machine's, where that agrees with what was proven.
        line_ms = (self._offset() + mono) // 1_000_000
        return self.stepped() or (Step(told // 1_000_000, line_ms, mono // 1_000_000) if far else None)

    def system_ms(self) -> int:
        """What the machine's own clock says, believed or not."""
        return self._wall_ns() // 1_000_000

    def hear(self, signed_ms: int) -> Step | None:
        """A known issuer has signed something at `signed_ms`: it is at least that late.

        Of no weight beside a proven time, and none when it is beyond `HEARD_MAX_MS`. Returns the step.
        """
        now_ms = self.now_ms()
        if self._proven is not None or not now_ms < signed_ms <= now_ms + HEARD_MAX_MS:
            return None
        self._told_ns = signed_ms * 1_000_000
        far = (signed_ms - now_ms) * 1_000_000 > _PROVEN_NS
        return Step(now_ms, signed_ms, self.mono_ms()) if self.stepped() or far else None

    def _believed(self, mono: int) -> int:
        """What the system clock says, unless it disagrees with what was proven."""
        wall = self._wall_ns()
        if self._proven is None:
            return wall
        expected = self._proven[0] + mono - self._proven[1]
        return wall if abs(wall - expected) <= _PROVEN_NS else expected

    def _tell(self) -> int:
        mono = self._mono_ns()
        wall = self._believed(mono)
        elapsed, self._at_ns = max(0, mono - self._at_ns), mono
        if wall >= self._told_ns:
            self._told_ns, self._ahead = wall, False
            return wall
        far = self._told_ns - wall > _BELIEVED_NS
        self._told_ns, self._ahead = self._told_ns + (elapsed if far else elapsed // 2), True
        return self._told_ns

    def offset_ms(self) -> int:
        """What the monotonic clock has to be added to give the time: one number for as long as nobody sets
        the clock. While a clock that was set back is waited for, that to which time goes.
        """
        return self._offset() // 1_000_000

    def _offset(self) -> int:
        told, mono = self._tell(), self._mono_ns()
        wall = self._believed(mono)
        return (told if told - wall > _BELIEVED_NS else wall) - mono

    def stepped(self) -> Step | None:
        """Whether the clock was set since this was last asked, and to something that is believed."""
        before, now = self._seen_ns, self._offset()
        if abs(now - before) < _STEP_NS:
            return None  # and what is seen stays: a clock that creeps is noticed, too
        self._seen_ns = now
        mono = self._mono_ns()
        return Step((before + mono) // 1_000_000, (now + mono) // 1_000_000, mono // 1_000_000)

    def run_on(self, offset_ms: int) -> None:
        """Go on as an earlier process of this boot would have."""
        self.raise_floor(offset_ms + self.mono_ms())


# Randomness for ids to come, a piece for each: one call to the system for many. A piece is taken by one
# thread only, and a forked process draws its own.
_PART_BYTES = 10
_chance: list[str] = []
os.register_at_fork(after_in_child=_chance.clear)


class SystemIds:
    """Ids from the operating system's randomness."""

    def uid(self) -> str:
        # RFC 9562 §5.7: 48 bits of Unix milliseconds, version, 74 random bits. Python's own comes with 3.14.
        stamp = f"{(time.time_ns() // 1_000_000) & ((1 << 48) - 1):012x}"
        try:
            rest = _chance.pop()
        except IndexError:
            drawn = os.urandom(_PART_BYTES * 128).hex()
            rest, *more = (drawn[at : at + 2 * _PART_BYTES] for at in range(0, len(drawn), 2 * _PART_BYTES))
            _chance.extend(more)
        variant = "89ab"[int(rest[3], 16) & 3]
        return f"{stamp[:8]}-{stamp[8:]}-7{rest[:3]}-{variant}{rest[4:7]}-{rest[7:19]}"

    def token(self, size: int = 16) -> bytes:
        return secrets.token_bytes(size)

    def transaction(self) -> int:
        return secrets.randbelow(2**31 - 1) + 1

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads retries, guards nothing
