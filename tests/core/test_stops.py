"""StopTransaction: the first is the truth, repeats are repeats, strangers end nothing; and missing stops."""

from __future__ import annotations

import pytest

from common import facts
from common.domain import EnergyMethod, iso
from edge.core import engine, identity, inputs
from edge.core.inputs import Known, Stamp
from edge.core.state import ENDED_SESSIONS_MAX
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    FINISHING,
    HOUR,
    MINUTE,
    PREPARING,
    SECOND,
    SUSPENDED_EV,
    T0,
    Site,
    kinds,
    tagged,
    with_fields,
)


def charging() -> tuple[Site, str]:
    site = Site().ready()
    transaction = site.begun()
    site.status(PREPARING)
    site.status(CHARGING)
    site.now += HOUR
    return site, transaction


def test_a_stop_ends_the_session_with_the_registers_difference() -> None:
    site, transaction = charging()
    decision = site.end(transaction, 5000.0, tag_ref="tag-b")
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.method, ended.flags) == (4000.0, EnergyMethod.REGISTER, ())
    assert (ended.reason, ended.stopped_by, ended.provisional) == ("Local", "tag-b", False)
    assert ended.ended_at == iso(site.now)[:19] + "Z"
    assert decision.reply == inputs.StopReply("invalid", identity.stop_key("CP1", transaction))
    assert site.open_sessions() == []
    site.check()


def test_the_status_of_a_stop_is_that_of_its_tag() -> None:
    site, transaction = charging()
    site.feed(tagged("tag-b", "bert"))
    decision = site.end(transaction, tag_ref="tag-b")
    assert isinstance(decision.reply, inputs.StopReply)
    assert decision.reply.status == "accepted"


def test_a_minted_tag_is_as_good_at_the_stop_as_it_was_at_the_start() -> None:
    site = Site().ready()
    site.command(evse=1)
    transaction = site.begun(minted=identity.minted_tag("cmd-1"), tag_ref="ref-of-minted")
    decision = site.end(transaction, tag_ref="ref-of-minted")
    assert isinstance(decision.reply, inputs.StopReply)
    assert decision.reply.status == "accepted"
    assert site.last(facts.SessionEnded).stopped_by is None


def test_a_stop_in_the_second_of_its_start_is_no_step_back_in_time() -> None:
    site = Site().ready()
    site.end(site.begun(started=site.stamp(T0 + 700)), ended=site.stamp(T0))
    assert site.last(facts.SessionEnded).flags == ()


def test_an_identical_stop_gets_the_stored_reply() -> None:
    site, transaction = charging()
    at = site.stamp()
    site.end(transaction, ended=at)
    site.now += HOUR
    decision = site.end(transaction, ended=at)
    assert decision.facts == ()
    assert decision.reply == inputs.StopReply(None, identity.stop_key("CP1", transaction), replay=True)


@pytest.mark.parametrize("change", [{"meter_stop_wh": 5001.0}, {"ended": Stamp("2025-06-15T15:00:00Z", T0)}])
def test_another_stop_is_a_conflict_and_the_first_is_the_truth(change: dict[str, object]) -> None:
    site, transaction = charging()
    at = site.stamp()
    site.end(transaction, ended=at)
    given = inputs.TransactionEnded(
        charger="CP1",
        transaction=transaction,
        meter_stop_wh=5000.0,
        ended=at,
        samples=(site.sample(5000.0, context="end"),),
    )
    decision = site.feed(with_fields(given, **change))
    assert kinds(decision) == ["orphan_recorded", "meter_sampled"]
    orphan = site.last(facts.OrphanRecorded)
    assert (orphan.what, orphan.reason, orphan.transaction) == ("stop", "conflict", transaction)
    assert site.last(facts.MeterSampled).late
    assert decision.reply == inputs.StopReply(None)
    assert site.feed(with_fields(given, **change)).facts == (), "told once"
    assert len(site.all(facts.SessionEnded)) == 1
    site.check()


@pytest.mark.parametrize("transaction", ["-1", "0", "424242", str(2**63 - 1), "-17", "x" * 500])
def test_a_stop_of_nobodys_transaction_ends_nothing_and_is_acknowledged(transaction: str) -> None:
    site, own = charging()
    site.meter(site.sample(1000.0), transaction=own)  # the charger knows the session's id
    decision = site.end(transaction, samples=(site.sample(4000.0),))
    assert kinds(decision) == ["orphan_recorded", "meter_sampled"]
    assert (site.last(facts.OrphanRecorded).what, site.last(facts.MeterSampled).session) == ("stop", None)
    assert len(site.open_sessions()) == 1
    reply = decision.reply
    assert isinstance(reply, inputs.StopReply)
    assert (reply.status, reply.key, reply.replay) == (None, identity.stop_key("CP1", transaction), False)
    again = site.end(transaction, samples=(site.sample(4000.0),))
    assert (again.facts, again.reply) == ((), with_fields(reply, replay=True))
    site.check()


def test_a_stop_that_left_memory_is_recalled() -> None:
    site, transaction = charging()
    at = site.stamp()
    site.end(transaction, ended=at)
    ended = site.last(facts.SessionEnded)
    for _ in range(ENDED_SESSIONS_MAX):
        site.now += MINUTE
        site.end(site.begun())
    given = inputs.TransactionEnded(charger="CP1", transaction=transaction, meter_stop_wh=5000.0, ended=at)
    assert engine.needs_recall(site.state, given)
    assert engine.recall_key(site.state, given) == transaction
    known = Known(
        session=ended.session,
        charger="CP1",
        evse=1,
        transaction=transaction,
        ended=True,
        meter_start_wh=1000.0,
        meter_stop_wh=5000.0,
        ended_at=ended.ended_at,
    )
    decision = site.feed(with_fields(given, recalled=known))
    assert decision.facts == ()
    assert isinstance(decision.reply, inputs.StopReply)
    assert decision.reply.replay
    conflict = site.feed(with_fields(given, recalled=known, meter_stop_wh=1.0))
    assert site.last(facts.OrphanRecorded).reason == "conflict"
    assert kinds(conflict) == ["orphan_recorded"]


def test_a_provisional_close_that_left_memory_is_revised() -> None:
    site = Site().ready()
    known = Known(
        session="session-1",
        charger="CP1",
        evse=1,
        transaction="9",
        principal="anna",
        ended=True,
        provisional=True,
        revision=2,
        meter_start_wh=100.0,
    )
    site.end("9", 900.0, recalled=known)
    revised = site.last(facts.SessionRevised)
    assert (revised.session, revised.revision, revised.energy_wh) == ("session-1", 3, 800.0)
    assert (revised.principal, revised.obtained) == ("anna", "measured")
    site.check()


# --- odd values --------------------------------------------------------------------------------------------


def test_a_register_that_went_backwards_is_flagged_and_never_negative() -> None:
    site, transaction = charging()
    site.end(transaction, 400.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.method, ended.flags) == (None, EnergyMethod.UNKNOWN, ("meter_backwards",))


def test_a_register_that_restarted_is_measured_by_its_samples() -> None:
    site, transaction = charging()
    for register in (1000.0, 5000.0, 9000.0, 0.0, 400.0):
        site.now += MINUTE
        site.meter(site.sample(register), transaction=transaction)
    site.end(transaction, 700.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.method) == (8700.0, EnergyMethod.SAMPLES)
    assert set(ended.flags) == {"meter_backwards", "register_decreased"}


@pytest.mark.parametrize(
    ("ended", "flag"),
    [
        (Stamp("2025-06-15T14:00:00Z", T0 - 4_000_000), "time_backwards"),
        (Stamp("1970-01-01T00:00:00Z", 0), "clock_invalid"),
        (Stamp("2031-01-01T00:00:00Z", 1_925_000_000_000), "clock_invalid"),
        (Stamp("soon"), "clock_invalid"),
    ],
)
def test_an_impossible_time_is_flagged_and_kept(ended: Stamp, flag: str) -> None:
    site, transaction = charging()
    site.end(transaction, ended=ended)
    fact = site.last(facts.SessionEnded)
    assert flag in fact.flags
    assert (fact.received_at, fact.energy_wh) == (iso(site.now), 4000.0)
    assert site.end(transaction, ended=ended).facts == ()


@pytest.mark.parametrize("register", [float("nan"), float("inf"), -float("inf"), 1e300, None])
def test_a_register_that_is_no_number_is_absent(register: float | None) -> None:
    site, transaction = charging()
    site.meter(site.sample(2500.0), transaction=transaction)
    site.end(transaction, register)
    ended = site.last(facts.SessionEnded)
    assert (ended.meter_stop_wh, ended.energy_wh) == (None, 1500.0)
    site.check()


def test_samples_of_a_stop_come_before_its_end_and_count() -> None:
    site, transaction = charging()
    site.meter(site.sample(1500.0), transaction=transaction)
    repeated = site.sample(1500.0)
    site.now += MINUTE
    decision = site.end(transaction, None, samples=(repeated, site.sample(2500.0, context="end")))
    assert kinds(decision) == ["meter_sampled", "session_ended"]
    assert [s.energy_wh for s in site.last(facts.MeterSampled).samples] == [2500.0]
    assert not site.last(facts.MeterSampled).late
    assert site.last(facts.SessionEnded).energy_wh == 1500.0


def test_a_long_transaction_data_is_many_facts_and_none_is_lost() -> None:
    site, transaction = charging()
    samples = tuple(
        site.sample(1000.0 + n, at_ms=T0 + n * MINUTE, power_w=7000.5, current_a=(10.1, 10.2, 10.3))
        for n in range(500)
    )
    decision = site.end(transaction, 2000.0, samples=samples)
    assert kinds(decision)[-1] == "session_ended"
    assert len(site.all(facts.MeterSampled)) > 3
    assert tuple(s for body in site.all(facts.MeterSampled) for s in body.samples) == samples
    site.check()


# --- missing stops -----------------------------------------------------------------------------------------


def ends(site: Site) -> list[tuple[bool, str]]:
    return [(body.provisional, body.reason) for body in site.all(facts.SessionEnded)]


def test_a_bare_available_does_not_close_at_once() -> None:
    site, transaction = charging()
    site.status(FINISHING)
    site.status(AVAILABLE)
    site.wait(9 * MINUTE)
    assert ends(site) == []
    site.end(transaction)
    assert ends(site) == [(False, "Local")]
    assert site.wait(HOUR) == []


def test_available_without_a_stop_closes_provisionally_after_10_min() -> None:
    site, transaction = charging()
    site.meter(site.sample(4200.0), transaction=transaction)
    site.status(AVAILABLE)
    site.wait(10 * MINUTE)
    assert ends(site) == [(True, "missing_stop")]
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.meter_stop_wh, ended.flags) == (3200.0, 4200.0, ("missing_stop",))
    site.check()


def test_after_a_boot_60_s_are_enough() -> None:
    site, _ = charging()
    site.boot()
    site.wait(HOUR)
    assert ends(site) == [], "a Boot alone is no end: some go on"
    site.status(AVAILABLE)
    site.wait(59 * SECOND)
    assert ends(site) == []
    site.wait(SECOND)
    assert ends(site) == [(True, "missing_stop")]


def test_a_connector_in_use_again_or_another_sample_stops_the_timer() -> None:
    site, transaction = charging()
    site.status(AVAILABLE)
    site.wait(9 * MINUTE)
    site.status(CHARGING)
    site.wait(2 * HOUR)
    assert ends(site) == []
    site.status(AVAILABLE)
    site.wait(9 * MINUTE)
    site.meter(site.sample(4000.0), transaction=transaction)
    site.wait(9 * MINUTE)
    assert ends(site) == []
    site.wait(MINUTE)
    assert ends(site) == [(True, "missing_stop")]


def test_a_charger_that_is_away_cannot_deliver_its_stop() -> None:
    site, _ = charging()
    site.status(AVAILABLE)
    site.lose()
    site.wait(23 * HOUR)
    assert ends(site) == []
    site.connect()
    site.status(AVAILABLE)
    site.wait(10 * MINUTE)
    assert ends(site) == [(True, "missing_stop")]


def test_24_h_of_silence_close_provisionally() -> None:
    site, _ = charging()
    site.lose()
    site.wait(24 * HOUR - 1)
    assert ends(site) == []
    site.wait(1)
    assert ends(site) == [(True, "silence")]
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.method) == (None, EnergyMethod.UNKNOWN)
    site.check()


def test_a_car_that_stays_plugged_in_for_days_is_not_silent() -> None:
    site, _ = charging()
    site.status(SUSPENDED_EV)
    assert site.wait(72 * HOUR) == []
    site.lose()
    assert site.wait(23 * HOUR) == []


def test_the_true_stop_replaces_the_provisional_one() -> None:
    site, transaction = charging()
    site.meter(site.sample(4200.0), transaction=transaction)
    site.status(AVAILABLE)
    site.wait(11 * MINUTE)
    decision = site.end(transaction, 5000.0, samples=(site.sample(4900.0),))
    assert kinds(decision) == ["meter_sampled", "session_revised"]
    revised = site.last(facts.SessionRevised)
    assert (revised.revision, revised.energy_wh, revised.method) == (1, 4000.0, EnergyMethod.REGISTER)
    assert (revised.obtained, revised.meter_stop_wh) == ("measured", 5000.0)
    at = site.stamp()
    assert site.end(transaction, 5000.0, ended=at).facts == ()
    site.now += MINUTE
    site.end(transaction, 5001.0, ended=at)
    assert site.last(facts.OrphanRecorded).reason == "conflict"
    site.check()


def test_a_session_closed_by_us_goes_on_being_measured() -> None:
    site, transaction = charging()
    site.status(AVAILABLE)
    site.wait(11 * MINUTE)
    for register in (2000.0, 3000.0):
        site.now += MINUTE
        site.meter(site.sample(register), transaction=transaction)
    assert [body.late for body in site.all(facts.MeterSampled)] == [True, True]
    assert site.open_sessions() == [], "a sample never reopens"
    site.end(transaction, None)
    assert site.last(facts.SessionRevised).energy_wh == 2000.0
    site.check()


def test_ended_sessions_in_memory_are_bounded() -> None:
    site = Site().ready()
    for _ in range(30):
        site.end(site.begun())
        site.now += MINUTE
    assert len(site.state.stations["CP1"].sessions) == ENDED_SESSIONS_MAX
    site.check()
