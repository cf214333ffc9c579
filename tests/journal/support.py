"""For the journal's tests: ids that repeat, facts of every sort, disks that stall or fail, a journal."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from common import chain, facts
from common.domain import EnergyMethod, MeterSample, Role
from common.domain import Path as Way
from common.facts import Body, Fact
from edge.journal.journal import Journal

AT = "2026-11-20T10:00:00.000Z"


class FakeIds:
    """Ids that are the same in every run, and different for a different `seed`."""

    def __init__(self, seed: str = "a") -> None:
        self._seed = seed
        self._count = 0

    def _next(self) -> bytes:
        self._count += 1
        return sha256(f"{self._seed}{self._count}".encode()).digest()

    def uid(self) -> str:
        return self._next().hex()[:32]

    def token(self, size: int = 16) -> bytes:
        made = b""
        while len(made) < size:
            made += self._next()
        return made[:size]

    def transaction(self) -> int:
        return int.from_bytes(self._next()[:4], "big") & 0x7FFFFFFF

    def jitter(self) -> float:
        return 0.5


class Teller:
    """Numbers bodies as facts of one journal, each uid derived from its place."""

    def __init__(self, epoch: str, seq: int = 0) -> None:
        self.epoch = epoch
        self.seq = seq

    def tell(self, *bodies: Body) -> list[Fact]:
        told = []
        for body in bodies:
            self.seq += 1
            told.append(
                facts.make(
                    epoch=self.epoch, seq=self.seq, uid=f"u{self.seq}", at=AT, clock="synced", body=body
                )
            )
        return told


def started(session: str, **changed: object) -> facts.SessionStarted:
    given: dict[str, object] = {
        "session": session,
        "charger": "CP1",
        "evse": 1,
        "transaction": f"t-{session}",
        "started_at": "2026-11-20T09:59:58Z",
        "received_at": AT,
        "key": f"k-{session}",
        "meter_start_wh": 1000.0,
    }
    return facts.SessionStarted(**(given | changed))  # type: ignore[arg-type]


def ended(session: str, **changed: object) -> facts.SessionEnded:
    given: dict[str, object] = {
        "session": session,
        "charger": "CP1",
        "evse": 1,
        "ended_at": "2026-11-20T11:00:00Z",
        "received_at": AT,
        "meter_stop_wh": 8000.0,
        "energy_wh": 7000.0,
        "method": EnergyMethod.REGISTER,
        "reason": "Local",
    }
    return facts.SessionEnded(**(given | changed))  # type: ignore[arg-type]


def revised(session: str, revision: int, **changed: object) -> facts.SessionRevised:
    given: dict[str, object] = {"session": session, "charger": "CP1", "revision": revision}
    return facts.SessionRevised(**(given | changed))  # type: ignore[arg-type]


def sampled(session: str | None, energy_wh: float = 1234.0, *, late: bool = False) -> facts.MeterSampled:
    return facts.MeterSampled(
        charger="CP1", evse=1, session=session, samples=(MeterSample(at=AT, energy_wh=energy_wh),), late=late
    )


def accepted(command: str, session: str | None = None, **changed: object) -> facts.CommandAccepted:
    given: dict[str, object] = {
        "command": command,
        "role": Role.DRIVER,
        "path": Way.LAN,
        "name": "start",
        "charger": "CP1",
        "session": session,
        "fingerprint": f"f-{command}",
        "expires_at": AT,
    }
    return facts.CommandAccepted(**(given | changed))  # type: ignore[arg-type]


def sent(command: str) -> facts.CommandSent:
    return facts.CommandSent(command=command, charger="CP1")


def confirmed(command: str, answer: str = "accepted") -> facts.CommandConfirmed:
    return facts.CommandConfirmed(command=command, charger="CP1", answer=answer, result={"status": answer})


def settled(command: str, outcome: str = "succeeded", **changed: object) -> facts.CommandSettled:
    given: dict[str, object] = {"command": command, "charger": "CP1", "outcome": outcome}
    return facts.CommandSettled(**(given | changed))  # type: ignore[arg-type]


def lost() -> facts.ChargerLost:
    return facts.ChargerLost(charger="CP1", reason="test")


class Watch:
    """What the journal said, in order."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.failures: list[BaseException] = []
        self.failed = asyncio.Event()
        self.also: Callable[[int], None] = lambda _: None

    def on_commit(self, seq: int) -> None:
        self.commits.append(seq)
        self.also(seq)

    def on_failure(self, why: BaseException) -> None:
        self.failures.append(why)
        self.failed.set()


class Started:
    """A running journal with what belongs to it."""

    def __init__(self, journal: Journal, watch: Watch) -> None:
        self.journal = journal
        self.watch = watch
        self.teller = Teller(journal.epoch, journal.last_seq)

    def push(self, *bodies: Body, replies: Sequence[tuple[str, bytes]] = ()) -> list[Fact]:
        told = self.teller.tell(*bodies)
        self.journal.push(told, replies)
        return told

    async def write(self, *bodies: Body, replies: Sequence[tuple[str, bytes]] = ()) -> list[Fact]:
        told = self.push(*bodies, replies=replies)
        await self.journal.probe()
        return told


@asynccontextmanager
async def running(
    folder: Path, *, seed: str = "a", connection: type[sqlite3.Connection] = sqlite3.Connection
) -> AsyncIterator[Started]:
    """A started journal in `folder`, closed at the end."""
    journal = Journal.open(folder, ids=FakeIds(seed), connection=connection)
    try:
        watch = Watch()
        journal.start(asyncio.get_running_loop(), watch.on_commit, watch.on_failure)
        yield Started(journal, watch)
    finally:
        journal.close()


class Disk:
    """A disk that a test controls: `connection` is the class of connection that writes to it.

    stall(): the next commits (but the first `after`) wait for `go`; `stalled` is set when one does. fail():
    they fail.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.stalled = threading.Event()
        self.failing = False
        self.passing = 0
        self.commits = 0
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
                if sql == "COMMIT" or (sql.startswith("INSERT INTO fact") and not self.in_transaction):
                    disk.commit()
                return super().execute(sql, *values)  # type: ignore[arg-type]

        self.connection: type[sqlite3.Connection] = Connection

    def stall(self, after: int = 0) -> None:
        self.passing = after
        self.go.clear()
        self.stalled.clear()

    def fail(self) -> None:
        self.failing = True

    def commit(self) -> None:
        self.commits += 1
        if self.passing:
            self.passing -= 1
        elif not self.go.is_set():
            self.stalled.set()
            assert self.go.wait(60), "the test forgot to let the disk go on"
        if self.failing:
            raise sqlite3.OperationalError("disk I/O error")


def table(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows as an independent connection sees them."""
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def chain_of(path: Path, epoch: str, begins_after: int = 0) -> dict[int, bytes]:
    """The chain computed here, from nothing but the rows: seq → chain after it."""
    value, at = chain.seed(epoch), begins_after
    values = {at: value}
    for seq, uid, inner, salt, record in table(
        path, "SELECT seq, uid, inner, salt, record FROM fact ORDER BY seq"
    ):
        assert seq == at + 1
        assert isinstance(uid, str)
        assert isinstance(inner, bytes)
        if record is not None:
            assert isinstance(record, bytes)
            assert isinstance(salt, bytes)
            assert inner == chain.inner_hash(salt, record)
        at, value = at + 1, chain.link(value, at + 1, uid, inner)
        values[at] = value
    return values
