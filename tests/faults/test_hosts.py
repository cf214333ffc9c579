"""Box, cloud, phone and two chargers on five hosts of one LAN, and what happens to cables and addresses.

Each is a real process in a network namespace of its own: `plugside-edge run`, `plugside-cloud run` with TLS,
the driver's `plugside`, and chargers of `ocpp-rpc` (1.6 and 2.0.1). Nothing has a way off the machine.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common import trust
from common.client.local import local
from common.clock import SystemClock
from common.commands import Name
from common.domain import Target
from common.keystore import Keystore
from edge.demo.stage import Daemon
from tests.e2e.chargers import NpmCharger, rpc
from tests.e2e.hosts import Lan
from tests.e2e.place import Driver, Place
from tests.e2e.stations import station
from tests.needs import needs

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("ip"), needs("ocpp-rpc")]

HOSTS = {
    "box": "10.77.0.1",
    "cloud": "10.77.0.2",
    "phone": "10.77.0.3",
    "bay1": "10.77.0.11",
    "bay2": "10.77.0.12",
}
MOVED = "10.77.0.101"
TAG = "5EA51DE5"
#: How long a cable is out, or a direction lost, in s: longer than a charger waits for an answer.
BAD_S = 1.0
PATIENCE_MS = 400


class Site(Place):
    """The place whose box and cloud are on hosts of their own."""

    def __init__(self, folder: Path, lan: Lan) -> None:
        super().__init__(folder)
        self.lan = lan
        stage, cloud = self.stage, HOSTS["cloud"]
        pem = str(certificate(folder))
        stage.cloud_url = f"https://{cloud}:8443"
        stage.ocpp = f"{HOSTS['box']}:9000"
        stage.cloud = Daemon(
            "the cloud",
            [
                "cloud.cli.main",
                *("--socket", str(stage.cloud.control), "--data", str(stage.cloud_data)),
                *("run", "--listen", f"{cloud}:8443", "--tls-cert", pem, "--tls-key", pem),
            ],
            stage.cloud.control,
            folder / "cloud.log",
            under=lan.inside("cloud"),
        )
        stage.edge = Daemon(
            "the box",
            [
                "edge.cli.main",
                *("--socket", str(stage.edge.control), "--data", str(stage.edge_data)),
                *("run", "--ocpp", "0.0.0.0:9000", "--lan", "0.0.0.0:9443", "--interfaces", "eth0"),
                *("--cloud", stage.cloud_url),
            ],
            stage.edge.control,
            folder / "edge.log",
            under=lan.inside("box"),
        )
        self.ann = Driver(folder / "ann", interfaces=(), under=lan.inside("phone"))

    def charger(self, charger: NpmCharger, host: str) -> NpmCharger:
        charger.under = self.lan.inside(host)
        return charger

    async def adopt(self, *chargers: str) -> None:
        """The installer knows their names; the test itself is on no host of theirs and cannot knock."""
        async with local(self.box.control) as link:
            for name in chargers:
                await link.command(Name.ADOPT, Target(name), {"name": name}).settled()

    async def at_box(self, *arguments: str) -> dict[str, Any]:
        """What the driver's command says, by way of the LAN and nothing else."""
        told: dict[str, Any] = await self.ann.told("--via", "lan", *arguments)
        return told

    async def begins(self, charger: NpmCharger) -> None:
        """A car comes, and Ann starts its charge."""
        before = len(charger.of("delivered", method="StatusNotification"))
        await charger.tell("plug")
        await charger.heard("delivered", before + 1, method="StatusNotification")
        assert (await self.at_box("start", charger.identity))["outcome"] == "succeeded"

    async def metered(self, charger: NpmCharger) -> None:
        """Two more samples were answered."""
        method = "MeterValues" if charger.identity == "BAY1" else "TransactionEvent"
        await charger.heard("delivered", len(charger.of("delivered", method=method)) + 2, method=method)

    async def agrees(self, charger: NpmCharger) -> None:
        """Charger, box and cloud have the same sessions, Wh by Wh."""
        counted = [(str(e["transaction"]), e["start_wh"], e["stop_wh"]) for e in charger.of("stopped")]

        async def arrived() -> bool:
            rows = await self.in_cloud(charger.identity)
            return len(rows) >= len(counted) and all(row["ended_at"] for row in rows)

        await self.until(arrived, "its sessions in the cloud", patience_s=60)
        for ledger in (self.sessions, self.in_cloud):
            rows = await ledger(charger.identity)
            told = [(r["transaction"], r["meter_start_wh"], r["meter_stop_wh"], r["energy_wh"]) for r in rows]
            assert told == [(*one, one[2] - one[1]) for one in counted]
        for bad in ("violation", "refused", "said"):
            assert not charger.of(bad), charger.of(bad)[:3]

    async def reconciled(self) -> None:
        async with local(self.cloud.control) as link:
            report = await link.manage("reconcile", {"site": "Home"})
        assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0), report
        assert report["chain_intact"]


def certificate(folder: Path) -> Path:
    """One for the cloud's address, which the others are told to believe."""
    made = Keystore(folder / "pki").lan_certificates(
        SystemClock().now_ms(), "cloud.example", [HOSTS["cloud"]]
    )
    return made.current.pem


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("h")
    with pytest.MonkeyPatch.context() as environment:
        try:
            lan = Lan(HOSTS).__enter__()
        except subprocess.CalledProcessError as forbidden:
            pytest.skip(f"needs the right to make network namespaces: {forbidden.stderr.decode().strip()}")
        try:
            here = Site(folder, lan)
            environment.setenv("SSL_CERT_FILE", str(certificate(folder)))
            try:
                await here.cloud.start()
                await here.box.start()
                await here.take_in()
                await here.adopt("BAY1", "BAY2")

                async def found() -> bool:  # mDNS is a hint, and one question may be lost
                    return f"{HOSTS['box']}:9443" in (await here.ann.types("discover")).text

                await here.until(found, "the box to be discovered from another host")
                await here.ann.told("pair", await here.invite())
                yield here
            finally:
                await here.stage.stop()
        finally:
            lan.__exit__(None, None, None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bay1(site: Site) -> AsyncIterator[NpmCharger]:
    """A 1.6 charger that has booted."""
    async with site.charger(rpc(site.url, "BAY1", patience_ms=PATIENCE_MS), "bay1") as charger:
        await charger.heard("booted")
        yield charger


#: (what goes bad, what mends it) around bay 1, with the box on the other side.
BAD: dict[str, tuple[Callable[[Lan], None], Callable[[Lan], None]]] = {
    "the charger's cable": (lambda lan: lan.pull("bay1"), lambda lan: lan.plug("bay1")),
    "all from the box": (lambda lan: lan.lose("box", "bay1"), lambda lan: lan.find("box", "bay1")),
    "all from the charger": (lambda lan: lan.lose("bay1", "box"), lambda lan: lan.find("bay1", "box")),
}


@pytest.mark.parametrize("lost", BAD)
async def test_a_charge_goes_on_when_its_charger_is_back(site: Site, bay1: NpmCharger, lost: str) -> None:
    goes_bad, is_mended = BAD[lost]
    await site.begins(bay1)
    await site.metered(bay1)
    before = len(bay1.of("ended"))
    goes_bad(site.lan)
    stop = asyncio.get_running_loop().create_task(site.at_box("stop", "BAY1"))
    await asyncio.sleep(BAD_S)
    is_mended(site.lan)
    assert (await stop)["outcome"] == "succeeded"
    await bay1.heard("stopped", before + 1)
    await bay1.tell("unplug")
    await site.agrees(bay1)
    await site.reconciled()


async def test_what_a_charger_did_alone_is_told_once(site: Site, bay1: NpmCharger) -> None:
    await site.tag(TAG, "p-ann")
    charges = len(bay1.of("started"))
    await site.begins(bay1)
    await site.metered(bay1)
    site.lan.pull("bay1")
    await bay1.tell("unplug")
    await bay1.tell("plug")
    await bay1.tell("tap_offline", tag=TAG)
    await asyncio.sleep(BAD_S)
    site.lan.plug("bay1")
    await bay1.heard("started", charges + 2)
    await bay1.tell("unplug")
    await bay1.heard("stopped", charges + 2)
    await site.agrees(bay1)
    await site.reconciled()


async def test_a_charge_outlives_the_boxs_own_cable(site: Site, bay1: NpmCharger) -> None:
    await site.begins(bay1)
    await site.metered(bay1)
    before = len(bay1.of("ended"))
    site.lan.pull("box")
    await bay1.tell("unplug")
    await asyncio.sleep(BAD_S)
    site.lan.plug("box")
    await bay1.heard("stopped", before + 1)
    await site.agrees(bay1)
    await site.reconciled()


async def test_the_site_goes_on_without_its_cloud_and_the_ledger_comes_once(site: Site) -> None:
    async with site.charger(station(site.url, "BAY2"), "bay2") as bay2:
        await bay2.heard("booted")
        site.lan.pull("cloud")
        await site.begins(bay2)
        await site.metered(bay2)
        assert (await site.at_box("stop", "BAY2"))["outcome"] == "succeeded"
        await bay2.heard("stopped")
        assert await site.in_cloud("BAY2") == []
        site.lan.plug("cloud")
        await site.agrees(bay2)
    await site.reconciled()


async def test_a_box_with_another_address_is_found_again(site: Site) -> None:
    """As after a new lease: known by its key, found by mDNS, at what its interface has now (group 26)."""
    await site.adopt("BAY3")
    site.lan.move("box", MOVED)

    async def redialled() -> bool:
        told = (site.folder / "edge.log").read_text()
        return f"{HOSTS['box']} no longer" in told and (await site.health())["cloud"]["connected"]

    await site.until(redialled, "the box to leave its dead link and dial its cloud anew")
    async with site.charger(rpc(f"ws://{MOVED}:9000", "BAY3"), "bay2") as bay3:
        await bay3.heard("booted")

        async def found() -> bool:  # the box looks at its interfaces every 10 s
            return f"{MOVED}:9443" in (await site.ann.types("discover")).text

        await site.until(found, "the box to be discovered where it is now", patience_s=60)
        await site.begins(bay3)
        assert (await site.at_box("stop", "BAY3"))["outcome"] == "succeeded"
        await bay3.heard("stopped")
    (session,) = await site.sessions("BAY3")
    (counted,) = bay3.of("stopped")
    assert session["energy_wh"] == counted["stop_wh"] - counted["start_wh"]
    assert trust.Invite.from_text(await site.invite()).addresses == (f"{MOVED}:9443",)
