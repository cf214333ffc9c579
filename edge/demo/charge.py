"""Only a simulated charger, for who has a box but no charger at hand: `plugside-edge demo --charger URL`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.clock import SystemClock, SystemIds
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger

#: Simulated seconds for each real one: a charge that takes hours shows its shape in a minute.
PACE = 30.0
#: How long a charged car stays, and the place is empty after it: long enough to be seen, short to wait for.
LEAVE_S = 10.0
NEXT_S = 3.0


async def charge(url: str) -> int:
    """Dial `url` (its last segment is the identity) with a car plugged in, until Ctrl-C."""
    base, _, identity = url.rstrip("/").rpartition("/")
    charger = SimulatedCharger(base, identity, clock=SystemClock(), ids=SystemIds(), pace=PACE)
    charger.plug_in(Car())
    print(f"{identity} dials {base}/ with a car plugged in. Ctrl-C ends it.")
    said = ""
    changed = asyncio.Event()

    def tell() -> None:
        nonlocal said
        link = "connected" if charger.online else "not connected"
        now = f"{identity}: {link}, {charger.status}"
        if charger.transaction is not None:
            now += f", {charger.power_w / 1000:.1f} kW"
        if now != said:
            said = now
            print(now, flush=True)
        changed.set()

    charger.on_change = tell
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(charger.run())
        tasks.create_task(come_and_go(charger, changed))
    return 0


async def come_and_go(
    charger: SimulatedCharger,
    changed: asyncio.Event,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Let another car come after each charge, so that a person can start again; until cancelled.

    changed: set whenever the charger changes. sleep: waits for seconds; a test hands in its own.
    """
    while True:
        await changed.wait()
        changed.clear()
        if charger.status != "Finishing":
            continue
        say(f"{charger.identity}: charged; the car leaves in {LEAVE_S:.0f} s")
        await sleep(LEAVE_S)
        charger.unplug()
        say(f"{charger.identity}: the car has left; another one comes in {NEXT_S:.0f} s")
        await sleep(NEXT_S)
        charger.plug_in(Car())
        say(f"{charger.identity}: another car is plugged in; start it when you like")
