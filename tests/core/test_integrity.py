"""Sessions when chargers leave things out: stops without an id, energy without a start, wrong clocks, silent
meters, registers in another unit."""

from __future__ import annotations

import pytest

from common import facts, review
from common.commands import Name, Reset, Stop, Unlock
from common.domain import EnergyMethod, MeterSample, iso
from common.errors import Code
from common.tuning import TraitsChanged
from edge.core import clocks, connector, inputs, quiet, unattributed
from edge.core.inputs import Stamp
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
    operator,
    refusal,
    stages,
)

# --- a stop without an id (quirk 55) -----------------------------------------------------------------------


def test_a_stop_without_an_id_ends_the_one_session_that_it_can_mean() -> None:
    site = Site().ready()
    site.begin()
    site.now += 10 * MINUTE
    site.end("-1", 4000.0, tag_ref="tag-a")
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.method, ended.flags) == (
        3000.0,
        EnergyMethod.REGISTER,
        ("stop_without_id",),
    )
    assert site.all(facts.OrphanRecorded) == []
    assert review.attention(ended.flags, ended.method, ended=True, provisional=False), "a person looks at it"
    site.check()


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ({"tag_ref": "tag-b"}, "unknown_transaction"),
        ({"meter_stop_wh": 900.0}, "unknown_transaction"),
        ({"ended": Stamp(iso(T0 - HOUR), T0 - HOUR)}, "unknown_transaction"),
    ],
)
def test_a_stop_without_an_id_that_does_not_fit_is_an_orphan(stop: dict[str, object], reason: str) -> None:
    site = Site().ready()
    site.begin()
    site.end("-1", **stop)  # type: ignore[arg-type]
    assert site.last(facts.OrphanRecorded).reason == reason
    assert len(site.open_sessions()) == 1
    site.check()


def test_of_two_candidates_neither_is_taken() -> None:
    site = Site().ready(evses=2)
    site.begin(evse=1)
    site.begin(evse=2)
    site.end("-1", 4000.0)
    assert site.last(facts.OrphanRecorded).reason == "no_single_candidate"
    assert len(site.open_sessions()) == 2


def test_a_session_whose_id_the_charger_has_used_is_no_candidate() -> None:
    site = Site().ready(evses=2)
    known = site.begun(evse=1)
    site.meter(site.sample(1100.0), transaction=known)
    site.begin(evse=2)
    site.now += MINUTE
    site.end("-1", 4000.0)
    assert [s.evse for s in site.state.stations["CP1"].sessions.values() if s.ended] == [2]


def test_an_earlier_backends_id_that_is_ours_too_ends_nothing() -> None:
    site = Site().ready()
    transaction = site.begun(meter_start_wh=50_000.0)
    long_ago = T0 - 90 * 24 * HOUR
    site.end(transaction, 20_000.0, ended=Stamp(iso(long_ago), long_ago))
    assert site.last(facts.OrphanRecorded).reason == "foreign_transaction"
    assert len(site.open_sessions()) == 1


# --- energy without a start (quirks 54, 60) ----------------------------------------------------------------


def charging_without_a_start() -> Site:
    site = Site().ready()
    site.status(CHARGING)
    site.wait(connector.UNATTRIBUTED_MS)
    return site


def test_charging_without_a_start_is_shown_and_told_once() -> None:
    site = charging_without_a_start()
    assert site.state.view.chargers["CP1"].connectors[1].unattributed
    assert [o.reason for o in site.all(facts.OrphanRecorded)] == ["unattributed_charging"]
    assert site.open_sessions() == []
    site.wait(HOUR)
    assert len(site.all(facts.OrphanRecorded)) == 1
    site.status(SUSPENDED_EV)
    assert not site.state.view.chargers["CP1"].connectors[1].unattributed
    site.check()


def test_what_its_meter_tells_is_a_session_of_nobody() -> None:
    site = charging_without_a_start()
    site.meter(site.sample(2000.0, power_w=7000.0))
    (uid,) = site.open_sessions()
    started = site.last(facts.SessionStarted)
    assert (started.transaction, started.principal, started.authorization) == ("", None, "unattributed")
    assert (started.started_at, started.flags) == (iso(T0)[:19] + "Z", ("unattributed",))
    place = site.state.view.chargers["CP1"].connectors[1]
    assert (place.session, place.unattributed) == (uid, False)
    site.now += 30 * MINUTE
    site.meter(site.sample(5500.0))
    site.status(FINISHING)
    site.status(AVAILABLE)
    site.wait(HOUR)
    ended = site.last(facts.SessionEnded)
    assert (ended.provisional, ended.energy_wh, ended.method) == (True, 3500.0, EnergyMethod.SAMPLES)
    site.check()


def test_it_cannot_be_stopped_and_says_so() -> None:
    site = charging_without_a_start()
    site.meter(site.sample(2000.0))
    (uid,) = site.open_sessions()
    site.state.view.sessions[uid].principal = "driver-1"
    assert refusal(site.command(Name.STOP, Stop(uid))) == Code.NO_TRANSACTION


def test_the_true_start_takes_its_place() -> None:
    site = charging_without_a_start()
    site.meter(site.sample(2000.0))
    (nobodys,) = site.open_sessions()
    site.begin(started=site.stamp(T0))
    superseded = site.last(facts.SessionEnded)
    assert (superseded.session, superseded.energy_wh, superseded.reason) == (nobodys, 0.0, "superseded")
    assert site.last(facts.SessionStarted).supersedes == nobodys
    assert len(site.open_sessions()) == 1
    site.check()


def test_meter_values_alone_open_nothing_before() -> None:
    site = Site().ready()
    site.meter(site.sample(2000.0, power_w=7000.0))
    site.status(CHARGING)
    site.meter(site.sample(2000.0, power_w=7000.0))
    assert site.open_sessions() == []


def test_an_unknown_transaction_of_a_car_that_charges_is_taken_in() -> None:
    site = Site().ready()
    site.status(CHARGING)
    site.meter(site.sample(7000.0), transaction="424242")
    started = site.last(facts.SessionStarted)
    assert (started.transaction, started.flags, started.meter_start_wh) == ("424242", ("adopted",), 7000.0)
    site.now += 30 * MINUTE
    site.end("424242", 9000.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.session, ended.energy_wh, ended.provisional) == (started.session, 2000.0, False)
    assert site.all(facts.OrphanRecorded) == []
    site.check()


@pytest.mark.parametrize("state", [AVAILABLE, PREPARING, FINISHING])
def test_an_unknown_transaction_where_nothing_charges_is_an_orphan(state: object) -> None:
    site = Site().ready()
    site.status(PREPARING)
    site.status(FINISHING)
    if state is not FINISHING:
        site.status(AVAILABLE)
    site.meter(site.sample(7000.0), transaction="424242")
    assert (site.open_sessions(), site.last(facts.OrphanRecorded).reason) == ([], "unknown_transaction")


def test_an_unknown_transaction_out_of_a_queue_opens_nothing() -> None:
    site = Site().ready()
    site.status(CHARGING)
    site.meter(site.sample(7000.0, T0 - unattributed.FRESH_MS - SECOND), transaction="424242")
    assert site.open_sessions() == []
    site.meter(MeterSample(energy_wh=7000.0), transaction="424242")
    assert site.open_sessions() == []


def test_an_adopted_transaction_changes_nothing_about_the_ids_that_we_give() -> None:
    site = Site().ready(evses=2)
    first = int(site.begun(evse=2))
    site.status(CHARGING)
    site.meter(site.sample(7000.0), transaction="7")
    assert site.state.stations["CP1"].last_transaction == first


# --- two transactions on a connector -----------------------------------------------------------------------


def test_two_open_transactions_on_one_connector_both_end() -> None:
    site = Site().ready()
    first = site.begun()
    site.meter(site.sample(1500.0), transaction=first)
    site.now += MINUTE
    second = site.begun(tag_ref="tag-b", meter_start_wh=1500.0)
    one, two = (body.session for body in site.all(facts.SessionStarted))
    assert site.last(facts.SessionEnded).session == one
    assert site.last(facts.SessionEnded).provisional
    site.now += MINUTE
    site.meter(site.sample(1600.0), transaction=first)
    site.end(first, 1700.0)
    revised = site.last(facts.SessionRevised)
    assert (revised.session, revised.energy_wh, revised.revision) == (one, 700.0, 1)
    assert site.open_sessions() == [two]
    site.end(second, 2500.0)
    assert (site.last(facts.SessionEnded).session, site.last(facts.SessionEnded).energy_wh) == (two, 1000.0)
    site.check()


# --- clocks (quirks 39, 42) --------------------------------------------------------------------------------


def offset(site: Site) -> int:
    return clocks.offset_ms(site.state.stations["CP1"])


def test_a_clock_that_is_right_has_no_offset() -> None:
    site = Site().ready()
    site.status(PREPARING, reported_at=iso(site.now - 900))
    assert offset(site) == 0


def test_local_time_marked_as_utc_is_learnt_from_a_live_message() -> None:
    site = Site().ready()
    site.status(PREPARING, reported_at=iso(site.now + 2 * HOUR))
    assert offset(site) == 2 * HOUR
    site.begin(started=site.stamp(site.now + 2 * HOUR))
    started = site.last(facts.SessionStarted)
    assert started.clock_offset_ms == 2 * HOUR
    assert started.started_at == iso(site.now + 2 * HOUR)[:19] + "Z", "the charger's own time stays"
    site.check()


def test_a_clock_that_is_behind_does_not_make_a_session_foreign() -> None:
    site = Site()
    site.connect()
    site.status(AVAILABLE, reported_at=iso(site.now - 5 * HOUR)[:19])  # local time, no zone
    site.now += MINUTE
    site.begin(started=Stamp(iso(site.now - 5 * HOUR)[:19]))
    assert "imported" not in site.last(facts.SessionStarted).flags
    site.begin(evse=2, started=Stamp(iso(site.now - 7 * HOUR)[:19]))
    assert "imported" in site.last(facts.SessionStarted).flags
    site.check()


def test_history_that_a_charger_delivers_after_its_adoption_is_foreign_to_the_last_session() -> None:
    """Its own times are all that a charger tells that sends no time with its statuses."""
    site = Site().ready()
    for number in range(40):
        started_ms = site.now - 40 * 24 * HOUR + number * 6 * HOUR
        register_wh = 1000.0 + 500 * number
        transaction = site.begun(meter_start_wh=register_wh, started=site.stamp(started_ms))
        assert "imported" in site.last(facts.SessionStarted).flags
        for second in range(0, 60, 5):  # closer together than a queue is emptied
            site.now += SECOND
            site.meter(site.sample(register_wh, started_ms + second * SECOND), transaction=transaction)
        site.now += SECOND
        site.end(transaction, register_wh + 500, ended=site.stamp(started_ms + HOUR))
    site.now += MINUTE
    site.begin(meter_start_wh=30_000.0)
    assert "imported" not in site.last(facts.SessionStarted).flags
    site.check()


def test_a_clock_that_is_behind_is_learnt_from_a_charge_too() -> None:
    site = Site().ready()
    behind = 5 * HOUR
    transaction = site.begun(started=site.stamp(site.now - behind))
    for _ in range(3):
        site.now += 30 * SECOND
        site.meter(site.sample(1000.0, site.now - behind), transaction=transaction)
    site.end(transaction, 2000.0, ended=site.stamp(site.now - behind))
    site.now += MINUTE
    site.begin(meter_start_wh=2000.0, started=site.stamp(site.now - behind))
    assert "imported" not in site.last(facts.SessionStarted).flags
    site.check()


def test_a_queue_makes_no_offset() -> None:
    site = Site().ready()
    site.status(PREPARING, reported_at=iso(site.now))
    transaction = site.begun()
    for minutes in range(120, 0, -1):
        site.now += 20
        site.meter(site.sample(1000.0, T0 - minutes * MINUTE), transaction=transaction)
    assert offset(site) == 0


def test_a_clock_that_was_set_back_is_followed_after_a_minute() -> None:
    site = Site().ready()
    site.status(PREPARING, reported_at=iso(site.now + HOUR))
    transaction = site.begun(started=site.stamp(site.now + HOUR))
    for _ in range(clocks.AGREEING):
        assert offset(site) == HOUR
        site.now += 30 * SECOND
        site.meter(site.sample(1000.0), transaction=transaction)
    assert offset(site) == 0
    site.check()


@pytest.mark.parametrize("stamp", ["1970-01-01T00:00:10Z", "soon", "2099-01-01T00:00:00Z", ""])
def test_a_time_that_is_none_teaches_nothing(stamp: str) -> None:
    site = Site().ready()
    site.status(PREPARING, reported_at=stamp)
    assert offset(site) == 0


def test_a_missing_stop_is_told_in_the_chargers_own_time() -> None:
    site = Site().ready()
    site.status(PREPARING, reported_at=iso(site.now + 2 * HOUR))
    site.begin(started=site.stamp(site.now + 2 * HOUR))
    site.now += 10 * MINUTE
    heard = site.now
    site.status(CHARGING)
    site.lose()
    site.wait(25 * HOUR)
    ended = site.last(facts.SessionEnded)
    assert ended.provisional
    assert ended.ended_at == iso(heard + 2 * HOUR)[:19] + "Z"


# --- meters that say nothing (quirk 80) --------------------------------------------------------------------


def asked(decisions: list[inputs.Decision]) -> list[inputs.Action]:
    return [r.action for d in decisions for r in d.requests if isinstance(r.action, inputs.Trigger)]


def test_a_silent_meter_is_asked_while_a_car_charges() -> None:
    site = Site().ready()
    site.begin()
    site.status(CHARGING)
    assert asked(site.wait(quiet.ASK_AFTER_MS[0] - 1)) == []
    assert asked(site.wait(2)) == [inputs.Trigger("meter", 1)]
    assert len(asked(site.wait(24 * HOUR))) == len(quiet.ASK_AFTER_MS) - 1, "seldom, and then no more"
    site.check()


def test_a_meter_that_speaks_is_not_asked() -> None:
    site = Site().ready()
    transaction = site.begun()
    site.status(CHARGING)
    for minute in range(30):
        site.now += MINUTE
        assert asked([site.meter(site.sample(1000.0 + minute), transaction=transaction)]) == []
        assert asked(site.wait(0)) == []


@pytest.mark.parametrize("state", [SUSPENDED_EV, FINISHING])
def test_a_car_that_does_not_charge_is_left_in_peace(state: object) -> None:
    site = Site().ready()
    site.begin()
    site.status(CHARGING)
    site.status(state)  # type: ignore[arg-type]
    assert asked(site.wait(12 * HOUR)) == []


def test_a_charger_that_cannot_be_asked_is_not_asked_again() -> None:
    site = Site().ready()
    site.begin()
    site.status(CHARGING)
    (tick,) = [d for d in site.wait(quiet.ASK_AFTER_MS[0]) if d.requests]
    site.answer(tick, "not_supported")
    assert site.last(facts.CapabilityLearned).ability == "trigger_meter"
    assert asked(site.wait(12 * HOUR)) == []
    site.check()


# --- registers in another unit (quirk 71) ------------------------------------------------------------------


def charge(site: Site, *, factor: float, minutes: int = 30) -> facts.SessionEnded:
    """A charge at 7.2 kW whose register counts in another unit."""
    start_wh = 50_000.0 * factor
    transaction = site.begun(meter_start_wh=start_wh)
    told_wh = start_wh
    for minute in range(minutes):
        site.now += MINUTE
        told_wh = round(start_wh + (minute + 1) * 120 * factor, 4)
        site.meter(site.sample(told_wh, power_w=7200.0), transaction=transaction)
    site.end(transaction, told_wh)
    site.now += MINUTE
    return site.last(facts.SessionEnded)


def test_kwh_told_as_wh_is_noticed_and_proposed_once() -> None:
    site = Site().ready()
    ended = charge(site, factor=0.001)
    assert ended.energy_wh == pytest.approx(3.6)
    doubted = site.last(facts.MeterDoubted)
    assert (doubted.charger, doubted.factor) == ("CP1", 1000.0)
    charge(site, factor=0.001)
    assert len(site.all(facts.MeterDoubted)) == 1
    site.check()


@pytest.mark.parametrize("factor", [1.0, 0.9, 1.3])
def test_a_meter_that_is_right_is_not_doubted(factor: float) -> None:
    site = Site().ready()
    charge(site, factor=factor)
    assert site.all(facts.MeterDoubted) == []


def test_little_energy_proves_nothing() -> None:
    site = Site().ready()
    charge(site, factor=0.001, minutes=3)
    assert site.all(facts.MeterDoubted) == []


def test_a_factor_holds_from_the_next_session_on() -> None:
    site = Site().ready()
    transaction = site.begun(meter_start_wh=50.0)
    scaled = TraitsChanged(charger="CP1", source="installer", traits={"register_factor": 1000.0})
    site.feed(inputs.Note(body=scaled))
    site.meter(site.sample(53.0), transaction=transaction)
    site.end(transaction, 54.0)
    assert site.last(facts.SessionEnded).energy_wh == 4.0, "never in the middle of one"
    site.now += MINUTE
    ended = charge(site, factor=0.001)
    started = site.last(facts.SessionStarted)
    assert (started.meter_start_wh, started.scale, started.flags) == (50_000.0, 1000.0, ("scaled_1000",))
    assert (ended.energy_wh, ended.meter_stop_wh) == (3600.0, 53_600.0)
    assert site.last(facts.MeterSampled).samples[0].energy_wh == 53_600.0
    assert site.all(facts.MeterDoubted) == []
    site.check()


def test_the_repeat_of_a_start_is_known_whatever_the_factor() -> None:
    site = Site().ready()
    scaled = TraitsChanged(charger="CP1", source="installer", traits={"register_factor": 1000.0})
    site.feed(inputs.Note(body=scaled))
    at = site.stamp()
    transaction = site.begun(meter_start_wh=50.0, started=at)
    reply = site.begin(meter_start_wh=50.0, started=at).reply
    assert isinstance(reply, inputs.StartReply)
    assert (reply.transaction, reply.replay) == (transaction, True)


# --- commands that end a charge (quirk 69) -----------------------------------------------------------------


@pytest.mark.parametrize(("name", "args"), [(Name.RESET, Reset), (Name.UNLOCK, Unlock)])
def test_what_would_end_a_charge_has_to_say_so(name: Name, args: type[Reset] | type[Unlock]) -> None:
    site = Site().ready()
    site.begin()
    refused = site.command(name, args(), claims=operator(), id="cmd-2")
    assert (refusal(refused), refused.requests) == (Code.WOULD_END_CHARGE, ())
    assert stages(site.command(name, args(ends_charge=True), claims=operator(), id="cmd-3")) == ["accepted"]


def test_where_no_car_charges_nothing_has_to_be_said() -> None:
    site = Site().ready(evses=2)
    site.begin(evse=2)
    assert stages(site.command(Name.UNLOCK, Unlock(), evse=1, claims=operator())) == ["accepted"]
