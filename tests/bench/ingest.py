"""Samples into the cloud's ledger, against a FastAPI model with `executemany`, on SQLite and on PostgreSQL.

    boxes (this process) ── tunnel, packed batches ──▶ cloud (its own process) ──▶ database
    clients (this process) ── HTTP, JSON ────────────▶ FastAPI (its own process) ──▶ database

The cloud runs unchanged: it checks chain, hashes and signature, keeps each record as it was journalled, and
writes the sample's row beside it. The model writes one row and checks types. Both acknowledge a batch after
its commit, both get the same samples in batches of the same size from as many senders, each with one batch
out; what is sent is encoded beforehand. A second of a processor is the server's and the database's together.
PostgreSQL comes from a wheel and syncs nothing, for both alike.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import msgspec
import psutil
import uvloop
from websockets.asyncio.client import ClientConnection

from common import facts, sync
from common.client.local import local
from common.clock import SystemIds
from common.domain import MeterSample, iso
from common.sync import BATCH_RECORDS_MAX
from tests.bench.context import Context, interleaved
from tests.bench.figures import Budget, Row, Skip, middle
from tests.bench.processes import HOST, Child
from tests.cloud.parts import FakeBox
from tests.needs import lacks
from tests.store import postgres

SENDERS = 4
BATCHES = 10
#: Design §13.
AT_LEAST = 1.5
BEGIN_MS = 1_772_323_200_000  # 2026-03-01T00:00:00Z
SESSION_SAMPLES = 144


class Sender(Protocol):
    """Something with batches to send, one after the other, each acknowledged."""

    async def send_all(self) -> None: ...


def samples(sender: int, count: int) -> Iterator[facts.MeterSampled]:
    """What one site's four chargers measure, in order."""
    for number in range(count):
        charger, moment = number % 4, number // 4
        session, since = divmod(moment, SESSION_SAMPLES)
        yield facts.MeterSampled(
            charger=f"CP{charger}",
            evse=1,
            session=f"{sender:04x}{charger:04x}{session:024x}",
            principal=f"p-{session % 20:016x}",
            transaction=str(1000 + session),
            samples=(
                MeterSample(
                    at=iso(BEGIN_MS + moment * 60_000),
                    energy_wh=session * 10_000.0 + since * 120,
                    power_w=7360.0 - since,
                    current_a=(10.7, 10.6, 10.7),
                ),
            ),
        )


class BoxSender:
    """A box on its tunnel."""

    def __init__(self, box: FakeBox, socket: ClientConnection) -> None:
        self._socket = socket
        self._frames: list[bytes] = []
        while (batch := box.ledger.next_batch()) is not None:
            self._frames.append(sync.pack(box._witnessed(batch)))
            ack = sync.Ack(link=batch.link, epoch=batch.epoch, hwm=batch.records[-1].seq)
            box.ledger.cursor.on_ack(ack, 0)

    @classmethod
    async def open(cls, stack: AsyncExitStack, child: Child, number: int, count: int) -> BoxSender:
        """Have a site taken in, fill its journal, connect it."""
        box, ids = FakeBox(str(child.ready["url"])), SystemIds()
        code = box.pair()
        async with local(Path(str(child.ready["control"]))) as operator:
            await operator.manage("site_add", {"name": f"Site {number}", "code": code})
        answer = await box.ask_in()
        assert answer.status_code == 200, answer.text
        for seq, body in enumerate(samples(number, count), 1):
            at = iso(BEGIN_MS + seq * 15_000)
            fact = facts.make(
                epoch=box.ledger.journal.epoch, seq=seq, uid=ids.uid(), at=at, clock="synced", body=body
            )
            box.ledger.write_record(fact.uid, fact.record)
        socket, challenge = await stack.enter_async_context(box.dial())
        await box._agree(socket, challenge)
        return cls(box, socket)

    async def send_all(self) -> None:
        """Raises RuntimeError if a batch is not taken whole."""
        for frame in self._frames:
            await self._socket.send(frame)
            while not isinstance(said := sync.decode_cloud(await self._socket.recv()), sync.Ack | sync.Nack):
                pass
            if isinstance(said, sync.Nack) or said.quarantined:
                raise RuntimeError(f"a batch was not taken: {said}")


class ModelSender:
    """A client of the model on one kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: list[bytes]):
        self._reader, self._writer, self._requests = reader, writer, requests

    @classmethod
    async def open(cls, stack: AsyncExitStack, child: Child, number: int, count: int) -> ModelSender:
        """Connect, with the same samples as JSON."""
        ids = SystemIds()
        rows = [_as_json(ids.uid(), body) for body in samples(number, count)]
        requests = []
        for first in range(0, len(rows), BATCH_RECORDS_MAX):
            batch = {"site": f"site-{number}", "samples": rows[first : first + BATCH_RECORDS_MAX]}
            body = msgspec.json.encode(batch)
            head = f"POST /sync HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        reader, writer = await asyncio.open_connection(HOST, child.ready["port"])
        stack.callback(writer.close)
        return cls(reader, writer, requests)

    async def send_all(self) -> None:
        """Raises RuntimeError if a batch is not taken."""
        for request in self._requests:
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await self._reader.readexactly(size)
            if b" 200 " not in head[:16]:
                raise RuntimeError(f"the model refused: {body[:300]!r}")


def _as_json(uid: str, body: facts.MeterSampled) -> dict[str, object]:
    sample = body.samples[0]
    return {
        "uid": uid,
        "session": body.session,
        "at": sample.at,
        "context": sample.context,
        "charger": body.charger,
        "energy_wh": sample.energy_wh,
        "power_w": sample.power_w,
        "current_a": sample.current_a,
    }


VARIANTS: dict[str, tuple[str, type[BoxSender] | type[ModelSender]]] = {
    "cloud": ("ingest_cloud", BoxSender),
    "model": ("ingest_model", ModelSender),
}


class Engine:
    """A database for each measurement, and what it takes of the processor."""

    def __init__(self, name: str, server: postgres.Engine | None) -> None:
        self.name = name
        self._server = server

    def fresh(self) -> str:
        """An empty database's URL; "" for SQLite."""
        return self._server.fresh() if self._server is not None else ""

    def cpu_s(self) -> float:
        """Of all the server's processes, in s; SQLite is in the process that uses it."""
        if self._server is None:
            return 0.0
        postmaster = psutil.Process(self._server.pid)
        times = [each.cpu_times() for each in (postmaster, *postmaster.children())]
        return float(sum(each.user + each.system for each in times))


async def _measure(
    child: Child, engine: Engine, sender: type[BoxSender] | type[ModelSender], batches: int
) -> tuple[float, float]:
    """Send everything; seconds, and seconds of processor that server and database took."""

    def spent_s() -> float:
        return child.cpu_s() + engine.cpu_s()

    async with AsyncExitStack() as stack:
        opening = [sender.open(stack, child, n, batches * BATCH_RECORDS_MAX) for n in range(SENDERS)]
        senders: list[Sender] = [await each for each in opening]
        before_s, began = spent_s(), time.perf_counter()
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            for each in senders:
                tasks.create_task(each.send_all())
        return time.perf_counter() - began, spent_s() - before_s


@contextmanager
def _engines(report: Callable[[str], None]) -> Iterator[list[Engine]]:
    if lacks("postgres") is not None:
        report("ingest: PostgreSQL's wheel is not here")
        yield [Engine("SQLite", None)]
        return
    with postgres.engine() as server:
        yield [Engine("SQLite", None), Engine("PostgreSQL", server)]


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    if find_spec("fastapi") is None:
        raise Skip("FastAPI is not here, `make setup` brings it")
    batches = context.count(BATCHES)
    count = SENDERS * batches * BATCH_RECORDS_MAX
    rows = []
    with _engines(report) as engines:
        for engine in engines:
            rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
            cpu_us: dict[str, list[float]] = {name: [] for name in VARIANTS}
            for _, name in interleaved(list(VARIANTS), context.rounds):
                module, sender = VARIANTS[name]
                with Child(module, context.fresh("ingest"), engine.fresh()) as child:
                    took_s, spent_s = uvloop.run(_measure(child, engine, sender, batches))
                rates[name].append(count / took_s)
                cpu_us[name].append(spent_s / count * 1e6)
            rows += _rows(engine.name, rates, cpu_us)
    return rows


def _rows(database: str, rates: dict[str, list[float]], cpu_us: dict[str, list[float]]) -> list[Row]:
    ours, theirs = cpu_us["cloud"], cpu_us["model"]
    compared = "FastAPI model, executemany"
    return [
        Row(
            bench="ingest",
            what=f"samples a second of processor, {database}",
            unit="/s",
            ours=middle([1e6 / cpu for cpu in ours]),
            compared=compared,
            other=middle([1e6 / cpu for cpu in theirs]),
            quotient=statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
            budget=Budget("ratio", AT_LEAST, at_least=True),
        ),
        Row(
            bench="ingest",
            what=f"samples a second as they came, {database}",
            unit="/s",
            ours=middle(rates["cloud"]),
            compared=compared,
            other=middle(rates["model"]),
            quotient=statistics.median(a / b for a, b in zip(rates["cloud"], rates["model"], strict=True)),
        ),
    ]
