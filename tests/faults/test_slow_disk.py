"""A disk that takes seconds for each sync, under the real box: a stop does not wait for it."""

from __future__ import annotations

import asyncio

import pytest

from common.commands import Name
from common.domain import Path as LinkPath
from tests.e2e.chargers import now, wire
from tests.e2e.place import place
from tests.faults.shim import SyncFault
from tests.needs import needs

#: So long that what waited for one sync would come after it whatever else the machine does.
SYNC_MS = 4000


@needs("gcc")
async def test_a_stop_leaves_before_its_commit_is_on_a_slow_disk(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("f")
    disk = SyncFault(folder)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    async with place(folder) as here:
        await here.adopt("SLOW1")
        phone = await here.phone("SLOW1")
        async with wire(here.url, "SLOW1") as charger, phone.link(LinkPath.LAN) as lan:
            await charger.boot()
            sealed = phone.seal(Name.START, "SLOW1")
            await lan.send(sealed)
            asked = await charger.is_asked("RemoteStartTransaction", 1)
            start = {"connectorId": 1, "idTag": asked["idTag"], "meterStart": 0, "timestamp": now()}
            disk.delay(500)
            begun = await charger.call("StartTransaction", start)
            await charger.status("Charging")
            settled = await lan.ended(sealed.command.id)
            assert settled.outcome == "succeeded", "slowly, and truly"
            disk.delay(SYNC_MS)
            sealed = phone.seal(Name.STOP, "SLOW1", session=settled.session)
            async with asyncio.timeout(SYNC_MS / 1000):
                await lan.send(sealed)
                await charger.is_asked("RemoteStopTransaction", 1)
            assert not lan.answers(sealed.command.id), "what is not on disk is not said to be"
            disk.none()
            stop = {"transactionId": begun["transactionId"], "meterStop": 700, "timestamp": now()}
            await charger.call("StopTransaction", stop)
            assert (await lan.ended(sealed.command.id)).outcome == "succeeded"
        (session,) = await here.sessions("SLOW1")
        assert (session["state"], session["energy_wh"]) == ("ended", 700)
