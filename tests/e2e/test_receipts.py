"""One charge, and everything that can be proven of it afterwards: by whoever drove, installed, operates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.chargers import rpc
from tests.e2e.place import Driver, Place, place, typed
from tests.needs import needs

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("ocpp-rpc")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box with its cloud, and one charge of Ann's behind them."""
    async with place(tmp_path_factory.mktemp("p"), cloud=True) as here:
        await here.adopt("CP1")
        ann = Driver(here.folder / "ann")
        await ann.told("pair", await here.invite("CP1", by_cloud=True))
        async with rpc(here.url, "CP1") as charger:
            await charger.heard("booted", status="Accepted")
            await charger.tell("plug")
            await charger.heard("delivered", 3, method="StatusNotification")
            assert (await ann.told("start", "CP1"))["outcome"] == "succeeded"
            await charger.heard("delivered", 3, method="MeterValues")
            assert (await ann.told("stop", "CP1"))["outcome"] == "succeeded"
            await charger.heard("stopped")

        async def arrived() -> bool:
            return [row["ended_at"] != "" for row in await here.in_cloud("CP1")] == [True]

        await here.until(arrived, "the session in the cloud")
        yield here


@pytest.mark.parametrize("via", ["lan", "cloud"])
async def test_a_driver_gets_a_receipt_by_either_way_and_anybody_checks_it(home: Place, via: str) -> None:
    ann = Driver(home.folder / "ann")
    (session,) = await home.sessions("CP1")
    file = home.folder / f"{via}.json"
    told = await ann.told("--via", via, "receipt", session["session"][:8], "--out", str(file))
    assert told["energy_wh"] == session["energy_wh"]
    assert told["box_known"]
    assert (await ann.told("receipt", "verify", str(file)))["genuine"]

    sheet = home.folder / f"{via}.html"
    await ann.told("--via", via, "receipt", "last", "--html", "--language", "de", "--out", str(sheet))
    stranger = ("--home", str(home.folder / "stranger"), "--json", "receipt", "verify")
    for paper in (file, sheet):
        checked = await typed("common.cli.main", *stranger, str(paper))
        assert checked.code == 0, str(checked)
        assert (checked.json["session"], checked.json["box_known"]) == (session["session"], False)
    changed = file.read_text().replace('\\"meter_stop_wh\\":', '\\"meter_stop_wh\\":9')
    assert changed != file.read_text()
    file.write_text(changed)
    refused = await ann.types("receipt", "verify", str(file))
    assert (refused.code, refused.error["code"]) == (1, "bad_receipt")
    assert "record: " in refused.error["message"]


async def test_nobody_gets_the_receipt_of_anothers_charge(home: Place) -> None:
    (session,) = await home.sessions("CP1")
    bob = Driver(home.folder / "bob")
    await bob.told("pair", await home.invite("CP1", by_cloud=True))
    for via in ("lan", "cloud"):
        refused = await bob.types("--via", via, "receipt", session["session"])
        assert (refused.code, refused.error["code"]) == (2, "unknown_session")


async def test_the_ledger_of_the_box_proves_itself(home: Place) -> None:
    told = await home.told(home.edge("ledger", "verify"))
    assert told["ok"]
    assert told["sessions"] == 1
    assert told["sessions_energy_wh"] == told["facts_energy_wh"] > 0
    assert told["chain"]["intact"]


async def test_the_cloud_agrees_and_keeps_what_the_box_signed(home: Place) -> None:
    (report,) = await home.told(home.at_cloud("reconcile", "--all"))
    assert report["ok"]
    assert report["compared"]["chain"]["heads"] >= 1
    assert report["compared"]["box_sessions"] == report["compared"]["cloud_sessions"] == 1


async def test_a_month_that_is_not_over_is_not_billed(home: Place) -> None:
    (session,) = await home.sessions("CP1")
    refused = await home.at_cloud("export", "--site", "Home", "--month", session["ended_at"][:7])
    assert (refused.code, json.loads(refused.text)["error"]["code"]) == (2, "month_open")
