"""Every screen of whoever runs sites, on a phone by day and a desk by night: its words, and nothing from axe.

Over `FakeClient`, as in `test_screens`; `test_operator` has the same screens at a real box and a real cloud.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from common.needs import KINDS
from tests.needs import needs
from tests.web import stage

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with stage.chromium() as one:
        yield one


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    built = tmp_path_factory.mktemp("stage")
    stage.run_npx("vite", "build", "--config", "test/stage/vite.config.ts", "--outDir", str(built))
    with stage.served(Path(built)) as url:
        yield f"{url}/index.html"


def place(address: str, scene: str, where: str = "") -> str:
    return f"{address}?scene={scene}#/operator{where}"


#: scene, place, what to tap, what has to be read then.
SCREENS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("estate", "", (), "400 sites"),
    ("garage", "/home", (), "1 fault"),
    ("garage", "/home", ("op-need-waiting-NEW-7",), "Adopt NEW-7"),
    ("garage", "/home", ("op-need-taps-CP2",), "Held up at Bay 2"),
    ("garage", "/home/chargers", (), "Waiting to be adopted"),
    ("garage", "/home/chargers/CP3", (), "GroundFailure: RCD tripped"),
    ("garage", "/home/chargers/CP4", (), "It was connected and is gone."),
    ("garage", "/home/chargers/CP1", ("op-do-stop",), "The car stops charging now."),
    ("garage", "/home/sessions", (), "Ann Ahlers"),
    ("garage", "/home/sessions", ("op-filter",), "Only what wants a look"),
    ("garage", "/home/sessions/flagged", (), "Reports that fit no charge"),
    ("garage", "/home/sessions/s-3", (), "Its end is ours"),
    ("garage", "/home/sessions/s-3", ("op-decide",), "It stands as it is"),
    ("garage", "/home/sessions/s-0", ("op-samples",), "Register"),
    ("garage", "/home/people", (), "Cem Çelik"),
    ("garage", "/home/people/p-ann", (), "Their charges"),
    ("garage", "/home/people", ("op-invite", "op-invite-do"), "Let them scan this"),
    ("garage", "/home/log", (), "Outcome not known"),
    ("garage", "/home/ledger", ("op-reconcile",), "0 lost, 0 doubled"),
    ("garage-past", "/home", (), "last heard"),
    ("garage-alone", "/home/ledger", (), "with the facts that it has written down"),
    ("all-well", "/home", (), "Nothing here needs you now."),
    ("all-well", "/home/chargers", (), "No charger yet"),
    ("all-well", "/home/sessions", (), "No charge matches"),
    ("all-well", "/home/people", (), "Nobody yet"),
    ("all-well", "/home/log", (), "Nobody has asked for anything yet"),
    ("not-in-order", "/home/ledger", ("op-reconcile",), "the cloud has no session s-3"),
    ("asks-fail", "/home/sessions", (), "Try again"),
    ("estate", "/site-9", (), "This site is not among yours"),
)


LOOKED_AT: tuple[tuple[str, stage.Look], ...] = (("phone", "light"), ("desk", "dark"))


@pytest.mark.parametrize(("size", "look"), LOOKED_AT)
def test_every_screen_says_its_words_and_axe_is_content(
    browser: Browser, address: str, size: str, look: stage.Look
) -> None:
    found: dict[str, list[str]] = {}
    with stage.page(browser, "about:blank", size=size, look=look) as shown:
        for scene, where, taps, text in SCREENS:
            name = "-".join(filter(None, ["op", scene, *where.split("/")[1:], *taps, size, look]))
            # A blank page between: an address that differs in its fragment alone would not load anew.
            shown.goto("about:blank")
            shown.goto(place(address, scene, where))
            for tap in taps:
                shown.get_by_test_id(tap).first.click()
            expect(shown.get_by_text(text).locator("visible=true").first).to_be_visible()
            stage.shoot(shown, name)
            found[name] = stage.violations(shown)
            wider = shown.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{name} can be scrolled sideways"
    assert not {name: bad for name, bad in found.items() if bad}


def test_four_hundred_sites_are_searched_and_paged(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "estate"), size="desk") as shown:
        rows = shown.locator("[data-testid^=op-site-]")
        expect(rows).to_have_count(50)
        expect(rows.first).to_contain_text("Box not connected")
        shown.get_by_test_id("op-more").click()
        expect(rows).to_have_count(100)
        shown.get_by_test_id("op-search").fill("garage 399")
        expect(rows).to_have_count(1)
        shown.get_by_test_id("op-search").fill("no such")
        expect(shown.get_by_test_id("op-no-site")).to_be_visible()
        shown.get_by_test_id("op-search").fill("")
        shown.get_by_label("Only those that need you").check()
        expect(rows.first).to_be_visible()
        expect(shown.get_by_text("Connected", exact=True).first).to_be_visible()
        assert all("Garage" in text for text in rows.all_inner_texts())


def test_a_site_that_is_not_on_this_device_is_fetched(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "estate", "/site-7")) as shown:
        expect(shown.get_by_role("heading", name="Garage 007")).to_be_visible()


def test_what_people_and_chargers_are_called_is_text(browser: Browser, address: str) -> None:
    for where in ("", "/home", "/home/chargers", "/home/people", "/home/sessions"):
        with stage.page(browser, place(address, "evil", where)) as shown:
            expect(shown.get_by_role("heading").first).to_be_visible()
            assert shown.locator("main img, main script").count() == 0
            assert shown.title() != "owned"


def test_only_what_is_wrong_with_a_charger_is_a_warning(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "garage", "/home/chargers/CP1")) as shown:
        expect(shown.get_by_test_id("op-why-clock_wrong")).to_be_visible()
        expect(shown.get_by_test_id("op-why-connected")).to_have_count(0)


def test_a_charge_that_goes_on_is_said_to_once(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "garage", "/home")) as shown:
        shown.evaluate(
            """() => { stage.pages.sessions = () => ({ next: '', rows: [{ session: 's-live', charger: 'CP1',
                principal: 'p-ann', started_at: '2026-11-30T10:00:00Z', state: 'open' }] }); }"""
        )
        shown.get_by_test_id("op-section-sessions").click()
        expect(shown.get_by_test_id("op-session-s-live").locator("span.number")).to_have_text("Going on")


def test_a_command_whose_outcome_is_unknown_says_so(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "garage", "/home/chargers/CP2")) as shown:
        shown.get_by_test_id("op-do-reset").click()
        shown.get_by_role("dialog").get_by_test_id("op-do-reset").or_(
            shown.get_by_role("dialog").get_by_role("button", name="Restart the charger")
        ).click()
        run = shown.get_by_test_id("op-run-reset")
        expect(run).to_have_attribute("data-stage", "unknown")
        expect(run).to_contain_text("Look at the charger.")


def test_wrong_fields_are_named_where_they_are(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "garage", "/home/sessions/s-3")) as shown:
        shown.get_by_test_id("op-decide").click()
        shown.get_by_role("radio", name="Set its energy").check()
        shown.get_by_test_id("op-because").fill("read at the meter")
        shown.get_by_test_id("op-decide-do").click()
        expect(shown.get_by_text("A number of kilowatt hours")).to_be_visible()
        shown.get_by_test_id("op-kwh").fill("3,5")
        shown.get_by_test_id("op-decide-do").click()
        expect(shown.get_by_role("dialog")).to_have_count(0)
        args = shown.evaluate("window.stage.runs.value[0].args")
        assert args == {
            "decision": "set",
            "reason": "read at the meter",
            "session": "s-3",
            "revision": 0,
            "energy_wh": 3500,
        }


def test_the_keyboard_is_enough(browser: Browser, address: str) -> None:
    with stage.page(browser, place(address, "garage", "/home")) as shown:
        link = shown.get_by_test_id("op-section-chargers")
        link.focus()
        shown.keyboard.press("Enter")
        expect(shown.get_by_text("Waiting to be adopted")).to_be_visible()
        stage.opens_and_closes_by_keyboard(shown, "op-adopt-NEW-7")


def test_german_has_every_section_and_fits(browser: Browser, address: str) -> None:
    said = {
        "": "1 Störung",
        "/chargers/CP3": "Station neu starten",
        "/sessions": "Ann Ahlers",
        "/sessions/s-3": "Zu prüfen",
        "/people/p-ann": "Rechte beenden",
        "/log": "Ausgang nicht bekannt",
        "/ledger": "Jetzt vergleichen",
    }
    with stage.page(browser, "about:blank", locale="de-DE") as shown:
        for where, text in said.items():
            shown.goto("about:blank")
            shown.goto(place(address, "garage", f"/home{where}"))
            expect(shown.get_by_text(text).locator("visible=true").first).to_be_visible()
            wider = shown.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{where} can be scrolled sideways"
            stage.shoot(shown, f"op-de{where.replace('/', '-')}")


def test_the_app_ranks_as_the_server_does() -> None:
    source = (stage.WEB / "src" / "app" / "operator" / "needs.ts").read_text()
    listed = re.search(r"export const KINDS = \[(.*?)\]", source, re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"'(\w+)'", listed[1])) == KINDS
