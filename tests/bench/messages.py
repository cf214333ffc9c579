"""Messages a second on one core: the box, durable before each answer, against a central system of `ocpp`.

100 chargers with one call outstanding each send the mix of `traffic`. What is measured runs on one core, its
disk thread included; the load runs on another. A second of a core is a second of processor time (what else
the machine does at the moment does not count); the rate as it came stands beside it. The package's central
system answers and stores nothing: on asyncio as its examples run it, and on uvloop, which the box has too.
npm's `ocpp-rpc`, strict, is the third and stores nothing either. Then MeterValues of ten values alone.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable

import uvloop

from tests.bench.box import Box
from tests.bench.context import Context, interleaved
from tests.bench.figures import Budget, Row, latency, middle
from tests.bench.processes import Child, Process, cores, pinned
from tests.bench.traffic import TAG, LoadCharger, open_all
from tests.needs import lacks

CHARGERS = 100
#: Many short rounds: what else the machine does changes by the second, and should meet all variants alike.
ROUNDS = 12
WARM_S = 0.3
SECONDS = 0.8
#: Nothing at all for so long is a broken central system, not a slow one.
STALL_S = 10.0
#: Design §13.
AT_LEAST = 8.0


class _Variant:
    """A central system with its chargers, and what each round found."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.chargers: list[LoadCharger] = []
        self.rates: list[float] = []
        self.cpu_us: list[float] = []
        self.took_us: list[list[float]] = []

    async def round(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for charger in self.chargers:
            charger.load()
        await asyncio.sleep(WARM_S)
        for charger in self.chargers:
            charger.took_ns.clear()
        before, began, cpu_s = self._answered(), loop.time(), self.process.cpu_s()
        await asyncio.sleep(seconds)
        for _ in range(int(STALL_S / seconds)):
            if self._answered() > before:
                break
            await asyncio.sleep(seconds)  # a disk that thinks for a second is part of what is measured
        answered, took_s = self._answered() - before, loop.time() - began
        if not answered:
            raise RuntimeError(f"nothing was answered on port {self.port} in {took_s:.1f} s")
        self.cpu_us.append((self.process.cpu_s() - cpu_s) / answered * 1e6)
        self.rates.append(answered / took_s)
        self.took_us.append([ns / 1000 for charger in self.chargers for ns in charger.took_ns])
        for charger in self.chargers:
            charger.pause()
        await asyncio.sleep(0.3)
        refused = [text for charger in self.chargers for text in charger.refused]
        if refused:
            raise RuntimeError(f"messages were refused: {refused[:3]}")

    def _answered(self) -> int:
        return sum(charger.answered for charger in self.chargers)


async def _measure(context: Context, variants: dict[str, _Variant], kind: str) -> None:
    for variant in variants.values():
        identities = [f"{kind.upper()}{number:04d}" for number in range(CHARGERS)]
        variant.chargers = await open_all(variant.port, identities, kind)
    for _, name in interleaved(list(variants), 2 if context.quick else ROUNDS):
        await variants[name].round(SECONDS)
    for variant in variants.values():
        for charger in variant.chargers:
            charger.close()


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    both = cores()
    ours, load = both or (None, None)
    if both is None:
        report("one core only: load and central system share it, so all rates are lower")
    with Box(context.fresh("messages") / "box", core=ours) as box:
        with pinned(ours):
            children = {kind: Child("central", kind) for kind in ("asyncio", "uvloop")}
            if lacks("ocpp-rpc") is None:
                children["ocpp-rpc"] = Child("central.mjs")
            else:
                report("messages: npm's ocpp-rpc is not here, `make setup` brings it")
        try:
            uvloop.run(box.manage("tag_assign", tag=TAG, principal="p-bench"))
            found = {}
            for kind in ("mix", "charge"):
                found[kind] = {"box": _Variant(box, box.ocpp_port)} | {
                    name: _Variant(child, child.ready["port"]) for name, child in children.items()
                }
                with pinned(load):
                    uvloop.run(_measure(context, found[kind], kind))
        except BaseException:
            report(box.last_words())
            raise
        finally:
            for child in children.values():
                child.stop()
    return [*_rows(found["mix"]), *_samples(found["charge"])]


def _rows(variants: dict[str, _Variant]) -> list[Row]:
    rows = []
    ours = variants["box"]
    shipped = "ocpp's central system, as shipped"
    told_of = {"asyncio": shipped, "uvloop": "the same on uvloop", "ocpp-rpc": "npm's ocpp-rpc, strict"}
    for kind, told in told_of.items():
        if kind not in variants:
            continue
        theirs = variants[kind]
        rows.append(
            Row(
                bench="messages",
                what=f"a second of a core, durable first, {CHARGERS} chargers",
                unit="/s",
                ours=middle([1e6 / cpu for cpu in ours.cpu_us]),
                compared=told,
                other=middle([1e6 / cpu for cpu in theirs.cpu_us]),
                quotient=statistics.median(b / a for a, b in zip(ours.cpu_us, theirs.cpu_us, strict=True)),
                budget=None if kind == "ocpp-rpc" else Budget("ratio", AT_LEAST, at_least=True),
            )
        )
    theirs = variants["asyncio"]
    rows += [
        Row(
            bench="messages",
            what="a second as they came, one core each",
            unit="/s",
            ours=middle(ours.rates),
            compared=shipped,
            other=middle(theirs.rates),
        ),
        Row(
            bench="messages",
            what="processor time for each",
            unit="µs",
            ours=middle(ours.cpu_us),
            compared=shipped,
            other=middle(theirs.cpu_us),
        ),
        Row(
            bench="messages",
            what="from call to answer under that load",
            unit="µs",
            ours=latency(ours.took_us),
            compared=shipped,
            other=latency(theirs.took_us),
            ratio_of="p99",
        ),
    ]
    return rows


def _samples(variants: dict[str, _Variant]) -> list[Row]:
    told_of = {"asyncio": "ocpp's central system, as shipped", "ocpp-rpc": "npm's ocpp-rpc, strict"}
    return [
        Row(
            bench="messages",
            what="processor time for a MeterValues of ten values",
            unit="µs",
            ours=middle(variants["box"].cpu_us),
            compared=told,
            other=middle(variants[kind].cpu_us),
        )
        for kind, told in told_of.items()
        if kind in variants
    ]
