"""The supervisor: failures stay in their room (design §2.9). The only place where bare tasks are made.

A *room* is a part of a daemon that runs until it is cancelled: the LAN listener, discovery, the uplink. When
it fails it is started again, with full-jitter back-off, and health names it; the others do not notice. A
*fatal* room (journal, loop) ends the supervisor with its error, and the service manager restarts the process.
`spawn` is for short work on the side, whose failure is logged and never lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from common.errors import Code, PlugsideError, Unavailable
from common.ports import Clock, Ids

log = logging.getLogger("plugside.supervise")

T = TypeVar("T")

#: Pieces of side work at once; more than all links of a daemon together ask for.
SPAWNED_MAX = 1024
#: A room that does not end within this time after it was cancelled is left behind, and named.
STOP_TIMEOUT_S = 5.0
_ERROR_CHARS_MAX = 200


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Waits between restarts: uniformly between 0 and `base · 2ⁿ`, at most `cap` (full jitter)."""

    base_ms: int = 250
    cap_ms: int = 30_000  #: a cable that is plugged in again is noticed within half a minute
    healthy_ms: int = 60_000  #: after running for this long, the next failure counts as the first

    def delay_s(self, failures: int, jitter: float) -> float:
        """failures: how many in a row, from 1. jitter: in [0, 1)."""
        ceiling_ms: int = min(self.cap_ms, self.base_ms << min(failures - 1, 20))
        return jitter * ceiling_ms / 1000


class RoomState(StrEnum):
    """What a room is doing."""

    IDLE = "idle"  #: not started yet
    RUNNING = "running"
    WAITING = "waiting"  #: failed; will be started again
    FAILED = "failed"  #: failed for good
    ENDED = "ended"  #: had nothing more to do
    STOPPED = "stopped"  #: cancelled


class RoomHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a health report."""

    name: str
    state: RoomState
    since_ms: int  #: UTC, when it came into this state
    restarts: int
    last_error: str  #: of the latest failure, also when it runs again since


class _Room:
    def __init__(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        fatal: bool,
        backoff: Backoff,
        now_ms: int,
    ) -> None:
        self.name, self.run, self.fatal, self.backoff = name, run, fatal, backoff
        self.state, self.since_ms = RoomState.IDLE, now_ms
        self.restarts = 0
        self.last_error = ""
        self.told = ""  #: the unavailability last logged as a warning
        self.task: asyncio.Task[None] | None = None
        self.ending = False  #: it is being stopped


class Supervisor:
    """Runs rooms. Add them with `room`, then `await run()`; rooms may be added while it runs."""

    def __init__(
        self, clock: Clock, ids: Ids, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """sleep: waits for seconds; a test hands in its own."""
        self._clock, self._ids, self._sleep = clock, ids, sleep
        self._rooms: list[_Room] = []
        self._spawned: set[asyncio.Task[Any]] = set()
        self._over = asyncio.Event()
        self._fatal: Exception | None = None
        self._running = False

    def room(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        *,
        fatal: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        """Add a room. run: called for every start. fatal: its end, failure or not, ends `Supervisor.run`."""
        if any(room.name == name for room in self._rooms):
            raise ValueError(f"there is a room {name!r} already")
        room = _Room(name, run, fatal, backoff or Backoff(), self._clock.now_ms())
        self._rooms.append(room)
        if self._running:
            room.task = asyncio.create_task(self._keep(room), name=name)  # noqa: TID251 - its one home

    def spawn(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` on the side. Its failure is logged; it is cancelled when the supervisor stops.

        Raises Unavailable(busy) when too much is under way already.
        """
        if len(self._spawned) >= SPAWNED_MAX:
            work.close()
            raise Unavailable(Code.BUSY, f"no room for {name}")
        task = asyncio.create_task(work, name=name)  # noqa: TID251 - its one home
        self._spawned.add(task)
        task.add_done_callback(self._account)
        return task

    async def run(self) -> None:
        """Run until cancelled, or until a fatal room ends; its error is raised.

        On the way out rooms are stopped one after the other, last added first, then what was spawned.
        """
        self._running = True
        for room in self._rooms:
            room.task = asyncio.create_task(self._keep(room), name=room.name)  # noqa: TID251 - its one home
        try:
            await self._over.wait()
        finally:
            self._running = False
            await self._stop()
        if self._fatal is not None:
            raise self._fatal

    def health(self) -> tuple[RoomHealth, ...]:
        """How each room is, in the order they were added."""
        return tuple(
            RoomHealth(
                name=room.name,
                state=room.state,
                since_ms=room.since_ms,
                restarts=room.restarts,
                last_error=room.last_error,
            )
            for room in self._rooms
        )

    async def _keep(self, room: _Room) -> None:
        failures = 0
        task = asyncio.current_task()
        assert task is not None
        while True:
            before = task.cancelling()
            began_ms = self._clock.mono_ms()
            self._enter(room, RoomState.RUNNING)
            failed: Exception | None = None
            try:
                await room.run()
            except asyncio.CancelledError:
                # A TaskGroup whose child has failed leaves its own cancellation counted (Python 3.11).
                if task.cancelling() > before:
                    self._enter(room, RoomState.STOPPED)
                    raise
                failed = RuntimeError("something that it waited for was cancelled")
            except Exception as error:
                if room.ending and not room.fatal:
                    # A TaskGroup drops the cancellation that comes together with a child's failure.
                    self._enter(room, RoomState.STOPPED)
                    raise asyncio.CancelledError from error
                failed = error
            if failed is None or room.fatal:
                self._finish(room, failed)
                return
            healthy = self._clock.mono_ms() - began_ms >= room.backoff.healthy_ms
            if healthy:
                failures, room.told = 0, ""
            failures += 1
            delay_s = room.backoff.delay_s(failures, self._ids.jitter())
            self._note(room, failed, f"again in {delay_s:.1f} s")
            self._enter(room, RoomState.WAITING)
            try:
                await self._sleep(delay_s)
            except asyncio.CancelledError:
                self._enter(room, RoomState.STOPPED)
                raise
            room.restarts += 1

    def _enter(self, room: _Room, state: RoomState) -> None:
        room.state, room.since_ms = state, self._clock.now_ms()

    def _finish(self, room: _Room, failed: Exception | None) -> None:
        self._enter(room, RoomState.ENDED if failed is None else RoomState.FAILED)
        if failed is not None:
            self._note(room, failed, "this ends the process")
            self._fatal = self._fatal or failed
        if room.fatal:
            self._over.set()

    def _note(self, room: _Room, failed: Exception, then: str) -> None:
        known = isinstance(failed, PlugsideError)
        text = str(failed) if known else f"{type(failed).__name__}: {failed}"
        room.last_error = text[:_ERROR_CHARS_MAX]
        level = logging.ERROR
        if isinstance(failed, Unavailable) and not room.fatal:
            # Nothing is wrong here; that it is still away need not be said every half minute.
            level = logging.WARNING if room.last_error != room.told else logging.DEBUG
            room.told = room.last_error
        else:
            room.told = ""
        # A known error says what to do; of any other the place is wanted.
        log.log(
            level, "%s failed, %s: %s", room.name, then, room.last_error, exc_info=None if known else failed
        )

    def _account(self, task: asyncio.Task[Any]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (failed := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=failed)

    async def _stop(self) -> None:
        for room in reversed(self._rooms):
            if room.task is not None:
                room.ending = True
                await self._cancel(room.task)
        for task in tuple(self._spawned):
            # `run` itself may have been spawned: cancelled by itself, it would lose the error it ends with.
            if task is not asyncio.current_task():
                await self._cancel(task)

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)
        if not done:
            log.error("%s did not stop within %.0f s", task.get_name(), STOP_TIMEOUT_S)
