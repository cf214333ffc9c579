"""The supervisor: rooms that fail alone, back-off, health, fatal rooms, stopping, and work on the side."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from common import supervise
from common.errors import Code, Refused, Unavailable
from common.supervise import Backoff, RoomState, Supervisor
from tests.applink.world import CountedIds, FixedClock

PATIENCE_S = 30.0


class Naps:
    """Stands in for sleep: notes how long, and returns when a test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._due = asyncio.Semaphore(0)
        self._asleep = asyncio.Condition()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        async with self._asleep:
            self._asleep.notify_all()
        await self._due.acquire()

    def wake(self) -> None:
        self._due.release()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._asleep:
            await self._asleep.wait_for(lambda: len(self.asked) >= count)


class House:
    """A supervisor that runs, with a clock and a sleep of the test's."""

    def __init__(self) -> None:
        self.clock, self.naps = FixedClock(), Naps()
        self.supervisor = Supervisor(self.clock, CountedIds(), sleep=self.naps)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.supervisor.run())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                yield
            finally:
                task.cancel()

    def states(self) -> dict[str, RoomState]:
        return {room.name: room.state for room in self.supervisor.health()}


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the loop's next turns bring, however many they are and however slow."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - a room's state makes no event
            await asyncio.sleep(0)


@pytest.fixture
async def house() -> House:
    return House()


async def forever() -> None:
    await asyncio.Event().wait()


def failing(*errors: Exception) -> Callable[[], Coroutine[Any, Any, None]]:
    """A room that fails with these, one a start, and then runs."""
    left = list(errors)

    async def run() -> None:
        if left:
            raise left.pop(0)
        await forever()

    return run


async def test_a_room_that_fails_is_started_again_and_the_others_do_not_notice(house: House) -> None:
    starts = []

    async def quiet() -> None:
        starts.append("quiet")
        await forever()

    house.supervisor.room("quiet", quiet)
    house.supervisor.room("uplink", failing(Unavailable(Code.NO_PATH, "no route"), ValueError("odd")))
    async with house.running():
        await house.naps.until(1)
        assert house.states() == {"quiet": RoomState.RUNNING, "uplink": RoomState.WAITING}
        health = house.supervisor.health()[1]
        assert "no route" in health.last_error
        assert health.restarts == 0
        house.clock.at_ms += 1000
        house.naps.wake()
        await house.naps.until(2)
        assert house.supervisor.health()[1].last_error == "ValueError: odd"
        house.naps.wake()
        await until(lambda: house.states()["uplink"] is RoomState.RUNNING)
        uplink = house.supervisor.health()[1]
        assert (uplink.state, uplink.restarts) == (RoomState.RUNNING, 2)
        assert uplink.last_error == "ValueError: odd"
        assert uplink.since_ms == house.clock.at_ms
        assert starts == ["quiet"]
    assert set(house.states().values()) == {RoomState.STOPPED}


async def test_waits_grow_to_their_cap_and_start_over_after_a_healthy_time(house: House) -> None:
    backoff = Backoff(base_ms=100, cap_ms=500, healthy_ms=60_000)
    healthy = False

    async def run() -> None:
        if healthy:
            house.clock.at_ms += 60_000
        raise OSError

    house.supervisor.room("uplink", run, backoff=backoff)
    async with house.running():
        for count in range(1, 7):
            await house.naps.until(count)
            healthy = count == 5
            house.naps.wake()
        await house.naps.until(7)
    # Half of 100, 200, 400, 500, 500 ms; then a start that lasted a minute counts as the first again.
    assert house.naps.asked == [0.05, 0.1, 0.2, 0.25, 0.25, 0.05, 0.1]


def test_jitter_spreads_a_wait_from_nothing_to_all_and_never_overflows() -> None:
    backoff = Backoff(base_ms=100, cap_ms=30_000)
    assert backoff.delay_s(3, 0.0) == 0
    assert backoff.delay_s(3, 1.0) == 0.4
    assert backoff.delay_s(10_000, 1.0) == 30


async def test_a_room_that_fails_in_the_moment_in_which_it_is_ended_ends(house: House) -> None:
    """A TaskGroup drops the cancellation that comes together with a child's failure (Python 3.11)."""

    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the line broke")

    house.supervisor.room("uplink", breaks)
    async with house.running():
        pass
    assert house.states() == {"uplink": RoomState.STOPPED}
    assert house.naps.asked == []


async def test_a_room_whose_tasks_have_failed_is_not_taken_for_one_that_was_ended(house: House) -> None:
    """A TaskGroup whose child has failed leaves its own cancellation counted (Python 3.11)."""
    runs = 0

    async def fails() -> None:
        raise OSError("the line broke")

    async def breaks() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fails())
        elif runs == 2:
            raise asyncio.CancelledError  # something that it waited for was
        await asyncio.Event().wait()

    house.supervisor.room("uplink", breaks)
    async with house.running():
        for number in (1, 2):
            await house.naps.until(number)
            house.naps.wake()
        await until(lambda: runs == 3)
        assert house.states() == {"uplink": RoomState.RUNNING}


@pytest.mark.parametrize("error", [Refused(Code.BUSY), ValueError("the journal is gone")])
async def test_a_fatal_room_ends_everything_with_its_error(house: House, error: Exception) -> None:
    house.supervisor.room("lan", forever)
    house.supervisor.room("journal", failing(error), fatal=True)
    with pytest.raises(type(error)) as raised:
        async with asyncio.timeout(PATIENCE_S):
            await house.supervisor.run()
    assert raised.value is error
    assert house.states() == {"lan": RoomState.STOPPED, "journal": RoomState.FAILED}
    assert house.naps.asked == []


async def test_a_fatal_room_that_is_done_ends_everything_in_peace(house: House) -> None:
    async def brief() -> None:
        await asyncio.sleep(0)

    house.supervisor.room("lan", forever)
    house.supervisor.room("loop", brief, fatal=True)
    async with asyncio.timeout(PATIENCE_S):
        await house.supervisor.run()
    assert house.states() == {"lan": RoomState.STOPPED, "loop": RoomState.ENDED}


async def test_a_room_that_is_done_is_not_started_again(house: House) -> None:
    async def brief() -> None:
        await asyncio.sleep(0)

    house.supervisor.room("once", brief)
    async with house.running():
        await until(lambda: house.states() == {"once": RoomState.ENDED})
        assert house.naps.asked == []


async def test_something_cancelled_inside_is_a_failure_not_a_stop(house: House) -> None:
    async def run() -> None:
        raise asyncio.CancelledError

    house.supervisor.room("discovery", run)
    async with house.running():
        await house.naps.until(1)
        assert "cancelled" in house.supervisor.health()[0].last_error


async def test_rooms_stop_last_added_first_each_to_its_end(house: House) -> None:
    stopped = []

    def room(name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            try:
                await forever()
            finally:
                await asyncio.sleep(0.002)
                stopped.append(name)

        return run

    for name in ("journal", "loop", "lan"):
        house.supervisor.room(name, room(name))
    async with house.running():
        house.supervisor.room("late", room("late"))
        await asyncio.sleep(0)
    assert stopped == ["late", "lan", "loop", "journal"]


async def test_a_room_that_does_not_stop_is_left_behind_and_named(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervise, "STOP_TIMEOUT_S", 0.01)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    house.supervisor.room("stubborn", stubborn)
    async with house.running():
        pass
    assert "stubborn did not stop" in caplog.text
    release.set()
    await asyncio.sleep(0.01)


async def test_two_rooms_have_two_names(house: House) -> None:
    house.supervisor.room("lan", forever)
    with pytest.raises(ValueError):
        house.supervisor.room("lan", forever)


async def test_work_on_the_side_gives_its_result_and_never_loses_its_error(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(result: int) -> int:
        if result < 0:
            raise ValueError("no good")
        return result

    async with house.running():
        assert await house.supervisor.spawn("sum", work(7)) == 7
        house.supervisor.spawn("doomed", work(-1))
        await until(lambda: "doomed failed" in caplog.text)
    assert "doomed failed" in caplog.text
    assert "no good" in caplog.text


async def test_work_on_the_side_is_bounded_and_ends_with_the_house(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "SPAWNED_MAX", 2)
    async with house.running():
        tasks = [house.supervisor.spawn("wait", forever()) for _ in range(2)]
        with pytest.raises(Unavailable):
            house.supervisor.spawn("one too many", forever())
    assert all(task.cancelled() for task in tasks)


async def test_what_is_merely_away_is_a_warning_once_for_each_reason(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    away, stopping = Unavailable(Code.CLOUD_UNREACHABLE, "refused"), Unavailable(Code.SHUTTING_DOWN)
    errors = [away, away, away, stopping, away, Refused(Code.REVOKED), away]
    house.supervisor.room("uplink", failing(*errors))
    caplog.set_level("DEBUG", logger="plugside.supervise")
    async with house.running():
        for number in range(len(errors)):
            await house.naps.until(number + 1)
            house.naps.wake()
    levels = [record.levelname for record in caplog.records if record.name == "plugside.supervise"]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "WARNING", "WARNING", "ERROR", "WARNING"]


async def test_what_goes_away_again_after_a_healthy_time_is_a_warning_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        house.clock.at_ms += 60_000
        raise Unavailable(Code.CLOUD_UNREACHABLE)

    house.supervisor.room("uplink", run)
    async with house.running():
        for number in range(2):
            await house.naps.until(number + 1)
            house.naps.wake()
        await house.naps.until(3)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


async def test_a_fatal_room_that_is_unavailable_is_an_error(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.supervisor.room("journal", failing(Unavailable(Code.JOURNAL_UNAVAILABLE)), fatal=True)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(PATIENCE_S):
            await house.supervisor.run()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
