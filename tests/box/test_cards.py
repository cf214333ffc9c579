"""A card of somebody with caps at a real charger client: refused, told to the app, and stopped at its cap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common import trust
from common import wire as applink
from common.caps import Caps
from common.client.local import local
from common.commands import Name
from common.domain import Target
from edge.site import Site
from tests.box.phones import Phone, place
from tests.e2e.chargers import WireCharger, knock, now, wire

TAG = "C0FFEE42"


async def start(charger: WireCharger, meter_wh: int) -> tuple[str, int]:
    """What a start with the card is answered: the status, and the number of the transaction."""
    told = {"connectorId": 1, "idTag": TAG, "meterStart": meter_wh, "timestamp": now()}
    answer = await charger.call("StartTransaction", told)
    return answer["idTagInfo"]["status"], answer["transactionId"]


async def stop(charger: WireCharger, transaction: int, meter_wh: int) -> None:
    told = {"transactionId": transaction, "meterStop": meter_wh, "timestamp": now(), "idTag": TAG}
    assert (await charger.call("StopTransaction", told))["idTagInfo"]["status"] == "Accepted"


async def draw(charger: WireCharger, transaction: int, meter_wh: int) -> None:
    value = {"timestamp": now(), "sampledValue": [{"value": str(meter_wh)}]}
    told = {"connectorId": 1, "transactionId": transaction, "meterValue": [value]}
    await charger.call("MeterValues", told)


async def show(charger: WireCharger) -> str:
    status: str = (await charger.call("Authorize", {"idTag": TAG}))["idTagInfo"]["status"]
    return status


@pytest.mark.parametrize("by_cloud", [False, True], ids=["a right of the box", "a right of the cloud"])
async def test_a_card_is_held_to_what_its_owner_agreed_to(tmp_path: Path, by_cloud: bool) -> None:
    async with place(tmp_path) as (site, cloud), local(tmp_path / "edge.sock") as installer:
        if by_cloud:
            phone = Phone(site).granted_by(cloud, caps=Caps(energy_wh=5000))
            async with phone.link():
                pass  # shown once: from then on the box knows what was agreed
        else:
            phone = await joined(site, installer, {"energy_wh": 5000})
        who = phone.claims.principal
        url = f"ws://127.0.0.1:{site.listener.port}"
        await knock(url, "CP1")
        await installer.command(Name.ADOPT, Target("CP1"), {}).settled()
        await installer.manage("tag_assign", {"tag": TAG, "principal": who, "chargers": None})
        async with wire(url, "CP1") as charger, phone.link() as link:
            await charger.boot()
            assert await show(charger) == "Accepted"
            status, transaction = await start(charger, 1000)
            assert status == "Accepted"
            await draw(charger, transaction, 5999)
            assert charger.asked_for("RemoteStopTransaction") == []
            await draw(charger, transaction, 6000)
            asked = await charger.is_asked("RemoteStopTransaction", 1)
            assert asked == {"transactionId": transaction}
            assert await show(charger) == "Accepted", "the card may end what it began"
            await stop(charger, transaction, 6000)

            pushes = link.follow()
            snapshot = await anext(pushes)
            assert isinstance(snapshot, applink.Snapshot)
            assert snapshot.view.refused_tags == {}
            assert await show(charger) == "Blocked"
            told: Any = await anext(pushes)
            assert isinstance(told, applink.FactMessage)
            assert b'"tag_refused"' in bytes(told.record)
            assert b"5 kWh a month were agreed" in bytes(told.record)

            # A charger that starts all the same is answered so, and stopped.
            status, transaction = await start(charger, 6000)
            assert status == "Blocked"
            asked = await charger.is_asked("RemoteStopTransaction", 2)
            assert asked == {"transactionId": transaction}
            (row, *_) = await link.query("sessions")
            assert (row["principal"], row["authorization"]) == (who, "blocked")
        rows = await installer.query("audit", {"kinds": ["authorization_changed"]})
        assert "tag_refused" in [row["body"]["change"] for row in rows]


async def joined(site: Site, installer: Any, caps: dict[str, Any]) -> Phone:
    """A driver whom the box itself has let in, with caps."""
    made = await installer.manage("invite", {"role": "driver", "chargers": None, "caps": caps})
    phone = Phone(site)
    async with phone.link(invite=trust.Invite.from_text(made["invite"]).secret, grants=()) as link:
        phone.grant = link.granted[0].grant
    return phone
