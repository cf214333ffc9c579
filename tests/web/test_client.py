"""The TypeScript client in a real Chromium against a real box and cloud: the SDK that the app stands on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.e2e.chargers import PackageCharger
from tests.e2e.place import Place, place
from tests.needs import needs
from tests.web.clientpage import built, chromium, client_page, phone_of, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("chromium"), needs("vite")]

LIVE = "site => test.state(site)?.shown && test.state(site).live"
ON_LAN = "site => test.state(site)?.path === 'lan'"
ON_CLOUD = "site => test.state(site)?.path === 'cloud' && test.state(site).live"
#: What was shown is on the phone's disk.
KEPT = """site => new Promise(resolve => {
    const opening = indexedDB.open('plugside');
    opening.onsuccess = () => {
        const found = opening.result.transaction('kept').objectStore('kept').get(site);
        found.onsuccess = () => { opening.result.close(); resolve(found.result !== undefined); };
    };
})"""
#: The page has written down which key it takes for its box's, and by which statement.
PINS = """([site, box, number]) => new Promise(resolve => {
    const opening = indexedDB.open('plugside');
    opening.onsuccess = () => {
        const found = opening.result.transaction('sites').objectStore('sites').get(site);
        found.onsuccess = () => {
            opening.result.close();
            resolve(found.result?.box === box && found.result?.boxNumber === number);
        };
    };
})"""
READY = "site => test.state(site)?.view.chargers.CP1?.connectors[1]?.state === 'preparing'"


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(tmp_path_factory.mktemp("client"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box with its cloud, and a charger that is adopted."""
    async with place(tmp_path_factory.mktemp("p"), cloud=True) as here:
        await here.adopt("CP1")
        yield here


@pytest_asyncio.fixture(loop_scope="module")
async def charger(home: Place) -> AsyncIterator[PackageCharger]:
    plugged = PackageCharger(home.url, "CP1")
    plugged.plugged = True
    async with plugged:
        await plugged.until(lambda: plugged.online)
        yield plugged


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with chromium(tmp_path_factory.mktemp("b")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser: Browser) -> AsyncIterator[BrowserContext]:
    async with phone_of(browser) as context:
        yield context


@pytest_asyncio.fixture(loop_scope="module")
async def page(home: Place, phone: BrowserContext, script: str) -> Page:
    return await client_page(phone, home.stage.cloud_url, script)


async def joined(home: Place, page: Page, **given: Any) -> str:
    """A site that this page has joined by the cloud's invite, shown and live."""
    invite = await home.invite(by_cloud=True, **given)
    site: str = await page.evaluate("text => test.join(text)", invite)
    await until(page, LIVE, site)
    return site


async def charge(page: Page, site: str) -> dict[str, Any]:
    """Start at CP1; how it ended."""
    run = await page.evaluate("site => test.start(site, 'CP1')", site)
    ended: dict[str, Any] = await page.evaluate("id => test.over(id)", run)
    return ended


async def ends(page: Page, site: str, session: str) -> dict[str, Any]:
    run = await page.evaluate("([site, session]) => test.stop(site, 'CP1', session)", [site, session])
    ended: dict[str, Any] = await page.evaluate("id => test.over(id)", run)
    return ended


async def test_a_charge_on_the_lan_with_pins_that_the_cloud_has_told(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    site = await joined(home, page)
    await until(page, ON_LAN, site)
    await page.evaluate("test.cutWay('cloud')")  # it would help out where the box's disk takes its time
    await until(page, READY, site)
    started = await charge(page, site)
    assert (started["at"], started["outcome"], started["path"]) == ("settled", "succeeded", "lan"), started
    assert started["ms"]["accepted"] <= started["ms"]["confirmed"] <= started["ms"]["settled"]
    # The pushed state shows it: one's own session, and what the meter says.
    await until(
        page, "([site, session]) => !!test.state(site).view.sessions[session]", [site, started["session"]]
    )
    charger.draw(700)
    stopped = await ends(page, site, started["session"])
    assert (stopped["outcome"], stopped["path"]) == ("succeeded", "lan"), stopped
    await until(
        page,
        "([site, session]) => test.state(site).view.sessions[session]?.energy_wh === 700",
        [site, started["session"]],
    )
    rows = await page.evaluate("site => test.client.query(site, 'sessions')", site)
    assert rows["rows"][0]["session"] == started["session"]


async def test_when_the_lan_is_cut_the_cloud_shows_and_carries_what_the_box_decides(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    site = await joined(home, page)
    await until(page, ON_LAN, site)
    await until(page, READY, site)
    started = await charge(page, site)
    shown = await page.evaluate("site => test.state(site).view.seq", site)
    await page.evaluate("test.cutWay('lan')")
    await until(page, ON_CLOUD, site)
    assert await page.evaluate("site => test.state(site).view.seq", site) >= shown
    stopped = await ends(page, site, started["session"])
    assert (stopped["outcome"], stopped["path"]) == ("succeeded", "cloud"), stopped
    await page.evaluate("test.cut.lan = false; test.client.retry()")
    await until(page, ON_LAN, site)


async def test_a_lan_that_falls_silent_costs_a_moment_and_the_command_has_one_effect(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    site = await joined(home, page)
    await until(page, ON_LAN, site)
    await until(page, READY, site)
    before = len(await home.sessions("CP1"))
    # Heard by the box, but no answer comes back: the worst moment for a line to die.
    await page.evaluate(
        """site => {
            globalThis.run = test.start(site, 'CP1');
            test.silent.lan = true;
        }""",
        site,
    )
    started = await page.evaluate("test.over(run)")
    assert (started["at"], started["outcome"], started["path"]) == ("settled", "succeeded", "cloud"), started
    assert len(await home.sessions("CP1")) == before + 1
    await page.evaluate("test.silent.lan = false")
    assert (await ends(page, site, started["session"]))["outcome"] == "succeeded"


async def test_a_phone_that_comes_back_shows_what_it_knew_and_finds_the_box_with_no_cloud(
    home: Place, charger: PackageCharger, phone: BrowserContext, page: Page, script: str
) -> None:
    site = await joined(home, page)
    await until(page, ON_LAN, site)
    key = await page.evaluate("test.client.shared.key.public")
    await until(page, KEPT, site)
    again = await client_page(phone, home.stage.cloud_url, script, opened=False)
    await page.close()
    await home.cloud.stop()
    try:
        await again.evaluate("test.open()")
        # With the time at which it was true. That it is shown before anybody answers: client.test.ts.
        await until(again, "site => test.state(site).shown", site)
        known = await again.evaluate("site => test.state(site)", site)
        assert known["asOf"] > 0
        assert "CP1" in known["view"]["chargers"]
        await until(again, ON_LAN, site)
        await until(again, READY, site)
        assert await again.evaluate("test.client.shared.key.public") == key
        started = await charge(again, site)
        assert (started["outcome"], started["path"]) == ("succeeded", "lan"), started
        assert (await ends(again, site, started["session"]))["outcome"] == "succeeded"
    finally:
        await home.cloud.start()


async def test_no_way_at_all_is_said_and_nothing_is_sent_later(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    site = await joined(home, page)
    await until(page, ON_LAN, site)
    await page.evaluate("test.cutWay('lan'); test.cutWay('cloud')")
    await until(page, "site => test.state(site).path === null && !test.state(site).live", site)
    refused = await charge(page, site)
    assert (refused["at"], refused["error"]["code"]) == ("refused", "no_path"), refused
    before = len(await home.sessions("CP1"))
    await page.evaluate("test.cut.lan = test.cut.cloud = false; test.client.retry()")
    await until(page, ON_LAN, site)
    await until(page, READY, site)
    assert len(await home.sessions("CP1")) == before


async def test_what_one_tab_joins_another_shows_and_what_it_leaves_is_gone_there(
    home: Place, charger: PackageCharger, phone: BrowserContext, page: Page, script: str
) -> None:
    other = await client_page(phone, home.stage.cloud_url, script)
    site = await joined(home, page)
    await until(other, LIVE, site)
    assert await other.evaluate("test.client.shared.key.public") == await page.evaluate(
        "test.client.shared.key.public"
    )
    await page.evaluate("site => test.client.forget(site)", site)
    await until(other, "site => test.state(site) === undefined", site)
    await other.close()


async def test_an_invite_is_good_once_and_a_stranger_s_word_is_refused(
    home: Place, browser: Browser, page: Page, script: str
) -> None:
    invite = await home.invite(by_cloud=True)
    await page.evaluate("text => test.join(text)", invite)
    async with phone_of(browser) as thief:
        elsewhere = await client_page(thief, home.stage.cloud_url, script)
        code = await elsewhere.evaluate("text => test.fails(() => test.join(text))", invite)
        assert code == "bad_invite"
        assert await elsewhere.evaluate("test.client.sites.value.length") == 0
        assert await elsewhere.evaluate("test.fails(() => test.join('https://evil.example'))") == "bad_invite"


async def test_a_box_s_own_invite_is_redeemed_with_the_cloud_away(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    invite = await home.invite("CP1")
    await page.evaluate("test.cutWay('cloud')")
    site = await page.evaluate("text => test.join(text)", invite)
    await until(page, ON_LAN, site)
    await until(page, READY, site)
    assert await page.evaluate("site => test.state(site).role", site) == "driver"


async def test_a_drivers_queries_and_acts_end_where_their_rights_do(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    site = await joined(home, page)
    for via in ("lan", "cloud"):  # box and cloud give the same answer
        for ask in (
            "test.client.query(site, 'audit', {}, { via })",
            "test.client.manage(site, 'invite', {}, { via })",
        ):
            code = await page.evaluate(f"([site, via]) => test.fails(() => {ask})", [site, via])
            assert code == "not_permitted", (via, ask)
    assert await page.evaluate("site => test.fails(() => test.client.query(site, 'nonsense'))", site) == (
        "bad_request"
    )
    # By a way that is named, also one that is not in use.
    page_of = await page.evaluate(
        "site => test.client.query(site, 'sessions', {}, { via: 'cloud', limit: 1 })", site
    )
    assert len(page_of["rows"]) <= 1


async def test_a_box_with_no_cloud_serves_a_page_that_reaches_it(
    browser: Browser, script: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with place(tmp_path_factory.mktemp("p")) as alone, phone_of(browser, warned=True) as phone:
        await alone.adopt("CP1")
        page = await client_page(phone, f"https://127.0.0.1:{alone.lan_port}", script)
        assert await page.evaluate("isSecureContext")
        site = await page.evaluate("text => test.join(text)", await alone.invite("CP1"))
        await until(page, ON_LAN, site)
        plugged = PackageCharger(alone.url, "CP1")
        plugged.plugged = True
        async with plugged:
            await until(page, READY, site)
            started = await charge(page, site)
            assert (started["outcome"], started["path"]) == ("succeeded", "lan"), started
            assert (await ends(page, site, started["session"]))["outcome"] == "succeeded"


async def test_a_page_follows_its_box_to_another_key_while_the_cloud_is_away(
    home: Place, charger: PackageCharger, page: Page
) -> None:
    """The last test of this box: who comes after meets it under its new key."""
    site = await joined(home, page)
    await until(page, ON_LAN, site)
    await until(page, READY, site)
    running = await charge(page, site)
    await home.cloud.stop()
    try:
        done = await home.told(home.edge("rotate-key"))
        await until(page, PINS, [site, done["edge"], done["number"]])
        await until(page, ON_LAN, site)
        await until(page, LIVE, site)
        stopped = await ends(page, site, running["session"])
        assert (stopped["outcome"], stopped["path"]) == ("succeeded", "lan"), stopped
    finally:
        await home.cloud.start()
