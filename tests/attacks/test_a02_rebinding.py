"""Group 2: names of the internet that are made to lead to the box; doubled, missing, foreign hosts."""

from __future__ import annotations

import pytest

from common.domain import Path
from tests.applink.browser import browsing, connect_headers
from tests.attacks.stand import Stand, raw_https

pytestmark = pytest.mark.asyncio(loop_scope="session")

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example",
    "box.local.evil.example",
    "a@127.0.0.1",
]


def status(answer: bytes) -> int:
    """Of an HTTP answer; 0 when the connection was dropped without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize("host", HOSTS)
async def test_a_rebound_name_gets_421_and_no_link(here: Stand, host: str) -> None:
    named = host.format(port=here.port).encode()
    answer = await raw_https(here.port, b"GET /v1/link HTTP/1.1\r\nHost: " + named + b"\r\n" + UPGRADE)
    assert status(answer) == 421
    async with browsing(here.port) as raw:
        _, told = await raw.request(connect_headers(here.port, authority=named))
        assert told[b":status"] == b"421"


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Host: \r\n",
        b"Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n",
        b"Host: 127.0.0.1\r\nHost: evil.example\r\n",
        b"Host: 127.0.0.1, evil.example\r\n",
    ],
)
async def test_no_host_two_hosts_and_lists_of_them_are_refused_in_one_line(here: Stand, lines: bytes) -> None:
    answer = await raw_https(here.port, b"GET /v1/link HTTP/1.1\r\n" + lines + UPGRADE)
    assert status(answer) in (400, 421)
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"host", b"evil.example"),
        (b"origin", b"https://evil.example"),
        (b"origin", b"https://app.example"),
        (b"sec-other", b"1"),
    ],
)
async def test_one_header_more_is_another_host_a_second_origin_or_nothing(
    here: Stand, name: bytes, value: bytes
) -> None:
    """Of two that say different things, whichever counted would be the wrong one for somebody."""
    async with browsing(here.port) as raw:
        _, told = await raw.request([*connect_headers(here.port), (name, value)])
        assert told[b":status"] == (b"200" if name == b"sec-other" else b"400")


async def test_an_absolute_request_does_not_pass_for_the_path(here: Stand) -> None:
    line = b"GET https://evil.example/v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    assert status(await raw_https(here.port, line + UPGRADE)) in (0, 400, 404)


async def test_under_its_own_names_the_box_answers(here: Stand) -> None:
    for host in (b"127.0.0.1:%d" % here.port, b"plugside-abcdefgh.local", b"[::1]:9443"):
        answer = await raw_https(here.port, b"GET /v1/link HTTP/1.1\r\nHost: " + host + b"\r\n" + UPGRADE)
        assert status(answer) == 101
    phone = await here.phone()
    async with phone.link(Path.LAN) as talk:
        await talk.follow()
    assert await here.commands() == 0
