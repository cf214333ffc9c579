"""2.x transaction events: one session a transaction, whatever is lost, repeated, late or left out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts
from common.commands import Name, Stop
from common.domain import Availability, EnergyMethod, MeterSample, Phase, Plug, iso
from common.review import attention
from edge.core import identity, inputs
from edge.core.events import OPEN_MAX
from edge.core.identity import minted_tag, remote_start_id
from edge.core.inputs import Decision, Known, Stamp, StopReply
from edge.core.reports import AvailabilityReported, TransactionEvent
from edge.core.requests import AskTransaction, StartCharge, TriggerStatus
from edge.core.sequence import HOLES_MAX, RECENT_MAX, Sequence, Verdict, judge, take
from edge.core.state import Session
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    FAULTED,
    FINISHING,
    HOUR,
    MINUTE,
    PREPARING,
    SECOND,
    SITE,
    SUSPENDED_EV,
    T0,
    Site,
    kinds,
    refusal,
)

TX = "0c3f6d4e-6d6c-4c9e-9f3b-2b0a1f6f2a11"


def register(energy_wh: float, at_ms: int, context: str = "periodic") -> MeterSample:
    return MeterSample(at=iso(at_ms), energy_wh=energy_wh, context=context)


class Station(Site):
    """A site whose charger CP1 speaks 2.x. `event` tells one event of a transaction, by default of TX."""

    def told(
        self, step: str, number: int | None, wh: float | None = None, **more: object
    ) -> TransactionEvent:
        context = {"started": "begin", "ended": "end"}.get(step, "periodic")
        fields: dict[str, object] = {
            "charger": "CP1",
            "transaction": TX,
            "step": step,
            "number": number,
            "at": self.stamp(),
            "samples": () if wh is None else (register(wh, self.now, context),),
        }
        return msgspec.convert(fields | more, TransactionEvent)

    def event(
        self, step: str, number: int | None = None, wh: float | None = None, **more: object
    ) -> Decision:
        self.now += SECOND
        return self.feed(self.told(step, number, wh, **more))

    def available(
        self, availability: Availability = Availability.AVAILABLE, evse: int = 1, connector: int = 1
    ) -> Decision:
        return self.feed(
            AvailabilityReported(
                charger="CP1",
                evse=evse,
                connector=connector,
                availability=availability,
                reported_at=iso(self.now),
            )
        )

    def up(self, evses: int = 1) -> Station:
        self.feed(inputs.StationConnected(charger="CP1", protocol="ocpp2.0.1", each=True))
        self.boot()
        for evse in range(1, evses + 1):
            self.available(evse=evse)
        return self

    def session(self) -> Session:
        return list(self.state.stations["CP1"].sessions.values())[-1]


def charge(site: Station, *, first: int = 0, step: int = 1) -> None:
    site.event("started", first, 1000.0, evse=1, connector=1, phase=Phase.CONNECTED, tag_ref="tag-a")
    site.event("updated", first + step, 1000.0, phase=Phase.CHARGING)
    site.event("updated", first + 2 * step, 3000.0)
    site.event("ended", first + 3 * step, 5000.0, phase=Phase.CONNECTED, reason="Local")


def wants_a_look(site: Station) -> list[str]:
    """Why the latest session may not be billed yet."""
    shown = list(site.state.view.sessions.values())[-1]
    return attention(shown.flags, shown.method, ended=bool(shown.ended_at), provisional=shown.provisional)


# --- one charge --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 517, 2**40])
def test_a_charge_from_plug_to_end(first: int) -> None:
    site = Station().up()
    charge(site, first=first)
    started, ended = site.last(facts.SessionStarted), site.last(facts.SessionEnded)
    assert started.session == identity.session_uid(SITE, "CP1", TX)
    assert (started.transaction, started.evse, started.meter_start_wh) == (TX, 1, 1000.0)
    assert (ended.energy_wh, ended.method, ended.provisional, ended.flags) == (
        4000.0,
        EnergyMethod.REGISTER,
        False,
        (),
    )
    assert (ended.reason, site.open_sessions()) == ("Local", [])
    site.check()


def test_a_repeat_adds_nothing_and_gets_the_kept_reply() -> None:
    site = Station().up()
    first = site.event("started", 0, 1000.0, evse=1, tag_ref="tag-a")
    assert isinstance(first.reply, StopReply)
    again = site.feed(site.told("started", 0, 1000.0, evse=1, tag_ref="tag-a"))
    replayed = site.feed(site.told("started", 0, 1000.0, evse=1, tag_ref="tag-a", offline=True))
    for repeat in (again, replayed):
        assert repeat.facts == ()
        assert repeat.reply == msgspec.structs.replace(first.reply, replay=True)


def test_other_content_under_a_used_number_is_kept_beside_the_first() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1)
    site.event("updated", 1, 2000.0)
    decision = site.event("updated", 1, 9000.0)
    assert kinds(decision) == ["orphan_recorded", "session_event", "meter_sampled"]
    assert (site.last(facts.OrphanRecorded).what, site.last(facts.OrphanRecorded).reason) == (
        "event",
        "conflict",
    )
    assert site.feed(site.told("updated", 1, 9000.0)).facts == ()
    site.event("ended", 2, 3000.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.provisional) == (2000.0, True)
    assert {"incomplete", "event_conflict"} <= set(ended.flags)
    site.check()


def test_an_end_is_an_end_whatever_its_number() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1)
    site.event("updated", 1, 2000.0)
    site.event("ended", 1, 3000.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.provisional, "event_conflict" in ended.flags) == (2000.0, True, True)


def test_a_station_that_does_not_count() -> None:
    site = Station().up()
    charge(site, first=0, step=0)
    ended = site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.provisional, ended.flags) == (4000.0, False, ("uncounted",))
    assert wants_a_look(site) == []
    before = len(site.journal)
    site.feed(site.told("ended", 0, 5000.0, phase=Phase.CONNECTED, reason="Local"))
    assert len(site.journal) == before
    site.check()


# --- gaps --------------------------------------------------------------------------------------------------


def test_a_gap_is_provisional_until_it_is_filled() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1)
    late = site.told("updated", 1, 1500.0)
    site.event("updated", 2, 2000.0)
    decision = site.event("ended", 3, 3000.0, reason="Local")
    ended = site.last(facts.SessionEnded)
    assert (ended.provisional, ended.flags, ended.energy_wh) == (True, ("incomplete",), 2000.0)
    assert wants_a_look(site) == ["provisional"]
    assert [request.action for request in decision.requests] == [AskTransaction(TX)]
    site.feed(late)
    revised = site.last(facts.SessionRevised)
    assert (revised.energy_wh, revised.meter_stop_wh, revised.flags) == (2000.0, 3000.0, ())
    assert not site.session().provisional
    assert wants_a_look(site) == []
    site.check()


def test_what_the_station_does_not_hold_is_lost_and_a_person_decides() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1)
    asked = site.event("ended", 5, 3000.0)
    site.answer(asked, result={"ongoing": False, "queued": True})
    assert len(site.all(facts.SessionEnded)) == 1
    site.answer(asked, result={"ongoing": False, "queued": False})
    ended = site.last(facts.SessionEnded)
    assert ended.provisional
    assert {"incomplete", "events_lost", "needs_review"} <= set(ended.flags)
    site.check()


def test_a_station_that_still_holds_some_is_asked_again_until_it_holds_none() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1)
    asked = site.event("ended", 5, 3000.0)
    # Its answer to the end's own receipt may have crossed with the question.
    site.answer(asked, result={"ongoing": False, "queued": True})

    def questions(wait_ms: int) -> list[inputs.Request]:
        told = [request for tick in site.wait(wait_ms) for request in tick.requests]
        return [request for request in told if isinstance(request.action, AskTransaction)]

    (again,) = questions(MINUTE)
    (once_more,) = questions(10 * MINUTE)
    held = {"ongoing": False, "queued": False}
    site.feed(inputs.CallEnded(charger="CP1", request=again.id, answer="accepted", result=held))
    assert "events_lost" in site.last(facts.SessionEnded).flags
    site.feed(inputs.CallEnded(charger="CP1", request=once_more.id, answer="accepted", result=held))
    assert len(site.all(facts.SessionEnded)) == 2, "once is enough"
    assert questions(48 * HOUR) == []
    site.check()


def test_the_start_comes_after_the_end() -> None:
    site = Station().up()
    started = site.told("started", 0, 1000.0, evse=1, tag_ref="tag-a")
    site.event("ended", 1, 3000.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.provisional, ended.method) == (True, EnergyMethod.SAMPLES)
    assert {"incomplete", "start_missing"} <= set(ended.flags)
    site.feed(started)
    learned, revised = site.last(facts.SessionLearned), site.last(facts.SessionRevised)
    assert (learned.started_at, learned.meter_start_wh, learned.tag_ref) == (
        identity.canonical(started.at),
        1000.0,
        "tag-a",
    )
    assert (revised.energy_wh, revised.method) == (2000.0, EnergyMethod.REGISTER)
    assert len(site.all(facts.SessionStarted)) == 1
    site.check()


def test_an_end_that_never_comes_leaves_the_session_open_until_the_timer() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1, phase=Phase.CHARGING)
    site.available()
    assert site.held() is AVAILABLE
    assert len(site.open_sessions()) == 1
    site.wait(11 * MINUTE)
    assert site.last(facts.SessionEnded).provisional
    site.event("ended", 1, 4000.0)
    assert site.last(facts.SessionRevised).energy_wh == 3000.0
    site.check()


def test_a_station_that_came_back_is_asked_about_its_open_session() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1, phase=Phase.CHARGING)
    site.lose()
    site.now += HOUR
    site.feed(inputs.StationConnected(charger="CP1", protocol="ocpp2.0.1", each=True))
    asked = [request for tick in site.wait(10 * SECOND) for request in tick.requests]
    (about,) = [request for request in asked if isinstance(request.action, AskTransaction)]
    assert TriggerStatus(1, 1) in [request.action for request in asked]
    site.feed(
        inputs.CallEnded(
            charger="CP1",
            request=about.id,
            answer="accepted",
            result={"ongoing": False, "queued": False},
        )
    )
    assert site.last(facts.SessionEnded).reason == "missing_stop"
    site.check()


# --- what is told once, or not at all ----------------------------------------------------------------------


def test_place_and_tag_are_learned_once_and_kept() -> None:
    site = Station().up(evses=2)
    site.event("started", 0, 1000.0, phase=Phase.IDLE)
    started = site.last(facts.SessionStarted)
    assert (started.evse, started.connector, started.authorization) == (0, 0, "pending")
    assert all(place.session is None for place in site.state.stations["CP1"].places.values())
    site.event("updated", 1, evse=2, tag_ref="tag-a", phase=Phase.CHARGING)
    learned = site.last(facts.SessionLearned)
    assert (learned.evse, learned.tag_ref) == (2, "tag-a")
    site.event("updated", 2, 2000.0)
    session = site.session()
    assert (session.evse, site.state.stations["CP1"].places[2].session) == (2, session.id)
    assert (site.held(1), site.held(2)) == (AVAILABLE, CHARGING)
    shown = site.state.view.sessions[session.id]
    assert (shown.evse, site.state.view.chargers["CP1"].connectors[2].session) == (2, session.id)
    site.event("ended", 3, 3000.0)
    assert site.last(facts.SessionEnded).evse == 2
    site.check()


def test_nothing_is_ever_placed_on_connector_1_by_default() -> None:
    site = Station().up(evses=2)
    for step, number in (("started", 0), ("updated", 1), ("ended", 2)):
        site.event(step, number, 1000.0 + number)
    assert (site.last(facts.SessionStarted).evse, site.last(facts.SessionEnded).evse) == (0, 0)
    assert site.last(facts.SessionEnded).energy_wh == 2.0
    assert 0 not in site.state.view.chargers["CP1"].connectors


def test_an_evse_that_cannot_be_is_an_orphan() -> None:
    site = Station().up()
    decision = site.event("started", 0, 1000.0, evse=4096)
    assert (kinds(decision), site.last(facts.OrphanRecorded).what) == (["orphan_recorded"], "event")


def test_a_start_that_never_came() -> None:
    site = Station().up()
    site.event("updated", 4, 2000.0, evse=1, phase=Phase.CHARGING)
    assert len(site.open_sessions()) == 1
    site.event("ended", 5, 5000.0)
    ended = site.last(facts.SessionEnded)
    assert (ended.provisional, ended.energy_wh, ended.method) == (True, 3000.0, EnergyMethod.SAMPLES)
    assert {"incomplete", "start_missing"} <= set(ended.flags)


def test_ever_new_transactions_are_bounded_and_the_silent_one_goes() -> None:
    site = Station().up(evses=2)
    for number in range(OPEN_MAX + 3):
        site.event("updated", 0, transaction=f"tx-{number}")
    assert len(site.open_sessions()) == OPEN_MAX
    closed = site.all(facts.SessionEnded)
    assert [(body.transaction, body.reason, body.provisional) for body in closed] == [
        (f"tx-{number}", "too_many_open", True) for number in range(3)
    ]


# --- an id that is used again ------------------------------------------------------------------------------


def test_a_start_under_an_ended_id_is_a_new_session_and_flagged() -> None:
    site = Station().up()
    charge(site)
    site.now += HOUR
    site.event("started", 0, 5000.0, evse=1)
    first, second = site.all(facts.SessionStarted)
    assert first.session != second.session
    assert second.flags == ("transaction_reused", "needs_review")
    site.event("ended", 1, 6000.0)
    assert (site.last(facts.SessionEnded).session, site.last(facts.SessionEnded).energy_wh) == (
        second.session,
        1000.0,
    )
    site.check()


def test_an_ended_session_in_the_journal_is_not_opened_again() -> None:
    site = Station().up()
    charge(site)
    started, ended = site.last(facts.SessionStarted), site.last(facts.SessionEnded)
    known = Known(
        session=started.session,
        charger="CP1",
        evse=1,
        transaction=TX,
        started_at=started.started_at,
        ended=True,
        ended_at=ended.ended_at,
    )
    other = Station().up()
    decision = other.feed(
        other.told("updated", 2, 3000.0, recalled=known, at=Stamp("2025-06-15T15:06:43Z", T0))
    )
    assert (decision.facts, decision.reply) == ((), StopReply(None))


# --- commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["tag", "number"])
def test_a_start_and_its_session_are_tied_by_tag_or_number(by: str) -> None:
    site = Station().up()
    decision = site.command(evse=1)
    tag = minted_tag("cmd-1")
    assert decision.requests[0].action == StartCharge(1, 1, tag, remote_start_id(tag))
    site.answer(decision)
    tie = {"tag_ref": "minted", "minted": tag} if by == "tag" else {"remote_start": remote_start_id(tag)}
    site.event("started", 0, 1000.0, evse=1, **tie)
    started = site.last(facts.SessionStarted)
    assert (started.command, started.principal, started.authorization) == ("cmd-1", "driver-1", "accepted")
    assert site.last(facts.CommandSettled).outcome == "succeeded"


def test_a_transaction_that_began_at_plug_in_waits_for_its_driver() -> None:
    site = Station().up()
    site.available(Availability.OCCUPIED)
    site.event("started", 0, 1000.0, evse=1, phase=Phase.CONNECTED)
    assert (site.held(), site.session().unclaimed) == (PREPARING, True)
    decision = site.command(evse=1)
    site.answer(decision)
    site.event("updated", 1, remote_start=remote_start_id(minted_tag("cmd-1")), phase=Phase.CHARGING)
    settled, session = site.last(facts.CommandSettled), site.session()
    assert (settled.outcome, settled.session) == ("succeeded", session.id)
    assert (session.principal, site.held()) == ("driver-1", CHARGING)
    assert refusal(site.command(id="cmd-2", evse=1)) == "connector_in_use"
    stop = site.command(Name.STOP, Stop(session.id), id="cmd-3")
    site.answer(stop)
    site.event("ended", 2, 2000.0, reason="Remote")
    assert site.last(facts.CommandSettled).outcome == "succeeded"
    site.check()


# --- what the connector shows ------------------------------------------------------------------------------


def test_charging_is_the_transactions_word_and_plug_the_cables() -> None:
    site = Station().up()
    site.available(Availability.OCCUPIED)
    assert site.held() is PREPARING
    expected = [
        (Phase.CONNECTED, PREPARING, Plug.IN),
        (Phase.CHARGING, CHARGING, Plug.IN),
        (Phase.SUSPENDED_EV, SUSPENDED_EV, Plug.IN),
        (Phase.CHARGING, CHARGING, Plug.IN),
        (Phase.CONNECTED, FINISHING, Plug.IN),
    ]
    for number, (phase, state, plug) in enumerate(expected):
        site.event("updated" if number else "started", number, evse=1, phase=phase)
        assert (site.held(), site.last(facts.ConnectorChanged).plug) == (state, plug)
    site.available(Availability.FAULTED)
    site.event("updated", 5, phase=Phase.SUSPENDED_EV)
    assert (site.held(), site.session().sequence.phase) == (FAULTED, Phase.SUSPENDED_EV)
    site.available(Availability.OCCUPIED)
    assert site.held() is SUSPENDED_EV
    site.event("ended", 6, phase=Phase.IDLE)
    assert (site.held(), site.last(facts.ConnectorChanged).plug) == (AVAILABLE, Plug.OUT)
    site.check()


def test_an_evse_is_what_its_busiest_connector_is() -> None:
    site = Station().up()
    site.available(connector=2)
    site.available(Availability.OCCUPIED, connector=2)
    assert site.held() is PREPARING
    assert site.state.stations["CP1"].places[1].connector == 2
    site.available(Availability.UNAVAILABLE, connector=1)
    assert site.held() is PREPARING
    assert site.last(facts.ConnectorChanged).connectors == {
        1: Availability.UNAVAILABLE,
        2: Availability.OCCUPIED,
    }
    site.available(connector=2)
    assert site.held() is AVAILABLE
    site.check()


def test_what_was_told_offline_is_history() -> None:
    site = Station().up()
    site.event("started", 0, 1000.0, evse=1, phase=Phase.CHARGING, offline=True)
    site.event("ended", 1, 3000.0, phase=Phase.CONNECTED, offline=True)
    assert (site.held(), site.last(facts.SessionEnded).energy_wh) == (AVAILABLE, 2000.0)


def test_a_replay_that_is_not_marked_is_history_by_its_time() -> None:
    site = Station().up()
    old = [
        site.told("started", 0, 1000.0, evse=1, phase=Phase.CHARGING),
        site.told("ended", 1, 3000.0, phase=Phase.CONNECTED),
    ]
    site.now += HOUR
    site.available(Availability.OCCUPIED)
    for event in old:
        site.feed(event)
    assert (site.held(), site.last(facts.SessionEnded).energy_wh) == (PREPARING, 2000.0)


def test_an_older_session_told_late_leaves_the_connector_to_the_present_one() -> None:
    site = Station().up()
    started = site.told("started", 0, 1000.0, transaction="older", evse=1, phase=Phase.CHARGING)
    ended = site.told("ended", 1, 2000.0, transaction="older", phase=Phase.CONNECTED)
    site.now += HOUR
    site.event("started", 0, 2000.0, evse=1, phase=Phase.CHARGING)
    present = site.session().id
    site.feed(started)
    assert site.last(facts.SessionStarted).history
    assert site.state.stations["CP1"].places[1].session == present
    assert site.state.view.chargers["CP1"].connectors[1].session == present
    site.feed(ended)
    site.event("ended", 1, 4000.0)
    energies = {body.transaction: body.energy_wh for body in site.all(facts.SessionEnded)}
    assert energies == {"older": 1000.0, TX: 2000.0}
    assert not any(body.provisional for body in site.all(facts.SessionEnded))
    site.check()


# --- the law -----------------------------------------------------------------------------------------------


def story(transaction: str, first: int, updates: int, t0: int, start_wh: int) -> list[TransactionEvent]:
    """The events of a whole transaction in their true order: 100 Wh between each two."""
    site = Station()
    made = []
    for place in range(updates + 2):
        site.now = t0 + place * MINUTE
        step = "started" if place == 0 else "ended" if place == updates + 1 else "updated"
        made.append(
            site.told(
                step,
                first + place,
                start_wh + 100.0 * place,
                transaction=transaction,
                evse=1 if place == 0 else None,
                phase=Phase.CONNECTED if place in (0, updates + 1) else Phase.CHARGING,
            )
        )
    return made


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    updates=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    first=st.sampled_from([0, 1, 7, 100_000]),
)
def test_any_order_with_repeats_and_drops_is_one_true_session_or_incomplete(
    data: st.DataObject, updates: list[int], first: int
) -> None:
    stories = {
        f"tx-{n}": story(f"tx-{n}", first, count, T0 + n * HOUR, 1000 * (n + 1))
        for n, count in enumerate(updates)
    }
    events = [event for made in stories.values() for event in made]
    kept = data.draw(st.lists(st.sampled_from(events), unique_by=lambda e: (e.transaction, e.number)))
    sent = data.draw(st.permutations(kept))
    again = data.draw(st.lists(st.sampled_from(sent), max_size=8)) if sent else []
    for repeat in again:
        sent.insert(data.draw(st.integers(0, len(sent))), repeat)
    site = Station().up()
    site.now = T0 + 10 * HOUR
    for event in sent:
        if data.draw(st.integers(0, 9)) == 0:
            site.lose()
            site.feed(inputs.StationConnected(charger="CP1", protocol="ocpp2.0.1", each=True))
        decision = site.feed(event)
        assert isinstance(decision.reply, StopReply)
    site.check()
    for transaction, made in stories.items():
        heard = [event for event in made if event in kept]
        rows = [row for row in site.state.view.sessions.values() if row.transaction == transaction]
        begun = [body for body in site.all(facts.SessionStarted) if body.transaction == transaction]
        assert len(begun) == (1 if heard else 0)
        if not heard or not rows:
            continue
        (row,) = rows
        if len(heard) == len(made):
            truth = made[-1].samples[0].energy_wh - made[0].samples[0].energy_wh
            assert (row.energy_wh, row.provisional, bool(row.ended_at)) == (truth, False, True)
            assert row.evse == 1
        else:
            assert row.provisional or not row.ended_at
            assert not row.ended_at or {"incomplete", "missing_stop"} & set(row.flags)
    assert not site.all(facts.OrphanRecorded)


# --- numbers -----------------------------------------------------------------------------------------------


def test_numbers_are_bounded_whatever_comes() -> None:
    known = Sequence()
    for number in range(2 * RECENT_MAX):
        take(known, number, f"d{number}")
    assert (len(known.recent), known.holes) == (RECENT_MAX, [])
    assert judge(known, 0, "another") is Verdict.REPEAT  # its content is forgotten
    assert judge(known, 2 * RECENT_MAX - 1, "another") is Verdict.CONFLICT
    for number in range(1000, 1000 + 4 * HOLES_MAX, 2):
        take(known, number, f"d{number}")
    assert (len(known.holes), known.torn, known.whole) == (HOLES_MAX, True, False)
    assert judge(known, 1001, "x") is Verdict.NEW  # whose hole is forgotten
    assert judge(known, 2**53 - 1, "x") is Verdict.NEW


@given(st.permutations(range(12)), st.integers(0, 11))
def test_holes_are_what_is_missing(order: list[int], heard: int) -> None:
    known = Sequence()
    for number in order[: heard + 1]:
        assert judge(known, number, str(number)) is Verdict.NEW
        take(known, number, str(number))
    taken = set(order[: heard + 1])
    assert known.low is not None
    assert known.high is not None
    missing = {n for n in range(known.low, known.high) if n not in taken}
    assert {n for first, last in known.holes for n in range(first, last + 1)} == missing
