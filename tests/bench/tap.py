"""From the driver's finger to the charger's answer and back, against a bare relay of two hops.

    app ── start, signed, over TLS ──▶ box: verify, decide, commit ── RemoteStart ──▶ charger
    app ◀── confirmed ── box: decide, commit ◀── accepted ── charger

App, box and charger are processes of their own. The relay passes frames of the same sizes between the same
ends, on uvloop, once with TLS to the phone as the box has it and once plain. Idle, and while 100 chargers
flush their queues in a closed loop. The box's figure includes encoding and signing in the app.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from common.clock import SystemClock
from common.commands import Name
from common.keystore import Keystore
from common.link.tls import pinned_context
from tests.bench.box import App, Box, Tap
from tests.bench.context import Context, interleaved
from tests.bench.figures import Budget, Figure, Row, latency
from tests.bench.machine import fdatasync_us
from tests.bench.processes import Child
from tests.bench.rawws import dial, frame
from tests.bench.relay import CHARGER, PHONE
from tests.bench.traffic import TAG

FLUSHING = 100
TAPS = {"idle": 300, "flush": 100}
#: Between taps, in s: the box needs a moment to see each charge begin and end, so the relay gets it too.
GAP_S = 0.004
#: Until all queues are flushing, in s.
FLUSH_S = 0.5
#: A start as the app sends it, the call that it becomes and its confirmation, in bytes.
COMMAND_BYTES, CALL_BYTES, CONFIRMED_BYTES = 1070, 131, 84
#: Design §13.
IDLE_RATIO, FLUSH_RATIO = 4.5, 3.0

_STOP = Name.STOP
_TARGET = CHARGER.strip("/")


class _Relay:
    """The floor: the relay's process, its charger, and a phone on either listener."""

    def __init__(self, pem: Path) -> None:
        self.process = Child("relay", CALL_BYTES, CONFIRMED_BYTES, pem)
        self.port: int = self.process.ready["port"]

    async def taps(self, count: int, *, tls: bool) -> list[float]:
        context = pinned_context() if tls else None
        port = self.process.ready["tls_port"] if tls else self.port
        phone = await dial(port, PHONE, tls=context)
        loop = asyncio.get_running_loop()
        command = frame(b"{" + b"0" * (COMMAND_BYTES - 2) + b"}")
        took: list[float] = []
        for _ in range(count):
            await asyncio.sleep(GAP_S)
            answered: asyncio.Future[int] = loop.create_future()
            phone.on_text = lambda _, answered=answered: answered.set_result(time.perf_counter_ns())  # type: ignore[misc]
            began = time.perf_counter_ns()
            phone.send_frame(command)
            async with asyncio.timeout(20):
                took.append((await answered - began) / 1000)
        phone.close()
        return took


class _Box:
    """Ours: starts and stops in turn, so that the charger is free for the next."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.starts: dict[str, list[list[Tap]]] = {"idle": [], "flush": []}
        self.stops: dict[str, list[list[Tap]]] = {"idle": [], "flush": []}

    async def taps(self, phase: str, count: int) -> None:
        starts: list[Tap] = []
        stops: list[Tap] = []
        for _ in range(count):
            await asyncio.sleep(GAP_S)
            starts.append(await self._app.tap(Name.START, _TARGET))
            await asyncio.sleep(GAP_S)
            stops.append(await self._app.tap(_STOP, _TARGET, {"session": starts[-1].session}))
        self.starts[phase].append(starts)
        self.stops[phase].append(stops)


class _Flush:
    """A hundred chargers of one central system, flushing or not."""

    def __init__(self, port: int) -> None:
        self.process = Child("flush", port, FLUSHING)

    async def __aenter__(self) -> None:
        self.process.tell("go")
        await asyncio.sleep(FLUSH_S)

    async def __aexit__(self, *_: object) -> None:
        self.process.tell("pause")
        loop = asyncio.get_running_loop()
        word, *rest = await loop.run_in_executor(None, self.process.read)
        assert word == "PAUSED", rest
        if '"refused":[]' not in rest[0]:
            raise RuntimeError(f"the flush was refused: {rest[0]}")
        await asyncio.sleep(FLUSH_S / 2)


Samples = dict[tuple[str, str], list[list[float]]]


async def _measure(context: Context, box: Box, relay: _Relay, children: list[Child]) -> tuple[Samples, _Box]:
    await box.manage("tag_assign", tag=TAG, principal="p-bench")
    invite = (await box.manage("invite"))["invite"]
    children.append(Child("tapped", box.ocpp_port))
    children.append(Child("tapped", relay.port, "relay"))
    flushes = {"box": _Flush(box.ocpp_port), "relay": _Flush(relay.port)}
    children += [flush.process for flush in flushes.values()]
    samples: Samples = {}
    async with App(box, invite) as app:
        ours = _Box(app)
        await ours.taps("idle", 20)  # warm: nobody's first tap is measured
        ours.starts["idle"].clear()
        ours.stops["idle"].clear()
        for phase in ("idle", "flush"):
            count = context.count(TAPS[phase])
            for _, variant in interleaved(("relay", "box", "relay, TLS"), context.rounds):
                flush = flushes["box" if variant == "box" else "relay"]
                if phase == "flush":
                    async with flush:
                        found = await _one(variant, phase, count, ours, relay)
                else:
                    found = await _one(variant, phase, count, ours, relay)
                if found:
                    samples.setdefault((variant, phase), []).append(found)
    return samples, ours


async def _one(variant: str, phase: str, count: int, ours: _Box, relay: _Relay) -> list[float]:
    if variant == "box":
        await ours.taps(phase, count)
        return []
    return await relay.taps(count, tls=variant == "relay, TLS")


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    folder = context.fresh("tap")
    certificates = Keystore(folder / "keys").lan_certificates(
        SystemClock().now_ms(), "bench.local", ["127.0.0.1"]
    )
    children: list[Child] = []
    relay = _Relay(certificates.current.pem)
    children.append(relay.process)
    try:
        with Box(folder / "box") as box:
            try:
                samples, ours = uvloop.run(_measure(context, box, relay, children))
            except BaseException:
                report(box.last_words())
                raise
        sync_us = fdatasync_us(folder)
    finally:
        for child in reversed(children):
            child.stop()
    return _rows(samples, ours, sync_us)


def _us(rounds: Sequence[Sequence[Tap]], name: str) -> list[list[float]]:
    return [[getattr(tap, name) / 1000 for tap in taps] for taps in rounds]


def _rows(samples: Samples, ours: _Box, sync_us: list[float]) -> list[Row]:
    rows: list[Row] = []
    budgets = {"idle": Budget("ratio", IDLE_RATIO), "flush": Budget("ratio", FLUSH_RATIO)}
    names = {"idle": "idle", "flush": f"while {FLUSHING} chargers flush"}
    for phase in ("idle", "flush"):
        start = latency(_us(ours.starts[phase], "confirmed_ns"))
        rows += [
            Row(
                bench="tap",
                what=f"start → confirmed, {names[phase]}",
                unit="µs",
                ours=start,
                compared=told,
                other=latency(samples[variant, phase]),
                ratio_of="p99",
                budget=budgets[phase],
            )
            for variant, told in (
                ("relay, TLS", "bare relay, TLS to the phone"),
                ("relay", "bare relay, plain"),
            )
        ]
        rows.append(
            Row(
                bench="tap",
                what=f"stop → confirmed, {names[phase]}",
                unit="µs",
                ours=latency(_us(ours.stops[phase], "confirmed_ns")),
                compared="bare relay, TLS to the phone",
                other=latency(samples["relay, TLS", phase]),
                ratio_of="p99",
            )
        )
    start, relayed, sync = (
        latency(_us(ours.starts["idle"], "confirmed_ns")),
        latency(samples["relay, TLS", "idle"]),
        latency([sync_us]),
    )
    assert relayed.p99 is not None
    assert sync.p99 is not None
    allowed = Figure(2 * relayed.p50 + 2.5 * sync.p50, 2 * relayed.p99 + 2.5 * sync.p99, relayed.count)
    rows += [
        Row(
            bench="tap",
            what="start → confirmed, idle, on any disk",
            unit="µs",
            ours=start,
            compared="2 × relay with TLS + 2.5 × fdatasync",
            other=allowed,
            ratio_of="p99",
            budget=Budget("ratio", 1.0),
        ),
        Row(
            bench="tap",
            what="of it, encoding and signing in the app",
            unit="µs",
            ours=latency(_us(ours.starts["idle"], "signed_ns")),
        ),
        Row(
            bench="tap",
            what="of it, until accepted",
            unit="µs",
            ours=latency(_us(ours.starts["idle"], "accepted_ns")),
        ),
    ]
    return rows
