"""Two drivers and an operator, some on the LAN and some through the cloud, follow one charger.

Each sees what it may, in the same order: the operators everything, a driver the charger's state and their own
charge, and never a byte of a neighbour's session, tag or person.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from common import wire
from common.commands import Name
from common.domain import ConnectorState, Path
from tests.e2e import chargers
from tests.e2e.chargers import WireCharger
from tests.e2e.phone import Phone, Talk
from tests.e2e.place import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

Seen = tuple[str, int, bytes]


def seen(talk: Talk) -> list[Seen]:
    """What came live, in order: epoch, seq and the record's very bytes."""
    return [(fact.epoch, fact.seq, bytes(fact.record)) for fact in talk.of(wire.FactMessage)]


def between(talk: Talk, after: int, last: int) -> list[Seen]:
    """What came live behind the fact `after`, up to `last`."""
    return [fact for fact in seen(talk) if after < fact[1] <= last]


async def reaches_the_cloud(home: Place, phone: Phone, state: ConnectorState) -> None:
    """Wait until the cloud shows F1 so: news are a moment longer on their way there."""
    async with phone.link(Path.CLOUD) as talk:

        async def shown() -> bool:
            place = (await talk.follow()).view.chargers["F1"].connectors.get(1)
            return place is not None and place.state is state

        await home.until(shown, f"F1 to be {state} in the cloud")


def bodies(talk: Talk, kind: str) -> list[dict[str, Any]]:
    """The facts of one kind that came live."""
    records = [json.loads(record) for *_, record in seen(talk)]
    return [record["body"] for record in records if record["kind"] == kind]


async def sees(talk: Talk, fact: Seen) -> None:
    await talk.until(lambda: fact in seen(talk), f"fact {fact[1]}")


async def reaches(talk: Talk, seq: int) -> None:
    await talk.until(lambda: bool(seen(talk)) and seen(talk)[-1][1] >= seq, f"fact {seq}")


async def charge(charger: WireCharger, talk: Talk, phone: Phone, meter_wh: int) -> set[str]:
    """One charge by this driver's app, over this link. Returns all that names it or its driver."""
    sealed = phone.seal(Name.START, "F1")
    number = len(charger.asked_for("RemoteStartTransaction")) + 1
    await talk.send(sealed)
    tag = (await charger.is_asked("RemoteStartTransaction", number))["idTag"]
    start = {"connectorId": 1, "idTag": tag, "meterStart": meter_wh, "timestamp": chargers.now()}
    begun = await charger.call("StartTransaction", start)
    await charger.status("Charging")
    settled = await talk.ended(sealed.command.id)
    assert isinstance(settled, wire.Settled), settled
    for reading in (100, 200, 300):
        sample = {"timestamp": chargers.now(), "sampledValue": [{"value": str(meter_wh + reading)}]}
        values = {"connectorId": 1, "transactionId": begun["transactionId"], "meterValue": [sample]}
        await charger.call("MeterValues", values)
    stop = phone.seal(Name.STOP, "F1", session=settled.session)
    await talk.send(stop)
    await charger.is_asked("RemoteStopTransaction", number)
    ended = {
        "transactionId": begun["transactionId"],
        "meterStop": meter_wh + 400,
        "timestamp": chargers.now(),
        "reason": "Remote",
    }
    await charger.call("StopTransaction", ended)
    for status in ("Finishing", "Available", "Preparing"):
        await charger.status(status)
    assert isinstance(await talk.ended(stop.command.id), wire.Settled)
    return {
        *(tag, settled.session, str(begun["transactionId"]), phone.site.principal),
        *(sealed.command.id, stop.command.id),
    }


async def test_each_sees_what_it_may_in_the_same_order(home: Place) -> None:
    await home.adopt("F1", "F2")
    ann = await home.phone("F1", by_cloud=True)
    ben = await home.phone("F1", by_cloud=True)
    operator = await home.phone(role="operator", by_cloud=True)
    async with AsyncExitStack() as links, chargers.wire(home.url, "F1") as charger:
        await charger.boot()
        await reaches_the_cloud(home, ben, ConnectorState.PREPARING)
        talks = {
            name: await links.enter_async_context(phone.link(path))
            for name, phone, path in (
                ("ann", ann, Path.LAN),
                ("ben", ben, Path.CLOUD),
                ("operator, LAN", operator, Path.LAN),
                ("operator, cloud", operator, Path.CLOUD),
                ("ann's tablet", ann, Path.CLOUD),
            )
        }
        began = 0
        for talk in talks.values():
            snapshot = await talk.follow()
            assert snapshot.view.chargers["F1"].connectors[1].state is ConnectorState.PREPARING
            began = max(began, snapshot.seq)
        assert "F2" not in talks["ben"].of(wire.Snapshot)[-1].view.chargers
        anns = await charge(charger, talks["ann"], ann, 10_000)
        bens = await charge(charger, talks["ben"], ben, 10_400)
        last = await home.facts()
        for name in ("operator, LAN", "operator, cloud"):
            await reaches(talks[name], last)
        await told_alike(talks, began, last)
        each_sees_their_own(talks, anns, bens)


async def told_alike(talks: dict[str, Talk], after: int, last: int) -> None:
    """Same facts, same bytes, same order, whichever way they came."""
    everything = between(talks["operator, LAN"], after, last)
    assert everything == between(talks["operator, cloud"], after, last)
    assert [seq for _, seq, _ in everything] == sorted({seq for _, seq, _ in everything})
    for name in ("ann", "ben", "ann's tablet"):
        end = next(fact for fact in reversed(everything) if b"connector_changed" in fact[2])
        await sees(talks[name], end)
        part = between(talks[name], after, last)
        assert [fact for fact in everything if fact in set(part)] == part
    assert between(talks["ann"], after, last) == between(talks["ann's tablet"], after, last)


def each_sees_their_own(talks: dict[str, Talk], anns: set[str], bens: set[str]) -> None:
    for name in ("ann", "ann's tablet"):
        (own,) = bodies(talks[name], "session_ended")
        assert own["energy_wh"] == 400
        assert own["session"] in anns
        assert len(bodies(talks[name], "meter_sampled")) == 3
    (own,) = bodies(talks["ben"], "session_ended")
    assert own["session"] in bens
    for name, foreign in (("ann", bens), ("ann's tablet", bens), ("ben", anns)):
        said = b"".join(talks[name].frames)
        assert [word for word in foreign if word.encode() in said] == []
        # What is for all who may use the charger came to each: twice to Charging and back.
        states = [body["state"] for body in bodies(talks[name], "connector_changed")]
        assert states == ["charging", "finishing", "available", "preparing"] * 2
    assert len(bodies(talks["operator, cloud"], "session_ended")) == 2
