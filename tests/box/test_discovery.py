"""mDNS: the box is found where it speaks, says nothing personal, and nothing leaves this machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from common.client.discovery import Found, browse
from edge.discovery import SERVICE, announce, lan_addresses, present
from tests.e2e.hosts import Lan
from tests.needs import needs

#: Its first eight letters are its name on a loopback that other tests announce on, too.
EDGE = "discover234567" + "a" * 18
HERE = "127.0.0.1"
#: What a host of a namespace runs: announce, or browse and print what was found.
CHILD = """
import asyncio, json, sys
from common.client.discovery import browse
from edge.discovery import announce
what, edge, address = sys.argv[1:]

async def seek():
    async for found in browse((address,), 15.0, edge=edge):
        print(json.dumps([found.edge, found.addresses]))
        return

asyncio.run(announce(lambda: (edge,), 9443, (address,)) if what == "announce" else seek())
"""


async def test_the_box_is_found_on_loopback_and_tells_its_key_and_port_only() -> None:
    task = asyncio.get_running_loop().create_task(announce(lambda: (EDGE,), 9443, (HERE,)))
    try:
        async with AsyncZeroconf(interfaces=[HERE], ip_version=IPVersion.V4Only) as seeker:
            info = AsyncServiceInfo(SERVICE, f"plugside-{EDGE[:8]}.{SERVICE}")
            assert await info.async_request(seeker.zeroconf, 10_000)
        assert info.properties == {b"v": b"1", b"id": EDGE.encode(), b"ws": b"9443"}
        assert info.parsed_addresses() == [HERE]
        assert (info.port, info.server) == (9443, f"plugside-{EDGE[:8]}.local.")
        found: list[Found] = []
        while not found:
            found = [one async for one in browse((HERE,), 0.2, edge=EDGE)]
        assert found == [Found(edge=EDGE, addresses=(f"{HERE}:9443",))]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_box_answers_to_the_keys_that_it_had_and_announces_a_new_one() -> None:
    names = [EDGE]
    task = asyncio.get_running_loop().create_task(announce(lambda: tuple(names), 9443, (HERE,)))
    try:
        found: list[Found] = []
        while not found:
            found = [one async for one in browse((HERE,), 0.2, edge=EDGE)]
        new = "zyxwvuts765432" + "b" * 18
        names.insert(0, new)  # its key was rotated: seen within LOOK_EVERY_S
        found = []
        while not found:
            found = [one async for one in browse((HERE,), 0.5, edge=new)]
        assert found == [Found(edge=new, addresses=(f"{HERE}:9443",))]
        found = []
        while not found:
            found = [one async for one in browse((HERE,), 0.2, edge=EDGE)]
        assert found == [Found(edge=EDGE, addresses=(f"{HERE}:9443",), now=new)]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("interfaces", "host", "wanted"),
    [
        (("10.0.0.5", "fe80::1", "fd00::1"), "0.0.0.0", ["10.0.0.5", "fd00::1"]),
        ((), "192.168.1.9", ["192.168.1.9"]),
    ],
)
def test_phones_are_told_addresses_that_a_url_can_carry(
    interfaces: tuple[str, ...], host: str, wanted: list[str]
) -> None:
    assert lan_addresses(interfaces, host) == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface is `lo` on Linux")
def test_an_interface_is_asked_for_the_addresses_that_it_has_now() -> None:
    assert HERE in present(("lo",))
    assert present(("192.0.2.9", HERE)) == (HERE,)
    assert present(("gone0",)) == ()
    assert HERE in lan_addresses(("lo",), "0.0.0.0")
    assert lan_addresses(("gone0",), "192.0.2.9") == ["192.0.2.9"]


def child(host: tuple[str, ...], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*host, sys.executable, "-c", CHILD, *words],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


@needs("ip")
def test_the_box_is_found_across_a_cable_between_two_hosts() -> None:
    try:
        with (
            Lan({"box": "10.77.0.1", "phone": "10.77.0.2"}) as lan,
            child(lan.inside("box"), "announce", EDGE, "10.77.0.1") as server,
        ):
            try:
                with child(lan.inside("phone"), "browse", EDGE, "10.77.0.2") as client:
                    told, _ = client.communicate(timeout=30)
            finally:
                server.terminate()
    except subprocess.CalledProcessError as forbidden:
        pytest.skip(f"needs the right to make network namespaces: {forbidden.stderr.decode().strip()}")
    assert json.loads(told) == [EDGE, ["10.77.0.1:9443"]]
