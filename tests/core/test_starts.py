"""StartTransaction: which starts are repeats, who they belong to, and what they do to what was open."""

from __future__ import annotations

import pytest

from common import facts
from common.domain import iso
from edge.core import engine, identity, inputs
from edge.core.inputs import Known, Stamp
from edge.core.ledger import COUNTED_BITS
from edge.core.state import ENDED_SESSIONS_MAX
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    HOUR,
    MINUTE,
    SECOND,
    SITE,
    T0,
    CountingIds,
    Site,
    kinds,
    tagged,
)

UNSET = Stamp("1970-01-01T00:00:12Z", 12_000)


def replied(decision: inputs.Decision) -> inputs.StartReply:
    assert isinstance(decision.reply, inputs.StartReply)
    return decision.reply


def recall_of(site: Site) -> Known:
    """What the journal would say of the latest session."""
    started = site.last(facts.SessionStarted)
    ends = [body for body in site.all(facts.SessionEnded) if body.session == started.session]
    return Known(
        session=started.session,
        charger=started.charger,
        evse=started.evse,
        transaction=started.transaction,
        principal=started.principal,
        key=started.key,
        authorization=started.authorization,
        started_at=started.started_at,
        weak=started.weak,
        boot=started.boot,
        ended=bool(ends),
        meter_start_wh=started.meter_start_wh,
        meter_stop_wh=ends[-1].meter_stop_wh if ends else None,
        ended_at=ends[-1].ended_at if ends else "",
    )


# --- a new session -----------------------------------------------------------------------------------------


def test_a_start_opens_a_session() -> None:
    site = Site(CountingIds(transactions=[77])).ready()
    site.feed(tagged("tag-a", "anna"))
    decision = site.begin()
    started = site.last(facts.SessionStarted)
    assert replied(decision) == inputs.StartReply("77", "accepted", started.key)
    assert (started.principal, started.transaction, started.authorization) == ("anna", "77", "accepted")
    assert (started.started_at, started.meter_start_wh) == ("2025-06-15T15:06:40Z", 1000.0)
    assert (started.weak, started.flags, started.boot) == (False, (), 1)
    assert site.open_sessions() == [started.session]
    site.check()


def test_an_unknown_tag_still_gets_a_session_and_a_fresh_id() -> None:
    site = Site().ready()
    reply = replied(site.begin(tag_ref="stranger"))
    assert reply.status == "invalid"
    assert int(reply.transaction) > 0
    started = site.last(facts.SessionStarted)
    assert (started.authorization, started.principal) == ("invalid", None)


def test_the_uid_follows_from_content_without_the_tag_and_survives_a_new_box() -> None:
    uids = set()
    for tag in ("tag-a", "tag-b"):
        site = Site().ready()
        site.begin(tag_ref=tag)
        uids.add(site.last(facts.SessionStarted).session)
    assert len(uids) == 1
    (uid,) = uids
    assert uid == identity.session_uid(SITE, "CP1", "1", "2025-06-15T15:06:40Z", "1000.000")
    assert (len(uid), uid[14]) == (36, "8")


@pytest.mark.parametrize(
    "change",
    [
        {"evse": 2},
        {"meter_start_wh": 1000.5},
        {"meter_start_wh": None},
        {"started": Stamp(iso(T0 + 1000), T0 + 1000)},
        {"charger": "CP2"},
    ],
)
def test_other_content_is_another_session(change: dict[str, object]) -> None:
    site = Site().ready(evses=2)
    site.begin()
    site.begin(**change)  # type: ignore[arg-type]
    first, second = site.all(facts.SessionStarted)
    assert first.session != second.session
    assert first.key != second.key
    site.check()


def test_a_uid_that_is_taken_by_what_the_rule_calls_another_session_is_salted() -> None:
    site = Site().ready()
    site.end(site.begun())
    site.begin(tag_ref="tag-b")
    first, second = site.all(facts.SessionStarted)
    assert first.session != second.session
    site.check()


def test_transaction_ids_are_never_ones_that_the_charger_has() -> None:
    site = Site(CountingIds(transactions=[5, 5, 5, *[5] * 20])).ready(evses=2)
    first = site.begun()
    site.now += SECOND
    second = site.begun(evse=2)
    site.now += SECOND
    third = site.begun(evse=1)
    assert (first, second, third) == ("5", "6", "7")


def test_ids_stay_different_when_memory_has_forgotten_and_chance_repeats_itself() -> None:
    site = Site(CountingIds(transactions=[2**31 - 1] * 100)).ready()
    given = []
    for _ in range(100):
        given.append(site.begun())
        site.end(given[-1])
        site.now += MINUTE
    assert len(set(given)) == 100
    assert all(0 < int(number) < 2**31 for number in given)


def test_an_id_is_never_0() -> None:
    site = Site(CountingIds(transactions=[COUNTED_BITS, 5])).ready(evses=2)
    site.begin()
    assert site.begun(evse=2) == "1"


def test_connector_0_means_the_only_connector() -> None:
    site = Site().ready()
    site.begin(evse=0)
    assert site.last(facts.SessionStarted).evse == 1


@pytest.mark.parametrize("evse", [0, -3, 129, 2**80])
def test_a_start_on_a_connector_that_cannot_be_is_an_orphan_with_an_answer(evse: int) -> None:
    site = Site().ready(evses=2)
    decision = site.begin(evse=evse)
    assert kinds(decision) == ["orphan_recorded"]
    reply = replied(decision)
    assert (reply.status, reply.replay, bool(reply.key)) == ("invalid", False, True)
    again = site.begin(evse=evse)
    assert (again.facts, replied(again).key, replied(again).replay) == ((), reply.key, True)
    assert site.open_sessions() == []
    site.check()


def test_a_start_older_than_the_adoption_belongs_to_an_earlier_life() -> None:
    site = Site().ready()
    site.begin(started=site.stamp(T0 - 2 * 24 * HOUR))
    assert site.last(facts.SessionStarted).flags == ("imported",)


def test_what_no_charger_should_send_fits_all_the_same() -> None:
    site = Site().ready()
    transaction = site.begun(connector=2**70)
    assert site.last(facts.SessionStarted).connector == 1
    long = "x" * 50_000
    site.meter(site.sample(1100.0), transaction=long)
    site.end(long)
    assert [len(orphan.transaction) for orphan in site.all(facts.OrphanRecorded)] == [64, 64]
    site.end(transaction)
    assert site.open_sessions() == []
    site.check()


# --- repeats -----------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_stored_reply_and_changes_nothing() -> None:
    site = Site().ready()
    first = replied(site.begin())
    at = site.stamp()
    for wait in (SECOND, HOUR, 30 * HOUR):
        site.now += wait
        decision = site.begin(started=at)
        assert decision.facts == ()
        assert replied(decision) == inputs.StartReply(first.transaction, first.status, first.key, replay=True)


def test_a_repeat_is_known_after_the_stop_a_boot_and_an_available() -> None:
    site = Site().ready()
    at = site.stamp()
    site.end(site.begun())
    site.status(CHARGING)
    site.status(AVAILABLE)
    site.boot()
    assert replied(site.begin(started=at)).replay
    assert len(site.all(facts.SessionStarted)) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Stamp("2025-06-15T15:06:40Z", T0), Stamp("2025-06-15T17:06:40+02:00", T0)),
        (Stamp("2025-06-15T15:06:40Z", T0), Stamp("2025-06-15T15:06:40.987Z", T0 + 987)),
        (Stamp("2025-06-15T15:06:40"), Stamp("2025-06-15T15:06:40")),
    ],
    ids=["another zone", "other milliseconds", "no zone, same text"],
)
def test_the_start_second_counts_and_not_its_spelling(first: Stamp, second: Stamp) -> None:
    site = Site().ready()
    transaction = site.begun(started=first)
    assert replied(site.begin(started=second)).transaction == transaction
    assert len(site.all(facts.SessionStarted)) == 1


def test_a_time_without_zone_is_kept_as_its_text() -> None:
    site = Site().ready()
    site.begin(started=Stamp("2025-06-15T15:06:40"))
    assert site.last(facts.SessionStarted).started_at == "2025-06-15T15:06:40"


def test_a_repeat_that_left_memory_is_recalled() -> None:
    site = Site().ready()
    at = site.stamp()
    site.end(site.begun())
    known = recall_of(site)
    for _ in range(ENDED_SESSIONS_MAX + 1):
        site.now += MINUTE
        site.end(site.begun())
    given = inputs.TransactionStarted(
        charger="CP1", evse=1, tag_ref="tag-a", meter_start_wh=1000.0, started=at
    )
    assert engine.needs_recall(site.state, given)
    assert engine.recall_key(site.state, given) == known.key
    decision = site.feed(inputs.TransactionStarted(**_fields(given) | {"recalled": known}))
    assert (decision.facts, replied(decision).replay, replied(decision).transaction) == (
        (),
        True,
        known.transaction,
    )


def test_what_is_in_memory_is_not_asked_for() -> None:
    site = Site().ready()
    given = inputs.TransactionStarted(
        charger="CP1", evse=1, tag_ref="tag-a", meter_start_wh=1000.0, started=site.stamp()
    )
    assert engine.needs_recall(site.state, given)
    site.feed(given)
    assert not engine.needs_recall(site.state, given)


def _fields(given: inputs.TransactionStarted) -> dict[str, object]:
    return {name: getattr(given, name) for name in given.__struct_fields__}


# --- weak keys ---------------------------------------------------------------------------------------------


def test_with_a_weak_key_a_repeat_of_the_open_session_is_a_repeat() -> None:
    site = Site().ready()
    first = replied(site.begin(started=UNSET))
    started = site.last(facts.SessionStarted)
    assert started.weak
    assert started.flags == ("clock_invalid",)
    again = replied(site.begin(started=UNSET))
    assert (again.transaction, again.key, again.replay) == (first.transaction, first.key, True)


@pytest.mark.parametrize("between", ["stop", "boot", "available"])
def test_with_a_weak_key_nothing_else_is(between: str) -> None:
    site = Site().ready()
    first = replied(site.begin(started=UNSET))
    site.status(CHARGING)
    if between == "stop":
        site.end(first.transaction, ended=UNSET)
    elif between == "boot":
        site.boot()
    else:
        site.status(AVAILABLE)
    second = replied(site.begin(started=UNSET))
    assert second.transaction != first.transaction
    assert second.key != first.key, "each has its own reply"
    started = site.last(facts.SessionStarted)
    assert "needs_review" in started.flags
    assert started.session != site.all(facts.SessionStarted)[0].session
    third = replied(site.begin(started=UNSET))
    assert (third.transaction, third.key, third.replay) == (second.transaction, second.key, True)
    site.check()


def test_a_weak_key_in_the_journal_is_no_repeat_either() -> None:
    site = Site().ready()
    site.end(site.begun(started=UNSET), ended=UNSET)
    known = recall_of(site)
    other = Site().ready()
    decision = other.begin(started=UNSET, recalled=known)
    assert not replied(decision).replay
    assert "needs_review" in other.last(facts.SessionStarted).flags


def test_a_time_far_ahead_is_weak() -> None:
    site = Site().ready()
    site.begin(started=site.stamp(site.now + 25 * HOUR))
    assert site.last(facts.SessionStarted).weak
    site.begin(evse=2, started=site.stamp(site.now + 23 * HOUR))
    assert not site.last(facts.SessionStarted).weak


@pytest.mark.parametrize("text", ["", "yesterday", "9999999-01-01T00:00:00Z", "2025-13-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_weak_and_kept(text: str) -> None:
    site = Site().ready()
    transaction = site.begun(started=Stamp(text))
    started = site.last(facts.SessionStarted)
    assert (started.weak, started.started_at) == (True, text)
    assert replied(site.begin(started=Stamp(text))).transaction == transaction
    site.check()


def test_a_clock_that_stands_still_makes_keys_weak() -> None:
    site = Site().ready()
    frozen = site.stamp()
    first = site.begun(started=frozen)
    site.now += HOUR
    site.end(first, ended=frozen)
    second = replied(site.begin(started=frozen))
    assert not second.replay
    started = site.last(facts.SessionStarted)
    assert started.weak
    assert set(started.flags) == {"needs_review", "clock_frozen"}
    site.check()


def test_a_clock_that_goes_again_is_believed_again() -> None:
    site = Site().ready()
    frozen = site.stamp()
    first = site.begun(started=frozen)
    site.now += HOUR
    site.end(first, ended=frozen)
    site.status(CHARGING, reported_at=iso(site.now))
    site.begin()
    assert not site.last(facts.SessionStarted).weak


def test_a_standing_clock_shows_in_statuses_too() -> None:
    site = Site().ready()
    text = iso(site.now)
    site.status(CHARGING, reported_at=text)
    site.now += 2 * MINUTE
    site.status(AVAILABLE, reported_at=text)
    site.begin()
    assert site.last(facts.SessionStarted).weak


def test_a_standing_clock_shows_in_samples_too() -> None:
    site = Site().ready()
    frozen = site.stamp()
    first = site.begun(started=frozen)
    site.now += 2 * MINUTE
    site.meter(site.sample(1100.0, at_ms=T0), transaction=first)
    site.status(CHARGING)
    site.status(AVAILABLE)
    second = replied(site.begin(started=frozen))
    assert (second.replay, second.transaction == first) == (False, False)


# --- a start where something is open -----------------------------------------------------------------------


def test_the_same_start_with_another_time_supersedes_the_first() -> None:
    site = Site().ready()
    first = site.begun(started=UNSET)
    site.now += MINUTE
    decision = site.begin()
    assert kinds(decision)[:2] == ["session_ended", "session_started"]
    before, after = site.all(facts.SessionStarted)
    ended = site.last(facts.SessionEnded)
    assert (ended.session, ended.energy_wh, ended.reason) == (before.session, 0.0, "superseded")
    assert (ended.provisional, ended.ended_at) == (False, before.started_at)
    assert (after.supersedes, site.open_sessions()) == (before.session, [after.session])

    site.now += MINUTE
    stop = site.end(first, 3000.0)
    assert site.last(facts.SessionEnded).session == after.session, "its id means the new session"
    assert stop.reply == inputs.StopReply(None, identity.stop_key("CP1", first))
    site.check()


@pytest.mark.parametrize("evidence", ["cited", "charged", "available", "other tag", "other register"])
def test_a_start_that_cannot_be_the_same_closes_the_first_provisionally(evidence: str) -> None:
    site = Site().ready()
    first = site.begun()
    site.now += MINUTE
    change: dict[str, object] = {}
    if evidence == "cited":
        site.meter(site.sample(1000.0), transaction=first)
    elif evidence == "charged":
        site.meter(site.sample(1200.0))
    elif evidence == "available":
        site.status(CHARGING)
        site.status(AVAILABLE)
    elif evidence == "other tag":
        change = {"tag_ref": "tag-b"}
    else:
        change = {"meter_start_wh": 1200.0}
    decision = site.begin(**change)  # type: ignore[arg-type]
    assert kinds(decision)[:2] == ["session_ended", "session_started"]
    ended = site.last(facts.SessionEnded)
    assert (ended.provisional, ended.reason) == (True, "missing_stop")
    assert site.last(facts.SessionStarted).supersedes is None
    assert ("needs_review" in site.last(facts.SessionStarted).flags) == (evidence == "charged")
    assert len(site.open_sessions()) == 1
    site.check()


def test_a_provisional_close_ends_at_the_last_word_and_not_inside_the_next_session() -> None:
    site = Site().ready()
    first = site.begun()
    site.now += HOUR
    site.meter(site.sample(3500.0), transaction=first)
    next_start = site.stamp(site.now - 10 * MINUTE)
    site.begin(tag_ref="tag-b", meter_start_wh=3500.0, started=next_start)
    ended = site.last(facts.SessionEnded)
    assert ended.ended_at == iso(site.now - 10 * MINUTE)[:19] + "Z"
    assert (ended.meter_stop_wh, ended.energy_wh, ended.method) == (3500.0, 2500.0, "samples")
    site.check()


def test_an_older_start_after_a_newer_one_is_for_a_person_to_judge() -> None:
    site = Site().ready()
    site.begin()
    site.begin(tag_ref="tag-b", started=site.stamp(site.now - 4 * MINUTE))
    assert site.last(facts.SessionStarted).flags == ("needs_review",)
    assert len(site.open_sessions()) == 1
    closed = site.last(facts.SessionEnded)
    assert closed.ended_at == site.all(facts.SessionStarted)[0].started_at, "never before it began"


def test_other_connectors_are_left_alone() -> None:
    site = Site().ready(evses=2)
    site.begin()
    site.begin(evse=2)
    assert len(site.open_sessions()) == 2
    assert site.all(facts.SessionEnded) == []
