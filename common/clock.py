"""The one place where wall time, ids and randomness enter. Everything else is handed a `Clock` and `Ids`."""

from __future__ import annotations

import os
import random
import secrets
import time


class SystemClock:
    """The machine's clock, never behind `floor_ms` (design §4: edge wall = max(OS, last journaled))."""

    def __init__(self, floor_ms: int = 0) -> None:
        self._floor_ms = floor_ms

    def raise_floor(self, at_ms: int) -> None:
        """Time has been at least `at_ms`; from now on it is never told as earlier."""
        self._floor_ms = max(self._floor_ms, at_ms)

    def now_ms(self) -> int:
        return max(time.time_ns() // 1_000_000, self._floor_ms)

    def mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    @property
    def quality(self) -> str:
        return "synced" if time.time_ns() // 1_000_000 >= self._floor_ms else "floor"


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
