"""Group 8: JSON that hurts parsers, at the door and on an open link."""

from __future__ import annotations

import asyncio
import json

import pytest

from common.appsession import Closed
from common.domain import Path
from common.link.websocket import connect_websocket, lan_url
from tests.attacks.stand import Stand

pytestmark = pytest.mark.asyncio(loop_scope="session")

NONCE = "A" * 43
FRAMES: dict[str, bytes] = {
    "deep": b"[" * 15_000,
    "deep objects": b'{"kind":"hello","x":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_001,
    "two kinds": b'{"kind":"hello","kind":"command","nonce":"%b"}' % NONCE.encode(),
    "NaN": b'{"kind":"hello","versions":[NaN],"nonce":"%b"}' % NONCE.encode(),
    "infinity": b'{"kind":"hello","versions":[1e999],"nonce":"%b"}' % NONCE.encode(),
    "two to the 64": b'{"kind":"ping","at":18446744073709551616}',
    "lone surrogate": b'{"kind":"hello","client":"\\ud800","nonce":"\\ud800"}',
    "raw surrogate": b'{"kind":"hello","nonce":"\xed\xa0\x80"}',
    "NUL": b'{"kind":"hello","nonce":"\x00"}',
    "BOM": b'\xef\xbb\xbf{"kind":"hello","nonce":"%b"}' % NONCE.encode(),
    "a string of a megabyte": b'{"kind":"hello","nonce":"' + b"A" * (1 << 20) + b'"}',
    "not UTF-8": b"\xff\xfe{}",
    "nothing": b"",
    "a number": b"1e309",
    "an unknown kind": b'{"kind":"__init__"}',
}


@pytest.mark.parametrize("name", FRAMES)
async def test_before_the_handshake_it_ends_this_link_and_says_why(here: Stand, name: str) -> None:
    link = await connect_websocket(lan_url(f"127.0.0.1:{here.port}"), Path.LAN)
    await link._connection.send(FRAMES[name])  # binary: our own client sends no text that is not UTF-8
    async with asyncio.timeout(20):
        answer = await link.receive()
    assert answer is None or json.loads(answer)["kind"] == "bye"
    assert answer is None or await link.receive() is None
    await link.close()


async def test_on_an_open_link_too_and_others_do_not_notice(here: Stand) -> None:
    phone = await here.phone()
    async with phone.link(Path.LAN) as beside:
        for frame in FRAMES.values():
            async with phone.link(Path.LAN) as talk:
                await talk.link._connection.send(frame)
                await talk.until(lambda t=talk: bool(t.of(Closed)), "the end")
        await beside.follow()
    assert await here.commands() == 0
    assert await here.written("session_started") == []
