"""Virtual time: an event loop of the few methods that the gateway uses, driven by the world."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any


class Handle:
    """Something that will be called, unless it is cancelled."""

    __slots__ = ("args", "call")

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.call: Callable[..., Any] | None = call
        self.args = args

    def cancel(self) -> None:
        self.call = None


class Future:
    """A value that is there or not; nobody awaits it here."""

    def __init__(self) -> None:
        self.value: Any = None
        self._done = False

    def done(self) -> bool:
        return self._done

    def set_result(self, value: Any) -> None:
        self.value, self._done = value, True


class SimLoop:
    """Ready calls in order, timers by time. `now_ms` moves only when nothing is ready."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.steps = 0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[int, int, Handle]] = []
        self._count = 0

    def time(self) -> float:
        return self.now_ms / 1000

    def create_future(self) -> Future:
        return Future()

    def call_soon(self, call: Callable[..., Any], *args: Any) -> Handle:
        handle = Handle(call, args)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> Handle:
        handle = Handle(call, args)
        self._count += 1
        # A millisecond is the world's grain: a timer never fires in the instant it was set.
        due = self.now_ms + (round(delay_s * 1000) or 1)
        heapq.heappush(self._timers, (due, self._count, handle))
        return handle

    def run_until(self, end_ms: int) -> None:
        """Live until `end_ms`."""
        while True:
            while self._ready:
                self._call(self._ready.popleft())
            if not self._timers or self._timers[0][0] > end_ms:
                self.now_ms = max(self.now_ms, end_ms)
                return
            due, _, handle = heapq.heappop(self._timers)
            self.now_ms = max(self.now_ms, due)
            self._call(handle)

    def _call(self, handle: Handle) -> None:
        self.steps += 1
        if handle.call is not None:
            handle.call(*handle.args)
