"""A site that was offline for a month comes back: how soon the cloud has everything, and over what line.

    box (its own process, 30 days in its journal) ── a proxy that counts ──▶ cloud (its own process)

Four chargers, a sample every ten minutes, two sessions a day. Timed from the moment the tunnel's first byte
passes the proxy until the box says that nothing waits. Beside it stands what the same rows cost a bare SQLite
file, written in batches of the same size with `executemany` and one commit each: no protocol, no chain, no
tables for people.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import facts
from common.client.local import local
from common.clock import SystemIds
from common.domain import ConnectorState, EnergyMethod, MeterSample, Plug, iso
from common.sync import BATCH_RECORDS_MAX
from edge.demo.stage import Daemon, Stage, free_port
from edge.journal.journal import Journal
from tests.bench.context import Context
from tests.bench.figures import Row, middle

CHARGERS, DAYS, SESSIONS_A_DAY = 4, 30, 2
SAMPLE_MS = 600_000
DAY_MS = 24 * 3_600_000
#: 30 days before a day that every clock is past.
BEGIN_MS = 1_772_323_200_000  # 2026-03-01T00:00:00Z
#: A backlog that has not drained by then will not (s).
PATIENCE_S = 300.0


def month(days: int) -> Iterator[tuple[int, facts.Body]]:
    """What four chargers wrote down, in order: (site time in ms, body)."""
    for charger in range(CHARGERS):
        yield BEGIN_MS, facts.ChargerAdopted(charger=f"CP{charger}", name=f"Bay {charger}")
    length_ms = DAY_MS // SESSIONS_A_DAY
    for number in range(days * SESSIONS_A_DAY):
        begin_ms = BEGIN_MS + 60_000 + number * length_ms
        for charger in range(CHARGERS):
            yield from _begun(f"CP{charger}", number, begin_ms)
        for at_ms in range(begin_ms + SAMPLE_MS, begin_ms + length_ms, SAMPLE_MS):
            for charger in range(CHARGERS):
                yield at_ms, _sampled(f"CP{charger}", number, at_ms - begin_ms, at_ms)
        for charger in range(CHARGERS):
            yield from _ended(f"CP{charger}", number, begin_ms + length_ms - 1000)


def _uid(charger: str, number: int) -> str:
    return f"{charger}-{number:06}".ljust(32, "0")


def _begun(charger: str, number: int, at_ms: int) -> Iterator[tuple[int, facts.Body]]:
    for state in (ConnectorState.PREPARING, ConnectorState.CHARGING):
        yield at_ms, facts.ConnectorChanged(charger=charger, evse=1, state=state, plug=Plug.IN)
    yield (
        at_ms,
        facts.SessionStarted(
            session=_uid(charger, number),
            charger=charger,
            evse=1,
            transaction=str(1000 + number),
            principal=f"p-{number % 20:016x}",
            tag_ref=f"{number % 20:032x}",
            started_at=iso(at_ms),
            received_at=iso(at_ms),
            meter_start_wh=number * 10_000.0,
            key=f"{charger}{number:056x}",
        ),
    )


def _sampled(charger: str, number: int, since_ms: int, at_ms: int) -> facts.Body:
    sample = MeterSample(
        at=iso(at_ms),
        energy_wh=number * 10_000.0 + since_ms // 10_000,
        power_w=7360.0 - since_ms // 100_000,
        current_a=(10.7, 10.6, 10.7),
    )
    return facts.MeterSampled(
        charger=charger,
        evse=1,
        session=_uid(charger, number),
        principal=f"p-{number % 20:016x}",
        transaction=str(1000 + number),
        samples=(sample,),
    )


def _ended(charger: str, number: int, at_ms: int) -> Iterator[tuple[int, facts.Body]]:
    yield (
        at_ms,
        facts.SessionEnded(
            session=_uid(charger, number),
            charger=charger,
            evse=1,
            transaction=str(1000 + number),
            principal=f"p-{number % 20:016x}",
            ended_at=iso(at_ms),
            received_at=iso(at_ms),
            meter_stop_wh=number * 10_000.0 + 4_300,
            energy_wh=4_300.0,
            method=EnergyMethod.REGISTER,
            reason="Local",
        ),
    )
    for state in (ConnectorState.FINISHING, ConnectorState.AVAILABLE):
        yield at_ms, facts.ConnectorChanged(charger=charger, evse=1, state=state)


async def fill(folder: Path, days: int) -> list[tuple[int, str, bytes]]:
    """Write the month into a journal; its rows as (seq, uid, record)."""
    ids = SystemIds()
    journal = Journal.open(folder, ids=ids)
    try:
        journal.start(asyncio.get_running_loop(), lambda _: None, lambda _: None)
        rows: list[tuple[int, str, bytes]] = []
        group: list[facts.Fact] = []
        for seq, (at_ms, body) in enumerate(month(days), 1):
            fact = facts.make(
                epoch=journal.epoch, seq=seq, uid=ids.uid(), at=iso(at_ms), clock="synced", body=body
            )
            group.append(fact)
            rows.append((seq, fact.uid, fact.record))
            if len(group) == 500:
                journal.push(group)
                await journal.probe()
                group = []
        journal.push(group)
        await journal.probe()
        return rows
    finally:
        journal.close()


class Counter:
    """A TCP proxy to the cloud that counts what passes, each way."""

    def __init__(self, port: int) -> None:
        self.to_cloud = self.to_box = 0
        self.began = 0.0
        self._port = port
        self._server: asyncio.Server | None = None

    async def open(self, listen: int) -> None:
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", listen)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass(reader, far_writer, outward=True))
            tasks.create_task(self._pass(far_reader, writer, outward=False))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                if outward:
                    self.to_cloud += len(data)
                else:
                    self.to_box += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Away(Stage):
    """A box and a cloud with the counting proxy between."""

    def __init__(self, folder: Path) -> None:
        self.line = free_port()
        super().__init__(folder)

    def _cloud_arguments(self) -> list[str]:
        return [*super()._cloud_arguments(), "--public-url", f"http://127.0.0.1:{self.line}"]

    def _edge_arguments(self) -> list[str]:
        given = super()._edge_arguments()
        given[given.index("--cloud") + 1] = f"http://127.0.0.1:{self.line}"
        return given


async def asked(daemon: Daemon, what: str) -> dict[str, Any]:
    async with local(daemon.control) as link:
        (told,) = await link.query(what)
    assert isinstance(told, dict)
    return told


async def drain(folder: Path, days: int) -> tuple[int, float, int, list[tuple[int, str, bytes]]]:
    """Records, seconds, bytes to the cloud, and the rows."""
    stage = Away(folder)
    rows = await fill(stage.edge_data, days)
    counter = Counter(int(stage.cloud_url.rpartition(":")[2]))
    await counter.open(stage.line)
    try:
        await stage.cloud.start()
        await stage.edge.start()
        async with local(stage.edge.control) as link:
            code = await link.manage("pair")
        async with local(stage.cloud.control) as link:
            await link.manage("site_add", {"name": "Home", "code": code["code"]})
        async with asyncio.timeout(PATIENCE_S):
            while not (await asked(stage.edge, "health"))["cloud"]["connected"]:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.01)
            began, before = time.perf_counter(), counter.to_cloud
            while (await asked(stage.edge, "health"))["cloud"]["backlog"] > 0:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            took_s = time.perf_counter() - began
        return len(rows), took_s, counter.to_cloud - before, rows
    finally:
        await stage.stop()
        await counter.close()


def bare(file: Path, rows: list[tuple[int, str, bytes]]) -> float:
    """Rows a second into a table of a bare SQLite file."""
    db = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute("CREATE TABLE fact (seq INTEGER PRIMARY KEY, uid TEXT UNIQUE, record BLOB)")
    began = time.perf_counter()
    for at in range(0, len(rows), BATCH_RECORDS_MAX):
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT OR IGNORE INTO fact VALUES (?, ?, ?)", rows[at : at + BATCH_RECORDS_MAX])
        db.execute("COMMIT")
    rate = len(rows) / (time.perf_counter() - began)
    db.close()
    return rate


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    days = 6 if context.quick else DAYS
    seconds: list[float] = []
    rates: list[float] = []
    sizes: list[float] = []
    floors: list[float] = []
    for _ in range(context.rounds):
        folder = context.fresh("backlog")
        count, took_s, sent, rows = asyncio.run(drain(folder / "s", days))
        seconds.append(took_s)
        rates.append(count / took_s)
        sizes.append(sent / count)
        floors.append(bare(folder / "bare.db", rows))
    raw = sum(len(record) for _, _, record in rows) / len(rows)
    report(f"backlog: {count:,} records of {days} days, {raw:.0f} B each as journaled")
    return [
        Row(
            bench="backlog", what=f"{days} days of {CHARGERS} chargers drain", unit="s", ours=middle(seconds)
        ),
        Row(
            bench="backlog",
            what="rows a second into the cloud",
            unit="1/s",
            ours=middle(rates),
            compared="bare SQLite, executemany",
            other=middle(floors),
        ),
        Row(bench="backlog", what="on the wire a record", unit="B", ours=middle(sizes)),
    ]
