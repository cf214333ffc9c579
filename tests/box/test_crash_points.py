"""Commands across a crash at each point, on a real journal: what was sent once is never sent again, what may
be repeated is, and the app hears the same as if nothing had happened (design §7).

A crash is a copy of the journal's files as they were at that moment, opened by a box that starts anew.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common import commands, facts
from common.commands import Name
from common.domain import ConnectorState
from edge.bus import Bus
from edge.core import inputs, orders
from edge.core.identity import minted_tag
from edge.gateway import Gateway
from edge.journal.journal import Journal
from edge.recall import recover
from tests.box.support import FakeClock, Reply, Watcher, begin, command, status
from tests.core.world import SITE, T0, CountingIds
from tests.journal.support import Disk, FakeIds


class Life:
    """One process of the box: its journal, its core, and the calls that left it for chargers."""

    def __init__(self, folder: Path, disk: Disk, number: int, now_ms: int) -> None:
        self.folder, self.disk = folder, disk
        self.clock = FakeClock(now_ms)
        self.journal = Journal.open(
            folder, ids=FakeIds(f"life-{number}"), quick_check=False, connection=disk.connection
        )
        state = recover(self.journal, SITE)
        ids = CountingIds(range(1000 * number, 1000 * number + 900))
        self.gateway = Gateway(state, self.journal, Bus(SITE), self.clock, ids)
        self.calls: list[inputs.Request] = []
        self.watcher = Watcher()

    def send(self, request: inputs.Request) -> None:
        self.calls.append(request)

    @property
    def ours(self) -> list[str]:
        """The calls that carry out a command."""
        return [type(call.action).__name__ for call in self.calls if call.command]

    async def settle(self) -> None:
        """Let everything that is under way reach the disk and leave."""
        for _ in range(3):
            await asyncio.sleep(0)
            await self.journal.probe()
        await asyncio.sleep(0)

    async def feed(self, given: inputs.Input) -> Reply:
        reply = Reply(type(given).__name__, [])
        self.gateway.submit(given, reply)
        await self.settle()
        return reply

    async def connect(self, state: ConnectorState = ConnectorState.PREPARING) -> None:
        await self.feed(inputs.StationConnected(charger="CP1", protocol="ocpp1.6"))
        await self.feed(inputs.Booted(charger="CP1", vendor="ACME"))
        await self.feed(status(state))

    def command(self, **changed: Any) -> None:
        self.gateway.command(command(T0, **changed), self.watcher.progress)

    def answer(self, answer: str) -> None:
        call = next(call for call in reversed(self.calls) if call.command)
        self.gateway.submit(
            inputs.CallEnded(charger="CP1", request=call.id, command=call.command, answer=answer)
        )

    async def until(self, now_ms: int) -> None:
        """Time has come to `now_ms`; what is due happens."""
        self.clock.now = max(self.clock.now, now_ms)
        await self.feed(inputs.Tick())

    def told(self) -> list[tuple[str, str]]:
        """How each command of the journal ended."""
        row = self.journal.recall_command("cmd-1")
        return [] if row is None else [(row.state, row.outcome or row.code)]


class Box:
    """A box that can crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives: list[Life] = []

    async def start(self, now_ms: int = T0) -> Life:
        number = len(self._lives) + 1
        folder = self._folder / f"life-{number}"
        if self._lives:
            dead = self._lives[-1]
            folder.mkdir(mode=0o700)
            for name in ("journal.db", "journal.db-wal"):
                if (dead.folder / name).exists():
                    shutil.copy(dead.folder / name, folder / name)
            dead.disk.go.set()
        life = Life(folder, Disk(), number, now_ms)
        life.gateway.start(life)
        self._lives.append(life)
        await life.settle()
        return life

    def close(self) -> None:
        for life in self._lives:
            life.disk.go.set()
            life.journal.close()


@asynccontextmanager
async def a_box(folder: Path) -> AsyncIterator[tuple[Box, Life]]:
    """A box with one charger, adopted, booted and plugged in."""
    box = Box(folder)
    try:
        life = await box.start()
        life.gateway.note(facts.ChargerAdopted(charger="CP1"))
        await life.connect()
        life.calls.clear()
        yield box, life
    finally:
        box.close()


LATER = T0 + 60_000
WINDOW_END = T0 + orders.WINDOW_MS[Name.START] + 60_000


async def test_before_the_intent_is_on_disk_nothing_was_called_and_the_same_id_begins_anew(
    tmp_path: Path,
) -> None:
    async with a_box(tmp_path) as (box, life):
        life.disk.stall()
        life.command()
        await asyncio.to_thread(life.disk.stalled.wait, 20)
        assert life.ours == []
        assert life.watcher.stages == []
        again = await box.start()
        assert again.told() == []
        await again.connect()
        again.command()
        await again.settle()
        assert again.ours == ["StartCharge"]
        assert again.watcher.stages == ["accepted"]


@pytest.mark.parametrize("point", ["before the call", "before the answer"])
async def test_a_start_that_was_or_may_have_been_called_is_never_called_again(
    tmp_path: Path, point: str
) -> None:
    # Both points look alike from the disk: `sent` is there, and nobody knows whether the call left.
    async with a_box(tmp_path) as (box, life):
        life.command()
        await life.settle()
        assert life.ours == ["StartCharge"]
        again = await box.start(LATER if point == "before the answer" else T0)
        await again.connect()
        await again.until(LATER)
        again.command()
        await again.settle()
        assert again.ours == [], "at most once"
        assert again.watcher.stages == ["accepted"], "the app hears what became of it so far"
        await again.until(WINDOW_END)
        assert again.ours == []
        assert again.told() == [("settled", "unknown")]
        again.watcher.stages.clear()
        again.command()
        assert again.watcher.stages == ["accepted", "settled"]


async def test_what_is_observed_after_the_crash_settles_the_start(tmp_path: Path) -> None:
    async with a_box(tmp_path) as (box, life):
        life.command()
        await life.settle()
        again = await box.start(LATER)
        await again.connect()
        await again.feed(begin(tag_ref="minted", minted=minted_tag("cmd-1"), at_ms=T0 + 5_000))
        assert again.told() == [("settled", "succeeded")]
        assert again.ours == []
        again.command()
        assert again.watcher.stages[-1] == "settled"


async def test_between_answer_and_session_the_session_or_the_window_tells(tmp_path: Path) -> None:
    async with a_box(tmp_path) as (box, life):
        life.command()
        await life.settle()
        life.answer("accepted")
        await life.settle()
        assert life.watcher.stages == ["accepted", "confirmed"]
        again = await box.start(LATER)
        await again.connect()
        again.command()
        assert again.watcher.stages == ["accepted", "confirmed"]
        await again.until(WINDOW_END)
        assert again.told() == [("settled", "failed")]
        assert again.ours == []


async def test_the_answer_that_was_not_on_disk_is_as_if_it_had_not_come(tmp_path: Path) -> None:
    async with a_box(tmp_path) as (box, life):
        life.command()
        await life.settle()
        life.disk.stall()
        life.answer("accepted")
        await asyncio.to_thread(life.disk.stalled.wait, 20)
        assert life.watcher.stages == ["accepted"], "nothing is said before it is on disk"
        again = await box.start(LATER)
        again.command()
        assert again.watcher.stages == ["accepted"]


async def running_session(life: Life) -> str:
    mine = facts.AuthorizationChanged(change="tag_assigned", tag_ref="tag-a", principal="p-driver")
    life.gateway.note(mine)
    await life.feed(begin())
    life.calls.clear()
    row = next(iter(life.gateway.state.look("CP1").sessions.values()))
    return row.id


@pytest.mark.parametrize("on_disk", [False, True])
async def test_a_stop_is_sent_again_until_it_is_answered(tmp_path: Path, *, on_disk: bool) -> None:
    async with a_box(tmp_path) as (box, life):
        session = await running_session(life)
        stop = {"name": Name.STOP, "args": commands.Stop(session=session), "expires_ms": T0 + 300_000}
        if not on_disk:
            life.disk.stall()
        life.command(**stop)
        if on_disk:
            await life.settle()
        else:
            await asyncio.to_thread(life.disk.stalled.wait, 20)
        assert life.ours == ["StopCharge"], "a stop does not wait for the disk"
        again = await box.start(LATER)
        await again.connect(ConnectorState.CHARGING)
        if on_disk:
            assert again.ours == ["StopCharge"], "sent again as soon as its charger is back"
        again.command(**stop)
        await again.settle()
        assert again.ours == ["StopCharge"], "the same id is one command"
        again.answer("accepted")
        transaction = again.gateway.state.look("CP1").sessions[session].transaction
        await again.feed(
            inputs.TransactionEnded(
                charger="CP1",
                transaction=transaction,
                meter_stop_wh=1500.0,
                ended=inputs.Stamp("2026-03-01T09:00:00Z", LATER),
            )
        )
        assert again.told() == [("settled", "succeeded")]


async def test_a_settled_command_says_the_same_after_any_number_of_crashes(tmp_path: Path) -> None:
    async with a_box(tmp_path) as (box, life):
        life.command()
        await life.settle()
        life.answer("rejected")
        await life.settle()
        told = life.watcher.stages
        for _ in range(3):
            again = await box.start(LATER)
            await again.connect()
            again.command()
            await again.settle()
            assert again.watcher.stages == told
            assert again.ours == []
