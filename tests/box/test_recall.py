"""What left memory, or was forgotten by a restart, comes from the journal and is answered byte for byte."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from common.commands import Start
from common.facts import ChargerAdopted
from edge.bus import Bus
from edge.chargers.dialect import ToCore
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.core import inputs
from edge.core.engine import SiteState
from edge.core.state import ENDED_SESSIONS_MAX
from edge.gateway import Gateway
from edge.journal.journal import Journal
from edge.recall import recover
from tests.box.support import FakeClock, Follower, Watcher, command, eventually, operator
from tests.core.world import SITE
from tests.journal.support import Disk, FakeIds

START = {
    "connectorId": 1,
    "idTag": "DEADBEEF",
    "meterStart": 1200,
    "timestamp": "2025-06-15T15:06:40Z",
}


class Wire:
    """`ReplyTo` as the 1.6 dialect renders it."""

    def __init__(self, call: ToCore) -> None:
        self._call = call
        self.sent: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def render(self, reply: inputs.Reply) -> bytes:
        return self._call.render(reply)

    def send(self, payload: bytes) -> None:
        self.sent.set_result(payload)


class Running:
    """One life of a box: real journal, core and dialect; the charger is its bytes."""

    def __init__(self, journal: Journal, life: str) -> None:
        self.journal = journal
        self.clock = FakeClock()
        self.requests: list[inputs.Request] = []
        state: SiteState = recover(journal, SITE)
        self.gateway = Gateway(state, journal, Bus(SITE), self.clock, FakeIds(life))
        self.gateway.start(self)
        self._dialect = Ocpp16(lambda tag: f"ref-{tag}")

    def send(self, request: inputs.Request) -> None:
        self.requests.append(request)

    async def call(self, action: str, payload: dict[str, Any]) -> bytes:
        meant = self._dialect.inbound(
            "CP1", action, msgspec.Raw(msgspec.json.encode(payload)), self.clock.now
        )
        assert isinstance(meant, ToCore)
        reply = Wire(meant)
        *before, last = meant.inputs
        for given in before:
            self.gateway.submit(given)
        self.gateway.submit(last, reply)
        failed = self.gateway.failed
        assert failed is not None
        await asyncio.wait({reply.sent, failed}, return_when=asyncio.FIRST_COMPLETED)
        assert not failed.done(), "the journal failed, and nobody is answered"
        return reply.sent.result()

    async def settle(self, watcher: Watcher, command_id: str) -> None:
        """A start that the charger refuses."""
        self.gateway.command(command(self.clock.now, id=command_id, args=Start()), watcher.progress)
        await self.journal.probe()
        (request,) = self.requests
        ended = inputs.CallEnded(
            charger="CP1", request=request.id, command=request.command, answer="rejected"
        )
        self.gateway.submit(ended)
        await self.journal.probe()


@asynccontextmanager
async def living(folder: Path, life: str, disk: Disk | None = None) -> AsyncIterator[Running]:
    connection = disk.connection if disk else sqlite3.Connection
    journal = Journal.open(folder, ids=FakeIds(life), connection=connection)
    try:
        running = Running(journal, life)
        yield running
        await running.gateway.stop()
    finally:
        journal.close()


async def connect(box: Running) -> None:
    box.gateway.note(ChargerAdopted(charger="CP1"))
    box.gateway.submit(inputs.StationConnected(charger="CP1", protocol="ocpp1.6"))
    await box.call("BootNotification", {"chargePointVendor": "ACME", "chargePointModel": "W"})
    await box.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"})


async def test_a_replay_after_a_restart_gets_the_stored_bytes(tmp_path: Path) -> None:
    async with living(tmp_path, "a") as box:
        await connect(box)
        first = await box.call("StartTransaction", START)
        again = await box.call("StartTransaction", START)
        stop = {
            "transactionId": msgspec.json.decode(first)["transactionId"],
            "meterStop": 5200,
            "timestamp": "2025-06-15T16:06:40Z",
        }
        ended = await box.call("StopTransaction", stop)
        sessions = len(box.gateway.state.view.sessions)
    async with living(tmp_path, "b") as box:
        before = box.journal.last_seq
        assert await box.call("StartTransaction", START) == first == again
        assert await box.call("StopTransaction", stop) == ended
        assert box.journal.last_seq == before, "a replay is no news"
        assert len(box.gateway.state.view.sessions) == sessions


async def test_a_replay_of_a_session_that_left_memory_is_that_session(tmp_path: Path) -> None:
    """A charger's queue may hold it for days; the sessions since have pushed it out."""

    async def charge(box: Running, number: int) -> tuple[bytes, bytes]:
        start = {**START, "meterStart": number, "timestamp": f"2025-06-15T15:{10 + number}:00Z"}
        begun = await box.call("StartTransaction", start)
        stop = {
            "transactionId": msgspec.json.decode(begun)["transactionId"],
            "meterStop": number + 1,
            "timestamp": f"2025-06-15T15:{10 + number}:30Z",
        }
        return begun, await box.call("StopTransaction", stop)

    async with living(tmp_path, "a") as box:
        await connect(box)
        told = [await charge(box, number) for number in range(ENDED_SESSIONS_MAX + 3)]
        assert await charge(box, 0) == told[0]
        await box.journal.probe()
        ((sessions,),) = box.journal._all("SELECT count(*) FROM session", ())
        assert sessions == len(told)


async def test_a_replay_is_answered_after_the_first_ones_commit_with_its_bytes(tmp_path: Path) -> None:
    disk = Disk()
    async with living(tmp_path, "a", disk) as box:
        await connect(box)
        disk.stall()
        first = asyncio.get_running_loop().create_task(box.call("StartTransaction", START))
        again = asyncio.get_running_loop().create_task(box.call("StartTransaction", START))
        await eventually(disk.stalled.is_set, "the disk to be asked")
        assert not first.done()
        assert not again.done()
        disk.go.set()
        assert await first == await again


async def test_a_command_that_left_memory_is_known_by_the_journal(tmp_path: Path) -> None:
    first, again, other = Watcher(), Watcher(), Watcher()
    async with living(tmp_path, "a") as box:
        await connect(box)
        await box.settle(first, "cmd-1")
        box.gateway.state.orders.clear()  # as after some days
        given = command(box.clock.now, id="cmd-1", args=Start())
        box.gateway.command(given, again.progress)
        assert again.stages == first.stages == ["accepted", "confirmed", "settled"]
        box.gateway.command(msgspec.structs.replace(given, fingerprint="other content"), other.progress)
        assert other.stages == ["refused"]
        assert len(box.requests) == 1, "one call on the wire for one id"


async def test_a_new_epoch_carries_followers_over_though_its_caller_is_cancelled(tmp_path: Path) -> None:
    """The tunnel breaks while its reader rotates: memory must not stay in the old epoch."""
    disk = Disk()
    async with living(tmp_path, "a", disk) as box:
        await connect(box)
        journal: Any = box.journal
        follower = Follower(journal)
        box.gateway.follow(follower, operator())
        old = box.journal.epoch
        await box.journal.probe()
        disk.stall(after=1)  # the new chain is computed ahead, while everything goes on
        rotation = asyncio.get_running_loop().create_task(box.gateway.rotate_epoch())
        await eventually(disk.stalled.is_set, "the disk to be asked")
        assert not box.gateway.accepting
        rotation.cancel()
        await asyncio.wait({rotation})
        disk.go.set()
        await eventually(lambda: box.gateway.accepting, "the new epoch")
        assert box.journal.epoch != old
        assert (box.gateway.state.view.epoch, box.gateway.state.view.seq) == (
            box.journal.epoch,
            box.journal.last_seq,
        )
        await eventually(lambda: len(follower.snapshots) == 2, "a snapshot of the new epoch")
        assert follower.snapshots[1].epoch == box.journal.epoch
        await box.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Charging"})
        assert follower.seqs == [*range(follower.snapshots[1].seq + 1, box.journal.last_seq + 1)]
    async with living(tmp_path, "b") as box:
        assert box.gateway.state.view.epoch == box.journal.epoch
