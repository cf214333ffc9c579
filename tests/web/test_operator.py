"""An operator's morning in a real Chromium, at a real box and a real cloud; and at a box that has no cloud.

Adopt, invite, watch, filter, take a file along, decide on what is flagged, reconcile, end somebody's rights.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from common import facts
from common.client.local import local
from common.domain import ConnectorState
from common.domain import Path as Way
from common.errors import Code
from tests.cloud.parts import FakeBox
from tests.e2e import chargers
from tests.e2e.phone import Phone
from tests.e2e.place import Place, place
from tests.needs import needs
from tests.tools import webapp
from tests.web.air import Air
from tests.web.test_driver import BOX, device, shoot

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("chromium"), needs("vite")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box and the cloud that has taken it in, with one charger that nobody adopted yet."""
    assert webapp.build() == ""
    async with place(tmp_path_factory.mktemp("p"), cloud=True, lan_host=BOX) as here:
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box that no cloud has taken in. The app's files come from elsewhere: an origin that the box lists."""
    assert webapp.build() == ""
    here = Place(tmp_path_factory.mktemp("p"), lan_host=BOX)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUGSIDE_EDGE_APP_ORIGINS", here.stage.cloud_url)
        try:
            await here.cloud.start()
            await here.box.start()
            yield here
        finally:
            await here.stage.stop()


async def operate(here: Place, page: Page, invite: str) -> None:
    """Join as whoever runs the site, and go where that is done."""
    await page.goto(f"{here.stage.cloud_url}/#join={invite}")
    await page.get_by_test_id("join").click()
    await expect(page.get_by_text("You have joined")).to_be_visible()
    await page.get_by_role("link", name="Operate").click()
    # One site alone is opened at once.
    await expect(page.get_by_test_id("op-section-overview")).to_have_attribute("aria-current", "page")


async def section(page: Page, name: str) -> None:
    await page.get_by_test_id(f"op-section-{name}").click()
    await expect(page.get_by_test_id(f"op-section-{name}")).to_have_attribute("aria-current", "page")


async def charged(home: Place, charger: str, *, flagged: bool) -> str:
    """One charge of somebody without a name; the register of a flagged one ran backwards. Its uid."""
    async with chargers.wire(home.url, charger) as wired:
        await wired.boot()
        await wired.call("Authorize", {"idTag": "NOBODY"})
        start = {"connectorId": 1, "idTag": "NOBODY", "meterStart": 5000, "timestamp": chargers.now()}
        begun = await wired.call("StartTransaction", start)
        stop_wh = 4000 if flagged else 9000
        stop = {"transactionId": begun["transactionId"], "meterStop": stop_wh, "timestamp": chargers.now()}
        await wired.call("StopTransaction", stop)
    session = str((await home.sessions(charger))[-1]["session"])

    async def there() -> bool:
        return any(row["session"] == session and row["ended"] for row in await home.in_cloud())

    await home.until(there, "the session in the cloud")
    return session


async def adopt(page: Page, home: Place, charger: str, name: str) -> None:
    await chargers.knock(home.url, charger)
    await section(page, "overview")
    await page.get_by_test_id(f"op-need-waiting-{charger}").click()
    await page.get_by_test_id("op-adopt-name").fill(name)
    await page.get_by_test_id("op-adopt-do").click()
    await expect(page.get_by_test_id(f"op-need-waiting-{charger}")).to_have_count(0)
    await section(page, "chargers")
    await expect(page.get_by_test_id(f"op-charger-{charger}")).to_contain_text(name)


async def test_a_morning_at_a_site_with_its_cloud(home: Place, tmp_path: Path) -> None:
    complaints: list[str] = []
    async with device(tmp_path, "desk", "light") as context:
        page = context.pages[0]
        page.on("pageerror", lambda failed: complaints.append(str(failed)))
        await operate(home, page, await home.invite(role="operator", by_cloud=True))
        await adopt(page, home, "CP1", "Bay 1")
        await adopt(page, home, "CP2", "=Bay 2")
        await shoot(page, "op-1-chargers", "desk", "light")
        fine = await charged(home, "CP1", flagged=False)
        odd = await charged(home, "CP2", flagged=True)
        await look_through(page, fine, odd, tmp_path)
        await decide(page, home, odd)
        await reconcile(page)
        await in_its_own_time(page)
        await invite_and_end(page, home)
    assert complaints == []


async def look_through(page: Page, fine: str, odd: str, folder: Path) -> None:
    """Filters narrow the list; the file has what the list has, and nothing in it calculates."""
    await section(page, "sessions")
    for session in (fine, odd):
        await expect(page.get_by_test_id(f"op-session-{session}")).to_be_visible()
    await page.get_by_test_id("op-filter").click()
    await page.get_by_test_id("op-by-charger").select_option("CP1")
    await expect(page.get_by_test_id(f"op-session-{odd}")).to_have_count(0)
    await page.get_by_test_id("op-by-charger").select_option("")
    await page.get_by_test_id("op-from").fill("2000-01-01")
    await expect(page.get_by_test_id(f"op-session-{odd}")).to_be_visible()
    await page.get_by_test_id("op-to").fill("2000-01-02")
    await expect(page.get_by_test_id("op-no-sessions")).to_be_visible()
    await page.get_by_test_id("op-to").fill("")
    await expect(page.get_by_test_id(f"op-session-{fine}")).to_be_visible()
    await shoot(page, "op-2-sessions", "desk", "light")
    async with page.expect_download() as coming:
        await page.get_by_test_id("op-csv").click()
    file = folder / "sessions.csv"
    await (await coming.value).save_as(file)
    rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    assert {row["session"]: row["charger"] for row in rows} == {fine: "CP1", odd: "CP2"}
    assert next(row for row in rows if row["session"] == fine)["energy_kwh"] == "4"


async def decide(page: Page, home: Place, odd: str) -> None:
    """What is flagged is decided on once, with a reason, and the story says so."""
    await page.get_by_test_id(f"op-session-{odd}").click()
    await expect(page.get_by_test_id("op-attention")).to_contain_text("The meter ran backwards.")
    await expect(page.locator(".op-story")).to_contain_text("Charge began")
    await page.get_by_test_id("op-decide").click()
    await page.get_by_role("radio", name="Set its energy").check()
    await page.get_by_test_id("op-kwh").fill("2.5")
    await page.get_by_test_id("op-decide-do").click()
    await expect(page.get_by_text("Say why, in 300 characters at most.")).to_be_visible()
    await page.get_by_test_id("op-because").fill("read at the meter")
    await page.get_by_test_id("op-decide-do").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_test_id("op-energy")).to_contain_text("2.500 kWh")
    await expect(page.get_by_test_id("op-energy")).to_contain_text("decided by an operator")
    await expect(page.locator(".op-story")).to_contain_text("read at the meter")
    await shoot(page, "op-3-session", "desk", "light")
    (here,) = await home.sessions("CP2")
    assert (here["energy_wh"], here["attention"]) == (2500.0, [])


async def reconcile(page: Page) -> None:
    await section(page, "ledger")
    await page.get_by_test_id("op-reconcile").click()
    await expect(page.get_by_test_id("op-reconciled")).to_contain_text("0 lost, 0 doubled")
    await expect(page.get_by_test_id("op-reconciled")).to_have_attribute("data-ok", "true")
    await shoot(page, "op-4-ledger", "desk", "light")


async def in_its_own_time(page: Page) -> None:
    await section(page, "overview")
    await page.get_by_test_id("op-zone").click()
    await page.get_by_test_id("op-zone-choice").select_option("Pacific/Auckland")
    await page.get_by_test_id("op-zone-do").click()
    await expect(page.get_by_text("Pacific/Auckland")).to_be_visible()


async def invited(page: Page, name: str) -> Phone:
    """A driver who joined by the invite that the screen shows."""
    await section(page, "people")
    await page.get_by_test_id("op-invite").click()
    await page.get_by_test_id("op-invite-name").fill(name)
    await page.get_by_test_id("op-invite-do").click()
    link = await page.get_by_test_id("op-invite-link").inner_text()
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    return await Phone("driver").join(link.partition("#join=")[2])


async def invite_and_end(page: Page, home: Place) -> None:
    """A driver joins by the code, an invite is withdrawn, a right ends at once."""
    driver = await invited(page, "Ann Ahlers")
    await page.reload()
    row = page.get_by_test_id(f"op-person-{driver.site.principal}")
    await expect(row).to_contain_text("Ann Ahlers")
    await shoot(page, "op-5-people", "desk", "light")
    await page.get_by_test_id("op-invite").click()
    await page.get_by_test_id("op-invite-name").fill("Nobody Yet")
    await page.get_by_test_id("op-invite-do").click()
    await expect(page.get_by_test_id("op-qr")).to_be_visible()
    await shoot(page, "op-6-invite", "desk", "light")
    unused = (await page.get_by_test_id("op-invite-link").inner_text()).partition("#join=")[2]
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await page.get_by_text("Nobody Yet").click()
    await page.get_by_test_id("op-withdraw-invite").click()
    await page.get_by_role("dialog").get_by_role("button", name="Withdraw the invite").click()
    await expect(page.get_by_text("Nobody Yet")).to_have_count(0)
    with pytest.raises(AssertionError, match=Code.BAD_INVITE):
        await Phone("driver").join(unused)
    await give_tag(page, driver)
    await section(page, "people")
    await expect(row).to_contain_text("1 tag")
    await row.click()
    await page.get_by_test_id("op-revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="End their rights").click()
    await expect(page.get_by_text("Their rights have ended")).to_be_visible()
    await expect(row).to_have_count(0)
    # At the box just as in the cloud: its list is there before the grant would have run out.
    for way, lan in ((Way.CLOUD, ""), (Way.LAN, f"{BOX}:{home.lan_port}")):

        async def refused(way: Way = way, lan: str = lan) -> bool:
            try:
                async with driver.link(way, lan=lan):
                    return False
            except AssertionError as said:
                return Code.REVOKED in str(said)

        await home.until(refused, f"the right to have ended by {way}")


async def give_tag(page: Page, driver: Phone) -> None:
    """The tag that was held up when those charges began is Ann's from now on."""
    await section(page, "overview")
    tap = page.locator("[data-testid^=op-need-taps]")
    await tap.click()
    await page.get_by_test_id("op-tag-do").click()
    await expect(page.get_by_text("Choose a person.")).to_be_visible()
    await page.get_by_test_id("op-tag-person").select_option(driver.site.principal)
    await page.get_by_test_id("op-tag-do").click()
    await expect(tap).to_have_count(0)


async def test_many_sites_are_one_list_and_each_is_fetched_when_it_is_opened(
    home: Place, tmp_path: Path
) -> None:
    """Another site of the cloud, for which this device has no grant until somebody looks at it."""
    elsewhere = FakeBox(home.stage.cloud_url)
    async with local(home.cloud.control) as root:
        await root.manage("site_add", {"name": "Elsewhere", "code": elsewhere.pair()})
        assert (await elsewhere.ask_in()).status_code == 200
        made = await root.manage("invite", {"site": "Home", "role": "operator"})
        async with elsewhere.connected(), device(tmp_path, "desk", "dark") as context:
            page = context.pages[0]
            await operate(home, page, made["invite"])
            await root.manage("entrust", {"principal": made["principal"]})
            await elsewhere.tell(
                facts.ChargerAdopted(charger="E1", name="Far away"),
                facts.ChargerSeen(charger="E1"),
                facts.ConnectorChanged(charger="E1", evse=1, state=ConnectorState.FAULTED),
            )
            await page.goto(f"{home.stage.cloud_url}/#/operator")
            await page.reload()
            far = page.get_by_test_id(f"op-site-{elsewhere.site}")
            await expect(far).to_contain_text("1 fault")
            await expect(page.get_by_test_id("op-totals")).to_contain_text("2 sites")
            await shoot(page, "op-8-sites", "desk", "dark")
            await far.click()
            await expect(page.get_by_role("heading", name="Elsewhere")).to_be_visible()
            await expect(page.get_by_test_id("op-need-faulted-E1")).to_contain_text("Far away")


async def test_on_the_sites_own_network_the_cloud_is_asked_who_is_who(home: Place, tmp_path: Path) -> None:
    """The box is near and is followed; its cloud has the names, the invites and the rights."""
    async with Air(BOX, home.lan_port), device(tmp_path, "phone", "light") as context:
        page = context.pages[0]
        async with local(home.cloud.control) as root:
            await root.manage("invite", {"site": "Home", "role": "driver", "name": "Bea Berg"})
        invite = await home.invite(role="operator", by_cloud=True)
        await page.goto(f"{home.stage.cloud_url}/#join={invite}")
        await page.get_by_test_id("join").click()
        await expect(page.get_by_text("You have joined")).to_be_visible()
        # A start of its own: what joining needed of the cloud is over.
        await page.reload()
        await expect(page.get_by_text("On site").first).to_be_visible()
        await page.get_by_role("link", name="Operate").click()
        await section(page, "people")
        await expect(page.get_by_text("Bea Berg")).to_be_visible()


async def test_the_same_screens_serve_a_box_without_a_cloud(alone: Place, tmp_path: Path) -> None:
    """Over the LAN alone: what is asked of it the box answers itself."""
    async with Air(BOX, alone.lan_port), device(tmp_path, "phone", "dark") as context:
        page = context.pages[0]
        await operate(alone, page, await alone.invite(role="operator"))
        await adopt(page, alone, "CP1", "Bay 1")
        async with chargers.wire(alone.url, "CP1") as wired:
            await wired.boot()
            start = {"connectorId": 1, "idTag": "NOBODY", "meterStart": 0, "timestamp": chargers.now()}
            begun = await wired.call("StartTransaction", start)
            stop = {"transactionId": begun["transactionId"], "meterStop": 3000, "timestamp": chargers.now()}
            await wired.call("StopTransaction", stop)
        await section(page, "sessions")
        await expect(page.locator("[data-testid^=op-session-]")).to_contain_text("3.0 kWh")
        await shoot(page, "op-alone-sessions", "phone", "dark")
        await section(page, "ledger")
        await page.get_by_test_id("op-reconcile").click()
        await expect(page.get_by_test_id("op-reconciled")).to_contain_text("0 lost, 0 doubled")
        await section(page, "log")
        await expect(page.get_by_role("list", name="Commands")).to_contain_text("Adopt")
        await section(page, "people")
        await page.get_by_test_id("op-invite").click()
        await page.get_by_test_id("op-invite-do").click()
        link = await page.get_by_test_id("op-invite-link").inner_text()
        assert "#join=plugside" in link
        await shoot(page, "op-alone-invite", "phone", "dark")


async def test_what_an_operator_asks_of_a_charger_has_its_outcome(home: Place, tmp_path: Path) -> None:
    """Out of service and back, as the charger itself answers."""
    async with device(tmp_path, "phone", "light") as context:
        page = context.pages[0]
        await home.adopt("CP7")
        await operate(home, page, await home.invite(role="operator", by_cloud=True))
        async with chargers.wire(home.url, "CP7") as wired:
            await wired.boot()
            await wired.status("Available")
            await section(page, "chargers")
            await page.get_by_test_id("op-charger-CP7").click()
            await page.get_by_test_id("op-do-availability").first.click()
            run = page.get_by_test_id("op-run-availability").first
            await expect(run).to_have_attribute("data-stage", "succeeded")
            await shoot(page, "op-7-charger", "phone", "light")
        # It hangs up: the box says why it is not there.
        await expect(page.get_by_test_id("op-why-gone")).to_be_visible()
