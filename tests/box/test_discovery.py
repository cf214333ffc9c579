"""mDNS: the box is found where it speaks, says nothing personal, and nothing leaves this machine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from common.client.discovery import Found, browse
from edge.discovery import SERVICE, announce, lan_addresses
from tests.needs import find_tool, needs

EDGE = "abcdefgh234567" + "a" * 18
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


def ip(*words: str) -> None:
    tool = find_tool("ip")
    assert tool is not None
    subprocess.run([tool, *words], check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them, and no way out."""
    box, phone = f"plugside-b{os.getpid()}", f"plugside-p{os.getpid()}"
    made: list[str] = []
    try:
        for name in (box, phone):
            ip("netns", "add", name)
            made.append(name)
        ip("-n", box, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", phone)
        for name, address in ((box, "10.77.0.1/24"), (phone, "10.77.0.2/24")):
            ip("-n", name, "address", "add", address, "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")
        yield box, phone
    finally:
        for name in made:
            ip("netns", "delete", name)


def child(host: str, *words: str) -> subprocess.Popen[str]:
    tool = find_tool("ip")
    assert tool is not None
    return subprocess.Popen(
        [tool, "netns", "exec", host, sys.executable, "-c", CHILD, *words],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


@needs("ip")
def test_the_box_is_found_across_a_cable_between_two_hosts() -> None:
    try:
        with two_hosts() as (box, phone), child(box, "announce", EDGE, "10.77.0.1") as server:
            try:
                with child(phone, "browse", EDGE, "10.77.0.2") as client:
                    told, _ = client.communicate(timeout=30)
            finally:
                server.terminate()
    except subprocess.CalledProcessError as forbidden:
        pytest.skip(f"needs the right to make network namespaces: {forbidden.stderr.decode().strip()}")
    assert json.loads(told) == [EDGE, ["10.77.0.1:9443"]]
