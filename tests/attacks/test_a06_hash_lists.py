"""Group 6: an attacker's certificate among the pins: a twin in the middle that passes everything on, and
lists that the box did not sign. The page leaves before its grant does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Error, Page

from common.appsession import ClientSession, Closed
from common.domain import Path as Way
from common.errors import Code
from common.link import Link
from edge.webtransport.door import listen_webtransport
from tests.applink.browser import connect_browser
from tests.applink.transports import threshold
from tests.attacks.stand import Stand
from tests.attacks.test_a05_certificates import made
from tests.browsers.pages import APP
from tests.needs import needs
from tests.vectors.make_proofs import FILE

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Twin:
    """Takes a page's link, opens its own to the true box, and carries frames both ways. `heard` the page."""

    def __init__(self, box_port: int) -> None:
        self._box_port = box_port
        self.heard: list[bytes] = []
        self.port = 0
        self.pin = ""

    async def carry(self, page: Link) -> None:
        box = await connect_browser(self._box_port)

        async def back() -> None:
            while (frame := await box.receive()) is not None:
                await page.send(frame)
            await page.close()

        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(back())
                while (frame := await page.receive()) is not None:
                    self.heard.append(frame)
                    await box.send(frame)
                await box.close()
        finally:
            await box.close()


@asynccontextmanager
async def twin(box_port: int, folder: Path) -> AsyncIterator[Twin]:
    """A relay in the middle, with a certificate of its own that a browser takes."""
    between = Twin(box_port)
    pem, between.pin = made(folder)
    async with asyncio.TaskGroup() as tasks:
        listener = await listen_webtransport(
            "127.0.0.1",
            0,
            between.carry,
            pem=pem,
            certificate_hash=between.pin,
            allowed=APP.__eq__,
            spawn=lambda name, work: tasks.create_task(work, name=name),
            threshold=threshold(),
        )
        between.port = listener.port
        try:
            yield between
        finally:
            await listener.close()


@needs("chromium")
async def test_a_page_that_pinned_the_twins_certificate_too_gives_it_no_grant(
    here: Stand, page: Page, tmp_path: Path
) -> None:
    await page.evaluate("text => join(text).then(told => { globalThis.joined = told })", here.invite())
    grant = await page.evaluate("joined.granted.grant")
    async with twin(here.port, tmp_path) as between:
        with pytest.raises(Error, match="untrusted_peer"):
            await page.evaluate(
                """async ([address, pin]) => {
                  joined.granted.site.addresses = [address];
                  joined.granted.site.certificates = [pin, ...joined.granted.site.certificates];
                  await reopen(joined);
                }""",
                [f"127.0.0.1:{between.port}", between.pin],
            )
    kinds = [json.loads(frame)["kind"] for frame in between.heard]
    assert kinds == ["hello"]
    assert grant not in b"".join(between.heard).decode()


async def test_a_proof_over_another_list_sends_a_client_away_without_a_word(here: Stand) -> None:
    phone = await here.phone()
    for case in json.loads(FILE.read_text())["cases"]:
        session = ClientSession(
            nonce=case["client_nonce"],
            path=Way.LAN,
            server=case["pinned"],
            key=phone.key,
            grants=(phone.grant,),
            binding=case["binding"],
        )
        session.hello()
        session.data_to_send()
        heard = session.receive(json.dumps(case["proof"]).encode())
        if case["result"] != "ok":
            assert isinstance(heard[-1], Closed)
            assert heard[-1].code == Code(case["result"])
            assert session.data_to_send() == []
    await here.works_for(phone)
