"""One listener, two versions: what is chosen, what is compressed, what a broken frame is answered with."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from common.domain import Availability
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ocpp201.dialect import Ocpp201
from edge.chargers.versions import Versions
from edge.core import inputs as core
from edge.core.reports import AvailabilityReported
from tests.chargers.site import Charger, Site, tag_ref

BOTH = (Ocpp16(tag_ref), Ocpp201(tag_ref))
PINS = {"OLD": "1.6", "NEW": "2.0.1"}


def versions() -> Versions:
    return Versions(BOTH, lambda charger: PINS.get(charger, ""))


@pytest.mark.parametrize(
    ("charger", "offered", "chosen"),
    [
        ("CP1", ["ocpp2.0.1", "ocpp1.6"], "ocpp1.6"),
        ("CP1", ["ocpp1.6", "ocpp2.0.1"], "ocpp1.6"),
        ("CP1", ["ocpp2.1", "ocpp2.0.1"], "ocpp2.0.1"),
        ("CP1", ["OCPP2.0.1"], "OCPP2.0.1"),
        ("NEW", ["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        ("NEW", ["ocpp1.6J"], "ocpp1.6J"),
        ("OLD", ["ocpp2.0.1", "ocpp1.6"], "ocpp1.6"),
        ("OLD", ["ocpp2.0.1"], "ocpp2.0.1"),
        ("CP1", ["ocpp2.1"], None),
        ("CP1", ["soap"], None),
    ],
)
def test_a_pin_then_our_order_never_the_chargers(
    charger: str, offered: Sequence[str], chosen: str | None
) -> None:
    assert versions().choose(charger, offered) == chosen


def test_without_an_offer_it_is_1_6_and_with_a_foreign_one_nothing() -> None:
    assert versions().dialect([], None) is BOTH[0]
    assert versions().dialect(["ocpp2.1"], None) is None
    assert versions().dialect(["ocpp2.0.1"], "ocpp2.0.1") is BOTH[1]
    assert versions().names == "ocpp1.6, ocpp2.0.1"


def test_compression_belongs_to_the_version() -> None:
    assert [len(versions().extensions("CP1", [name])) for name in ("ocpp1.6", "ocpp2.0.1", "soap")] == [
        0,
        1,
        0,
    ]
    assert versions().extensions("CP1", []) == []


@pytest.mark.parametrize(("version", "compressed"), [("ocpp1.6", False), ("ocpp2.0.1", True)])
async def test_frames_are_compressed_for_2_x_alone(version: str, compressed: bool) -> None:
    async with (
        Site(dialects=BOTH) as site,
        connect(site.url(), proxy=None, subprotocols=[Subprotocol(version)]) as ws,
    ):
        assert ws.subprotocol == version
        agreed = ws.response.headers.get("Sec-WebSocket-Extensions", "") if ws.response else ""
        assert ("permessage-deflate" in agreed) is compressed
        if compressed:
            assert "server_no_context_takeover" in agreed
            assert "client_no_context_takeover" in agreed
        assert "currentTime" in (await Charger(ws).call("Heartbeat"))[2]


async def test_a_version_belongs_to_its_connection() -> None:
    async with Site(dialects=BOTH) as site:
        status = {"timestamp": "2026-03-01T12:00:00Z", "connectorStatus": "Occupied"}
        async with site.charger(subprotocols=["ocpp1.6"]) as probe:
            assert (await probe.call("Heartbeat"))[0] == 3
        async with site.charger(subprotocols=["ocpp2.0.1"]) as charger:
            await charger.call("StatusNotification", status | {"evseId": 1, "connectorId": 2})
            reported = await site.memory.first(AvailabilityReported)
            assert (reported.connector, reported.availability) == (2, Availability.OCCUPIED)
        seen = site.memory.of(core.StationConnected)
        assert [(one.protocol, one.each) for one in seen] == [("ocpp1.6", False), ("ocpp2.0.1", True)]


@pytest.mark.parametrize(
    "frame",
    [b"[2,", b"{}", b"not json", b'[2,null,"Heartbeat",{}]', b'[2,{},"Heartbeat",{}]', b'[2,"' + b"x" * 300],
)
async def test_2_x_has_an_id_for_errors_about_calls_without_one(frame: bytes) -> None:
    async with Site(dialects=BOTH) as site, site.charger(subprotocols=["ocpp2.0.1"]) as charger:
        await charger.send(frame)
        kind, message_id, code, _, _ = await charger.recv()
        assert (kind, message_id, code) == (4, "-1", "RpcFrameworkError")
        assert await charger.alive()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b'[3,"x',
        b'[4,null,"a","b",{}]',
        b'[5,"1","InternalError","",{}]',
        b'[6,"1","NotifyPeriodicEventStream",{}]',
        b'[9,"1","What",{}]',
    ],
)
async def test_what_is_no_call_is_never_answered(frame: bytes) -> None:
    async with Site(dialects=BOTH) as site, site.charger(subprotocols=["ocpp2.0.1"]) as charger:
        await charger.send(frame)
        assert await charger.alive()  # the first frame that comes back


async def test_1_6_has_no_such_id() -> None:
    async with Site(dialects=BOTH) as site, site.charger(subprotocols=["ocpp1.6"]) as charger:
        await charger.send(b"{}")
        assert await charger.alive()


async def test_a_call_with_an_id_is_answered_in_the_words_of_its_version() -> None:
    async with Site(dialects=BOTH) as site:
        for version, code in (("ocpp1.6", "FormationViolation"), ("ocpp2.0.1", "RpcFrameworkError")):
            async with site.charger(subprotocols=[version]) as charger:
                await charger.send(json.dumps([2, "m", 7, {}]))
                assert (await charger.recv())[:3] == [4, "m", code]
