"""Group 25: an evil twin on the LAN: the box's own mDNS name, its host name, its id, all of its TXT record,
and a key of the twin's; records that are too long, binary, or markup."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from common import wire
from common.client.client import Client
from common.client.discovery import SERVICE, _read, browse, instance_of
from common.domain import Path
from edge.discovery import service_info
from tests.client.test_discovery import LOOPBACK, announced
from tests.client.test_paths import soon, until
from tests.client.world import FAST, Twin, world

#: Its first eight letters are its name on a loopback that other tests announce on, too.
EDGE = "twinsabcdefghijklmnopqrstuvwxyz2"


async def test_a_twin_with_the_same_name_and_records_hears_a_hello_and_the_cloud_is_used() -> None:
    """The cloud is dialled when the LAN has not answered for 150 ms (here 10), twin or no twin: that it is
    found out delays nothing."""
    async with world(box=False) as here, Twin(here) as twin:
        here.told_addresses = ()
        box = here.box.identity.fingerprint
        profile = here.device(addresses=())
        async with announced(box, twin.port), Client(profile, interfaces=LOOPBACK, pace=FAST) as client:
            assert client.status("s-home").path is Path.CLOUD
            while not twin.heard:  # the LAN is still looked for beside it, and the twin found by its record
                await anext(client.changes())
            assert client.status("s-home").path is Path.CLOUD
        entry = profile.get("s-home")
        assert {type(wire.client_decoder.decode(frame)) for frame in twin.heard} == {wire.Hello}
        assert not twin.was_told([entry.grant, entry.grant.split(".")[2], profile.key.public, "s-home"])
        assert here.cloud.accepted >= 1


async def test_when_both_answer_the_true_box_is_chosen() -> None:
    async with world(cloud=False) as here, Twin(here) as twin:
        profile = here.device(addresses=(twin.address, here.box.address))
        async with here.client(profile, "lan") as client:
            await until(client, lambda: client.status("s-home").path is Path.LAN)
            await soon(lambda: twin.heard)
        assert profile.get("s-home").last_good == here.box.address
        assert not twin.was_told([profile.get("s-home").grant])


@asynccontextmanager
async def spoken(properties: dict[str | bytes, bytes], name: str) -> AsyncIterator[None]:
    """Any record, announced on loopback."""
    multicast = AsyncZeroconf(interfaces=list(LOOPBACK))
    info = AsyncServiceInfo(
        SERVICE,
        name,
        port=9443,
        addresses=[ipaddress.ip_address("127.0.0.1").packed],
        properties=properties,
        server="elsewhere.local.",
    )
    try:
        await (await multicast.async_register_service(info, cooperating_responders=True))
        yield
    finally:
        await multicast.async_close()


@pytest.mark.parametrize(
    "properties",
    [
        {"id": b"<img src=x onerror=alert(1)>"},
        {"id": bytes(range(200))},
        {"id": EDGE.encode(), "ws": b"99999999999", "name": b"<script>"},
        {f"k{number}": b"x" * 240 for number in range(4)},
        {"id": EDGE.encode(), **{f"k{number:02}": b"x" * 240 for number in range(50)}},
    ],
    ids=["markup", "binary", "numbers", "a kilobyte", "12 kilobytes"],
)
async def test_odd_records_hide_no_true_box(properties: dict[str | bytes, bytes]) -> None:
    async with spoken(properties, f"odd.{SERVICE}"), announced(EDGE, 9443):
        async for found in browse(LOOPBACK, 30, edge=EDGE):
            assert found.edge == EDGE
            break
        else:
            pytest.fail("the true box was not found")


def test_what_a_record_claims_is_read_as_a_hint_or_not_at_all() -> None:
    for claimed in (b"", b"\0" * 32, EDGE.encode() + b"\n", b"x" * 12_000, "ＡＢＣ".encode()):
        assert _read({b"id": claimed}, ["127.0.0.1"], 9443) is None


def test_the_boxs_own_record_is_short_and_names_nobody() -> None:
    info = service_info(EDGE, 9443, ["127.0.0.1"])
    assert len(info.text) <= 400
    assert set(info.properties) == {b"v", b"id", b"ws"}
    assert info.name == instance_of(EDGE)
    assert info.server == f"plugside-{EDGE[:8]}.local."
