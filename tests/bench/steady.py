"""Chargers that charge, as a process of their own: each sends its meter's values at its own even pace.

    python -m tests.bench.steady PORT COUNT EVERY_S

Commands on standard input: `told` (answers `TOLD {"sent": …, "answered": …, "slowest_ms": …}`).
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from tests.bench.processes import lines, say
from tests.bench.traffic import LoadCharger, open_all


async def _beat(charger: LoadCharger, after_s: float, every_s: float) -> None:
    await asyncio.sleep(after_s)
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        charger.next()
        due += every_s
        await asyncio.sleep(max(0.0, due - loop.time()))


async def main(port: int, count: int, every_s: float) -> None:
    chargers = await open_all(port, [f"MANY{number:04d}" for number in range(count)], "charge")
    for charger in chargers:  # each begins its charge
        charger.next()
    await asyncio.sleep(1)
    answered = sum(charger.answered for charger in chargers)
    inbox = await lines()
    async with asyncio.TaskGroup() as tasks:
        beats = [
            tasks.create_task(_beat(charger, every_s * number / count, every_s))
            for number, charger in enumerate(chargers)
        ]
        say("READY")
        while (await inbox.readline()).strip() == b"told":
            took = sorted(ns for charger in chargers for ns in charger.took_ns)
            say(
                "TOLD",
                answered=sum(charger.answered for charger in chargers) - answered,
                slowest_ms=took[-1] / 1e6,
                refused=[text.decode() for charger in chargers for text in charger.refused][:3],
            )
        for beat in beats:
            beat.cancel()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
