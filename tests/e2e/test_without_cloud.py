"""With the cloud stopped from the beginning: everything at the site works, and the cloud hears of it once.

All of it by the three command lines, as a person would type them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.chargers import knock, rpc
from tests.e2e.place import Driver, Place, place
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unpaired(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box and a cloud that have not met."""
    async with place(tmp_path_factory.mktemp("p"), cloud=True, taken_in=False) as here:
        yield here


async def paired_by_hand(home: Place, ann: Driver) -> None:
    """The quick start's second half: pair, site add, adopt, invite, pair."""
    code = await home.told(home.edge("pair"))
    added = await home.told(home.at_cloud("site", "add", "Home", code["code"]))
    assert added["joined"]
    assert await knock(home.url, "CP1") == 404
    await home.told(home.edge("chargers", "adopt", "CP1", "--name", "Bay 12"))
    made = await home.told(home.at_cloud("invite", "Home", "--charger", "CP1", "--name", "Ann"))
    await ann.told("pair", made["invite"])


@needs("ocpp-rpc")
async def test_a_charge_with_no_cloud_reaches_it_once_when_it_appears(unpaired: Place) -> None:
    home, ann = unpaired, Driver(unpaired.folder / "ann")
    await paired_by_hand(home, ann)
    await home.cloud.stop()
    await home.box.kill()
    await home.box.start()
    async with rpc(home.url, "CP1") as charger:
        await charger.heard("booted", status="Accepted")
        await charger.tell("plug")
        await charger.heard("delivered", 3, method="StatusNotification")

        async def found() -> bool:
            # mDNS is a hint, and one question may be lost: a person asks again. Never for one second only:
            # who asks within a second of the last answer is answered after it (RFC 6762 §6).
            return str(home.lan_port) in (await ann.types("discover")).text

        await home.until(found, "the box to be discovered")
        started = await ann.told("start", "CP1")
        assert started["outcome"] == "succeeded"
        assert started["path"] == "lan"
        await charger.heard("delivered", 3, method="MeterValues")
        stopped = await ann.told("stop", "CP1")
        assert stopped["outcome"] == "succeeded"
        counted = await charger.heard("stopped")
    over = await ann.types("--via", "cloud", "start", "CP1")
    assert (over.code, over.error["code"]) == (3, "no_path")
    await home.cloud.start()

    async def arrived() -> bool:
        return [row["ended_at"] != "" for row in await home.in_cloud("CP1")] == [True]

    # The box has been dialling in vain for a while: its pauses may be as long as half a minute by now.
    await home.until(arrived, "the session in the cloud", patience_s=60)
    (there,) = await home.told(home.at_cloud("sessions", "Home"))
    (here,) = await home.sessions("CP1")
    assert there["session"] == here["session"]
    assert there["energy_wh"] == here["energy_wh"] == counted["stop_wh"] - counted["start_wh"]
    report = await home.told(home.at_cloud("reconcile", "Home"))
    assert (report["sessions"], report["lost"], report["doubled"], report["differing"]) == (1, 0, 0, 0)
