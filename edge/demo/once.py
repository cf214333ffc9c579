"""`plugside-edge demo --once`: one scripted session over every hard place, told as one JSON object.

Start over the LAN; the link between charger and box cut in mid-session; the box killed with kill -9 and
started again; stop through the cloud; then the two ledgers are compared. Nothing is stubbed: cloud and box
are processes, the driver is `common.client`, and the energy is held against the charger's own register.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.client.client import Client
from common.client.local import local
from common.client.profile import Profile
from common.clock import SystemClock, SystemIds
from common.commands import Name
from common.domain import ConnectorState, Role, Target
from common.errors import Code, LocalFault
from common.supervise import Supervisor
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger
from edge.demo.stage import Stage, until

#: Simulated seconds for each real one: a few real seconds make a whole kWh.
PACE = 120.0
#: How long any step may take on a slow machine.
STEP_S = 30.0
CHARGER = "CP1"


def say(text: str) -> None:
    """What is going on, for a person; the JSON alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


async def once(folder: Path | None, *, as_json: bool) -> int:
    """Run the script; 0 when one session arrived whole, 1 otherwise."""
    with tempfile.TemporaryDirectory(prefix="plugside-") as scratch:
        stage = Stage(folder or Path(scratch))
        try:
            await stage.start()
            told = await _script(stage)
        finally:
            await stage.stop()
    if as_json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:>20}  {value}")
    whole = told["sessions"] == 1 and not (told["lost"] or told["doubled"] or told["differing"])
    return 0 if whole and told["energy_wh"] == told["register_wh"] else 1


async def join(
    stage: Stage, *, site: str = "Demo", name: str = "Demo driver", role: Role = Role.DRIVER
) -> Profile:
    """The real way in: an invite made at the cloud, redeemed by a new device."""
    async with local(stage.cloud.control) as cloud:
        made = await cloud.manage("invite", {"site": site, "role": role.value, "name": name})
    profile = Profile(stage.folder / f"{role.value}-{name.replace(' ', '-').lower()}")
    client = Client(profile, clock=SystemClock(), ids=SystemIds())
    await client.pair(made["invite"], "the demo")
    return profile


async def enrol(stage: Stage, name: str = "Demo") -> None:
    """The real way: the box's code, given to the cloud by its operator, until the tunnel stands."""
    async with local(stage.edge.control) as box:
        code = await box.manage("pair")
    async with local(stage.cloud.control) as cloud:
        await cloud.manage("site_add", {"name": name, "code": code["code"]})
    await until(lambda: connected(stage), STEP_S, "the box to reach the cloud")


async def connected(stage: Stage) -> bool:
    """Whether the box's tunnel stands."""
    async with local(stage.edge.control) as box:
        (health,) = await box.query("health")
    return bool(health["cloud"]["connected"])


async def adopt(stage: Stage, charger: str, name: str) -> None:
    """Take a charger that has dialled into the site."""
    async with local(stage.edge.control) as box:

        async def waits() -> bool:
            return any(row["id"] == charger for row in await box.query("chargers"))

        await until(waits, STEP_S, f"{charger} to dial in")
        await box.command(Name.ADOPT, Target(charger=charger), {"name": name}).settled()


async def _script(stage: Stage) -> dict[str, Any]:
    clock, ids = SystemClock(), SystemIds()
    side = Supervisor(clock, ids)
    charger = SimulatedCharger(stage.charger_url, CHARGER, clock=clock, ids=ids, pace=PACE, sample_s=0.2)
    running = side.spawn("charger", charger.run())
    try:
        await enrol(stage)
        await adopt(stage, CHARGER, "Bay 1")
        profile = await join(stage)
        charger.plug_in(Car())
        return await _drive(stage, charger, profile)
    finally:
        running.cancel()


async def _drive(stage: Stage, charger: SimulatedCharger, profile: Profile) -> dict[str, Any]:
    clock, ids = SystemClock(), SystemIds()
    site = profile.sites[0].site
    async with Client(profile, via="lan", clock=clock, ids=ids) as client:

        async def ready() -> bool:
            seen = client.view(site).chargers.get(CHARGER)
            place = seen.connectors.get(1) if seen is not None else None
            return place is not None and place.state is ConnectorState.PREPARING

        await until(ready, STEP_S, "the car to be seen")
        say("start over the LAN")
        start = client.command(site, Name.START, Target(charger=CHARGER), {})
        await start.confirmed()
        began = await start.settled()
        _expect(began.outcome == "succeeded", f"the start ended as {began.outcome} {began.code}")
    await _energy(charger, 200)
    say("cut the link between charger and box, in mid-session")
    await charger.cut_link()
    await _energy(charger, 200)
    charger.mend_link()
    await until(lambda: _is(charger.online), STEP_S, "the charger to come back")
    say("kill -9 the box, in mid-session")
    await stage.edge.kill()
    await _energy(charger, 200)
    await stage.edge.start()
    await until(lambda: _is(charger.online), STEP_S, "the charger to find the box again")
    await until(lambda: connected(stage), STEP_S, "the box to reach the cloud again")
    async with Client(profile, via="cloud", clock=clock, ids=ids) as client:
        say("stop through the cloud")
        stop = client.command(site, Name.STOP, Target(charger=CHARGER), {"session": began.session})
        ended = await stop.settled()
        _expect(ended.outcome == "succeeded", f"the stop ended as {ended.outcome} {ended.code}")
    report = await _reconciled(stage)
    (start_wh, stop_wh) = charger.finished[0]
    return {
        "sessions": report["sessions"],
        "lost": report["lost"],
        "doubled": report["doubled"],
        "differing": report["differing"],
        "start_path": start.path,
        "stop_path": stop.path,
        "tap_to_confirmed_ms": round(start.confirmed_ms or 0.0, 2),
        "energy_wh": await _cloud_energy(stage, site),
        "register_wh": stop_wh - start_wh,
    }


async def _energy(charger: SimulatedCharger, more_wh: float) -> None:
    """Let the car charge: the meter goes on whatever happens to the network."""
    target = charger.register_wh + more_wh
    await until(lambda: _is(charger.register_wh >= target), STEP_S, f"{more_wh:.0f} Wh to flow")


async def _is(value: bool) -> bool:
    return value


async def _reconciled(stage: Stage) -> dict[str, Any]:
    """Compare the ledgers once the ended session has arrived."""
    report: dict[str, Any] = {}

    async def arrived() -> bool:
        async with local(stage.cloud.control) as cloud:
            report.update(await cloud.manage("reconcile", {"site": "Demo"}))
        return bool(report["sessions"]) and not report["lost"]

    await until(arrived, STEP_S, "the session to arrive in the cloud")
    return report


async def _cloud_energy(stage: Stage, site: str) -> float:
    async with local(stage.cloud.control) as cloud:
        rows = await cloud.query("sessions", site=site)
    energy: float = sum(row.get("energy_wh") or 0.0 for row in rows)
    return energy


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise LocalFault(Code.INTERNAL, otherwise)
