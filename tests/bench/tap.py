"""From the driver's finger to the charger's answer and back, against a bare relay of two hops.

    app ── a command, signed, over TLS ──▶ box: verify, decide, commit ── call ──▶ charger
    app ◀── confirmed ── box: decide, commit ◀── answer ── charger

App, box and charger are processes of their own. The relay passes frames of the same sizes between the same
ends, on uvloop, once with TLS to the phone as the box has it and once plain. The box's figure includes
encoding and signing in the app.

    in a row   the next tap when the last is confirmed, as the floors behind the budgets were measured. The
               command is an unlock: committed before its call, as a start is, and leaving nothing on
    apart      a start and a stop with pauses, as people tap: processors have gone to sleep and caches are
               cold, for relay and box alike, and most of the time is that
    flush      in a row, while 100 chargers flush their queues in a closed loop
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
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
#: Taps a round. A round also ends after `ROUND_S`, on a machine that is busy with something else.
TAPS = {"in a row": 300, "apart": 100, "flush": 120}
ROUND_S = 10.0
#: Between taps that are apart, in s.
GAP_S = 0.01
#: Until all queues are flushing, in s.
FLUSH_S = 0.5
#: A command as the app sends it, the call that it becomes and its confirmation, in bytes.
COMMAND_BYTES, CALL_BYTES, CONFIRMED_BYTES = 1070, 131, 84
#: Design §13.
IDLE_RATIO, FLUSH_RATIO = 4.5, 3.0

RELAYS = {"relay, TLS": "bare relay, TLS to the phone", "relay": "bare relay, plain"}
_TARGET = CHARGER.strip("/")

#: By variant (box, stop, relay, relay with TLS) and phase: samples in µs, by round.
Samples = dict[tuple[str, str], list[list[float]]]


class _Relay:
    """The floor: the relay's process, and a phone on either listener."""

    def __init__(self, pem: Path) -> None:
        self.process = Child("relay", CALL_BYTES, CONFIRMED_BYTES, pem)
        self.port: int = self.process.ready["port"]

    async def taps(self, count: int, gap_s: float, *, tls: bool) -> list[float]:
        port = self.process.ready["tls_port"] if tls else self.port
        phone = await dial(port, PHONE, tls=pinned_context() if tls else None)
        answered: asyncio.Future[int]
        phone.on_text = lambda _: answered.set_result(time.perf_counter_ns())
        command = frame(b"{" + b"0" * (COMMAND_BYTES - 2) + b"}")
        took: list[float] = []
        until = time.monotonic() + ROUND_S
        while len(took) < count and time.monotonic() < until:
            if gap_s:
                await asyncio.sleep(gap_s)
            answered = asyncio.get_running_loop().create_future()
            began = time.perf_counter_ns()
            phone.send_frame(command)
            async with asyncio.timeout(20):
                took.append((await answered - began) / 1000)
        phone.close()
        return took


class _Flush:
    """A hundred chargers of one central system, flushing or not."""

    def __init__(self, port: int) -> None:
        self.process = Child("flush", port, FLUSHING)

    async def __aenter__(self) -> None:
        self.process.tell("go")
        await asyncio.sleep(FLUSH_S)

    async def __aexit__(self, *_: object) -> None:
        self.process.tell("pause")
        word, *rest = await asyncio.get_running_loop().run_in_executor(None, self.process.read)
        assert word == "PAUSED", rest
        if '"refused":[]' not in rest[0]:
            raise RuntimeError(f"the flush was refused: {rest[0]}")
        await asyncio.sleep(FLUSH_S / 2)


class _Bench:
    """All ends, and what was measured."""

    def __init__(self, app: App, relay: _Relay, flushes: dict[str, _Flush]) -> None:
        self._app, self._relay, self._flushes = app, relay, flushes
        self.samples: Samples = {}
        self.taps: list[list[Tap]] = []  #: the box's, in a row
        self.sync_us: list[list[float]] = []

    async def round(self, variant: str, phase: str, count: int) -> None:
        flushing: AbstractAsyncContextManager[None] = nullcontext()
        if phase == "flush":
            flushing = self._flushes["box" if variant == "box" else "relay"]
        async with flushing:
            if variant != "box":
                gap_s = GAP_S if phase == "apart" else 0
                found = await self._relay.taps(count, gap_s, tls=variant == "relay, TLS")
                self._keep(variant, phase, found)
            elif phase == "apart":
                await self._starts_and_stops(count)
            else:
                taps = await self._in_a_row(count)
                self._keep(variant, phase, [tap.confirmed_ns / 1000 for tap in taps])
                if phase == "in a row":
                    self.taps.append(taps)

    def _keep(self, variant: str, phase: str, found: list[float]) -> None:
        self.samples.setdefault((variant, phase), []).append(found)

    async def _in_a_row(self, count: int) -> list[Tap]:
        taps: list[Tap] = []
        until = time.monotonic() + ROUND_S
        while len(taps) < count and time.monotonic() < until:
            taps.append(await self._app.tap(Name.UNLOCK, _TARGET))
        return taps

    async def _starts_and_stops(self, count: int) -> None:
        starts: list[float] = []
        stops: list[float] = []
        until = time.monotonic() + ROUND_S
        while len(starts) < count and time.monotonic() < until:
            await asyncio.sleep(GAP_S)
            start = await self._app.tap(Name.START, _TARGET)
            await asyncio.sleep(GAP_S)
            stop = await self._app.tap(Name.STOP, _TARGET, {"session": start.session})
            starts.append(start.confirmed_ns / 1000)
            stops.append(stop.confirmed_ns / 1000)
        self._keep("box", "apart", starts)
        self._keep("stop", "apart", stops)


async def _measure(context: Context, box: Box, relay: _Relay, children: list[Child], folder: Path) -> _Bench:
    await box.manage("tag_assign", tag=TAG, principal="p-bench")
    invite = (await box.manage("invite"))["invite"]
    children.append(Child("tapped", box.ocpp_port))
    children.append(Child("tapped", relay.port, "relay"))
    flushes = {"box": _Flush(box.ocpp_port), "relay": _Flush(relay.port)}
    children += [flush.process for flush in flushes.values()]
    async with App(box, invite) as app:
        for _ in range(20):  # nobody's first tap is measured
            await app.tap(Name.UNLOCK, _TARGET)
        bench = _Bench(app, relay, flushes)
        for phase, count in TAPS.items():
            variants = ("relay, TLS", "box") if phase == "apart" else ("relay", "box", "relay, TLS")
            for _, variant in interleaved(variants, context.rounds):
                if variant == "box" and phase == "in a row":
                    bench.sync_us.append(fdatasync_us(folder, 0.1))
                await bench.round(variant, phase, context.count(count))
    return bench


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    folder = context.fresh("tap")
    keys = Keystore(folder / "keys")
    certificates = keys.lan_certificates(SystemClock().now_ms(), "bench.local", ["127.0.0.1"])
    children: list[Child] = []
    relay = _Relay(certificates.current.pem)
    children.append(relay.process)
    try:
        with Box(folder / "box") as box:
            try:
                bench = uvloop.run(_measure(context, box, relay, children, folder))
            except BaseException:
                report(box.last_words())
                raise
    finally:
        for child in reversed(children):
            child.stop()
    return _rows(bench)


def _us(rounds: Sequence[Sequence[Tap]], name: str) -> list[list[float]]:
    return [[getattr(tap, name) / 1000 for tap in taps] for taps in rounds]


def _row(what: str, ours: Figure, compared: str = "", other: Figure | None = None, **more: object) -> Row:
    fields = {"bench": "tap", "unit": "µs", "ratio_of": "p99"} | more
    return Row(what=what, ours=ours, compared=compared, other=other, **fields)  # type: ignore[arg-type]


def _rows(bench: _Bench) -> list[Row]:
    found = {key: latency(rounds) for key, rounds in bench.samples.items()}
    rows = [
        _row(f"command → confirmed, {told}", found["box", phase], name, found[relay, phase], budget=budget)
        for phase, told, budget in (
            ("in a row", "idle", Budget("ratio", IDLE_RATIO)),
            ("flush", f"while {FLUSHING} chargers flush", Budget("ratio", FLUSH_RATIO)),
        )
        for relay, name in RELAYS.items()
    ]
    relayed, sync = found["relay, TLS", "in a row"], latency(bench.sync_us)
    assert relayed.p99 is not None
    assert sync.p99 is not None
    allowed = Figure(2 * relayed.p50 + 2.5 * sync.p50, 2 * relayed.p99 + 2.5 * sync.p99, relayed.count)
    formula = "2 × relay with TLS + 2.5 × fdatasync"
    signed, accepted = _us(bench.taps, "signed_ns"), _us(bench.taps, "accepted_ns")
    apart = found["relay, TLS", "apart"]
    return [
        *rows,
        _row(
            "the same on any disk, idle",
            found["box", "in a row"],
            formula,
            allowed,
            budget=Budget("ratio", 1.0),
        ),
        _row("of it, encoding and signing in the app", latency(signed)),
        _row("of it, until accepted", latency(accepted)),
        _row("start → confirmed, taps apart", found["box", "apart"], "bare relay, TLS, apart", apart),
        _row("stop → confirmed, taps apart", found["stop", "apart"], "bare relay, TLS, apart", apart),
    ]
