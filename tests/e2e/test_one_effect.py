"""The same command id over LAN and cloud at once, a hundred times: one RemoteStart on the wire each time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common import wire
from common.commands import Name
from common.domain import Path
from common.errors import Code
from tests.e2e import chargers
from tests.e2e.chargers import Event, WireCharger
from tests.e2e.phone import Phone, Talk
from tests.e2e.place import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIMES = 100
#: Every so many starts are obeyed and become a charge; a charger that refuses is quicker.
OBEYED = 10


async def both_ways(phone: Phone, lan: Talk, cloud: Talk, name: Name, **args: Any) -> wire.Settled:
    """Send one command down both ways at once; both must tell of the same end."""
    sealed = phone.seal(name, "CP1", **args)
    await asyncio.gather(lan.send(sealed), cloud.send(sealed))
    ends = await asyncio.gather(lan.ended(sealed.command.id), cloud.ended(sealed.command.id))
    assert ends[0] == ends[1]
    assert isinstance(ends[0], wire.Settled), ends
    return ends[0]


async def charge(charger: WireCharger, asked: Event, meter_wh: int) -> int:
    """Do what a remote start asks for; returns the transaction."""
    start = {"connectorId": 1, "idTag": asked["idTag"], "meterStart": meter_wh, "timestamp": chargers.now()}
    begun = await charger.call("StartTransaction", start)
    await charger.status("Charging")
    return int(begun["transactionId"])


async def end(charger: WireCharger, transaction: int, meter_wh: int) -> None:
    """End it, and let the car be unplugged and plugged in again."""
    stop = {"transactionId": transaction, "meterStop": meter_wh, "timestamp": chargers.now()}
    await charger.call("StopTransaction", stop)
    for status in ("Finishing", "Available", "Preparing"):
        await charger.status(status)


async def test_one_command_down_both_paths_has_one_effect(home: Place) -> None:
    await home.adopt("CP1")
    phone = await home.phone("CP1", by_cloud=True)
    async with (
        chargers.wire(home.url, "CP1") as charger,
        phone.link(Path.LAN) as lan,
        phone.link(Path.CLOUD) as cloud,
    ):
        await charger.boot()
        for number in range(TIMES):
            obeys = number % OBEYED == 0
            charger.answers["RemoteStartTransaction"] = {"status": "Accepted" if obeys else "Rejected"}
            sending = asyncio.get_running_loop().create_task(both_ways(phone, lan, cloud, Name.START))
            asked = await charger.is_asked("RemoteStartTransaction", number + 1)
            if not obeys:
                settled = await sending
                assert (settled.outcome, settled.code) == ("failed", Code.CHARGER_REJECTED)
                continue
            transaction = await charge(charger, asked, number)
            settled = await sending
            assert settled.outcome == "succeeded"
            sending = asyncio.get_running_loop().create_task(
                both_ways(phone, lan, cloud, Name.STOP, session=settled.session)
            )
            await charger.is_asked("RemoteStopTransaction", number // OBEYED + 1)
            await end(charger, transaction, number + 1)
            assert (await sending).outcome == "succeeded"
        asked_for = charger.asked_for("RemoteStartTransaction")
        assert len(asked_for) == len({asked["idTag"] for asked in asked_for}) == TIMES
        assert len(charger.asked_for("RemoteStopTransaction")) == TIMES // OBEYED
    sessions = await home.sessions("CP1")
    assert len(sessions) == len({s["command"] for s in sessions}) == TIMES // OBEYED
    assert {s["energy_wh"] for s in sessions} == {1}
