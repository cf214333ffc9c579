"""OCPP 2.0.1 stations that nobody here wrote: whole charges, outages and replays, counted by them and by us.

`ocpp-rpc` (npm) with its own strict 2.0.1 schemas, the `ocpp` package's v201 role and `test-ocpp` (PyPI) dial
the box over real sockets. What each has counted, Wh by Wh, must be what box and cloud say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from test_ocpp import check_connection

from common import wire
from common.commands import Name
from common.domain import Path
from tests.e2e.cable import Cable
from tests.e2e.chargers import PATIENCE_S, Event, NpmCharger
from tests.e2e.phone import Phone
from tests.e2e.place import Place
from tests.e2e.stations import PackageStation, station
from tests.e2e.test_real_clients import nothing_was_wrong, start, stop
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="session")

TAG = "CAFEBABE"
CARD = {"id_token": TAG, "type": "ISO14443"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ben(home: Place) -> AsyncIterator[Phone]:
    """A driver who may use every charger; the tag is his too."""
    phone = await home.phone(by_cloud=True)
    await home.told(home.edge("tags", "assign", TAG, phone.site.principal))
    yield phone


async def accounts_agree(home: Place, charger: str, counted: list[tuple[str, int, int]]) -> None:
    """The box and the cloud have exactly these sessions: (transaction, start Wh, stop Wh), in order."""

    def account(row: dict[str, Any]) -> tuple[str, float, float, float, str]:
        keys = ("transaction", "meter_start_wh", "meter_stop_wh", "energy_wh", "state")
        return tuple(row[key] for key in keys)  # type: ignore[return-value]

    expected = [(name, begin, end, end - begin, "ended") for name, begin, end in counted]
    sessions = await home.sessions(charger)
    assert [account(row) for row in sessions] == expected
    assert [row["evse"] for row in sessions] == [1] * len(counted)

    async def synced() -> bool:
        mine = await home.in_cloud(charger)
        return [row["session"] for row in mine if row["ended_at"]] == [row["session"] for row in sessions]

    await home.until(synced, f"the sessions of {charger} in the cloud")
    for here, there in zip(sessions, await home.in_cloud(charger), strict=True):
        assert (there["energy_wh"], there["evse"]) == (here["energy_wh"], here["evse"])
        assert (there["started_at"], there["principal"]) == (here["started_at"], here["principal"])


def counted(charger: NpmCharger) -> list[tuple[str, int, int]]:
    """What an npm station has counted itself."""
    return [(event["transaction"], event["start_wh"], event["stop_wh"]) for event in charger.of("stopped")]


# --- ocpp-rpc ----------------------------------------------------------------------------------------------


@needs("ocpp-rpc")
@pytest.mark.parametrize("start_point", ["tap", "plug"])
async def test_ocpp_rpc_charges_by_tag_and_by_app(home: Place, ben: Phone, start_point: str) -> None:
    name = f"ST-{start_point}"
    await home.adopt(name)
    async with station(home.url, name, start_point=start_point) as charger, ben.link(Path.LAN) as talk:
        await charger.heard("booted", status="Accepted")
        assert charger.of("open")[0]["protocol"] == "ocpp2.0.1"
        await charger.tell("plug")
        await charger.heard("delivered", 2, method="StatusNotification")
        await charger.tell("tap", tag=TAG)
        await charger.heard("authorized", status="Accepted")
        await charger.heard("delivered", 5, method="TransactionEvent")
        await charger.tell("tap", tag=TAG)
        await charger.heard("stopped")
        await charger.tell("unplug")
        await charger.tell("plug")
        await charger.heard("delivered", 4, method="StatusNotification")
        if start_point == "plug":
            await charger.heard("started", 2)
        session = await start(talk, ben, name)
        (asked,) = charger.of("asked", method="RequestStartTransaction")
        assert asked["params"]["evseId"] == 1
        before = len(charger.of("delivered", method="TransactionEvent"))
        await charger.heard("delivered", before + 3, method="TransactionEvent")
        await stop(talk, ben, name, session)
        await charger.heard("stopped", 2)
        await charger.tell("tap", tag="NOBODYS")
        judged: Event = await charger.heard("judged", 2)
        assert judged["status"] == "Invalid"
        nothing_was_wrong(charger)
        await accounts_agree(home, name, counted(charger))
    by_tag, by_app = await home.sessions(name)
    assert by_tag["principal"] == by_app["principal"] == ben.site.principal
    assert (by_tag["reason"], by_app["reason"]) == ("Local", "Remote")
    assert [row["flags"] for row in (by_tag, by_app)] == [[], []]


@needs("ocpp-rpc")
async def test_ocpp_rpc_reconnects_in_mid_session_and_replays_its_queue(home: Place, ben: Phone) -> None:
    await home.adopt("ST2")
    async with Cable(home.ocpp_port) as cable, station(f"ws://127.0.0.1:{cable.here}", "ST2") as charger:
        await charger.heard("booted")
        await charger.tell("plug")
        await charger.tell("tap", tag=TAG)
        await charger.heard("started")
        await charger.heard("delivered", 2, method="TransactionEvent")
        cable.cut()
        await charger.heard("disconnected")
        # A whole second charge happens with nobody to tell; all of it is kept, in order.
        await charger.tell("tap", tag=TAG)
        await charger.heard("ended")
        await charger.tell("unplug")
        await charger.tell("plug")
        await charger.tell("tap_offline", tag=TAG)
        await asyncio.sleep(0.3)  # some samples of it
        cable.mend()
        await charger.heard("stopped")
        await charger.heard("started", 2)
        await charger.tell("unplug")
        await charger.heard("stopped", 2)
        nothing_was_wrong(charger)
        assert any(event["offline"] for event in charger.of("delivered", method="TransactionEvent"))
        await accounts_agree(home, "ST2", counted(charger))
    assert cable.carried >= 2


@needs("ocpp-rpc")
async def test_ocpp_rpc_and_a_box_that_dies_in_mid_session(home: Place, ben: Phone) -> None:
    await home.adopt("ST3")
    async with station(home.url, "ST3", sample_ms=20) as charger:
        await charger.heard("booted")
        await charger.tell("plug")
        for number in (1, 2):
            await charger.tell("tap", tag=TAG)
            await charger.heard("started", number)
            await charger.heard("delivered", 6 * number, method="TransactionEvent")
            await home.box.kill()
            await charger.heard("disconnected", number)
            await home.box.start()
            await charger.heard("open", number + 1)
            await charger.tell("tap", tag=TAG)
            await charger.heard("stopped", number)
        nothing_was_wrong(charger)
        await accounts_agree(home, "ST3", counted(charger))


# --- the ocpp package --------------------------------------------------------------------------------------


async def test_the_ocpp_package_charges_through_an_outage_and_boots_again(home: Place, ben: Phone) -> None:
    await home.adopt("PS1")
    async with (
        Cable(home.ocpp_port) as cable,
        PackageStation(f"ws://127.0.0.1:{cable.here}", "PS1") as charger,
        ben.link(Path.LAN) as talk,
    ):
        charger.plug()
        await charger.until(lambda: charger.boots == 1 and charger.idle)
        session = await start(talk, ben, "PS1")
        await charger.until(lambda: charger.transaction is not None)
        charger.draw(1_250)
        cable.cut()
        await charger.until(lambda: not charger.online)
        charger.draw(2_000)
        charger.draw(750)
        cable.mend()
        await charger.until(lambda: charger.boots == 2 and charger.idle)
        await stop(talk, ben, "PS1", session)
        await charger.until(lambda: len(charger.finished) == 1)
        assert charger.finished[0][2] - charger.finished[0][1] == 4_000
        await accounts_agree(home, "PS1", charger.finished)
    (row,) = await home.sessions("PS1")
    assert row["principal"] == ben.site.principal


async def test_an_event_that_is_lost_leaves_the_session_provisional(home: Place, ben: Phone) -> None:
    await home.adopt("PS2")
    async with PackageStation(home.url, "PS2") as charger:
        charger.plug()
        charger.begin(CARD)
        charger.draw(1_000)
        charger.drop_next = True
        charger.draw(1_000)
        charger.draw(1_000)
        charger.end("Local", "StopAuthorized")
        await charger.until(lambda: charger.boots == 1 and charger.idle)

        async def asked() -> bool:
            (row,) = await home.sessions("PS2")
            return "events_lost" in row["flags"]

        await home.until(asked, "the station's word that nothing more will come")
    (row,) = await home.sessions("PS2")
    assert (row["energy_wh"], row["state"]) == (3_000, "provisional")
    assert {"incomplete", "needs_review"} <= set(row["flags"])


# --- test-ocpp ---------------------------------------------------------------------------------------------


async def test_test_ocpp_boots_with_2_0_1(home: Place) -> None:
    await home.adopt("TO3")
    result = await check_connection(
        home.url, "TO3", ocpp="2.0.1", vendor="Probe", model="P2", timeout=PATIENCE_S
    )
    assert result.subprotocol == "ocpp2.0.1"
    assert result.boot_notification["status"] == "Accepted"
    assert result.heartbeat["currentTime"].endswith("Z")
    (about,) = [row for row in await home.asked("chargers") if row["id"] == "TO3"]
    assert (about["vendor"], about["model"], about["protocol"]) == ("Probe", "P2", "ocpp2.0.1")


async def test_settings_of_a_2_0_1_station_by_their_1_6_names(home: Place, ben: Phone) -> None:
    await home.adopt("PS3")
    staff = await home.phone("PS3", role="operator")
    async with PackageStation(home.url, "PS3") as charger, staff.link(Path.LAN) as talk:
        await charger.until(lambda: charger.boots == 1 and charger.idle)
        sealed = staff.seal(Name.READ_CONFIGURATION, "PS3", keys=["HeartbeatInterval"])
        await talk.send(sealed)
        end = await talk.ended(sealed.command.id)
        assert isinstance(end, wire.Settled), end
        # the station knows no variable at all, and is asked by 2.0.1's name for it
        assert end.result["unknown"] == ["OCPPCommCtrlr.HeartbeatInterval"]
