"""Every screen of a driver, at both sizes, light and dark: it says what it should, axe is content.

Over `FakeClient`, so that each odd state is there at will; `test_driver` has the same app at real processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.needs import needs
from tests.web import stage

pytestmark = [needs("chromium"), needs("vite")]


@pytest.fixture(scope="module")
def tools() -> Iterator[Playwright]:
    with sync_playwright() as one:
        yield one


@pytest.fixture(scope="module")
def browser(tools: Playwright) -> Iterator[Browser]:
    with stage.launched(tools) as one:
        yield one


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    built = tmp_path_factory.mktemp("stage")
    stage.run_npx("vite", "build", "--config", "test/stage/vite.config.ts", "--outDir", str(built))
    with stage.served(Path(built)) as url:
        yield f"{url}/index.html"


#: scene, place, what to tap, what has to be read then.
SCREENS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("welcome", "", (), "Charge where you are invited"),
    ("no-storage", "", (), "This browser keeps nothing"),
    ("insecure", "", (), "This page is not safe enough"),
    ("ready", "", (), "Ready"),
    ("ready", "", ("reserve",), "Keep this outlet for you"),
    ("plugged", "", (), "Plugged in"),
    ("charging", "", (), "Charging 7.2 kW"),
    ("charging", "", ("limit",), "Limit this charge"),
    ("charging", "", ("unlock",), "This ends your charge"),
    ("charging", "/history", (), "kWh"),
    ("charging", "/history/home/s-100", (), "4.200 kWh"),
    ("charging", "/history/home/s-96", (), "Energy not known"),
    ("charging", "/settings", (), "Sites on this device"),
    ("charging", "/settings", ("add-device",), "Show it to nobody else"),
    ("charging", "/join", (), "Scan the QR code"),
    ("charging", "/elsewhere", (), "There is nothing here"),
    ("charging", "/at/CP9", (), "Not one of your chargers"),
    ("limited", "", (), "at most 10 A, not proven yet"),
    ("paused-car", "", (), "Paused by the car"),
    ("paused-charger", "", (), "Paused by the charger"),
    ("finished", "", (), "Finished"),
    ("in-use", "", (), "In use by somebody else"),
    ("kept", "", (), "Kept for you until"),
    ("reserved", "", (), "Reserved for somebody else"),
    ("out-of-service", "", (), "Out of service"),
    ("faulted", "", (), "GroundFailure: RCD tripped"),
    ("confirming", "", (), "One moment"),
    ("untold", "", (), "Charging, not recorded yet"),
    ("not-connected", "", (), "Not connected"),
    ("charger-lost", "", (), "this is the last that is known"),
    ("unreachable", "", (), "Site unreachable: showing"),
    ("reconnecting", "", (), "The last that is known"),
    ("slept-a-day", "", (), "This is how it was"),
    ("box-away", "", (), "Box offline: showing"),
    ("through-cloud", "", (), "Through the cloud"),
    ("local-ask", "", (), "your browser asks whether this app may use your local network"),
    ("local-denied", "", (), "Through the cloud only"),
    ("connecting", "/chargers", (), "Connecting"),
    ("never-reached", "/chargers", (), "nothing known yet"),
    ("no-chargers", "", (), "No charger here yet"),
    ("denied", "", (), "Your permission for this site was withdrawn."),
    ("newer", "", (), "A newer version is there"),
    ("clock-off", "", (), "This device’s clock is wrong"),
    ("grace", "", (), "Your permission has run out: good until"),
    ("card-refused", "", (), "20 kWh a month were agreed"),
    ("many", "/chargers", (), "Search chargers"),
    ("two-outlets", "", (), "Outlet 2"),
    ("no-history", "/history", (), "No charges yet"),
    ("history-behind", "/history", (), "9.0 kWh"),
    ("history-behind", "/history/home/s-1", (), "9.000 kWh"),
    ("history-fails", "/history", (), "The site cannot be reached right now."),
    ("asked", "", ("start",), "Asked. Waiting for the site."),
    ("accepted", "", ("start",), "The site has written it down"),
    ("waiting-for-car", "", ("start",), "Waiting for the car"),
    ("refused", "", ("start",), "You have used what was agreed for you."),
    ("rejected", "", ("start",), "The charger said no."),
    ("outcome-unknown", "", ("start",), "Nobody can say yet whether it worked"),
)


def _name(scene: str, place: str, taps: tuple[str, ...], size: str, look: str) -> str:
    return "-".join(filter(None, [scene, place.strip("/").replace("/", "-"), *taps, size, look]))


#: Both looks and both sizes: each screen is seen twice.
@pytest.mark.parametrize(("size", "look"), [("phone", "light"), ("desk", "dark")])
def test_every_screen_says_its_words_and_axe_is_content(
    browser: Browser, address: str, size: str, look: stage.Look
) -> None:
    found: dict[str, list[str]] = {}
    with stage.page(browser, "about:blank", size=size, look=look) as shown:
        for scene, place, taps, words in SCREENS:
            name = _name(scene, place, taps, size, look)
            _visit(shown, address, scene, place, taps)
            expect(shown.get_by_text(words).locator("visible=true").first).to_be_visible()
            stage.shoot(shown, name)
            found[name] = stage.violations(shown)
            assert _overflow(shown) <= 0, f"{name} can be scrolled sideways"
    assert not {name: bad for name, bad in found.items() if bad}


def _visit(shown: Page, address: str, scene: str, place: str, taps: tuple[str, ...]) -> None:
    # A blank page between: an address that differs in its fragment alone would not load anew.
    shown.goto("about:blank")
    shown.goto(f"{address}?scene={scene}#{place}")
    for tap in taps:
        shown.get_by_test_id(tap).click()


#: Words of buttons that go on in a second line.
BROKEN = """() => [...document.querySelectorAll('button, a.button')].flatMap((button) => {
    const texts = document.createTreeWalker(button, NodeFilter.SHOW_TEXT), broken = [], range = new Range();
    for (let text; (text = texts.nextNode());) {
        for (const { 0: word, index } of text.data.matchAll(/[^\\s-]+/g)) {
            range.setStart(text, index);
            range.setEnd(text, index + word.length);
            if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1) broken.push(word);
        }
    }
    return broken;
})"""


def _overflow(shown: Page) -> int:
    wider: int = shown.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider


#: Where the text of something ends that is in no button.
TEXT_ENDS = """(card) => {
    const texts = document.createTreeWalker(card, NodeFilter.SHOW_TEXT), range = new Range(), ends = [];
    for (let text; (text = texts.nextNode());) {
        range.selectNodeContents(text);
        if (!text.parentElement.closest('button')) ends.push(range.getBoundingClientRect().bottom);
    }
    return Math.max(...ends);
}"""

#: Those with the longest words or the most of them.
LONG = (
    "welcome",
    "charging",
    "kept",
    "unreachable",
    "local-denied",
    "two-outlets",
    "outcome-unknown",
    "many",
)


@pytest.mark.parametrize(("size", "look"), [("phone", "dark"), ("desk", "light")])
def test_german_fits_too(browser: Browser, address: str, size: str, look: stage.Look) -> None:
    with stage.page(browser, "about:blank", size=size, look=look, locale="de-DE") as shown:
        for scene, place, taps, _ in SCREENS:
            if scene in LONG:
                _visit(shown, address, scene, place, taps)
                expect(shown.locator("html")).to_have_attribute("lang", "de")
                stage.shoot(shown, f"{_name(scene, place, taps, size, look)}-de")
                assert _overflow(shown) <= 0, f"{scene} can be scrolled sideways"
                assert shown.evaluate(BROKEN) == [], f"{scene} {taps} breaks a button's word"


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_a_small_phone_shows_what_came_of_a_tap_above_its_buttons(
    browser: Browser, address: str, locale: str
) -> None:
    with stage.page(browser, "about:blank", size="small", locale=locale) as shown:
        for scene, told in (
            ("refused", "not-done"),
            ("rejected", "not-done"),
            ("outcome-unknown", "unknown"),
        ):
            _visit(shown, address, scene, "", ("start",))
            card = shown.get_by_test_id(told)
            expect(card).to_be_visible()
            buttons = shown.get_by_test_id("start").bounding_box()
            assert buttons is not None
            assert card.evaluate(TEXT_ENDS) <= buttons["y"], f"{scene}: what to do next is covered"


#: Texts that stand beside others and must not be squeezed into a column of letters.
BESIDE = ".row-title, .choice-one span, .badge, .card-head h2, .sheet-head h2, .nav-one"


@pytest.mark.parametrize("size", ["phone", "small"])
def test_text_of_twice_the_size_keeps_its_words(browser: Browser, address: str, size: str) -> None:
    with stage.page(browser, "about:blank", size=size, locale="de-DE") as shown:
        for place, taps in (("/history", ()), ("/settings", ()), ("/chargers", ()), ("", ("unlock",))):
            _visit(shown, address, "charging", place, ())
            shown.locator("h1").first.wait_for()
            shown.evaluate("document.documentElement.style.fontSize = '200%'")
            for tap in taps:
                shown.get_by_test_id(tap).click()
            shown.wait_for_function("document.documentElement.scrollWidth <= innerWidth")  # laid out anew
            assert shown.evaluate(BROKEN.replace("button, a.button", BESIDE)) == [], f"{place} {taps}"
            ends = (
                "[...document.querySelectorAll('.nav-one')].map((one) => one.getBoundingClientRect().right)"
            )
            assert shown.evaluate(f"Math.max(...{ends}) - innerWidth") <= 0, "a place is out of reach"


def test_a_long_name_leaves_the_way_to_its_site_whole(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=many#/chargers", size="small") as shown:
        expect(shown.locator(".site-head .badge")).to_be_visible()
        shown.evaluate("""() => stage.set('home', { name: 'Stellplätze neben der Fahrradgarage Süd 2' })""")
        expect(shown.get_by_role("heading", name=re.compile("Fahrradgarage"))).to_be_visible()
        assert shown.evaluate(BROKEN.replace("button, a.button", ".site-head .badge")) == []


def test_markup_in_names_is_text(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=markup") as shown:
        expect(shown.get_by_role("heading", name=re.compile("<img src=x"))).to_be_visible()
        assert shown.title() != "owned"
        assert shown.locator("main img, main script").count() == 0


def test_a_tap_claims_nothing_until_the_charger_has_done_it(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=asked") as shown:
        hero = shown.get_by_test_id("hero")
        expect(hero).to_have_attribute("data-kind", "plugged")
        # Two taps before anything is painted are one.
        shown.get_by_test_id("start").evaluate("button => { button.click(); button.click(); }")
        expect(shown.get_by_test_id("asked")).to_have_attribute("data-stage", "asked")
        expect(hero).to_have_attribute("data-kind", "plugged")
        shown.evaluate("stage.runs.value[0].tell({ at: 'confirmed', answer: 'accepted' })")
        expect(shown.get_by_test_id("asked")).to_have_attribute("data-stage", "confirmed")
        expect(shown.get_by_test_id("stop")).to_have_count(0)
        # A second tap on the busy button asks for nothing.
        shown.get_by_test_id("start").click(force=True)
        assert shown.evaluate("stage.runs.value.length") == 1
        shown.evaluate(
            """() => {
                const [run] = stage.runs.value;
                stage.fact('home', 'session_started', { session: 's', charger: 'CP1', evse: 1, connector: 1,
                    principal: 'me', command: run.id, started_at: new Date().toISOString() });
                stage.fact('home', 'connector_changed', { charger: 'CP1', evse: 1, connector: 1,
                    state: 'charging', plug: 'in' });
                run.tell({ at: 'settled', outcome: 'succeeded', session: 's' });
            }"""
        )
        expect(hero).to_have_attribute("data-kind", "charging")
        expect(shown.get_by_test_id("stop")).to_be_enabled()


def test_no_answer_is_not_shown_as_an_answer(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=asked") as shown:
        shown.get_by_test_id("start").click()
        shown.evaluate("stage.runs.value[0].tell({ at: 'confirmed', answer: 'timeout' })")
        card = shown.get_by_test_id("asked")
        expect(card).to_contain_text("The charger has not answered yet.")
        expect(card.locator(".step-done")).to_have_text(["Asked", "Site has it"])
        expect(card.locator(".asked-title .muted")).to_have_text("")
        shown.evaluate("stage.runs.value[0].tell({ at: 'confirmed', answer: 'accepted' })")
        expect(card.locator(".step-done")).to_have_count(3)


def test_what_was_unknown_is_told_once_it_is_seen(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=outcome-unknown") as shown:
        shown.get_by_test_id("start").click()
        expect(shown.get_by_test_id("unknown")).to_contain_text("Nobody can say yet")
        shown.evaluate(
            """() => stage.fact('home', 'session_started', { session: 's', charger: 'CP1',
                evse: 1, connector: 1, principal: 'me', command: stage.runs.value[0].id,
                started_at: new Date().toISOString() })"""
        )
        expect(shown.get_by_test_id("unknown")).to_contain_text("It did work")


def test_what_is_no_invite_opens_nothing(browser: Browser, address: str) -> None:
    for text, says in (
        ("WIFI:S:guest;T:WPA;P:secret;;", "That is no invite"),
        ("https://evil.example/#/at/CP1", "That is no invite"),
        ("plugside1", "That is no invite"),
    ):
        with stage.page(browser, f"{address}?scene=welcome") as shown:
            shown.get_by_test_id("invite").fill(text)
            shown.get_by_test_id("read").click()
            expect(shown.get_by_role("alert").get_by_text(says)).to_be_visible()
            stage.shoot(shown, "no-invite")
            assert shown.evaluate("stage.sites.value.length") == 0


def test_an_invite_that_is_spent_is_not_tried_again(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=welcome#join=plugside1_abc") as shown:
        shown.evaluate("stage.onJoin = () => null")
        shown.get_by_test_id("join").click()
        expect(shown.get_by_test_id("failure")).to_contain_text("Ask the operator for a new one.")
        expect(shown.get_by_test_id("failure").get_by_role("button")).to_have_count(0)


def test_an_invite_in_the_address_is_taken_out_of_it(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=welcome#join=plugside1_abc") as shown:
        expect(shown.get_by_text("cloud.example")).to_be_visible()
        assert "plugside1_" not in shown.url
        stage.shoot(shown, "invite")
        assert stage.violations(shown) == []
        shown.get_by_test_id("join").click()
        expect(shown.get_by_text("You have joined Home.")).to_be_visible()


def test_the_camera_reads_an_invite_and_nothing_leaves_the_device(
    tools: Playwright, address: str, tmp_path: Path
) -> None:
    film = tmp_path / "camera.y4m"
    film.write_bytes(stage.film_of("https://cloud.example/#join=plugside1_" + "Ab3-" * 50))
    switches = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )
    with (
        stage.launched(tools, *switches) as camera,
        stage.page(camera, f"{address}?scene=welcome") as shown,
    ):
        asked: list[str] = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.get_by_test_id("scan").click()
        expect(shown.get_by_text("Your invite")).to_be_visible()
        expect(shown.get_by_text("cloud.example")).to_be_visible()
        assert all(url.startswith(address.rpartition("/")[0]) for url in asked)


def test_without_a_camera_the_text_can_be_pasted(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=welcome") as shown:
        shown.get_by_test_id("scan").click()
        expect(shown.get_by_test_id("no-camera")).to_contain_text("You can paste the text")
        stage.shoot(shown, "no-camera")
        assert stage.violations(shown) == []


def test_everything_is_done_with_the_keyboard(browser: Browser, address: str) -> None:
    with stage.page(browser, f"{address}?scene=charging") as shown:
        stage.opens_and_closes_by_keyboard(shown, "limit")


def test_nothing_to_tap_is_smaller_than_a_thumb(browser: Browser, address: str) -> None:
    for scene, place in (("charging", ""), ("many", "/chargers"), ("welcome", ""), ("charging", "/settings")):
        with stage.page(browser, f"{address}?scene={scene}#{place}") as shown:
            expect(shown.locator("h1")).to_be_visible()
            small = shown.evaluate(
                """() => [...document.querySelectorAll('a, button, input, textarea')]
                    .filter((one) => !one.closest('.choice') && one.className !== 'skip')
                    .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect().height])
                    .filter(([, height]) => height > 0 && height < 44)"""
            )
            assert small == []
