"""SIGSTOP: a process that is there and does nothing, for longer than others wait for it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from common.commands import Name
from common.domain import Path as LinkPath
from tests.e2e.chargers import now, wire
from tests.e2e.place import place

TAG = "57095709"


async def test_a_box_that_stops_for_longer_than_its_charger_waits(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The charger gives up, dials again and says it all once more; the box then reads both."""
    async with place(tmp_path_factory.mktemp("t")) as here:
        await here.adopt("STOP1")
        await here.tag(TAG, "p-ann")
        start = {"connectorId": 1, "idTag": TAG, "meterStart": 500, "timestamp": now()}
        async with wire(here.url, "STOP1") as charger:
            await charger.boot()
            here.box.signal(signal.SIGSTOP)
            unanswered = await charger.post("StartTransaction", start)
            done, _ = await asyncio.wait([unanswered], timeout=0.5)
            assert not done
            charger.socket.transport.abort()  # it has waited long enough
            with pytest.raises(ConnectionError):
                await unanswered
        dialling = asyncio.get_running_loop().create_task(_told_again(here.url, start))
        await asyncio.sleep(0.5)  # its dial waits at the door
        here.box.signal(signal.SIGCONT)
        transaction = await dialling
        (session,) = await here.sessions("STOP1")
        assert session["transaction"] == str(transaction)
        async with wire(here.url, "STOP1") as charger:
            stop = {"transactionId": transaction, "meterStop": 1700, "timestamp": now()}
            await charger.call("StopTransaction", stop)
        (session,) = await here.sessions("STOP1")
        assert (session["state"], session["energy_wh"]) == ("ended", 1200)


async def _told_again(url: str, start: dict[str, object]) -> int:
    async with wire(url, "STOP1") as charger:
        first = await charger.call("StartTransaction", start)
        assert await charger.call("StartTransaction", start) == first
        return int(first["transactionId"])


async def test_a_cloud_that_stops_is_missed_by_nobody_on_site(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder: Path = tmp_path_factory.mktemp("t")
    async with place(folder, cloud=True) as here:
        await here.adopt("STOP2")
        phone = await here.phone("STOP2", by_cloud=True)
        here.cloud.signal(signal.SIGSTOP)
        try:
            async with wire(here.url, "STOP2") as charger, phone.link(LinkPath.LAN) as lan:
                await charger.boot()
                sealed = phone.seal(Name.START, "STOP2")
                await lan.send(sealed)
                asked = await charger.is_asked("RemoteStartTransaction", 1)
                start = {"connectorId": 1, "idTag": asked["idTag"], "meterStart": 0, "timestamp": now()}
                begun = await charger.call("StartTransaction", start)
                await charger.status("Charging")
                assert (await lan.ended(sealed.command.id)).outcome == "succeeded"
                stop = {"transactionId": begun["transactionId"], "meterStop": 900, "timestamp": now()}
                await charger.call("StopTransaction", stop)
        finally:
            here.cloud.signal(signal.SIGCONT)

        async def arrived() -> bool:
            return [row["energy_wh"] for row in await here.in_cloud("STOP2")] == [900]

        await here.until(arrived, "the session in the cloud, once it goes on", patience_s=60)
        report = await here.told(here.at_cloud("reconcile", "Home"))
        assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0)
