"""Only a simulated charger, for who has a box but no charger at hand: `plugside-edge demo --charger URL`."""

from __future__ import annotations

import asyncio

from common.clock import SystemClock, SystemIds
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger

#: Simulated seconds for each real one: a charge that takes hours shows its shape in a minute.
PACE = 30.0


async def charge(url: str) -> int:
    """Dial `url` (its last segment is the identity) with a car plugged in, until Ctrl-C."""
    base, _, identity = url.rstrip("/").rpartition("/")
    charger = SimulatedCharger(base, identity, clock=SystemClock(), ids=SystemIds(), pace=PACE)
    charger.plug_in(Car())
    print(f"{identity} dials {base}/ with a car plugged in. Ctrl-C ends it.")
    said = ""

    def tell() -> None:
        nonlocal said
        link = "connected" if charger.online else "not connected"
        now = f"{identity}: {link}, {charger.status}"
        if charger.transaction is not None:
            now += f", {charger.power_w / 1000:.1f} kW"
        if now != said:
            said = now
            print(now, flush=True)

    charger.on_change = tell
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(charger.run())
    return 0
