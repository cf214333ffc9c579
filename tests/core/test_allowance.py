"""Caps: what is judged at a start, what is counted, and the charge that reaches its cap."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import facts
from common.caps import PERIOD_MAX_MS, Caps, Used, left_wh, may_begin, period_start_ms
from common.commands import Name, Reserve, Stop
from common.domain import from_iso, iso
from common.errors import Code, Refused
from common.policy import Claims
from edge.core import allowance, inputs
from edge.core.allowance import AGAIN_MS
from edge.core.identity import minted_tag
from tests.core.world import CHARGING, MINUTE, PREPARING, T0, Site, driver, refusal, stages, tagged

DAY = 24 * 60 * MINUTE


def capped(**caps: object) -> Claims:
    return msgspec.structs.replace(driver(), caps=Caps(**caps))  # type: ignore[arg-type]


def charge(site: Site, number: int, claims: Claims, energy_wh: float, charger: str = "CP1") -> None:
    """One whole charge by an app."""
    site.status(PREPARING, charger=charger)
    asked = site.command(id=f"start-{number}", claims=claims, charger=charger)
    assert stages(asked) == ["accepted"], asked
    site.answer(asked)
    transaction = site.begun(
        charger=charger, minted=minted_tag(f"start-{number}"), tag_ref=f"ref-{number}", meter_start_wh=0.0
    )
    site.now += MINUTE
    site.end(transaction, energy_wh, charger=charger)
    site.now += MINUTE


# --- pure --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caps", "at", "since"),
    [
        (Caps(period="day"), "2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z"),
        (Caps(period="day", offset_min=60), "2026-11-29T23:00:00Z", "2026-11-29T23:00:00Z"),
        (Caps(period="day", offset_min=60), "2026-11-29T22:59:59Z", "2026-11-28T23:00:00Z"),
        (Caps(period="week"), "2026-11-29T12:00:00Z", "2026-11-23T00:00:00Z"),
        (Caps(period="month"), "2026-11-30T23:59:59Z", "2026-11-01T00:00:00Z"),
        (Caps(period="month", offset_min=-600), "2026-12-01T09:00:00Z", "2026-11-01T10:00:00Z"),
    ],
    ids=["midnight", "its own midnight", "before its midnight", "Monday", "the first", "west of Greenwich"],
)
def test_a_period_begins_by_the_sites_own_clock(caps: Caps, at: str, since: str) -> None:
    assert period_start_ms(caps, from_iso(at)) == from_iso(since)


@given(
    st.sampled_from(["day", "week", "month"]),
    st.integers(-840, 840),
    st.integers(1_600_000_000, 1_900_000_000),
)
def test_now_is_always_within_its_period(period: str, offset_min: int, at_s: int) -> None:
    caps = Caps(period=period, offset_min=offset_min)  # type: ignore[arg-type]
    since_ms = period_start_ms(caps, at_s * 1000)
    assert at_s * 1000 - PERIOD_MAX_MS < since_ms <= at_s * 1000
    assert period_start_ms(caps, since_ms) == since_ms


def test_hours_may_go_over_midnight() -> None:
    caps = Caps(hours=("22:00-06:00", "12:00-13:00"), offset_min=60)
    for at, allowed in {"21:00": True, "20:59": False, "04:59": True, "05:00": False, "11:30": True}.items():
        now_ms = from_iso(f"2026-11-30T{at}:00Z")
        if allowed:
            may_begin(caps, "CP1", 1, Used(), now_ms)
        else:
            with pytest.raises(Refused) as no:
                may_begin(caps, "CP1", 1, Used(), now_ms)
            assert no.value.code is Code.LIMIT_REACHED
    may_begin(Caps(hours=("00:00-00:00",)), "CP1", 1, Used(), T0)


def test_what_is_left_is_never_less_than_nothing() -> None:
    assert left_wh(Caps(), Used(energy_wh=5.0)) is None
    assert left_wh(Caps(energy_wh=10_000), Used(energy_wh=12_000.0)) == 0
    for wrong in (
        {"energy_wh": 0},
        {"sessions": 0},
        {"hours": ["25:00-06:00"]},
        {"energy_wh": 1.5},
        {"x": 1},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Caps)


# --- at the core -------------------------------------------------------------------------------------------


def test_energy_and_charges_count_for_the_person_at_every_charger() -> None:
    site = Site().ready().ready("CP2")
    claims = capped(sessions=2, energy_wh=100_000)
    charge(site, 1, claims, 4000.0)
    charge(site, 2, claims, 6000.0, "CP2")
    assert allowance.used(site.state, "driver-1", 0) == Used(energy_wh=10_000.0, sessions=2)
    site.status(PREPARING)
    assert refusal(site.command(id="third", claims=claims)) == Code.LIMIT_REACHED
    assert refusal(site.command(id="third", claims=claims)) == Code.LIMIT_REACHED, "the stored answer"
    assert stages(site.command(id="other", claims=driver("driver-2"))) == ["accepted"]
    site.check()


def test_a_tag_counts_too_and_the_next_period_begins_anew() -> None:
    site = Site().ready()
    claims = capped(sessions=1, period="day")
    site.feed(tagged("tag-a", "driver-1"))
    transaction = site.begun()
    site.now += MINUTE
    site.end(transaction)
    site.status(PREPARING)
    assert refusal(site.command(id="a", claims=claims)) == Code.LIMIT_REACHED
    site.now += DAY
    assert stages(site.command(id="b", claims=claims)) == ["accepted"]


def test_two_taps_at_once_are_not_both_the_last() -> None:
    site = Site().ready().ready("CP2")
    claims = capped(sessions=1)
    site.status(PREPARING)
    site.status(PREPARING, charger="CP2")
    assert stages(site.command(id="a", claims=claims)) == ["accepted"]
    assert refusal(site.command(id="b", claims=claims, charger="CP2")) == Code.LIMIT_REACHED


def test_only_the_connectors_that_are_named() -> None:
    site = Site().ready(evses=2)
    claims = capped(connectors=("CP1/2",))
    keep = site.command(Name.RESERVE, Reserve(minutes=15), id="r", claims=claims, evse=1)
    assert refusal(keep) == Code.NOT_PERMITTED
    for evse in (1, 2):
        site.status(PREPARING, evse=evse)
    assert refusal(site.command(id="a", claims=claims, evse=1)) == Code.NOT_PERMITTED
    assert stages(site.command(id="b", claims=claims, evse=2)) == ["accepted"]


def running(site: Site, cap_wh: int) -> str:
    """A charge under a cap, at the sample before it is reached."""
    claims = capped(energy_wh=cap_wh)
    site.status(PREPARING)
    site.answer(site.command(id="start-1", claims=claims))
    transaction = site.begun(minted=minted_tag("start-1"), tag_ref="ref", meter_start_wh=1000.0)
    site.status(CHARGING)
    site.now += MINUTE
    site.meter(site.sample(1000.0 + cap_wh - 1), transaction=transaction)
    assert site.wait(MINUTE) == []
    return transaction


def test_a_charge_that_reaches_its_cap_is_stopped_by_the_ordinary_stop() -> None:
    site = Site().ready()
    transaction = running(site, 5000)
    site.meter(site.sample(6000.0), transaction=transaction)
    (tick,) = site.wait(0)
    accepted = site.last(facts.CommandAccepted)
    assert (accepted.name, accepted.because, accepted.principal) == ("stop", "energy_cap", "driver-1")
    (request,) = tick.requests
    assert (request.action, request.urgent) == (inputs.StopCharge(transaction), True)
    site.answer(tick)
    site.end(transaction, 6100.0)
    settled = site.last(facts.CommandSettled)
    assert (settled.command, settled.outcome) == (accepted.command, "succeeded")
    assert site.wait(DAY) == []
    site.check()


def test_a_stop_that_did_nothing_is_asked_for_again_and_an_absent_charger_hears_it_later() -> None:
    site = Site().ready()
    transaction = running(site, 5000)
    site.lose()
    site.connect()
    site.boot()
    site.meter(site.sample(6500.0), transaction=transaction)
    first = site.wait(0)
    assert any(isinstance(request.action, inputs.StopCharge) for tick in first for request in tick.requests)
    site.wait(AGAIN_MS + 60 * MINUTE)
    stops = [body for body in site.all(facts.CommandAccepted) if body.because]
    assert len(stops) > 1
    assert len({stop.command for stop in stops}) == len(stops)
    site.check()


def test_what_is_left_of_the_period_goes_along_with_the_next_charge() -> None:
    site = Site().ready()
    claims = capped(energy_wh=10_000)
    charge(site, 1, claims, 7000.0)
    site.status(PREPARING)
    site.answer(site.command(id="start-2", claims=claims))
    assert site.last(facts.CommandAccepted).cap_wh == 3000
    transaction = site.begun(minted=minted_tag("start-2"), tag_ref="ref-2", meter_start_wh=0.0)
    site.meter(site.sample(3000.0), transaction=transaction)
    assert site.wait(0)
    site.status(PREPARING)
    assert refusal(site.command(Name.STOP, Stop("none"), id="x", claims=claims)) == Code.UNKNOWN_SESSION
    assert allowance.used(site.state, "driver-1", 0).energy_wh == 10_000.0
    site.check()


@pytest.mark.parametrize("first_ends", [False, True])
def test_two_charges_at_once_take_together_what_was_agreed(first_ends: bool) -> None:
    site = Site().ready().ready("CP2")
    claims = capped(energy_wh=10_000)
    learnt = allowance.learnt(site.state, claims)
    assert learnt is not None
    site.feed(inputs.Note(body=learnt))
    begun = {}
    for charger in ("CP1", "CP2"):
        site.status(PREPARING, charger=charger)
        site.answer(site.command(id=f"start-{charger}", claims=claims, charger=charger))
        assert site.last(facts.CommandAccepted).cap_wh == 10_000
        begun[charger] = site.begun(
            charger=charger,
            minted=minted_tag(f"start-{charger}"),
            tag_ref=f"ref-{charger}",
            meter_start_wh=0.0,
        )
    site.meter(site.sample(6000.0), transaction=begun["CP1"])
    assert site.wait(0) == []
    if first_ends:
        site.end(begun["CP1"], 6000.0)
    site.meter(site.sample(3900.0), transaction=begun["CP2"], charger="CP2")
    assert site.wait(0) == [], "9.9 of 10 kWh"
    site.now += MINUTE
    site.meter(site.sample(4000.0), transaction=begun["CP2"], charger="CP2")
    (tick,) = site.wait(0)
    (request,) = tick.requests
    assert request.action == inputs.StopCharge(begun["CP2"])
    assert site.last(facts.CommandAccepted).because == "energy_cap"
    site.check()


@pytest.mark.parametrize("before", [0, 1], ids=["the first charge", "a later one"])
def test_a_cap_that_a_later_grant_lowers_holds_the_charge_that_runs(before: int) -> None:
    site = Site().ready()
    for number in range(before):
        charge(site, number, capped(energy_wh=20_000), 500.0)
    claims = capped(energy_wh=20_000)
    site.status(PREPARING)
    site.answer(site.command(id="start-x", claims=claims))
    transaction = site.begun(minted=minted_tag("start-x"), tag_ref="ref", meter_start_wh=0.0)
    lowered = msgspec.structs.replace(
        capped(energy_wh=3000), renew_after_ms=site.now + DAY, expires_ms=site.now + 2 * DAY
    )
    learnt = allowance.learnt(site.state, lowered)
    assert learnt is not None
    site.feed(inputs.Note(body=learnt))
    site.meter(site.sample(2400.0), transaction=transaction)
    assert site.wait(0) == []
    site.now += MINUTE
    site.meter(site.sample(3000.0), transaction=transaction)
    (tick,) = site.wait(0)
    assert [request.action for request in tick.requests] == [inputs.StopCharge(transaction)]
    site.check()


# --- a clock that goes back --------------------------------------------------------------------------------


def test_when_time_is_proven_wrong_nothing_waits_for_the_wrong_time() -> None:
    site = Site().ready()
    site.now += 3650 * DAY
    transaction = running(site, 5000)
    wrong, site.now = site.now, T0 + DAY
    stepped = facts.ClockStepped(before=iso(wrong), after=iso(site.now), reason="proven_by_tunnel")
    site.feed(inputs.Note(body=stepped))
    assert (site.now, site.state.seen_ms) == (T0 + DAY, T0 + DAY)
    site.meter(site.sample(6000.0), transaction=transaction)
    (tick,) = [one for one in site.wait(0) if one.requests]
    assert tick.requests[0].action == inputs.StopCharge(transaction)
    site.check()


def test_a_clock_that_only_says_so_moves_nothing() -> None:
    site = Site().ready()
    before = site.state.seen_ms
    stepped = facts.ClockStepped(before=iso(site.now), after=iso(T0 - DAY), reason="stepped_back")
    site.feed(inputs.Note(body=stepped))
    assert site.state.seen_ms >= before
