"""A driver's day in a real Chromium, at a real box, a real cloud and a simulated charger.

Join by a link, start on site, watch, lose the Wi-Fi, stop through the cloud, look back, keep the receipt.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, async_playwright, expect
from playwright.async_api import Error as PlaywrightError

from common.clock import SystemClock, SystemIds
from common.domain import iso
from common.supervise import Supervisor
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger
from tests.browsers.pages import QUIET
from tests.e2e.place import Driver, Place, place
from tests.needs import find_tool, needs
from tests.tools import webapp
from tests.web.air import Air
from tests.web.stage import AXE, SHOTS, SIZES, Look

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("chromium"), needs("vite")]

#: The box listens here; pages find it at 127.0.0.1, through the air.
BOX = "127.0.0.2"
#: Simulated seconds for each real one: a minute of charge a second.
PACE = 60.0
#: A box whose cloud was away asks for it after 30 s at most.
AGAIN_S = 60
WEEK_MS = 7 * 24 * 3_600_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box that serves the app by its cloud, with two chargers."""
    assert webapp.build() == ""
    async with place(tmp_path_factory.mktemp("p"), cloud=True, lan_host=BOX) as here:
        await here.adopt("CP1", "CP2")
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def air(home: Place) -> AsyncIterator[Air]:
    async with Air(BOX, home.lan_port) as one:
        yield one


@asynccontextmanager
async def charger(home: Place, identity: str) -> AsyncIterator[SimulatedCharger]:
    """A simulated charger with a car at it."""
    clock, ids = SystemClock(), SystemIds()
    one = SimulatedCharger(home.url, identity, clock=clock, ids=ids, pace=PACE, sample_s=0.5)
    one.plug_in(Car())
    running = Supervisor(clock, ids).spawn(identity, one.run())
    try:
        yield one
    finally:
        running.cancel()


@asynccontextmanager
async def device(folder: Path, size: str, look: Look) -> AsyncIterator[BrowserContext]:
    """A phone or a desk with a Chromium of its own, which keeps what it is told to."""
    width, height = SIZES[size]
    async with async_playwright() as tools:
        context = await tools.chromium.launch_persistent_context(
            folder / "chromium",
            executable_path=find_tool("chromium"),
            args=list(QUIET),
            viewport={"width": width, "height": height},
            color_scheme=look,
            locale="en-GB",
            reduced_motion="reduce",
            accept_downloads=True,
            env={**os.environ, "HOME": str(folder)},
        )
        try:
            yield context
        finally:
            await context.close()


async def shoot(page: Page, name: str, size: str, look: Look) -> None:
    """A picture for people; and axe has nothing serious to say about what is on it."""
    SHOTS.mkdir(exist_ok=True)
    await page.screenshot(path=SHOTS / f"real-{name}-{size}-{look}.png")
    # The page's own policy lets nobody's script in: axe goes by the debugger.
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    bad = [one["id"] for one in found["violations"] if one["impact"] in {"serious", "critical"}]
    assert bad == [], name


async def join(home: Place, page: Page, *chargers: str) -> None:
    invite = await home.invite(*chargers, by_cloud=True)
    await page.goto(f"{home.stage.cloud_url}/#join={invite}")
    await expect(page.get_by_test_id("join")).to_be_visible()
    assert invite not in page.url
    await page.get_by_test_id("join").click()
    await expect(page.get_by_text("You have joined")).to_be_visible()


@pytest.mark.parametrize(("size", "look", "bay"), [("phone", "light", "CP1"), ("desk", "dark", "CP2")])
async def test_a_charge_from_the_invite_to_the_receipt(
    home: Place, air: Air, tmp_path: Path, size: str, look: Look, bay: str
) -> None:
    air.mend()
    complaints: list[str] = []
    async with charger(home, bay) as one, device(tmp_path, size, look) as context:
        page = context.pages[0]
        page.on("pageerror", lambda failed: complaints.append(str(failed)))
        page.on("console", lambda said: complaints.append(said.text) if "violates" in said.text else None)
        await join(home, page, bay)
        hero = page.get_by_test_id("hero")
        await expect(hero).to_have_attribute("data-kind", "plugged")
        await expect(page.get_by_text("On site").first).to_be_visible()
        await shoot(page, "1-plugged", size, look)
        # Start, and watch: nothing is claimed before the charger has done it.
        await page.get_by_test_id("start").click()
        await expect(page.get_by_test_id("asked")).to_be_visible()
        await expect(hero).to_have_attribute("data-kind", "charging")
        await expect(hero).to_contain_text(re.compile(r"Charging \d+\.\d kW"))
        await expect(page.locator(".curve")).to_have_attribute("data-points", re.compile(r"^([4-9]|\d\d)"))
        await shoot(page, "2-charging", size, look)
        # The Wi-Fi goes; the same screen goes on through the cloud, and stops there.
        air.cut()
        await expect(page.get_by_text("Through the cloud").first).to_be_visible()
        await expect(hero).to_have_attribute("data-doubt", "none")
        await shoot(page, "3-through-cloud", size, look)
        await page.get_by_test_id("stop").click()
        await expect(page.get_by_test_id("stop")).to_have_count(0)
        await expect(hero).to_have_attribute("data-kind", "finished")
        await expect(page.get_by_text("The charge has ended.")).to_be_visible()
        await shoot(page, "4-stopped", size, look)
        await look_back(home, page, one, size, look, tmp_path)
    assert complaints == []


async def look_back(
    home: Place, page: Page, one: SimulatedCharger, size: str, look: Look, folder: Path
) -> None:
    """The history has the charge as the charger's own register has it, and its receipt proves itself."""
    (start_wh, stop_wh) = one.finished[0]
    await page.get_by_role("link", name="History").click()
    row = page.locator("[data-testid^=session-]").first
    await expect(row).to_contain_text("kWh")
    await shoot(page, "5-history", size, look)
    await row.click()
    await expect(page.get_by_test_id("sum")).to_contain_text(f"{(stop_wh - start_wh) / 1000:.3f} kWh")
    await expect(page.locator(".curve")).to_have_attribute("data-points", re.compile(r"^([4-9]|\d\d)"))
    await shoot(page, "6-session", size, look)
    async with page.expect_download() as coming:
        await page.get_by_test_id("receipt").click()
    file = folder / "receipt.json"
    await (await coming.value).save_as(file)
    told = await Driver(folder / "anybody").told("receipt", "verify", str(file))
    assert told["energy_wh"] == stop_wh - start_wh


async def test_a_limit_that_the_charger_proves_and_a_plug_that_it_releases(
    home: Place, air: Air, tmp_path: Path
) -> None:
    air.mend()
    async with charger(home, "CP1") as one, device(tmp_path, "phone", "dark") as context:
        page = context.pages[0]
        # Of this device alone: the phone's clock is a week behind, and nothing depends on it.
        await page.clock.set_fixed_time(iso(SystemClock().now_ms() - WEEK_MS))
        await join(home, page, "CP1")
        await expect(page.get_by_test_id("clock-off")).to_contain_text("7 days")
        await page.get_by_test_id("start").click()
        hero = page.get_by_test_id("hero")
        await expect(hero).to_have_attribute("data-kind", "charging")
        await page.get_by_test_id("limit").click()
        slider = page.get_by_role("slider")
        await slider.fill("10")
        await page.get_by_test_id("limit-set").click()
        await expect(page.get_by_text("The limit is in force.")).to_be_visible()
        await expect(hero).to_contain_text("at most 10 A")
        assert one.offered_a == 10
        await shoot(page, "8-limited", "phone", "dark")
        # Another tab of the same device shows the same, and what it does is seen here.
        other = await context.new_page()
        await other.goto(f"{home.stage.cloud_url}/#/at/cp1")
        await expect(other.get_by_test_id("hero")).to_have_attribute("data-kind", "charging")
        await other.get_by_test_id("unlock").click()
        await other.get_by_role("dialog").get_by_role("button", name="Unlock", exact=True).click()
        await expect(hero).to_have_attribute("data-kind", "finished")
        assert one.finished


async def test_a_second_device_joins_by_the_first(home: Place, air: Air, tmp_path: Path) -> None:
    air.mend()
    async with (
        charger(home, "CP2"),
        device(tmp_path / "one", "phone", "light") as phone,
        device(tmp_path / "two", "desk", "light") as desk,
    ):
        await phone.grant_permissions(["clipboard-read", "clipboard-write"])
        page, other = phone.pages[0], desk.pages[0]
        await join(home, page, "CP2")
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_test_id("add-device").click()
        await expect(page.get_by_test_id("op-qr").locator("path")).to_have_attribute("d", re.compile("^M"))
        await shoot(page, "9-second-device", "phone", "light")
        await page.get_by_role("button", name="Copy link").click()
        await expect(page.get_by_text("The link was copied.")).to_be_visible()
        await other.goto(await page.evaluate("navigator.clipboard.readText()"))
        await other.get_by_test_id("join").click()
        await other.get_by_test_id("start").click()
        # It is the same person's charge, on whichever of the two it was begun.
        await page.goto(f"{home.stage.cloud_url}/#/at/CP2")
        await expect(page.get_by_test_id("stop")).to_be_enabled()
        await page.get_by_test_id("stop").click()
        await expect(other.get_by_test_id("hero")).to_have_attribute("data-kind", "finished")


async def kept(page: Page) -> None:
    """Wait until the device has written down what it shows, as it does when it is put away."""
    await page.evaluate("dispatchEvent(new Event('pagehide'))")
    await page.wait_for_function(
        """() => new Promise((told) => {
            indexedDB.open('plugside').onsuccess = ({ target: { result: db } }) => {
                db.transaction('kept').objectStore('kept').count().onsuccess = ({ target }) => {
                    db.close();
                    told(target.result > 0);
                };
            };
        })"""
    )


async def test_the_app_opens_with_no_network_and_says_so(home: Place, air: Air, tmp_path: Path) -> None:
    air.mend()
    async with charger(home, "CP1"), device(tmp_path, "phone", "light") as context:
        page = context.pages[0]
        await join(home, page, "CP1")
        await expect(page.get_by_test_id("hero")).to_have_attribute("data-doubt", "none")
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await kept(page)
        air.cut()
        await home.cloud.stop()
        try:
            await page.reload()
            await expect(page.get_by_test_id("past")).to_contain_text("Site unreachable: showing")
            await expect(page.get_by_test_id("hero")).to_have_attribute("data-doubt", "last_known")
            await expect(page.get_by_test_id("start")).to_be_disabled()
            await shoot(page, "7-no-network", "phone", "light")
        finally:
            await home.cloud.start()
        # The page may have found the cloud by itself already: then there is nothing left to press.
        with contextlib.suppress(PlaywrightError):
            await page.get_by_role("button", name="Try again now").click(timeout=2000)
        await home.joined(patience_s=AGAIN_S)
        await expect(page.get_by_text("Through the cloud").first).to_be_visible()
        await expect(page.get_by_test_id("past")).to_have_count(0)
