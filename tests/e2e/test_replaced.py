"""The box dies while a car charges, and a new one takes its place: one session, the true energy, once."""

from __future__ import annotations

import pytest

from common.client.local import local
from tests.e2e.chargers import now, wire
from tests.e2e.place import Driver, Place, place, typed

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAG = "04A1B2C3D4"


async def replace_box(home: Place) -> None:
    """The old box is gone with its disk; an installer puts up a new one and pairs it as the site's."""
    await home.box.kill()
    home.stage.edge_data.rename(home.folder / "scrapped")
    await home.box.start()
    code = await home.told(home.edge("pair"))
    taken = await home.at_cloud("site", "add", "Home", code["code"])
    assert taken.code == 2, "typed without --replace nobody's place is taken"
    assert "--replace" in taken.err
    added = await home.told(home.at_cloud("site", "add", "Home", code["code"], "--replace", "--wait", "60"))
    assert added["joined"]


async def test_a_session_goes_on_at_the_new_box(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("p")
    async with place(folder, cloud=True) as home:
        await home.adopt("CP1", "CP2")
        await home.tag(TAG, "p-ann")
        key = (await home.told(home.edge("recovery", "new")))["recovery_key"]
        async with wire(home.url, "CP2") as charger:
            await charger.boot()
            first = {"connectorId": 1, "idTag": TAG, "meterStart": 0, "timestamp": now()}
            begun = await charger.call("StartTransaction", first)
            done = {"transactionId": begun["transactionId"], "meterStop": 700, "timestamp": now()}
            await charger.call("StopTransaction", done)
        started = {"connectorId": 1, "idTag": TAG, "meterStart": 1000, "timestamp": now()}
        async with wire(home.url, "CP1") as charger:
            await charger.boot()
            begun = await charger.call("StartTransaction", started)
            transaction = begun["transactionId"]
            sample = {"timestamp": now(), "sampledValue": [{"value": "1800"}]}
            values = {"connectorId": 1, "transactionId": transaction, "meterValue": [sample]}
            await charger.call("MeterValues", values)

            async def synced() -> bool:
                return (await home.health())["cloud"]["backlog"] == 0 and len(await home.in_cloud()) == 2

            await home.until(synced, "the start in the cloud", patience_s=90)

            async def sealed() -> bool:
                return bool((await home.told(home.edge("recovery")))["kept"])

            await home.until(sealed, "the cloud to keep what the key opens")
            before = (await home.sessions("CP1"))[0]
        async with local(home.cloud.control) as link:
            (site,) = await link.query("sites")
        bob = Driver(folder / "bob")
        await bob.told("pair", await home.invite(by_cloud=True))
        assert [seen["path"] for seen in (await bob.told("--via", "lan", "status"))["sites"]] == ["lan"]
        await replace_box(home)
        # Bob's phone pinned the box that died; its cloud's signed word is what lets it take the new one.
        await bob.told("--via", "cloud", "status")
        (seen,) = (await bob.told("--via", "lan", "status"))["sites"]
        assert seen["path"] == "lan"
        (health,) = await home.asked("health")
        assert health["site"] == site["site"]
        assert {row["id"] for row in await home.asked("chargers") if row["adopted"]} == {"CP1", "CP2"}
        (carried,) = await home.sessions("CP1")
        assert (carried["session"], carried["transaction"]) == (before["session"], before["transaction"])
        assert (carried["state"], carried["principal"]) == ("open", "p-ann")
        async with wire(home.url, "CP2") as charger:
            await charger.boot()
            unknown = await charger.call("Authorize", {"idTag": TAG})
            assert unknown["idTagInfo"]["status"] == "Invalid", "the new box has nobody's tags"
            wrong = await home.edge("recovery", "restore", said="0000-" * 9)
            assert wrong.code == 2
            back = await home.told(home.edge("recovery", "restore", said=key.lower()))
            assert back["restored"]["tags"] == 1
            known = await charger.call("Authorize", {"idTag": TAG})
            assert known["idTagInfo"]["status"] == "Accepted"
            await home.until(sealed, "the same key to go on at the new box")
        async with wire(home.url, "CP1") as charger:
            # Its start once more, as a charger that never got the reply would send it: the same session.
            again = await charger.call("StartTransaction", started)
            assert again["transactionId"] == transaction
            await charger.call("MeterValues", values)
            stopped = {"transactionId": transaction, "meterStop": 4200, "timestamp": now()}
            await charger.call("StopTransaction", stopped)

        async def ended() -> bool:
            return [row["energy_wh"] for row in await home.in_cloud("CP1")] == [3200]

        await home.until(ended, "one session with the true energy in the cloud")
        (there,) = await home.in_cloud("CP1")
        assert (there["session"], there["principal"]) == (before["session"], "p-ann")
        assert not there["provisional"]
        report = await home.told(home.at_cloud("reconcile", "Home"))
        assert report["compared"]["before_this_box"] == 1, "the old box's session is nobody's loss"
        assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0), report
        assert report["chain_intact"]


async def test_a_session_goes_on_at_a_box_that_was_restored(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What began after the copy was made is in the cloud: a restored box asks for it, as a new one does."""
    async with place(tmp_path_factory.mktemp("r"), cloud=True) as home:
        await home.adopt("CP1")
        await home.tag(TAG, "p-ann")
        copy = (await home.told(home.edge("backup")))["path"]
        async with wire(home.url, "CP1") as charger:
            await charger.boot()
            started = {"connectorId": 1, "idTag": TAG, "meterStart": 1000, "timestamp": now()}
            transaction = (await charger.call("StartTransaction", started))["transactionId"]

            async def synced() -> bool:
                return (await home.health())["cloud"]["backlog"] == 0 and len(await home.in_cloud()) == 1

            await home.until(synced, "the start in the cloud", patience_s=90)
        (before,) = await home.sessions("CP1")
        await home.box.stop()
        restored = await typed(
            "edge.cli.main", "--data", str(home.stage.edge_data), "--json", "restore", copy
        )
        assert restored.code == 0, str(restored)
        await home.box.start()

        async def taken_over() -> bool:
            return [row["session"] for row in await home.sessions("CP1")] == [before["session"]]

        await home.until(taken_over, "the session that the copy does not have")
        async with wire(home.url, "CP1") as charger:
            stopped = {"transactionId": transaction, "meterStop": 4200, "timestamp": now()}
            await charger.call("StopTransaction", stopped)

        async def ended() -> bool:
            return [row["energy_wh"] for row in await home.in_cloud("CP1")] == [3200]

        await home.until(ended, "one session with the true energy in the cloud")
        assert await home.asked("orphans") == []
        report = await home.told(home.at_cloud("reconcile", "Home"))
        assert report["ok"], report
        verified = await home.edge("ledger", "verify")
        assert verified.code == 0, str(verified)
