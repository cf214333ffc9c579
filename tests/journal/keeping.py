"""For tests of the keeper: a real gateway, core and journal in a folder, with one charger and its session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common import facts
from common.domain import ConnectorState, MeterSample, iso
from common.errors import Unavailable
from edge.bus import Bus
from edge.core import inputs
from edge.gateway import Gateway
from edge.journal.journal import Journal
from edge.keeping import Keeper
from edge.recall import recover
from tests.box.support import FakeClock, begin, eventually, status
from tests.core.world import SITE, T0
from tests.journal.support import FakeIds


class Answered:
    """`ReplyTo` that remembers whether it was answered."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def render(self, reply: inputs.Reply) -> bytes:
        return type(reply).__name__.encode()

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)


class Kept:
    """A box with its keeper. `acked`: what the cloud has, None = everything (there is no cloud)."""

    def __init__(self, journal: Journal, life: str, quota_mib: int) -> None:
        self.journal = journal
        self.clock = FakeClock()
        self.acked: int | None = None
        self.minute = 0
        self.gateway = Gateway(recover(journal, SITE), journal, Bus(SITE), self.clock, FakeIds(life))
        self.gateway.start(self)
        self.keeper = Keeper(self.gateway, journal, self.clock, acked=self._acked, quota_mib=quota_mib)

    def _acked(self) -> int | None:
        return self.journal.committed_seq if self.acked is None else self.acked

    def send(self, request: inputs.Request) -> None: ...

    async def say(self, given: inputs.Input) -> Answered:
        reply = Answered()
        self.gateway.submit(given, reply)
        await self.settle()
        return reply

    async def settle(self) -> None:
        """Everything that was said is decided and on disk."""
        await eventually(lambda: not self.gateway._backlog, "the backlog to be decided")
        await self.gateway.written(facts.SecurityNoted(what="test"))

    async def begun(self) -> None:
        self.gateway.note(facts.ChargerAdopted(charger="CP1"))
        await self.say(inputs.StationConnected(charger="CP1", protocol="ocpp1.6"))
        await self.say(status(ConnectorState.PREPARING))
        await self.say(begin(at_ms=T0))
        await self.say(status(ConnectorState.CHARGING))

    def sample(self, **changed: Any) -> inputs.MeterReported:
        self.minute += 1
        at = iso(T0 + self.minute * 60_000)
        values: dict[str, Any] = {"at": at, "energy_wh": 1000.0 + self.minute, "power_w": 11_000.0}
        return inputs.MeterReported(charger="CP1", evse=1, samples=(MeterSample(**(values | changed)),))

    async def samples(self, count: int, **changed: Any) -> list[Answered]:
        replies = []
        for _ in range(count):
            replies.append(Answered())
            self.gateway.submit(self.sample(**changed), replies[-1])
        await self.settle()
        return replies

    async def ended(self, stop_wh: float) -> Answered:
        (session,) = [s for s in self.gateway.state.view.sessions.values() if not s.ended_at]
        at_ms = T0 + (self.minute + 1) * 60_000
        return await self.say(
            inputs.TransactionEnded(
                charger="CP1",
                transaction=session.transaction,
                meter_stop_wh=stop_wh,
                ended=inputs.Stamp(iso(at_ms), at_ms),
                reason="Local",
            )
        )

    async def begun_again(self) -> None:
        at_ms = T0 + (self.minute + 5) * 60_000
        await self.say(begin(at_ms=at_ms, meter_start_wh=20_000.0))

    def large(self) -> None:
        """Queue a fact of several KiB, if the journal is there for it."""
        with contextlib.suppress(Unavailable):
            self.gateway.note(facts.SecurityNoted(what="test", detail="x" * 12_000))

    def kinds(self) -> list[str]:
        return [kind for (kind,) in self.journal._all("SELECT kind FROM fact ORDER BY seq", ())]

    def stored(self) -> tuple[int, int]:
        """Meter facts with content, and without."""
        ((whole, gone),) = self.journal._all(
            "SELECT count(record), count(*) - count(record) FROM fact WHERE kind = 'meter_sampled'", ()
        )
        return whole, gone

    def declared(self) -> list[Any]:
        found = self.journal._all("SELECT seq, record FROM fact WHERE kind = 'thinned' ORDER BY seq", ())
        return [facts.read("e", seq, record).body for seq, record in found]


@asynccontextmanager
async def kept(folder: Path, life: str = "a", *, quota_mib: int = 64) -> AsyncIterator[Kept]:
    """A running box over `folder`."""
    journal = Journal.open(folder, ids=FakeIds(life))
    try:
        box = Kept(journal, life, quota_mib)
        yield box
        await box.gateway.stop()
    finally:
        journal.close()
