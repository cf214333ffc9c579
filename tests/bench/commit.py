"""A journalled reply with 50 chargers at once: the box's group commit against a commit for each message.

On this disk, and on the same disk with each sync slowed by 10 ms, as an SD card is (a preloaded shim; needs
gcc). Each charger has one call outstanding and sends the next when the last is answered.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from tests.bench.box import Box
from tests.bench.context import Context
from tests.bench.figures import Row, latency
from tests.bench.processes import Child
from tests.bench.traffic import TAG, open_all
from tests.faults.shim import SyncFault
from tests.needs import lacks

CHARGERS = 50
SECONDS = 4.0
SLOW_MS = 10


async def _replies(port: int, seconds: float) -> list[float]:
    """How long each answer took, in ms."""
    chargers = await open_all(port, [f"COMMIT{number:04d}" for number in range(CHARGERS)], "flush")
    for charger in chargers:
        charger.load()
    await asyncio.sleep(0.5)
    for charger in chargers:
        charger.took_ns.clear()
    await asyncio.sleep(seconds)
    took = [ns / 1e6 for charger in chargers for ns in charger.took_ns]
    for charger in chargers:
        charger.pause()
    await asyncio.sleep(1)
    refused = [text for charger in chargers for text in charger.refused]
    if refused:
        raise RuntimeError(f"messages were refused: {refused[:3]}")
    for charger in chargers:
        charger.close()
    return took


@contextmanager
def _environment(changed: dict[str, str]) -> Iterator[None]:
    """For the processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _both(context: Context, name: str, environment: dict[str, str]) -> tuple[list[float], list[float]]:
    seconds = context.seconds(SECONDS)
    with _environment(environment):
        with Box(context.fresh(f"commit-{name}") / "box") as box:
            uvloop.run(box.manage("tag_assign", tag=TAG, principal="p-bench"))
            ours = uvloop.run(_replies(box.ocpp_port, seconds))
        with Child("commit_each", context.fresh(f"each-{name}")) as child:
            other = uvloop.run(_replies(child.ready["port"], seconds))
    return ours, other


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    disks: dict[str, dict[str, str]] = {"this disk": {}}
    if (lacking := lacks("gcc")) is None:
        shim = SyncFault(context.fresh("shim"))
        shim.delay(SLOW_MS)
        disks[f"each sync {SLOW_MS} ms slower"] = shim.environment
    else:
        report(f"commit: only on this disk: {lacking}")
    rows = []
    for number, (disk, environment) in enumerate(disks.items()):
        ours, other = _both(context, str(number), environment)
        rows.append(
            Row(
                bench="commit",
                what=f"a journalled reply, {CHARGERS} chargers at once, {disk}",
                unit="ms",
                ours=latency([ours]),
                compared="a commit for each message",
                other=latency([other]),
            )
        )
        report(f"commit: {disk}: {len(ours):,} replies against {len(other):,} in the same time")
    return rows
