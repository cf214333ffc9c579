"""A disk that fails to sync, under the real box: nothing more is acknowledged, nothing that was is lost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.e2e.chargers import now, wire
from tests.e2e.place import Place, place
from tests.faults.shim import SyncFault
from tests.needs import needs

TAG = "5F5F5F5F"


async def _ended(here: Place) -> bool:
    """The box's process is gone, and nobody stopped it."""
    try:
        here.box.signal(signal.SIGCONT)  # to a process that runs it means nothing
    except ProcessLookupError:
        return True
    return False


@needs("gcc")
async def test_after_a_failed_sync_the_box_says_nothing_and_ends(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = tmp_path_factory.mktemp("f")
    disk = SyncFault(folder)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    async with place(folder) as here:
        await here.adopt("EIO1")
        await here.tag(TAG, "p-eio")
        stop = {"meterStop": 2000, "timestamp": now(), "reason": "Local"}
        async with wire(here.url, "EIO1") as charger:
            await charger.boot()
            begun = await charger.call(
                "StartTransaction",
                {"connectorId": 1, "idTag": TAG, "meterStart": 1000, "timestamp": now()},
            )
            disk.eio()
            unanswered = await charger.post(
                "StopTransaction", stop | {"transactionId": begun["transactionId"]}
            )
            with pytest.raises(ConnectionError):  # no answer, neither good nor bad
                async with asyncio.timeout(20):
                    await unanswered
        await here.until(lambda: _ended(here), "the box to end by itself")
        disk.none()
        await here.box.start()
        (session,) = await here.sessions("EIO1")
        assert session["transaction"] == str(begun["transactionId"])
        async with wire(here.url, "EIO1") as charger:
            await charger.call("StopTransaction", stop | {"transactionId": begun["transactionId"]})
        (session,) = await here.sessions("EIO1")
        assert (session["state"], session["energy_wh"]) == ("ended", 1000)
        verified = await here.edge("ledger", "verify")
        assert verified.code == 0, str(verified)
