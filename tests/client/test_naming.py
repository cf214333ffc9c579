"""What a person types, and what a screen says: names, states, times."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from common.cli.words import age_text, charger_text, clock_text, connector_text, energy_text, instant_text
from common.client.naming import find_charger, in_order, open_session
from common.domain import ConnectorState, from_iso, iso
from common.errors import Code, Refused
from common.view import ChargerView, ConnectorView, SessionView, View

HOME = View(
    site="home",
    chargers={
        "CP1": ChargerView("CP1", name="Bay 12"),
        "CP2": ChargerView("CP2", name="Bay 2"),
        "bay 12": ChargerView("bay 12", name="Odd"),
        "CP4": ChargerView("CP4"),
    },
)
OFFICE = View(site="office", chargers={"CP1": ChargerView("CP1", name="Gate")})
NOW = from_iso("2026-03-01T20:00:00Z")


@pytest.mark.parametrize(
    ("text", "site", "charger"),
    [("CP2", "home", "CP2"), ("cp2", "home", "CP2"), ("BAY 2", "home", "CP2"), ("gate", "office", "CP1")],
)
def test_a_charger_is_found_by_id_or_name(text: str, site: str, charger: str) -> None:
    found_site, found = find_charger({"home": HOME, "office": OFFICE}, text)
    assert (found_site, found.id) == (site, charger)


def test_an_exact_id_wins_over_a_name() -> None:
    assert find_charger({"home": HOME}, "bay 12")[1].id == "bay 12"
    with pytest.raises(Refused, match="several are called Bay 12") as several:
        find_charger({"home": HOME}, "Bay 12")
    assert "CP1 at home" in several.value.hint


def test_the_same_id_at_two_sites_has_to_be_told_apart() -> None:
    with pytest.raises(Refused) as several:
        find_charger({"home": HOME, "office": OFFICE}, "CP1")
    assert several.value.code is Code.UNKNOWN_CHARGER
    assert "--site" in several.value.hint


def test_an_unknown_charger_is_answered_with_the_choices() -> None:
    with pytest.raises(Refused) as unknown:
        find_charger({"home": HOME}, "CP9")
    assert unknown.value.hint == "Yours are: Bay 2, Bay 12, CP4, Odd."
    with pytest.raises(Refused):
        find_charger({"home": View(site="home")}, "")


def test_chargers_are_counted_as_people_count() -> None:
    assert [charger.id for charger in in_order(HOME)] == ["CP2", "CP1", "CP4", "bay 12"]


def charge(session: str, evse: int = 1, **fields: object) -> SessionView:
    fields = {"heard_at": iso(NOW), **fields}
    return SessionView(session=session, charger="CP1", evse=evse, **fields)  # type: ignore[arg-type]


def test_the_open_charge_at_a_charger() -> None:
    old = charge("x-1", ended_at="2026-01-01T00:00:00Z")
    view = View(site="home", sessions={"x-1": old})
    with pytest.raises(Refused) as none:
        open_session(view, HOME.chargers["CP1"])
    assert none.value.code is Code.UNKNOWN_SESSION
    view.sessions["x-2"] = charge("x-2")
    assert open_session(view, HOME.chargers["CP1"]).session == "x-2"
    view.sessions["x-3"] = charge("x-3", 2)
    with pytest.raises(Refused, match="--evse 1, --evse 2"):
        open_session(view, HOME.chargers["CP1"])
    assert open_session(view, HOME.chargers["CP1"], 2).session == "x-3"


@pytest.mark.parametrize(
    ("place", "session", "text"),
    [
        (ConnectorView(1, state=ConnectorState.AVAILABLE), None, "Free"),
        (ConnectorView(1, state=ConnectorState.CHARGING), None, "In use"),
        (
            ConnectorView(1, state=ConnectorState.CHARGING),
            charge("x", power_w=7200.0, energy_wh=3400.0, started_at="2026-03-01T18:02:00Z"),
            "Charging 7.2 kW, 3.40 kWh since 18:02",
        ),
        (
            ConnectorView(1, state=ConnectorState.SUSPENDED_EV),
            charge("x", power_w=0.0, energy_wh=100.0, soc_percent=80.0, started_at="2026-02-28T18:02:00Z"),
            "Paused by the car, 0.10 kWh, battery 80 % since 2026-02-28 18:02",
        ),
        (ConnectorView(1, state=ConnectorState.CHARGING), charge("x"), "Charging"),
        (ConnectorView(1, state=ConnectorState.CHARGING), charge("x", power_w=500.0), "Charging 0.5 kW"),
        (
            ConnectorView(1, state=ConnectorState.FAULTED, error_code="GroundFailure"),
            None,
            "Fault (GroundFailure)",
        ),
        (
            ConnectorView(1, state=ConnectorState.PREPARING, stale=True),
            None,
            "Plugged in, ready to start (last known)",
        ),
        (
            ConnectorView(1, state=ConnectorState.AVAILABLE, observed=ConnectorState.CHARGING),
            None,
            "Free (being confirmed)",
        ),
    ],
)
def test_a_connector_in_words(place: ConnectorView, session: SessionView | None, text: str) -> None:
    assert connector_text(place, session, now_ms=NOW, zone=UTC) == text


def test_every_state_has_a_word() -> None:
    assert all(connector_text(ConnectorView(1, state=state), None) for state in ConnectorState)


def test_a_charger_in_words() -> None:
    charger = ChargerView("CP1", online=True)
    assert charger_text(charger, {}) == "not reported yet"
    charger.connectors = {2: ConnectorView(2, state=ConnectorState.AVAILABLE)}
    assert charger_text(charger, {}) == "Free"
    charger.connectors[1] = ConnectorView(1, state=ConnectorState.CHARGING, session="x")
    session = charge("x", power_w=1000.0)
    assert charger_text(charger, {"x": session}, zone=UTC) == "1: Charging 1.0 kW · 2: Free"
    charger.online = False
    assert charger_text(charger, {}).startswith("Not connected · ")


def test_times_and_amounts() -> None:
    assert clock_text("2026-03-01T23:30:00Z", NOW, timezone(timedelta(hours=1))) == "2026-03-02 00:30"
    assert clock_text("2026-03-01T19:30:00Z", NOW, timezone(timedelta(hours=1))) == "20:30"
    assert clock_text("yesterday, says the charger", NOW) == "unknown"
    assert clock_text("2026-03-01T19:30:00", NOW) == "unknown", "nobody knows where that was"
    assert clock_text("", NOW) == ""


def test_a_time_is_shown_as_ours_only_if_it_is_one() -> None:
    assert instant_text("2026-03-01T19:30:00Z") == "2026-03-01T19:30:00Z"
    assert instant_text("2026-03-01T19:30:00+01:00") == "2026-03-01T19:30:00+01:00"
    assert [instant_text(text) for text in ("2026-03-01T19:30:00", "noon", "")] == ["unknown", "unknown", ""]


def test_a_session_without_a_readable_start_says_nothing_of_it() -> None:
    session = SessionView("s1", "CP1", 1, started_at="noon", energy_wh=1000.0)
    shown = connector_text(ConnectorView(1, state=ConnectorState.CHARGING), session)
    assert shown.endswith("1.00 kWh")
    assert clock_text("") == ""
    assert (energy_text(None), energy_text(0.0), energy_text(12345.0)) == ("", "0.00 kWh", "12.35 kWh")
    assert [age_text(ms) for ms in (0, 59_999, 60_000, 7_200_000, 200_000_000)] == [
        "0 s",
        "59 s",
        "1 min",
        "2 h",
        "2 d",
    ]
