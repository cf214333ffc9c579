"""A new box takes over from the one before it: what runs goes on, what this box knows it knows better."""

from __future__ import annotations

from common import facts
from common.domain import from_iso
from common.facts import Fact
from edge.core import inputs
from edge.core.estate import taken_over, vacant
from tests.core.world import MINUTE, Site, kinds


def estate_of(old: Site, *wanted: type[facts.Body]) -> list[Fact]:
    """The old box's records of these kinds, as the cloud keeps them."""
    return [fact for fact in old.journal if isinstance(fact.body, wanted)]


def handed_over(old: Site, new: Site, *wanted: type[facts.Body], known: frozenset[str] = frozenset()) -> None:
    for body in taken_over(new.state, estate_of(old, *wanted), known.__contains__):
        new.feed(inputs.Note(body=body))


SESSION = (facts.ChargerAdopted, facts.SessionStarted, facts.MeterSampled, facts.SessionEnded)


def charging_box() -> tuple[Site, str]:
    old = Site().ready()
    old.feed(inputs.Note(body=facts.ChargerAdopted(charger="CP1", name="Bay 1")))
    transaction = old.begun(meter_start_wh=1000.0)
    old.meter(old.sample(1500.0), transaction=transaction)
    return old, transaction


def replacement(old: Site) -> Site:
    new = Site()
    assert vacant(new.state)
    new.now = old.now + 10 * MINUTE
    handed_over(old, new, *SESSION)
    return new


def test_a_running_session_ends_at_the_new_box_with_its_true_energy() -> None:
    old, transaction = charging_box()
    new = replacement(old)
    assert not vacant(new.state)
    assert new.state.view.chargers["CP1"].name == "Bay 1"
    new.connect()
    new.end(transaction, meter_stop_wh=4200.0)
    ended = new.last(facts.SessionEnded)
    assert ended.session == old.last(facts.SessionStarted).session
    assert (ended.energy_wh, ended.provisional) == (3200.0, False)
    new.check()


def test_its_start_told_again_is_the_same_session_under_any_tag_secret() -> None:
    old, transaction = charging_box()
    new = replacement(old)
    new.connect()
    before = old.last(facts.SessionStarted)
    stamp = inputs.Stamp(before.started_at, from_iso(before.started_at))
    again = new.begin(meter_start_wh=1000.0, tag_ref="another reference", started=stamp)
    assert isinstance(again.reply, inputs.StartReply)
    assert (again.reply.transaction, again.reply.replay) == (transaction, True)
    assert kinds(again) == []
    assert len(new.open_sessions()) == 1


def test_without_its_stop_it_closes_from_the_last_register_that_was_told() -> None:
    old, _ = charging_box()
    new = replacement(old)
    new.connect()
    new.begin(meter_start_wh=2000.0)
    ended = new.last(facts.SessionEnded)
    assert (ended.provisional, ended.energy_wh) == (True, 500.0)


def test_a_provisional_end_still_waits_for_the_chargers_own() -> None:
    old, transaction = charging_box()
    old.begin(meter_start_wh=1600.0)  # its stop was lost
    new = Site()
    new.now = old.now + MINUTE
    first = old.all(facts.SessionStarted)[0]
    handed_over(old, new, *SESSION)
    new.connect()
    new.end(transaction, meter_stop_wh=1600.0)
    revised = new.last(facts.SessionRevised)
    assert (revised.session, revised.energy_wh) == (first.session, 600.0)


def test_what_this_box_knows_it_knows_better() -> None:
    old, _ = charging_box()
    known = frozenset({old.last(facts.SessionStarted).session})
    new = Site().ready()
    running = new.begun(meter_start_wh=7.0)
    before = len(new.journal)
    handed_over(old, new, *SESSION, known=known)
    assert {fact.kind for fact in new.journal[before:]} <= {"charger_adopted"}
    assert new.open_sessions() == [new.last(facts.SessionStarted).session]
    assert new.last(facts.SessionStarted).transaction == running


def test_a_connector_that_is_in_use_stays_so() -> None:
    old, transaction = charging_box()
    new = Site().ready()
    new.begin(meter_start_wh=5000.0)
    here = new.last(facts.SessionStarted).session
    handed_over(old, new, *SESSION)
    place = new.state.look("CP1").open_on(1)
    assert place is not None
    assert place.id == here
    new.end(transaction, meter_stop_wh=1700.0)
    assert new.last(facts.SessionEnded).energy_wh == 700.0
    still = new.state.look("CP1").open_on(1)
    assert still is not None
    assert still.id == here


def test_a_charger_s_security_profile_is_never_less_at_the_new_box() -> None:
    old, _ = charging_box()
    for change, profile in (("set", 1), ("moving", 1), ("moved", 2), ("offered", 2)):
        old.feed(inputs.Note(body=facts.ChargerSecured(charger="CP1", change=change, profile=profile, to=3)))
    new = Site()
    new.now = old.now + 10 * MINUTE
    handed_over(old, new, facts.ChargerAdopted, facts.ChargerSecured)
    security = new.state.look("CP1").security
    assert (security.profile, security.to) == (2, None)
    again = Site()
    again.now = new.now
    again.feed(inputs.Note(body=facts.ChargerSecured(charger="CP1", change="set", profile=3)))
    handed_over(old, again, facts.ChargerAdopted, facts.ChargerSecured)
    assert again.state.look("CP1").security.profile == 3
    new.check()
