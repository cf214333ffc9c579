"""Tags on site: nobody's until an operator says so, on the charger's own list where the policy wants that."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.e2e import chargers
from tests.e2e.chargers import now, wire
from tests.e2e.place import Driver, Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: As a charger tells them; in no file but the journal's table of tags, and in no log.
STRANGER, KNOWN = "DEADBEEF5EC12E", "C0FFEE5EC12E7"


async def status_of(charger: chargers.WireCharger, tag: str) -> str:
    answer = await charger.call("Authorize", {"idTag": tag})
    return str(answer["idTagInfo"]["status"])


async def test_a_tag_just_tapped_is_given_to_somebody(box: Place) -> None:
    await box.adopt("TAG1")
    async with wire(box.url, "TAG1") as charger:
        await charger.boot("Available")
        assert await status_of(charger, STRANGER) == "Invalid"
        (tap,) = (await box.told(box.edge("tags", "list")))["tapped"]
        assert (tap["charger"], tap["tag"]) == ("TAG1", f"…{STRANGER[-4:].lower()}")
        nobody = await box.edge("tags", "assign", "--tapped", "ffff", "p-ann")
        assert nobody.code == 2
        await box.told(box.edge("tags", "assign", "--tapped", tap["tag_ref"][:8], "p-ann"))
        assert await status_of(charger, STRANGER.lower()) == "Accepted"
        told = await box.told(box.edge("tags", "list"))
        assert told["tapped"] == []
        assert [one["principal"] for one in told["assigned"]] == ["p-ann"]
        await box.told(box.edge("tags", "remove", STRANGER))
        assert await status_of(charger, STRANGER) == "Invalid"


async def test_the_list_reaches_the_charger_and_nothing_else_holds_the_tag(box: Place) -> None:
    await box.adopt("TAG2")
    await box.tag(KNOWN, "p-bob")
    async with wire(box.url, "TAG2") as charger:
        version = 0

        def send(payload: dict[str, Any]) -> dict[str, str]:
            nonlocal version
            version = payload["listVersion"]
            return {"status": "Accepted"}

        charger.answers["SendLocalList"] = send
        charger.answers["GetLocalListVersion"] = lambda _: {"listVersion": version}
        await charger.boot("Available")
        # A change is carried out some seconds later, once for all that changes meanwhile.
        await box.told(box.edge("tags", "policy", "listed"))
        sent = await charger.is_asked("SendLocalList", 1)
        assert sent["localAuthorizationList"] == [{"idTag": KNOWN, "idTagInfo": {"status": "Accepted"}}]

        async def verified() -> bool:
            lists = (await box.told(box.edge("tags", "policy")))["lists"]
            return {"charger": "TAG2", "answer": "verified", "entries": 1} in lists

        await box.until(verified, "the list to be verified")
    facts = json.dumps(await box.asked("audit")).casefold()
    log = (box.folder / "edge.log").read_text().casefold()
    for tag in (STRANGER, KNOWN):
        assert tag.casefold() not in facts
        assert tag.casefold() not in log


async def test_a_connector_is_kept_for_who_is_on_the_way(box: Place) -> None:
    await box.adopt("TAG3")
    ann, bob = Driver(box.folder / "ann3"), Driver(box.folder / "bob3")
    for driver in (ann, bob):
        await driver.told("pair", await box.invite("TAG3"))
    async with wire(box.url, "TAG3") as charger:
        await charger.boot("Available")
        assert (await ann.told("reserve", "TAG3", "--minutes", "20"))["outcome"] == "succeeded"
        kept = await charger.is_asked("ReserveNow", 1)
        await charger.status("Reserved")
        refused = await bob.types("start", "TAG3")
        assert (refused.code, refused.json["error"]["code"]) == (2, "connector_reserved")
        starting = asyncio.get_running_loop().create_task(ann.told("start", "TAG3"))
        asked = await charger.is_asked("RemoteStartTransaction", 1)
        assert asked["idTag"] == kept["idTag"]
        start = {"connectorId": 1, "idTag": kept["idTag"], "meterStart": 0, "timestamp": now()}
        begun = await charger.call("StartTransaction", start | {"reservationId": kept["reservationId"]})
        assert begun["idTagInfo"]["status"] == "Accepted"
        await charger.status("Charging")
        assert (await starting)["outcome"] == "succeeded"
        stop = {"transactionId": begun["transactionId"], "meterStop": 10, "timestamp": now()}
        await charger.call("StopTransaction", stop)
