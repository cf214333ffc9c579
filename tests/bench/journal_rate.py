"""How fast the journal says "it is on disk", against the disk itself and against a commit for each message.

    python -m tests.bench.journal_rate [--seconds 1.0] [--rounds 5] [--folder ON_THE_DISK] [--json FILE]

Everything runs in one process, in turns, in a new order each round; the ratio is the median of each round's
ratio to the same round's floor, because a shared disk's speed wanders. Budgets (design §13): one waiting
writer ≥ 0.75 × the fdatasync rate, 64 waiting ≥ 15 ×. The fact is a MeterValues message with three currents.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from common import chain, facts
from common.clock import SystemIds
from common.domain import MeterSample
from common.facts import Fact
from edge.journal.folder import open_writer
from edge.journal.journal import Journal

BUDGETS = {"1 waiting": 0.75, "64 waiting": 15.0}
SESSIONS = 64
FRAME = 4096 + 24  #: what one changed page costs in SQLite's log


def floor(folder: Path, seconds: float) -> float:
    """Rate of fdatasync of one frame, written in place: what no durable write can beat."""
    fd = os.open(folder / "floor", os.O_CREAT | os.O_RDWR)
    frames = 1024
    os.pwrite(fd, bytes(frames * FRAME), 0)
    os.fsync(fd)
    frame, done, start = os.urandom(FRAME), 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        os.pwrite(fd, frame, done % frames * FRAME)
        os.fdatasync(fd)
        done += 1
    took = time.perf_counter() - start
    os.close(fd)
    return done / took


def body(number: int) -> facts.Body:
    """A MeterValues message of one of the sessions that charge."""
    session = number % SESSIONS
    sample = MeterSample(
        at="2026-11-20T10:00:00Z", energy_wh=1000.0 + number, power_w=7360.0, current_a=(10.7, 10.6, 10.7)
    )
    return facts.MeterSampled(
        charger=f"CP{session:04d}",
        evse=1,
        session=f"{session:032x}",
        principal=f"p{session:015x}",
        samples=(sample,),
    )


class Facts:
    """Facts made beforehand, given their place when they are taken: making them is not the journal's cost."""

    def __init__(self, epoch: str) -> None:
        ids = SystemIds()
        self._epoch = epoch
        self._made = [
            facts.make(
                epoch=epoch, seq=1, uid=ids.uid(), at="2026-11-20T10:00:00.000Z", clock="synced", body=b
            )
            for b in (body(number) for number in range(1024))
        ]
        self.seq = 0

    def take(self) -> Fact:
        self.seq = seq = self.seq + 1
        f = self._made[seq % 1024]
        return Fact(f.epoch, seq, f.uid, f.kind, f.v, f.at, f.clock, f.body, f.record)


class Run:
    """One measurement of the journal on a fresh folder. Begins once the log's file has its working size: a
    file that grows costs the file system a second write, and a journal grows it only after it was closed.
    """

    def __init__(self, folder: Path) -> None:
        self.journal = Journal.open(folder, ids=SystemIds())
        self.facts = Facts(self.journal.epoch)
        self.until = 0.0
        self.gate: deque[tuple[int, Callable[[], None]]] = deque()
        self.empty = asyncio.Event()
        self.journal.start(asyncio.get_running_loop(), self._committed, self._failed)

    async def warm(self) -> None:
        """Write until the log has been filled and begun anew."""
        while not self.journal.checkpoints:
            self.journal.push([self.facts.take() for _ in range(1000)])
            await self.journal.probe()

    def _committed(self, seq: int) -> None:
        gate = self.gate
        while gate and gate[0][0] <= seq:
            gate.popleft()[1]()
        if not gate:
            self.empty.set()

    def _failed(self, why: BaseException) -> None:
        raise why

    def again(self) -> None:
        """One waiter: its last message is on disk, so it sends the next, as the gateway's gate releases."""
        if time.perf_counter() < self.until:
            fact = self.facts.take()
            self.journal.push((fact,))
            self.gate.append((fact.seq, self.again))

    async def waiter(self) -> None:
        """The same with a task and a future for each waiter."""
        loop = asyncio.get_running_loop()
        while time.perf_counter() < self.until:
            fact, on_disk = self.facts.take(), loop.create_future()
            self.journal.push((fact,))
            self.gate.append((fact.seq, lambda done=on_disk: done.set_result(None)))
            await on_disk


async def waiting(folder: Path, seconds: float, count: int, *, tasks: bool = False) -> tuple[float, float]:
    """Durable facts a second with `count` waiting, and facts in one commit."""
    run = Run(folder)
    async with asyncio.timeout(60 + 2 * seconds):  # a disk that fails or hangs ends the run
        return await measured(run, seconds, count, tasks=tasks)


async def measured(run: Run, seconds: float, count: int, *, tasks: bool) -> tuple[float, float]:
    """`waiting`, on a journal that is open."""
    await run.warm()
    facts_before, commits_before = run.facts.seq, run.journal.commits
    start = time.perf_counter()
    run.until = start + seconds
    run.empty.clear()
    if tasks:
        await asyncio.gather(*(run.waiter() for _ in range(count)))
    else:
        for _ in range(count):
            run.again()
        await run.empty.wait()
    took = time.perf_counter() - start
    written, commits = run.facts.seq - facts_before, run.journal.commits - commits_before
    run.journal.close()
    return written / took, written / commits


async def each_its_own(folder: Path, seconds: float, count: int) -> tuple[float, float]:
    """The same row, `count` waiting, each committed alone on a thread: what the journal does not do."""
    made, db = Facts("1-x"), open_writer(folder, quick_check=False)
    db.execute("PRAGMA wal_autocheckpoint = 1000").fetchall()
    grown = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)"
    db.execute(f"{grown} INSERT INTO reply (key, body, seq) SELECT i, zeroblob(4000), 1 FROM n")
    value, ids = chain.seed("1-x"), SystemIds()
    until = time.perf_counter() + seconds

    def write(fact: Fact) -> None:
        nonlocal value
        salt = ids.token()
        inner = chain.inner_hash(salt, fact.record)
        value = chain.link(value, fact.seq, fact.uid, inner)
        db.execute("BEGIN IMMEDIATE")
        row = (fact.seq, fact.uid, fact.kind, "", inner, salt, fact.record)
        db.execute("INSERT INTO fact VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("COMMIT")

    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.get_running_loop()

        async def waiter() -> None:
            while time.perf_counter() < until:
                await loop.run_in_executor(thread, write, made.take())

        start = time.perf_counter()
        await asyncio.gather(*(waiter() for _ in range(count)))
        rate = made.seq / (time.perf_counter() - start)
    db.close()
    return rate, 1.0


VARIANTS = {
    "1 waiting": lambda folder, seconds: waiting(folder, seconds, 1),
    "64 waiting": lambda folder, seconds: waiting(folder, seconds, 64),
    "64 waiting, a task each": lambda folder, seconds: waiting(folder, seconds, 64, tasks=True),
    "64 waiting, a commit each": lambda folder, seconds: each_its_own(folder, seconds, 64),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    floors: list[float] = []
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    names = list(VARIANTS)
    for number in range(options.rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            folder = Path(tempfile.mkdtemp(prefix="journal-rate-", dir=options.folder))
            try:
                before = floor(folder, options.seconds / 4)
                rate, per_commit = uvloop.run(VARIANTS[name](folder, options.seconds))
                after = floor(folder, options.seconds / 4)
            finally:
                shutil.rmtree(folder)
            disk = (before + after) / 2
            floors.append(disk)
            results[name].append((rate, rate / disk, per_commit))
    report(floors, results, options.json)


def report(
    floors: list[float], results: dict[str, list[tuple[float, float, float]]], out: Path | None
) -> None:
    """One table, and the same as JSON."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores, load {load}")
    low, high = min(floors), max(floors)
    print(f"fdatasync of one frame: {statistics.median(floors):,.0f}/s (from {low:,.0f} to {high:,.0f})\n")
    print(f"{'':28}{'durable/s':>12}{'x floor':>9}{'worst..best':>16}{'a commit':>10}{'budget':>8}")
    summary = {"fdatasync": {"rate": statistics.median(floors)}}
    for name, rounds in results.items():
        rates, ratios, groups = zip(*rounds, strict=True)
        rate, ratio, group = (statistics.median(column) for column in (rates, ratios, groups))
        spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
        budget = f"{BUDGETS[name]:g}" if name in BUDGETS else ""
        print(f"{name:28}{rate:12,.0f}{ratio:9.2f}{spread:>16}{group:10.1f}{budget:>8}")
        summary[name] = {"rate": rate, "ratio": ratio, "facts_per_commit": group}
    if out is not None:
        out.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
