"""A box without internet: its records go to the cloud in a file, by the two command lines, once."""

from __future__ import annotations

import pytest

from tests.e2e.chargers import now, wire
from tests.e2e.place import Place, place

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def charge(box: Place, charger_id: str, start_wh: int, stop_wh: int) -> None:
    async with wire(box.url, charger_id) as charger:
        await charger.boot()
        begun = await charger.call(
            "StartTransaction",
            {"connectorId": 1, "idTag": "04A1B2C3D4", "meterStart": start_wh, "timestamp": now()},
        )
        await charger.call(
            "StopTransaction",
            {"transactionId": begun["transactionId"], "meterStop": stop_wh, "timestamp": now()},
        )


async def test_a_file_brings_what_the_tunnel_could_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("p")
    async with place(folder, cloud=True) as home:
        await home.adopt("CP1")
        await home.cloud.stop()
        await charge(home, "CP1", 1000, 3500)
        file = folder / "home.bundle"
        told = await home.told(home.edge("export", str(file)))
        assert told["up_to"] >= 4
        await home.box.stop()
        await home.cloud.start()
        cut = folder / "cut.bundle"
        cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        refused = await home.at_cloud("import", str(cut))
        assert (refused.code, refused.error["code"]) == (2, "bad_bundle")
        assert "export" in refused.error["hint"]
        assert await home.in_cloud() == []
        done = await home.told(home.at_cloud("import", str(file)))
        assert done["hwm"] == told["up_to"]
        (session,) = await home.in_cloud("CP1")
        assert session["energy_wh"] == 2500
        again = await home.told(home.at_cloud("import", "--url", home.stage.cloud_url, str(file)))
        assert again["hwm"] == told["up_to"]
        await home.box.start()
        await charge(home, "CP1", 3500, 4000)

        async def two() -> bool:
            return [row["energy_wh"] for row in await home.in_cloud("CP1")] == [2500, 500]

        await home.until(two, "the tunnel to go on behind the file", patience_s=60)
        report = await home.told(home.at_cloud("reconcile", "Home"))
        assert report["ok"], report
