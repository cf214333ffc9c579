"""Chargers that nobody here wrote: whole charges, outages and replays, counted by them and by us.

`ocpp-rpc` and `ocpp-ts` (npm), the `ocpp` package's charger role and `test-ocpp` (PyPI) dial the box over
real sockets. What each has counted, transaction by transaction and Wh by Wh, must be what the ledger says.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path as Folder
from typing import Any

import pytest
import pytest_asyncio
from test_ocpp import check_connection
from websockets.exceptions import InvalidStatus

from common import wire
from common.commands import Name
from common.domain import Path
from tests.e2e.cable import Cable
from tests.e2e.chargers import PATIENCE_S, Event, NpmCharger, PackageCharger, rpc, ts
from tests.e2e.phone import Phone, Talk
from tests.e2e.place import Place
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="session")

TAG = "DEADBEEF"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ann(home: Place) -> AsyncIterator[Phone]:
    """A driver who may use every charger; the tag is hers too."""
    phone = await home.phone(by_cloud=True)
    await home.told(home.edge("tags", "assign", TAG, phone.site.principal))
    yield phone


async def start(talk: Talk, phone: Phone, charger: str) -> str:
    """Start a charge by the app; returns its session."""
    sealed = phone.seal(Name.START, charger)
    await talk.send(sealed)
    end = await talk.ended(sealed.command.id)
    assert isinstance(end, wire.Settled), end
    assert end.outcome == "succeeded", end
    return end.session


async def stop(talk: Talk, phone: Phone, charger: str, session: str) -> None:
    sealed = phone.seal(Name.STOP, charger, session=session)
    await talk.send(sealed)
    end = await talk.ended(sealed.command.id)
    assert isinstance(end, wire.Settled), end
    assert end.outcome == "succeeded", end


async def accounts_agree(home: Place, charger: str, counted: list[tuple[int, int, int]]) -> None:
    """The box and the cloud have exactly these sessions: (transaction, start Wh, stop Wh), in order."""

    def account(row: dict[str, Any]) -> tuple[int, float, float, float, str]:
        return (
            int(row["transaction"]),
            row["meter_start_wh"],
            row["meter_stop_wh"],
            row["energy_wh"],
            row["state"],
        )

    expected = [(number, begin, end, end - begin, "ended") for number, begin, end in counted]
    sessions = await home.sessions(charger)
    assert [account(row) for row in sessions] == expected
    assert [row["method"] for row in sessions] == ["register"] * len(counted)

    async def synced() -> bool:
        mine = await home.in_cloud(charger)
        return [row["session"] for row in mine if row["ended_at"]] == [row["session"] for row in sessions]

    await home.until(synced, f"the sessions of {charger} in the cloud")
    for here, there in zip(sessions, await home.in_cloud(charger), strict=True):
        assert there["energy_wh"] == here["energy_wh"]
        assert there["started_at"] == here["started_at"]


def counted(charger: NpmCharger) -> list[tuple[int, int, int]]:
    """What an npm charger has counted itself."""
    return [(event["transaction"], event["start_wh"], event["stop_wh"]) for event in charger.of("stopped")]


def nothing_was_wrong(charger: NpmCharger) -> None:
    """Its own strict schemas took every frame of ours, and no call of its was answered with an error."""
    for bad in ("violation", "bad", "refused", "said"):
        assert charger.of(bad) == []


# --- ocpp-rpc ----------------------------------------------------------------------------------------------


@needs("ocpp-rpc")
async def test_ocpp_rpc_charges_by_tag_and_by_app(home: Place, ann: Phone) -> None:
    await home.adopt("RPC1")
    async with rpc(home.url, "RPC1") as charger, ann.link(Path.LAN) as talk:
        await charger.heard("booted", status="Accepted")
        await charger.tell("plug")
        await charger.tell("tap", tag=TAG)
        await charger.heard("started", status="Accepted")
        await charger.heard("delivered", 3, method="MeterValues")
        await charger.tell("tap", tag=TAG)
        await charger.heard("stopped")
        await charger.tell("unplug")
        await charger.tell("plug")
        await charger.heard("delivered", 7, method="StatusNotification")
        session = await start(talk, ann, "RPC1")
        (asked,) = charger.of("asked", method="RemoteStartTransaction")
        assert asked["params"]["connectorId"] == 1
        await charger.heard("started", 2)
        await charger.heard("delivered", 6, method="MeterValues")
        await stop(talk, ann, "RPC1", session)
        await charger.heard("stopped", 2)
        await charger.tell("tap", tag="NOBODYS")
        judged: Event = await charger.heard("judged", 2)
        assert judged["status"] == "Invalid"
        nothing_was_wrong(charger)
        await accounts_agree(home, "RPC1", counted(charger))
    by_tag, by_app = await home.sessions("RPC1")
    assert by_tag["principal"] == by_app["principal"] == ann.site.principal
    assert (by_tag["reason"], by_app["reason"]) == ("Local", "Remote")


@needs("ocpp-rpc")
async def test_ocpp_rpc_reconnects_in_mid_session_and_replays_its_queue(home: Place, ann: Phone) -> None:
    await home.adopt("RPC2")
    async with Cable(home.ocpp_port) as cable, rpc(f"ws://127.0.0.1:{cable.here}", "RPC2") as charger:
        await charger.heard("booted")
        await charger.tell("plug")
        await charger.tell("tap", tag=TAG)
        await charger.heard("started")
        await charger.heard("delivered", 2, method="MeterValues")
        cable.cut()
        await charger.heard("disconnected")
        # A whole second charge happens with nobody to tell; the library keeps all of it, in order.
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
        await accounts_agree(home, "RPC2", counted(charger))
    assert cable.carried >= 2


@needs("ocpp-rpc")
async def test_ocpp_rpc_and_a_box_that_dies_in_mid_session(home: Place, ann: Phone) -> None:
    await home.adopt("RPC3")
    async with rpc(home.url, "RPC3", sample_ms=20) as charger:
        await charger.heard("booted")
        await charger.tell("plug")
        for number in (1, 2):
            await charger.tell("tap", tag=TAG)
            await charger.heard("started", number)
            await charger.heard("delivered", 4 * number, method="MeterValues")
            await home.box.kill()
            await charger.heard("disconnected", number)
            await home.box.start()
            await charger.heard("open", number + 1)
            await charger.tell("tap", tag=TAG)
            await charger.heard("stopped", number)
        nothing_was_wrong(charger)
        await accounts_agree(home, "RPC3", counted(charger))


# --- ocpp-ts -----------------------------------------------------------------------------------------------


@needs("ocpp-ts")
async def test_ocpp_ts_obeys_a_remote_start_and_stop(home: Place, ann: Phone) -> None:
    await home.adopt("TS1")
    async with ts(home.url, "TS1") as charger, ann.link(Path.CLOUD) as talk:
        await charger.heard("booted", status="Accepted")
        session = await start(talk, ann, "TS1")
        metered = await charger.heard("metered")
        (row,) = await home.asked("meter", session=session)
        assert row["sample"]["energy_wh"] == metered["register_wh"]
        await stop(talk, ann, "TS1", session)
        await charger.heard("stopped")
        await accounts_agree(home, "TS1", counted(charger))


# --- the ocpp package --------------------------------------------------------------------------------------


async def test_the_ocpp_package_charges_through_an_outage_and_boots_again(home: Place, ann: Phone) -> None:
    await home.adopt("PK1")
    url = "ws://127.0.0.1:{}"
    async with (
        Cable(home.ocpp_port) as cable,
        PackageCharger(url.format(cable.here), "PK1") as charger,
        ann.link(Path.LAN) as talk,
    ):
        charger.plug()
        await charger.until(lambda: charger.boots == 1 and charger.idle)
        session = await start(talk, ann, "PK1")
        await charger.until(lambda: charger.transaction not in (None, -1))
        charger.draw(1_250)
        cable.cut()
        await charger.until(lambda: not charger.online)
        charger.draw(2_000)
        charger.draw(750)
        cable.mend()
        await charger.until(lambda: charger.boots == 2 and charger.idle)
        await stop(talk, ann, "PK1", session)
        await charger.until(lambda: len(charger.finished) == 1)
        assert charger.finished[0][2] - charger.finished[0][1] == 4_000
        await accounts_agree(home, "PK1", charger.finished)


# --- test-ocpp ---------------------------------------------------------------------------------------------


async def test_test_ocpp_is_refused_until_it_is_adopted_then_boots(home: Place) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await check_connection(home.url, "TO1", timeout=PATIENCE_S)
    assert refused.value.response.status_code == 404
    await home.adopt("TO1")
    result = await check_connection(home.url, "TO1", vendor="Probe", model="P1", timeout=PATIENCE_S)
    assert result.subprotocol == "ocpp1.6"
    assert result.boot_notification["status"] == "Accepted"
    assert result.heartbeat["currentTime"].endswith("Z")
    (about,) = [row for row in await home.asked("chargers") if row["id"] == "TO1"]
    assert (about["vendor"], about["model"]) == ("Probe", "P1")


async def test_the_test_ocpp_command_succeeds_with_either_version(home: Place) -> None:
    await home.adopt("TO2")
    for version, code, words in (("1.6", 0, "SUCCESS"), ("2.0.1", 0, "SUCCESS")):
        command = Folder(sys.executable).with_name("test-ocpp")
        process = await asyncio.create_subprocess_exec(
            str(command),
            *("--ocpp", version, "--timeout", "10", home.url, "TO2"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert (process.returncode, words in out.decode()) == (code, True), out.decode()
