"""A flagged session is decided on through the cloud and at the box: once, and both ledgers say the same."""

from __future__ import annotations

import pytest

from common import wire
from common.commands import Name
from common.domain import Path
from common.errors import Code
from tests.e2e import chargers
from tests.e2e.place import Driver, Place

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def flag_one(home: Place, charger: str) -> str:
    """A session whose register ran backwards, and a stop of no known transaction. The session's uid."""
    await home.adopt(charger)
    async with chargers.wire(home.url, charger) as wired:
        await wired.boot()
        start = {"connectorId": 1, "idTag": "NOBODY", "meterStart": 5000, "timestamp": chargers.now()}
        begun = await wired.call("StartTransaction", start)
        stop = {"transactionId": begun["transactionId"], "meterStop": 4000, "timestamp": chargers.now()}
        await wired.call("StopTransaction", stop)
        await wired.call("StopTransaction", {**stop, "transactionId": 424242})
    (session,) = await home.sessions(charger)
    return str(session["session"])


async def arrives(home: Place, session: str) -> None:
    async def there() -> bool:
        return any(row["session"] == session and row["ended"] for row in await home.in_cloud())

    await home.until(there, "the session in the cloud")


async def test_a_decision_goes_either_way_and_counts_once(home: Place) -> None:
    session = await flag_one(home, "D1")
    operator = await home.phone(role="operator", by_cloud=True)

    await arrives(home, session)
    async with operator.link(Path.CLOUD) as far, operator.link(Path.LAN) as near:
        (flagged,) = [row for row in await far.query("sessions", flagged=True) if row["session"] == session]
        assert "meter_backwards" in flagged["attention"]
        about = {"session": session, "revision": flagged["revision"], "reason": "read at the meter"}
        decided = operator.seal(Name.RESOLVE, "D1", decision="set", energy_wh=2500.0, **about)
        await far.send(decided)
        assert isinstance(await far.ended(decided.command.id), wire.Settled)
        await near.send(decided)  # the same bytes by the other way: the same decision
        assert isinstance(await near.ended(decided.command.id), wire.Settled)
        late = operator.seal(Name.RESOLVE, "D1", decision="dismiss", **about)
        await near.send(late)
        refused = await near.ended(late.command.id)
        assert isinstance(refused, wire.Refusal)
        assert refused.code == Code.CHANGED_MEANWHILE

        async def told() -> bool:
            return any(row["charger"] == "D1" for row in await far.query("orphans"))

        await home.until(told, "the orphan in the cloud")
        (orphan,) = [row for row in await far.query("orphans") if row["charger"] == "D1"]
        assert (orphan["what"], orphan["meter_wh"]) == ("stop", 4000.0)

    async def alike() -> bool:
        (there,) = [row for row in await home.in_cloud("D1") if row["session"] == session]
        return bool(there["revision"] == 1 and there["energy_wh"] == 2500.0 and not there["attention"])

    await home.until(alike, "the decision in the cloud")
    (here,) = await home.sessions("D1")
    assert (here["revision"], here["energy_wh"], here["attention"]) == (1, 2500.0, [])
    report = await home.at_cloud("reconcile", "Home")
    assert report.code == 0, str(report)


async def test_an_operator_decides_in_a_terminal(
    home: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = await flag_one(home, "D2")
    await arrives(home, session)
    terminal = Driver(tmp_path_factory.mktemp("operator"))
    await terminal.told("pair", await home.invite(role="operator", by_cloud=True))
    found = [row for row in await terminal.told("--via", "lan", "flagged") if row["charger"] == "D2"]
    (orphan,) = [row["orphan"] for row in found if row["about"] == "orphan"]
    await terminal.told("resolve", orphan[:10], "dismiss", "--reason", "of another box")
    await terminal.told("resolve", session, "set", "--kwh", "1.25", "--reason", "read at the meter")
    (here,) = await home.sessions("D2")
    assert (here["energy_wh"], here["method"]) == (1250.0, "stated")
    assert [row for row in await terminal.told("--via", "lan", "flagged") if row["charger"] == "D2"] == []
