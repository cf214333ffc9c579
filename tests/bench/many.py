"""A driver's command while 500 chargers charge, each with a MeterValues of ten values every 10 s.

The promise is 100 ms from the tap until the charger has answered. Chargers, box, tapped charger and app are
processes of their own on the same two processors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import uvloop

from common.commands import Name
from tests.bench.box import App, Box
from tests.bench.context import Context
from tests.bench.figures import Budget, Row, latency
from tests.bench.processes import Child
from tests.bench.relay import CHARGER
from tests.bench.traffic import TAG

CHARGERS = 500
EVERY_S = 10.0
#: Between two taps, in s, and how long the taps go on: three beats of each charger.
GAP_S = 0.05
TAPS_S = 30.0
#: The promise, in ms.
AT_MOST_MS = 100.0


async def _measure(
    context: Context, box: Box, children: list[Child], report: Callable[[str], None]
) -> list[float]:
    await box.manage("tag_assign", tag=TAG, principal="p-bench")
    invite = (await box.manage("invite"))["invite"]
    children.append(Child("tapped", box.ocpp_port))
    count = 100 if context.quick else CHARGERS
    steady = Child("steady", box.ocpp_port, count, EVERY_S)
    children.append(steady)
    took: list[float] = []
    async with App(box, invite) as app:
        loop = asyncio.get_running_loop()
        until = loop.time() + context.seconds(TAPS_S)
        while loop.time() < until:
            await asyncio.sleep(GAP_S)
            took.append((await app.tap(Name.UNLOCK, CHARGER.strip("/"))).confirmed_ns / 1e6)
    steady.tell("told")
    word, *rest = await asyncio.get_running_loop().run_in_executor(None, steady.read)
    told = msgspec.json.decode(rest[0])
    if word != "TOLD" or told["refused"]:
        raise RuntimeError(f"the chargers were refused: {rest}")
    steady.stop()
    report(
        f"many: {count} chargers had {told['answered']:,} samples answered meanwhile, each on disk before;"
        f" the slowest answer took {told['slowest_ms']:.0f} ms"
    )
    return took


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    children: list[Child] = []
    try:
        with Box(context.fresh("many") / "box") as box:
            try:
                took = uvloop.run(_measure(context, box, children, report))
            except BaseException:
                report(box.last_words())
                raise
    finally:
        for child in reversed(children):
            child.stop()
    return [
        Row(
            bench="many",
            what=f"command → confirmed, while {100 if context.quick else CHARGERS} chargers charge",
            unit="ms",
            ours=latency([took]),
            budget=Budget("p99", AT_MOST_MS),
        )
    ]
