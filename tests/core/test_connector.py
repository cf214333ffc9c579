"""The connector's machine: the table, and how a report that does not follow is held and resolved."""

from __future__ import annotations

import pytest

from common import facts
from common.domain import ConnectorState
from edge.core import inputs
from edge.core.connector import STATION_TABLE, TABLE
from edge.core.inputs import TriggerStatus
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    FAULTED,
    FINISHING,
    MINUTE,
    PREPARING,
    RESERVED,
    SECOND,
    SUSPENDED_EV,
    UNAVAILABLE,
    UNKNOWN,
    Site,
    kinds,
)

NINE = [state for state in ConnectorState if state is not UNKNOWN]
# OCPP 1.6 §4.9: rows A to I, columns 1 to 9, and erratum 3.20's B6.
COLUMNS = {
    "A": "2345789",
    "B": "134569",
    "C": "145689",
    "D": "135689",
    "E": "134689",
    "F": "1289",
    "G": "1289",
    "H": "123459",
    "I": "12345678",
}
ALLOWED = [f"{row}{column}" for row, columns in COLUMNS.items() for column in columns]


def changes(site: Site) -> list[facts.ConnectorChanged]:
    return site.all(facts.ConnectorChanged)


def held_at(state: ConnectorState) -> Site:
    site = Site()
    site.connect()
    site.status(state)
    assert site.held() is state
    return site


def test_the_table_is_the_specification() -> None:
    labels = {f"{'ABCDEFGHI'[row]}{column + 1}" for row in range(9) for column in range(9) if row != column}
    told = {
        f"{'ABCDEFGHI'[NINE.index(held)]}{NINE.index(reported) + 1}": label
        for held, row in TABLE.items()
        for reported, label in row.items()
    }
    assert len(ALLOWED) == 53
    assert sorted(told) == sorted(ALLOWED)
    assert all(place == label for place, label in told.items())
    assert len(labels - set(told)) == 19


@pytest.mark.parametrize("held", NINE)
@pytest.mark.parametrize("reported", NINE)
def test_every_step(held: ConnectorState, reported: ConnectorState) -> None:
    site = held_at(held)
    decision = site.status(reported)
    if reported is held:
        assert decision.facts == ()
        return
    (fact,) = decision.facts
    assert isinstance(fact, facts.ConnectorChanged)
    if reported in TABLE[held]:
        assert (fact.via, site.held(), decision.requests) == ("report", reported, ())
    else:
        assert (fact.via, fact.state, fact.observed) == ("refused", held, reported)
        assert site.held() is held
        assert [request.action for request in decision.requests] == [TriggerStatus(1)]
        assert decision.requests[0].priority == inputs.PRIORITY_HOUSEKEEPING
    assert decision.reply == inputs.Acknowledged()
    site.check()


def test_the_first_report_of_a_connection_is_adopted_as_it_is() -> None:
    for state in NINE:
        site = Site()
        site.connect()
        (fact,) = site.status(state).facts
        assert isinstance(fact, facts.ConnectorChanged)
        assert (fact.via, fact.state) == ("init", state)


def test_the_same_report_again_confirms() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    (fact,) = site.status(CHARGING).facts
    assert isinstance(fact, facts.ConnectorChanged)
    assert (fact.via, fact.unconfirmed, site.held()) == ("resync", False, CHARGING)
    assert site.state.view.chargers["CP1"].connectors[1].observed is None
    site.check()


def test_a_report_that_follows_drops_the_observation() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    site.status(AVAILABLE)
    assert (site.held(), changes(site)[-1].via) == (AVAILABLE, "report")
    assert site.wait(MINUTE) == []
    assert site.held() is AVAILABLE


def test_the_held_state_again_drops_the_observation() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    site.status(FINISHING)
    assert changes(site)[-1].observed is None
    assert site.wait(MINUTE) == []
    assert site.held() is FINISHING


def test_another_one_that_does_not_follow_replaces_the_observation_and_the_clock_runs_on() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    site.wait(20 * SECOND)
    decision = site.status(SUSPENDED_EV)
    assert decision.requests == (), "one question is on its way already"
    site.wait(10 * SECOND)
    assert site.held() is SUSPENDED_EV
    assert changes(site)[-1].unconfirmed


def test_after_30_s_on_a_live_connection_it_is_believed_unconfirmed() -> None:
    site = held_at(CHARGING)
    site.status(RESERVED, error_code="OtherError", info="half a plug")
    site.wait(29_999)
    assert site.held() is CHARGING
    site.wait(1)
    fact = changes(site)[-1]
    assert (fact.via, fact.unconfirmed, fact.state) == ("resync", True, RESERVED)
    assert (fact.error_code, fact.info) == ("OtherError", "half a plug")
    site.check()


def test_the_charger_is_asked_again_after_2_5_and_10_s() -> None:
    site = held_at(FINISHING)
    began = site.now
    site.status(CHARGING)
    asked = []
    for _ in range(40):
        site.now += SECOND
        asked += [(site.now - began, r.action) for r in site.feed(inputs.Tick()).requests]
    assert asked == [(at * SECOND, TriggerStatus(None)) for at in (2, 5, 10)]


def test_a_question_is_not_lost_when_something_else_comes_first() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    site.now += 2 * SECOND + 1
    decision = site.feed(inputs.AuthorizeAsked(charger="CP1", tag_ref="x"))
    assert [request.action for request in decision.requests] == [TriggerStatus(None)]
    assert site.feed(inputs.Tick()).requests == ()


def test_questions_that_became_due_together_are_one() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    site.now += 7 * SECOND
    assert len(site.feed(inputs.Tick()).requests) == 1


@pytest.mark.parametrize("ending", ["lose", "boot", "connect"])
def test_a_new_epoch_forgets_the_observation_and_keeps_the_last_state_as_stale(ending: str) -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    getattr(site, ending)()
    assert site.held() is UNKNOWN
    place = site.state.view.chargers["CP1"].connectors[1]
    assert (place.state, place.stale, place.observed) == (FINISHING, True, None)
    site.connect()
    site.status(CHARGING)
    assert (changes(site)[-1].via, site.held(), place.stale) == ("init", CHARGING, False)
    site.check()


def test_a_loss_changes_no_state_and_a_second_loss_is_nothing() -> None:
    site = held_at(CHARGING)
    assert kinds(site.lose()) == ["charger_lost"]
    assert site.lose().facts == ()
    assert kinds(site.connect()) == ["charger_seen"], "what was stale before needs no second word"


def test_a_boot_or_a_second_connection_says_that_the_state_is_only_the_last_one() -> None:
    site = held_at(CHARGING)
    assert kinds(site.boot()) == ["charger_booted", "connector_changed"]
    assert changes(site)[-1].via == "epoch"
    assert kinds(site.boot()) == ["charger_booted"]


def test_a_start_confirms_charging() -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    assert kinds(site.begin()) == ["session_started", "authorization_changed", "connector_changed"]
    assert (site.held(), changes(site)[-1].via) == (CHARGING, "resync")


def test_a_stop_confirms_finishing_and_available() -> None:
    site = held_at(UNAVAILABLE)
    transaction = site.begun()
    site.status(FINISHING)
    assert site.held() is UNAVAILABLE
    site.end(transaction)
    assert site.held() is FINISHING


def test_power_in_a_named_transaction_confirms_charging_and_nothing_less_does() -> None:
    site = held_at(AVAILABLE)
    transaction = site.begun()
    site.status(PREPARING)
    site.status(FINISHING)
    site.status(CHARGING)
    assert site.held() is FINISHING
    site.meter(site.sample(1000.0, power_w=0.0), transaction=transaction)
    site.now += SECOND
    site.meter(site.sample(1000.0, power_w=7000.0))
    assert site.held() is FINISHING
    site.now += SECOND
    decision = site.meter(site.sample(1010.0, power_w=7000.0), transaction=transaction)
    assert site.held() is CHARGING
    assert kinds(decision) == ["meter_sampled", "connector_changed"]


def test_a_start_does_not_confirm_what_it_does_not_speak_for() -> None:
    site = held_at(CHARGING)
    site.status(RESERVED)
    assert kinds(site.begin()) == ["session_started", "authorization_changed"]
    assert site.held() is CHARGING


def test_an_error_code_beside_a_state_is_a_warning_that_is_shown() -> None:
    site = held_at(AVAILABLE)
    decision = site.status(AVAILABLE, error_code="WeakSignal", info="antenna")
    assert kinds(decision) == ["connector_changed"]
    assert site.state.view.chargers["CP1"].connectors[1].error_code == "WeakSignal"
    assert site.status(AVAILABLE, error_code="WeakSignal", info="antenna").facts == ()
    assert len(site.status(AVAILABLE).facts) == 1


def test_connector_0_is_the_station_itself() -> None:
    site = held_at(CHARGING)
    site.status(AVAILABLE, evse=0)
    site.status(UNAVAILABLE, evse=0)
    site.status(FAULTED, evse=0)
    assert site.state.view.chargers["CP1"].station is FAULTED
    assert site.held() is CHARGING
    assert list(site.state.view.chargers["CP1"].connectors) == [1]
    assert site.wait(MINUTE) == []
    site.check()


def test_connector_0_outside_its_three_states_is_recorded_and_never_applied() -> None:
    site = Site()
    site.connect()
    site.status(AVAILABLE, evse=0)
    decision = site.status(CHARGING, evse=0)
    (fact,) = decision.facts
    assert isinstance(fact, facts.ConnectorChanged)
    assert (fact.via, fact.state, fact.observed, decision.requests) == ("refused", AVAILABLE, CHARGING, ())
    assert site.status(CHARGING, evse=0).facts == ()
    assert site.state.view.chargers["CP1"].station is AVAILABLE
    assert {a for row in STATION_TABLE.values() for a in row} == {AVAILABLE, UNAVAILABLE, FAULTED}


@pytest.mark.parametrize("evse", [-1, 129, 2**70])
def test_a_connector_that_cannot_be_is_recorded_as_unreadable(evse: int) -> None:
    site = Site()
    site.connect()
    decision = site.status(CHARGING, evse=evse)
    assert kinds(decision) == ["orphan_recorded"]
    assert decision.reply == inputs.Acknowledged()
    assert site.status(CHARGING, evse=evse).facts == ()
    site.check()


def test_charging_that_belongs_to_nobody_is_told_once() -> None:
    site = held_at(AVAILABLE)
    site.status(CHARGING)
    site.wait(299 * SECOND)
    assert site.all(facts.OrphanRecorded) == []
    site.wait(2 * SECOND)
    (orphan,) = site.all(facts.OrphanRecorded)
    assert (orphan.what, orphan.reason, orphan.evse) == ("start", "unattributed_charging", 1)
    site.wait(24 * 60 * MINUTE)
    assert len(site.all(facts.OrphanRecorded)) == 1
    site.status(FINISHING)
    site.status(AVAILABLE)
    site.status(CHARGING)
    site.wait(301 * SECOND)
    assert len(site.all(facts.OrphanRecorded)) == 2
    site.check()


def test_charging_with_a_late_start_is_not_nobodys() -> None:
    site = held_at(AVAILABLE)
    site.status(CHARGING)
    site.wait(MINUTE)
    site.begin()
    site.wait(MINUTE * 10)
    assert site.all(facts.OrphanRecorded) == []


def test_charging_that_ended_before_it_was_told_is_not_told() -> None:
    site = held_at(AVAILABLE)
    site.status(CHARGING)
    site.wait(MINUTE)
    site.status(FINISHING)
    site.wait(10 * MINUTE)
    site.status(AVAILABLE)
    site.status(CHARGING)
    site.lose()
    site.connect()
    site.wait(10 * MINUTE)
    assert site.all(facts.OrphanRecorded) == []


@pytest.mark.parametrize("ending", ["lose", "boot"])
def test_nothing_is_asked_or_believed_of_an_epoch_that_is_over(ending: str) -> None:
    site = held_at(FINISHING)
    site.status(CHARGING)
    getattr(site, ending)()
    site.connect()
    site.status(AVAILABLE)
    assert site.wait(MINUTE) == []
    assert site.held() is AVAILABLE


def test_a_connectors_number_is_kept() -> None:
    site = Site()
    site.connect()
    site.status(AVAILABLE, connector=2)
    (request,) = site.command(evse=1).requests
    assert isinstance(request.action, inputs.StartCharge)
    assert request.action.connector == 2
    site.boot()
    assert changes(site)[-1].connector == 2
