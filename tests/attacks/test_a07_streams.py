"""Group 7: streams left open, fed byte by byte, a gigabyte long, by the hundred thousand; datagrams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from common.domain import Path
from common.errors import Unavailable
from common.link import Link
from common.link.websocket import connect_websocket, lan_url
from common.threshold import STRANGERS_MAX
from tests.applink.browser import Browser, BrowserLink, browsing, connect_browser, connect_headers
from tests.attacks.stand import Stand, stand
from tests.box.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.mktemp("s")) as attacked:
        yield attacked


async def ended(browser: Browser) -> None:
    """Wait until the box has closed this connection."""
    async with asyncio.timeout(20):
        await browser.wait_closed()


async def test_who_says_nothing_is_gone_after_five_seconds(here: Stand) -> None:
    """A stream without a word, a session without a stream, a byte now and then; all at once, to be quick."""

    async def silent_stream() -> None:
        async with browsing(here.port) as raw:
            session, _ = await raw.request(connect_headers(here.port))
            raw.send(raw.stream(session), b"\n")
            await ended(raw)

    async def no_stream() -> None:
        async with browsing(here.port) as raw:
            await raw.request(connect_headers(here.port))
            await ended(raw)

    phone = await here.phone()
    await asyncio.gather(silent_stream(), no_stream(), byte_by_byte(here))
    await here.works_for(phone)


async def byte_by_byte(here: Stand) -> None:
    async with browsing(here.port) as raw:
        session, _ = await raw.request(connect_headers(here.port))
        stream = raw.stream(session)
        closing = asyncio.get_running_loop().create_task(raw.wait_closed())
        for letter in b'{"kind":"hello","nonce":"' + b"A" * 400:
            raw.send(stream, bytes([letter]))
            done, _ = await asyncio.wait({closing}, timeout=0.1)
            if done:
                break
        assert closing.done(), "still fed after forty seconds"


async def gigabyte(link: Link) -> None:
    for _ in range(1 << 14):
        await link.send(b"A" * (1 << 16) + b"A")


async def test_a_gigabyte_in_one_frame_is_cut_at_the_first_bytes_too_many(here: Stand) -> None:
    phone = await here.phone()
    async with browsing(here.port) as raw:
        session, _ = await raw.request(connect_headers(here.port))
        raw.send(
            raw.stream(session), b"A" * (1 << 20)
        )  # flow control lets the box see its window and no more
        await ended(raw)
    link = await connect_websocket(lan_url(f"127.0.0.1:{here.port}"), Path.LAN)
    with pytest.raises(ConnectionError):
        await gigabyte(link)
    await link.close()
    await here.works_for(phone)


async def test_a_hundred_thousand_streams_end_at_the_ninth(here: Stand) -> None:
    async with browsing(here.port) as raw:
        session, _ = await raw.request(connect_headers(here.port))
        opened = 0
        while opened < 100_000 and not raw._closed.is_set():
            raw.send(raw.stream(session), b"x")
            opened += 1
            await asyncio.sleep(0)
        await ended(raw)
    assert opened < 100_000


async def test_datagrams_are_looked_at_by_nobody(here: Stand) -> None:
    link = await connect_browser(here.port)
    assert isinstance(link, BrowserLink)
    for number in range(2000):
        link._browser._quic.send_datagram_frame(b"\0" + b"%d" % number)
        if number % 50 == 0:
            link._browser.transmit()
            await asyncio.sleep(0)
    await link.send(b'{"kind":"hello","nonce":"' + b"A" * 43 + b'"}')
    async with asyncio.timeout(20):
        answer = await link.receive()
    assert answer is not None
    assert b'"proof"' in answer
    await link.close()


async def fill(url: str, held: list[Link]) -> None:
    """Open links until no more are let in."""
    while len(held) < 2 * STRANGERS_MAX:
        link = await connect_websocket(url, Path.LAN)
        held.append(link)


async def test_strangers_on_both_doors_together_hold_no_more_places_than_there_are(here: Stand) -> None:
    phone = await here.phone()
    async with phone.link(Path.LAN) as talk:
        url = lan_url(f"127.0.0.1:{here.port}")
        await eventually(lambda: here.site.lan.threshold.strangers == 0, "earlier strangers to be gone")
        held: list[Link] = [await connect_websocket(url, Path.LAN) for _ in range(STRANGERS_MAX // 2)]
        held += [await connect_browser(here.port) for _ in range(STRANGERS_MAX // 4)]
        assert here.site.lan.threshold.strangers <= STRANGERS_MAX
        with pytest.raises(Unavailable):
            await fill(url, held)
        await talk.follow()  # who is in is not touched by it
        await asyncio.gather(*(link.close() for link in held))
    await eventually(lambda: here.site.lan.threshold.links == 0, "every place to be given back")
    assert here.site.lan.threshold.strangers == 0
