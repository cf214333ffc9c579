"""The alarm: one timer for the next instant at which the core wants to be asked (`engine.deadline`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Deadlines are looked at no more often than this (s): timers here are about seconds, not milliseconds.
GRAIN_S = 0.02


class Alarm:
    """Calls `ring` when `due_ms` (site time; None = never) is reached. `set` it when that may have moved."""

    def __init__(
        self, due_ms: Callable[[], int | None], now_ms: Callable[[], int], ring: Callable[[], None]
    ) -> None:
        self._due_ms, self._now_ms, self._ring = due_ms, now_ms, ring
        self._looking: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, loop: asyncio.AbstractEventLoop) -> None:
        """The instant may be another one now."""
        if self._looking is None:
            self._looking = loop.call_later(GRAIN_S, self._look, loop)

    def stop(self) -> None:
        """Ring no more."""
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._due_ms()
        if due_ms is not None:
            wait_s = max(0.0, (due_ms - self._now_ms()) / 1000)
            self._timer = loop.call_later(wait_s, self._rings)

    def _rings(self) -> None:
        self._timer = None
        self._ring()
