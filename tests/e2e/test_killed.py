"""kill -9 of the box between a transaction message and its reply: the retry gets the same transaction id.

At both ends for certain (on disk, the reply lost; never read at all), and in between at random.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from typing import Any

import pytest

from common.clock import SystemIds
from tests.e2e.cable import Cable
from tests.e2e.chargers import WireCharger, now, wire
from tests.e2e.place import Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAG = "04A1B2C3D4"
FLOCK = [f"F{number:02d}" for number in range(12)]
ROUNDS = 3


def start(meter_wh: int, at: str) -> dict[str, Any]:
    return {"connectorId": 1, "idTag": TAG, "meterStart": meter_wh, "timestamp": at}


def stop(transaction: int, meter_wh: int, at: str) -> dict[str, Any]:
    return {"transactionId": transaction, "meterStop": meter_wh, "timestamp": at, "reason": "Local"}


async def prepared(box: Place, *chargers: str) -> None:
    await box.adopt(*chargers)
    await box.tag(TAG, "p-ann")


async def test_the_start_is_on_disk_and_its_reply_was_lost(box: Place) -> None:
    await prepared(box, "K1")
    content = start(1000, now())
    async with Cable(box.ocpp_port) as cable:
        async with wire(f"ws://127.0.0.1:{cable.here}", "K1") as charger:
            await charger.boot()
            cable.block(there=False)
            unread = await charger.post("StartTransaction", content, "m-1")

            async def written() -> bool:
                return len(await box.sessions("K1")) == 1

            await box.until(written, "the session on disk")
            await box.box.kill()
            cable.cut()
            with pytest.raises(ConnectionError):
                await unread
        await box.box.start()
    (session,) = await box.sessions("K1")
    async with wire(box.url, "K1") as charger:
        # Once with another message id and once with the first one: real stacks do either.
        again = await charger.call("StartTransaction", content, "m-2")
        once_more = await charger.call("StartTransaction", content, "m-1")
        assert str(again["transactionId"]) == session["transaction"]
        assert once_more == again
        assert again["idTagInfo"] == {"status": "Accepted"}
        await charger.call("StopTransaction", stop(again["transactionId"], 3500, now()))
    (session,) = await box.sessions("K1")
    assert (session["state"], session["energy_wh"]) == ("ended", 2500)


async def test_no_reply_while_the_disk_takes_nothing(box: Place) -> None:
    await prepared(box, "K4")
    content = start(10, now())
    journal = sqlite3.connect(box.stage.edge_data / "journal.db", isolation_level=None)
    async with wire(box.url, "K4") as charger:
        await charger.boot()
        journal.execute("BEGIN IMMEDIATE")  # as a slow disk would: the box's commit has to wait
        try:
            unsaid = await charger.post("StartTransaction", content)
            # A box whose disk takes nothing for 2 s ends by itself, and has said no more than a killed one.
            with contextlib.suppress(ConnectionError):
                await charger.call("Heartbeat")  # it has been read, and the box goes on with the rest
            done, _ = await asyncio.wait([unsaid], timeout=0.3)
            assert not done or unsaid.exception(), "a reply left before its session was on disk"
            await box.box.kill()
        finally:
            journal.close()
        with pytest.raises(ConnectionError):
            await unsaid
    await box.box.start()
    assert await box.sessions("K4") == []
    async with wire(box.url, "K4") as charger:
        begun = await charger.call("StartTransaction", content)
        assert await charger.call("StartTransaction", content) == begun
    assert len(await box.sessions("K4")) == 1


async def test_the_start_was_never_read(box: Place) -> None:
    await prepared(box, "K2")
    content = start(77, now())
    async with wire(box.url, "K2") as charger:
        await charger.boot()
        box.box.signal(signal.SIGSTOP)
        unread = await charger.post("StartTransaction", content)
        await box.box.kill()
        with pytest.raises(ConnectionError):
            await unread
    await box.box.start()
    assert await box.sessions("K2") == []
    async with wire(box.url, "K2") as charger:
        first = await charger.call("StartTransaction", content)
        assert await charger.call("StartTransaction", content) == first
    (session,) = await box.sessions("K2")
    assert session["transaction"] == str(first["transactionId"])


async def test_the_stop_is_on_disk_and_its_reply_was_lost(box: Place) -> None:
    await prepared(box, "K3")
    async with Cable(box.ocpp_port) as cable:
        async with wire(f"ws://127.0.0.1:{cable.here}", "K3") as charger:
            await charger.boot()
            begun = await charger.call("StartTransaction", start(0, now()))
            ended = stop(begun["transactionId"], 4321, now())
            cable.block(there=False)
            await charger.post("StopTransaction", ended)

            async def written() -> bool:
                return (await box.sessions("K3"))[0]["state"] == "ended"

            await box.until(written, "the session's end on disk")
            await box.box.kill()
            cable.cut()
        await box.box.start()
    async with wire(box.url, "K3") as charger:
        await charger.call("StopTransaction", ended)
    (session,) = await box.sessions("K3")
    assert (session["state"], session["energy_wh"]) == ("ended", 4321)


async def test_at_any_moment_among_many_chargers(box: Place) -> None:
    """Each kill meets a dozen starts and stops on their way: unread, undecided, unwritten, unanswered."""
    await prepared(box, *FLOCK)
    for number in range(ROUNDS):
        at, meter = now(), 1000 * (number + 1)
        first: dict[str, int] = {}

        flock = asyncio.gather(*(charge(box, c, meter, at, first) for c in FLOCK), return_exceptions=True)
        await asyncio.sleep(0.02 + SystemIds().jitter() * 0.03)
        await box.box.kill()
        await flock
        await box.box.start()
        for charger in FLOCK:
            async with wire(box.url, charger) as one:
                await replay(one, meter, at, first.get(charger))
        sessions = await box.sessions()
        for charger in FLOCK:
            mine = [s for s in sessions if s["charger"] == charger]
            assert len(mine) == number + 1, (charger, mine)
            assert {s["state"] for s in mine} == {"ended"}
            assert {s["energy_wh"] for s in mine} == {100}


async def charge(box: Place, charger: str, meter_wh: int, at: str, first: dict[str, int]) -> None:
    """A charge of 100 Wh, begun and ended; `first` notes the id that was answered, if one was."""
    async with wire(box.url, charger) as one:
        await asyncio.sleep(SystemIds().jitter() * 0.01)
        begun = await one.call("StartTransaction", start(meter_wh, at))
        first[charger] = begun["transactionId"]
        await one.call("StopTransaction", stop(begun["transactionId"], meter_wh + 100, at))


async def replay(charger: WireCharger, meter_wh: int, at: str, before: int | None) -> None:
    """What a charger does after an outage: it sends what got no answer, or might have got none, again."""
    again = await charger.call("StartTransaction", start(meter_wh, at))
    assert before in (None, again["transactionId"])
    for _ in range(2):
        await charger.call("StopTransaction", stop(again["transactionId"], meter_wh + 100, at))
