"""A tap while the same charger's own message waits for a slow disk.

The box runs over a disk whose commits take 40 ms more. A charger sends a meter value, and 5 ms later, while
its answer waits for that commit, the driver starts a charge. Held against the same start when nothing else is
going on, in commits of that disk: the design allows one more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop

from common.commands import Name
from tests.bench.box import App, Box
from tests.bench.context import Context
from tests.bench.figures import Budget, Figure, Row, latency
from tests.bench.relay import CHARGER
from tests.bench.tapped import TappedCharger

COMMIT_MS = 40
TAPS = 30
#: From the charger's message to the tap, in s: its commit is on its way then.
LEAD_S = 0.005
#: Design §13.
AT_MOST = 1.0

_TARGET = CHARGER.strip("/")
_METER = '{"connectorId":1,"meterValue":[{"timestamp":"","sampledValue":[{"value":"%d"}]}]}'


async def _taps(app: App, charger: TappedCharger, tasks: asyncio.TaskGroup, count: int) -> list[list[float]]:
    """How long starts took, in ms: alone, and behind a message of the charger's, in turns."""
    took: list[list[float]] = [[], []]
    for number in range(count * 2):
        behind = number % 2 == 1
        await asyncio.sleep(3 * COMMIT_MS / 1000)
        if behind:
            waiting = tasks.create_task(charger.call("MeterValues", _METER % number))
            await asyncio.sleep(LEAD_S)
        tap = await app.tap(Name.START, _TARGET)
        took[behind].append(tap.confirmed_ns / 1e6)
        if behind:
            await waiting
        await app.tap(Name.STOP, _TARGET, {"session": tap.session})
    return took


async def _measure(context: Context, box: Box) -> list[list[float]]:
    invite = (await box.manage("invite"))["invite"]
    async with asyncio.TaskGroup() as tasks, App(box, invite) as app:
        charger = TappedCharger(tasks, acts=True)
        await charger.open(box.ocpp_port)
        await charger.call("StatusNotification", charger.status("Preparing"))
        took = await _taps(app, charger, tasks, context.count(TAPS))
        charger.close()
    return took


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    module = ("tests.bench.slow_box", str(COMMIT_MS))
    with Box(context.fresh("slow") / "box", module=module) as box:
        try:
            alone, behind = uvloop.run(_measure(context, box))
        except BaseException:
            report(box.last_words())
            raise
    usual = latency([alone])
    more = [(took - usual.p50) / COMMIT_MS for took in behind]
    return [
        Row(
            bench="slow",
            what=f"start → confirmed behind the charger's own message, {COMMIT_MS} ms a commit",
            unit="ms",
            ours=latency([behind]),
            compared="the same start alone",
            other=usual,
        ),
        Row(
            bench="slow",
            what="what that message adds",
            unit="commits",
            ours=Figure(latency([more]).p50, latency([more]).p99, len(more)),
            budget=Budget("p50", AT_MOST),
        ),
    ]
