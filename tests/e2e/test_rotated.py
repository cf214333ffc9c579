"""A key is rotated while a car charges and the cloud is away: the charge, the phone and the cloud go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.client.profile import Profile, SiteEntry
from tests.e2e.chargers import now, wire
from tests.e2e.place import Driver, place

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAG = "04A1B2C3D4"


def pinned(folder: Path) -> SiteEntry:
    (entry,) = Profile(folder).sites
    return entry


async def test_everybody_follows_and_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("p")
    async with place(folder, cloud=True) as home:
        await home.adopt("CP1")
        ann, bob = Driver(folder / "ann"), Driver(folder / "bob")
        await ann.told("pair", await home.invite(by_cloud=True))
        await home.tag(TAG, pinned(folder / "ann").principal)
        start = {"connectorId": 1, "idTag": TAG, "meterStart": 0, "timestamp": now()}
        async with wire(home.url, "CP1") as charger:
            await charger.boot()
            begun = await charger.call("StartTransaction", start)
            stop = {"transactionId": begun["transactionId"], "meterStop": 700, "timestamp": now()}
            await charger.call("StopTransaction", stop)
            papers = folder / "before.json"
            await ann.told("receipt", "last", "--out", str(papers))
            for_bob = await home.invite("CP1")

            second = await charger.call("StartTransaction", {**start, "meterStart": 700, "timestamp": now()})
            await home.cloud.stop()
            before = pinned(folder / "ann").box
            done = await home.told(home.edge("rotate-key"))
            assert (done["former"], done["number"]) == (before, 1)
            assert (await home.edge("rotate-key", "--help")).code == 0

            # The charge has noticed nothing; the phone follows with no cloud in sight; its receipt counts.
            sample = {"timestamp": now(), "sampledValue": [{"value": "1800"}]}
            values = {"connectorId": 1, "transactionId": second["transactionId"], "meterValue": [sample]}
            await charger.call("MeterValues", values)
            (seen,) = (await ann.told("--via", "lan", "status"))["sites"]
            assert seen["path"] == "lan"
            assert (pinned(folder / "ann").box, pinned(folder / "ann").box_number) == (done["edge"], 1)
            checked = await ann.told("receipt", "verify", str(papers))
            assert (checked["genuine"], checked["box"], checked["box_known"]) == (True, before, True)
            await bob.told("pair", for_bob)
            assert pinned(folder / "bob").box == done["edge"]
        await home.box.kill()
        await home.box.start()
        health = await home.health()
        assert (health["edge"], health["key"]["confirmed"]) == (done["edge"], False)
        async with wire(home.url, "CP1") as charger:
            await charger.boot()
            stop = {"transactionId": second["transactionId"], "meterStop": 4200, "timestamp": now()}
            await charger.call("StopTransaction", stop)
        await home.cloud.start()

        async def arrived() -> bool:
            return [row["energy_wh"] for row in await home.in_cloud("CP1")] == [700, 3500]

        await home.until(arrived, "both sessions in the cloud", patience_s=90)
        assert (await home.health())["key"]["confirmed"]
        report = await home.told(home.at_cloud("reconcile", "Home"))
        assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0), report
        told = [row["body"] for row in await home.asked("audit") if row["kind"] == "security_noted"]
        assert sorted(body["what"] for body in told) == ["key_confirmed", "key_rotated"], told
        assert all(done["edge"] in body["detail"] for body in told)
        (seen,) = (await ann.told("--via", "cloud", "status"))["sites"]
        assert seen["path"] == "cloud"
        assert pinned(folder / "ann").box == done["edge"]
        await ann.told("receipt", "last", "--out", str(folder / "after.json"))
        for paper, box in ((papers, before), (folder / "after.json", done["edge"])):
            checked = await ann.told("receipt", "verify", str(paper))
            assert (checked["genuine"], checked["box"], checked["box_known"]) == (True, box, True)
