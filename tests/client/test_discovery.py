"""mDNS on loopback alone: a real responder, found by browsing and by name; forgeries are no use."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from common.client.client import Client
from common.client.discovery import _DETAILS_MS, SERVICE, Found, _read, browse, instance_of, interfaces_for
from common.domain import Path
from tests.client.world import FAST, world

EDGE = "abcdefghijklmnopqrstuvwxyz234567"
LOOPBACK = ("127.0.0.1",)


@asynccontextmanager
async def announced(edge: str, port: int, *, name: str = "", claims: str = "") -> AsyncIterator[None]:
    """A box's announcement, as a box makes it. claims: the id in its TXT record, if it lies."""
    multicast = AsyncZeroconf(interfaces=list(LOOPBACK))
    info = AsyncServiceInfo(
        SERVICE,
        name or instance_of(edge),
        port=port,
        addresses=[ipaddress.ip_address("127.0.0.1").packed],
        properties={"v": "1", "id": claims or edge, "ws": str(port)},
        server=f"plugside-{edge[:8]}.local.",
    )
    try:
        await (await multicast.async_register_service(info, cooperating_responders=True))
        yield
    finally:
        await multicast.async_close()


async def test_a_box_is_found_by_browsing() -> None:
    async with announced(EDGE, 9443):
        async for found in browse(LOOPBACK, 30):
            if found.edge == EDGE:  # boxes of other tests may be on this machine
                assert found == Found(edge=EDGE, addresses=("127.0.0.1:9443",))
                break
        else:
            pytest.fail("nothing was found")


async def test_a_known_box_is_found_and_others_are_passed_over() -> None:
    other = "b" * 32
    async with announced(other, 1111), announced(EDGE, 9443):
        async for found in browse(LOOPBACK, 30, edge=EDGE):
            assert found.edge == EDGE
            break
        else:
            pytest.fail("nothing was found")


async def test_a_box_that_does_not_answer_the_first_question_is_asked_again() -> None:
    late = "c" * 32
    seeking = browse(LOOPBACK, 30, edge=late)
    looking = asyncio.gather(anext(seeking))
    await asyncio.sleep(_DETAILS_MS / 1000 + 0.3)  # the first question has gone unanswered
    async with announced(late, 9443):
        assert await looking == [Found(edge=late, addresses=("127.0.0.1:9443",))]
        await seeking.aclose()


async def test_without_interfaces_nothing_is_asked() -> None:
    assert [found async for found in browse((), 60)] == []


async def test_an_interface_that_is_not_there_is_no_disaster() -> None:
    assert [found async for found in browse(("192.0.2.55",), 60)] == []


async def test_a_box_that_has_moved_is_found_by_its_name() -> None:
    async with world(cloud=False) as here, announced(here.box.identity.fingerprint, here.box.port):
        profile = here.device(addresses=("127.0.0.1:1",))
        async with Client(profile, "lan", interfaces=LOOPBACK, pace=FAST) as client:
            assert client.status("s-home").path is Path.LAN
        assert profile.get("s-home").last_good == here.box.address


@pytest.mark.parametrize(
    "claimed", [b"", b"x", EDGE.upper().encode(), b"\xff" * 32, b"<script>", EDGE.encode() * 9]
)
def test_an_id_that_is_none_is_passed_over(claimed: bytes) -> None:
    assert _read({b"id": claimed}, ["127.0.0.1"], 9443) is None


def test_what_is_read_of_an_announcement() -> None:
    told: dict[bytes, bytes | None] = {b"id": EDGE.encode()}
    hosts = ["192.0.2.7", "fe80::1", "2001:db8::7", "169.254.1.1"]
    assert _read(told, hosts, 9443) == Found(edge=EDGE, addresses=("192.0.2.7:9443", "[2001:db8::7]:9443"))
    assert _read(told, ["fe80::1"], 9443) is None
    assert _read(told, ["192.0.2.7"], None) is None
    assert _read({}, ["192.0.2.7"], 9443) is None


@pytest.mark.parametrize(
    ("given", "addresses", "expected"),
    [
        (None, ["127.0.0.1:9443", "[::1]:9443"], LOOPBACK),
        (None, ["127.0.0.1:9443", "192.0.2.7:9443"], None),
        (None, [], None),
        (None, ["box.example:9443"], None),
        ((), ["192.0.2.7:9443"], ()),
        (("192.0.2.1",), ["127.0.0.1:1"], ("192.0.2.1",)),
    ],
)
def test_where_a_box_is_looked_for(
    given: tuple[str, ...] | None, addresses: list[str], expected: tuple[str, ...] | None
) -> None:
    assert interfaces_for(given, addresses) == expected
