"""The kill loop: box and cloud die by kill -9 at random moments, while chargers of others go on charging.

    python -m tests.e2e.soak [--kills 200] [--chargers 3]       (make soak)

Each charger (npm's `ocpp-rpc`) plugs in, charges, stops and unplugs again and again, repeats what was not
answered, and counts for itself. At the end its count is held against the box's ledger and the cloud's, Wh by
Wh; reconciliation and the ledger's own verification must be clean. Ends by itself: about 3 s a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.clock import SystemIds
from tests.e2e.chargers import NpmCharger, rpc
from tests.e2e.place import Place, place

TAG = "50AC50AC"
#: Every so many kills it is the cloud that dies; else the box, which is what chargers talk to.
CLOUD_EVERY = 4
#: What a charge and a pause between two deaths last at most, in s.
CHARGE_S, PAUSE_S = 1.5, 0.8
#: In how many cases of all a death waits until each charger has got something through.
ALIVE_FIRST = 0.5
#: Until everything that was counted has arrived, in s: retries back off while nobody answers.
ARRIVAL_S = 60.0
#: How long a charger may be kept from its start by boxes that die, in s: it dials again each 0.4 s, and a
#: slow machine has a box up for as long and then starts it for seconds.
BETWEEN_DEATHS_S = 180.0

_ids = SystemIds()


async def _charge_for_ever(charger: NpmCharger, over: asyncio.Event) -> None:
    """One bay's life, until `over` and the charge that then runs has ended."""
    number = 0
    while not over.is_set():
        number += 1
        await charger.tell("plug")
        await charger.tell("tap", tag=TAG)
        await charger.heard("started", number, patience_s=BETWEEN_DEATHS_S)
        await asyncio.sleep(CHARGE_S * _ids.jitter())
        await charger.tell("tap", tag=TAG)
        await charger.heard("stopped", number, patience_s=BETWEEN_DEATHS_S)
        await charger.tell("unplug")


async def _kill(here: Place, bays: Sequence[NpmCharger], kills: int, report: Callable[[str], None]) -> None:
    for number in range(1, kills + 1):
        if _ids.jitter() < ALIVE_FIRST:
            await _delivered(bays)
        await asyncio.sleep(PAUSE_S * _ids.jitter())
        daemon = here.cloud if number % CLOUD_EVERY == 0 else here.box
        await daemon.kill()
        await daemon.start()
        if number % 10 == 0:
            report(f"{number} of {kills} kills")


async def _delivered(bays: Sequence[NpmCharger]) -> None:
    """Each bay's charger gets something through: else a slow machine would have nothing but deaths."""
    before = [len(bay.of("delivered")) for bay in bays]
    try:
        async with asyncio.timeout(ARRIVAL_S):
            for bay, count in zip(bays, before, strict=True):
                await bay.heard("delivered", count + 1, patience_s=BETWEEN_DEATHS_S)
    except TimeoutError:
        pass  # one that has nothing to say keeps nobody alive


def counted(charger: NpmCharger) -> list[tuple[str, float, float]]:
    """(transaction, start Wh, stop Wh), as the charger has it."""
    return [
        (str(event["transaction"]), float(event["start_wh"]), float(event["stop_wh"]))
        for event in charger.of("stopped")
    ]


def _ledger(rows: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    return [(row["transaction"], row["meter_start_wh"], row["meter_stop_wh"]) for row in rows]


async def soak(
    folder: Path, kills: int, report: Callable[[str], None] = lambda _: None, *, chargers: int = 3
) -> dict[str, Any]:
    """Live it. Returns what was counted; raises AssertionError with what does not agree."""
    async with place(folder, cloud=True) as here:
        names = [f"SOAK{number}" for number in range(chargers)]
        await here.adopt(*names)
        await here.tag(TAG, "p-soak")
        bays = [rpc(here.url, name) for name in names]
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                for bay in bays:
                    await bay.__aenter__()
                    await bay.heard("booted")  # its first dial is the one that it gives up
                    tasks.create_task(_charge_for_ever(bay, over))
                await _kill(here, bays, kills, report)
                over.set()
            for name, bay in zip(names, bays, strict=True):
                await _agrees(here, name, bay)
            await _clean(here)
            return {
                "kills": kills,
                "charges": sum(len(counted(bay)) for bay in bays),
                "energy_wh": sum(stop - start for bay in bays for _, start, stop in counted(bay)),
                "repeats": sum(e["attempts"] - 1 for bay in bays for e in bay.of("delivered")),
            }
        finally:
            for bay in bays:
                await bay.__aexit__()


async def _agrees(here: Place, name: str, bay: NpmCharger) -> None:
    """Charger, box and cloud have the same sessions; nothing of ours offended the charger."""
    truth = counted(bay)

    async def arrived() -> bool:
        rows = await here.in_cloud(name)
        return len(rows) >= len(truth) and all(row["ended_at"] for row in rows)

    await here.until(arrived, f"the sessions of {name} in the cloud", ARRIVAL_S)
    for where, rows in (("box", await here.sessions(name)), ("cloud", await here.in_cloud(name))):
        assert _ledger(rows) == truth, f"{name}: the {where} has {_ledger(rows)}, the charger {truth}"
        wrong = [row for row in rows if row["energy_wh"] != row["meter_stop_wh"] - row["meter_start_wh"]]
        assert not wrong, f"{name}: the {where}'s energy is not the register's: {wrong}"
    for bad in ("violation", "bad", "refused"):
        assert not bay.of(bad), f"{name} took offence: {bay.of(bad)[:3]}"


async def _clean(here: Place) -> None:
    reconciled = await here.at_cloud("reconcile", "Home")
    assert reconciled.code == 0, str(reconciled)
    verified = await here.edge("ledger", "verify")
    assert verified.code == 0, str(verified)


def main() -> None:
    options = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--chargers", type=int, default=3)
    asked = options.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="plugside-soak-") as folder:
        told = asyncio.run(
            soak(Path(folder), asked.kills, lambda line: print(line, flush=True), chargers=asked.chargers)
        )
    took_s = time.monotonic() - began
    count = told["charges"]
    print(
        f"{told['kills']} kills, {count} charges, {told['energy_wh']:,.0f} Wh, {told['repeats']} repeats:"
        f" 0 lost, 0 doubled, energy equal, in {took_s:.0f} s"
    )


if __name__ == "__main__":
    main()
