"""Memory for each idle charger: what 500 more cost, once each has booted and told its state.

Private memory that was written to, so libraries do not count; the kernel's socket buffers stand outside it.
Plain sockets; the first 50 chargers come before the first look, so that what is allocated once is not
counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop

from tests.bench.box import Box
from tests.bench.context import Context, interleaved
from tests.bench.figures import Budget, Row, middle
from tests.bench.processes import Child, Process
from tests.bench.traffic import open_all

WARM = 50
CHARGERS = 500
#: The journal's group is on disk and caches have settled, in s.
SETTLE_S = 1.5
#: Design §13, KiB.
AT_MOST_KIB = 32


async def _grow(process: Process, port: int, count: int) -> float:
    chargers = await open_all(port, [f"WARM{number:04d}" for number in range(WARM)])
    await asyncio.sleep(SETTLE_S)
    before = process.written()
    chargers += await open_all(port, [f"IDLE{number:04d}" for number in range(count)])
    await asyncio.sleep(SETTLE_S)
    grown = process.written() - before
    for charger in chargers:
        charger.close()
    return grown / count / 1024


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    count = 100 if context.quick else CHARGERS
    found: dict[str, list[float]] = {"box": [], "central": []}
    for number, name in interleaved(list(found), min(2, context.rounds)):
        if name == "box":
            with Box(context.fresh(f"memory-{number}") / "box") as box:
                found[name].append(uvloop.run(_grow(box, box.ocpp_port, count)))
        else:
            with Child("central", "asyncio") as child:
                found[name].append(uvloop.run(_grow(child, child.ready["port"], count)))
    return [
        Row(
            bench="memory",
            what=f"an idle charger, plain, of {count}",
            unit="KiB",
            ours=middle(found["box"]),
            compared="ocpp's central system, as shipped",
            other=middle(found["central"]),
            budget=Budget("p50", AT_MOST_KIB),
        )
    ]
