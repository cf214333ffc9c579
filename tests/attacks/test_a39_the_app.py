"""Group 39: the app itself, from a public address: the browser asks before a page may use the local network.

Cloud and app are https://app.example, which Chromium is told is somewhere on the internet; the box is on the
local network. The box goes out by a proxy, as on many sites, since that name is nowhere but here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from common.clock import SystemClock, SystemIds
from common.supervise import Supervisor
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger
from tests.attacks.test_a39_local_network import set_permission
from tests.browsers.pages import APP, PageServer, chromium
from tests.e2e.place import Place
from tests.needs import needs
from tests.tools import webapp
from tests.web.air import Air

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("chromium"), needs("vite")]

#: The box listens here; pages find it at 127.0.0.1, through the air.
BOX = "127.0.0.2"
PACE = 60.0
#: What the app dials on the local network, counted: that is what makes a browser ask.
COUNTED = """globalThis.dialled = 0;
globalThis.WebTransport = class extends WebTransport {
  constructor(...given) { globalThis.dialled += 1; super(...given); }
};"""


class Street(NamedTuple):
    """A site, its cloud at a public address, and the air between phone and box."""

    home: Place
    air: Air
    pages: PageServer
    cloud_port: int


class Proxy:
    """An HTTP proxy (CONNECT) by which the box reaches the one name that there is."""

    def __init__(self, port: int) -> None:
        self._to, self.port = port, 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"CONNECT app.example:443 "), head
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError):
                    while data := await source.read(65536):
                        sink.write(data)
                sink.close()

            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    assert webapp.build() == ""
    folder = tmp_path_factory.mktemp("p")
    pages = PageServer(tmp_path_factory.mktemp("pages"))  # for its certificate; the cloud serves the pages
    here = Place(folder, lan_host=BOX)
    port = urlsplit(here.stage.cloud_url).port
    assert port is not None
    pem = str(pages.pem)
    here.cloud._arguments += ["--tls-cert", pem, "--tls-key", pem, "--public-url", APP]
    here.box._arguments[here.box._arguments.index("--cloud") + 1] = APP
    pages.port = port
    async with Proxy(port) as proxy, Air(BOX, here.lan_port) as air:
        try:
            await here.cloud.start()
            with pytest.MonkeyPatch.context() as environment:  # the box's alone
                environment.setenv("SSL_CERT_FILE", pem)
                environment.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
                await here.box.start()
            await here.take_in()
            await here.adopt("CP1")
            yield Street(here, air, pages, port)
        finally:
            await here.stage.stop()


@asynccontextmanager
async def phone(street: Street, folder: Path) -> AsyncIterator[Page]:
    """A phone with the app, which has joined in the cloud, and a charger with a car."""
    spaces = f"127.0.0.1:{street.cloud_port}=public,127.0.0.1:{street.home.lan_port}=local"
    invite = await street.home.invite("CP1", by_cloud=True)
    clock, ids = SystemClock(), SystemIds()
    charger = SimulatedCharger(street.home.url, "CP1", clock=clock, ids=ids, pace=PACE, sample_s=0.5)
    charger.plug_in(Car())
    running = Supervisor(clock, ids).spawn("CP1", charger.run())
    try:
        async with chromium(street.pages, folder, f"--ip-address-space-overrides={spaces}") as context:
            await context.add_init_script(COUNTED)
            page = context.pages[0]
            await page.goto(f"{APP}/#join={invite}")
            await page.get_by_test_id("join").click()
            await expect(page.get_by_test_id("hero")).to_have_attribute("data-kind", "plugged")
            yield page
    finally:
        running.cancel()


async def charges(page: Page) -> None:
    """Start, see it charge, stop: whichever way it goes."""
    hero = page.get_by_test_id("hero")
    await page.get_by_test_id("start").click()
    await expect(hero).to_have_attribute("data-kind", "charging")
    await page.get_by_test_id("stop").click()
    await expect(hero).to_have_attribute("data-kind", "finished")


async def dialled(page: Page) -> int:
    count: int = await page.evaluate("dialled")
    return count


async def shown_live(page: Page) -> None:
    await expect(page.get_by_test_id("hero")).to_have_attribute("data-doubt", "none")


async def through_the_cloud(page: Page) -> None:
    await expect(page.get_by_text("Through the cloud").first).to_be_visible()


STATE = "navigator.permissions.query({ name: 'local-network' }).then(found => found.state)"


async def test_nobody_is_asked_before_a_tap_and_after_it_once(street: Street, tmp_path: Path) -> None:
    async with phone(street, tmp_path) as page:
        ask, denied = page.get_by_test_id("local-ask"), page.get_by_test_id("local-denied")
        assert await page.evaluate(STATE) == "prompt"
        await expect(ask).to_contain_text("your browser asks whether this app may use your local network")
        await through_the_cloud(page)
        await charges(page)
        await page.reload()
        await shown_live(page)
        await expect(ask).to_be_visible()
        assert await dialled(page) == 0, "the browser would have asked somebody who has tapped nothing"
        assert street.air.senders == 0
        await ask.get_by_role("button").click()
        # A Chromium without a window closes the question by itself, and that is a no.
        await expect(denied).to_be_visible()
        assert await page.evaluate(STATE) == "denied"
        assert await dialled(page) > 0, "it was asked"
        await through_the_cloud(page)
        await page.reload()
        await shown_live(page)
        await expect(denied).to_be_visible()
        await expect(ask).to_have_count(0)
        assert await dialled(page) == 0, "who said no is not asked again"
        assert street.air.senders == 0, "nothing has left the browser for the local network"


async def test_denied_granted_and_taken_back(street: Street, tmp_path: Path) -> None:
    async with phone(street, tmp_path) as page:
        await set_permission(page, "denied")
        told = page.get_by_test_id("local-denied")
        await expect(told).to_contain_text("everything goes through the cloud")
        await expect(told).to_contain_text("allow “local network” for this page in the browser’s settings")
        await expect(page.get_by_test_id("local-ask")).to_have_count(0)
        await charges(page)
        await through_the_cloud(page)
        assert await dialled(page) == 0, "denied is denied: nothing is tried"
        await set_permission(page, "granted")
        await expect(page.get_by_text("On site").first).to_be_visible()
        await expect(told).to_have_count(0)
        await set_permission(page, "denied")
        street.air.cut()  # what was open may live on; what is lost does not come back
        try:
            await through_the_cloud(page)
            await expect(told).to_be_visible()
        finally:
            street.air.mend()
        before = await dialled(page)
        await page.reload()
        await shown_live(page)
        await through_the_cloud(page)
        await expect(told).to_be_visible()
        assert (before > 0, await dialled(page)) == (True, 0)
