"""A bad line between charger, box and cloud: slow, dead one way, half open, broken off within a frame."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.cable import Cable
from tests.e2e.chargers import PATIENCE_S, now, wire
from tests.e2e.place import Place
from tests.faults.doubler import Doubler
from tests.faults.lines import through_a_cable

TAG = "11C0FFEE"
#: Bytes of the tunnel or of a frame behind which it breaks: within a header, a hello, a batch.
PLACES = (1, 40, 300, 700, 1500)


async def charge(here: Place, number: int, url: str = "") -> None:
    """One charge of 100 Wh; its content differs from all others."""
    async with wire(url or here.url, "LINE1") as charger:
        await charger.boot()
        at = {"connectorId": 1, "idTag": TAG, "meterStart": number * 100, "timestamp": now()}
        begun = await charger.call("StartTransaction", at)
        stop = {"transactionId": begun["transactionId"], "meterStop": (number + 1) * 100, "timestamp": now()}
        await charger.call("StopTransaction", stop)


async def ended(here: Place) -> int:
    """How many charges the cloud has with their ends."""
    return len([row for row in await here.in_cloud("LINE1") if row["ended_at"]])


async def test_the_ledger_crosses_a_bad_line_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with through_a_cable(tmp_path_factory.mktemp("l")) as (here, cable):
        await here.adopt("LINE1")
        await here.tag(TAG, "p-ann")
        charges = 0
        for count in PLACES:
            cable.break_after(count)
            await charge(here, charges)
            charges += 1
        for there in (False, True):
            cable.block(there=there)  # nobody is told; acks, or everything, go nowhere
            await charge(here, charges)
            charges += 1
            cable.cut()
            cable.mend()
        cable.delay_s = 0.2
        await charge(here, charges)
        charges += 1

        async def arrived() -> bool:
            return await ended(here) >= charges

        await here.until(arrived, "every session in the cloud", patience_s=90)
        there = await here.in_cloud("LINE1")
        assert [row["energy_wh"] for row in there] == [100] * charges
        cable.delay_s = 0.0
        report = await here.told(here.at_cloud("reconcile", "Home"))
        assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0), report
        assert report["chain_intact"]


async def test_a_chargers_line_breaks_within_its_frames(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever of a start came through: told again, it is one session with one transaction."""
    async with through_a_cable(tmp_path_factory.mktemp("l")) as (here, _):
        await here.adopt("LINE2")
        await here.tag(TAG, "p-ann")
        start = {"connectorId": 1, "idTag": TAG, "meterStart": 5, "timestamp": now()}
        async with Cable(here.ocpp_port) as cable:
            for count in (1, 3, 20, 100, 10_000):
                async with wire(f"ws://127.0.0.1:{cable.here}", "LINE2") as charger:
                    cable.break_after(count)
                    try:
                        async with asyncio.timeout(PATIENCE_S):
                            unsure = await charger.post("StartTransaction", start)
                            # What breaks off behind it must break all the same.
                            await charger.post("Heartbeat", {"padding": "x" * 12_000})
                            await unsure
                    except ConnectionError:
                        continue
        async with wire(here.url, "LINE2") as charger:
            begun = await charger.call("StartTransaction", start)
            stop = {"transactionId": begun["transactionId"], "meterStop": 305, "timestamp": now()}
            await charger.call("StopTransaction", stop)
        (session,) = await here.sessions("LINE2")
        assert (session["transaction"], session["energy_wh"]) == (str(begun["transactionId"]), 300)


async def test_what_is_said_twice_counts_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every other message of the tunnel twice, once it stands; every one between charger and box."""
    async with through_a_cable(tmp_path_factory.mktemp("l")) as (here, cable):
        await here.adopt("LINE1")
        await here.tag(TAG, "p-ann")
        await cable.close()
        cloud_port = int(here.stage.cloud_url.rpartition(":")[2])
        async with (
            Doubler(cloud_port, every=2, here=cable.here, spared=2) as tunnel,
            Doubler(here.ocpp_port) as line,
        ):
            charges = 0

            async def arrived() -> bool:
                return await ended(here) >= charges

            # Once the tunnel stands a charge is some messages of its own.
            while charges < 4 or (not tunnel.doubled and charges < 24):
                await charge(here, charges, f"ws://127.0.0.1:{line.here}")
                charges += 1
                await here.until(arrived, "the session in the cloud", patience_s=90)
            assert line.doubled > 20
            assert tunnel.doubled
            assert [row["energy_wh"] for row in await here.sessions("LINE1")] == [100] * charges
            assert [row["energy_wh"] for row in await here.in_cloud("LINE1")] == [100] * charges
        async with Doubler(cloud_port, every=10**9, here=cable.here):  # for the box's answers
            report = await here.told(here.at_cloud("reconcile", "Home"))
        assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0), report
        assert report["chain_intact"]
