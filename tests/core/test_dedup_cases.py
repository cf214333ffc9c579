"""Where the deduplication rule ends: its failure cases in the order of QUIRKS.md, a test each."""

from __future__ import annotations

from common import facts
from common.domain import from_iso, iso
from edge.core import inputs
from edge.core.inputs import Stamp
from tests.core.world import AVAILABLE, CHARGING, HOUR, MINUTE, PREPARING, SECOND, T0, CountingIds, Site


def energies(site: Site) -> list[float | None]:
    """What the ended sessions come to, in the order of their ends."""
    return [body.energy_wh for body in site.all(facts.SessionEnded)]


def test_restamped_retry_bills_once() -> None:
    """The time of a repeat is that of its sending: one session, and the first id means it."""
    site = Site().ready()
    lost = site.begun()
    site.now += 30 * SECOND
    site.begin(started=site.stamp())
    assert site.all(facts.SessionEnded)[0].reason == "superseded"
    site.now += HOUR
    site.end(lost, 4000.0)  # the charger took the first answer after all
    assert energies(site) == [0.0, 3000.0]
    assert site.last(facts.SessionEnded).session == site.all(facts.SessionStarted)[1].session
    site.check()


def test_time_corrected_between_two_tries_bills_once() -> None:
    site = Site().ready()
    site.begin(started=Stamp("1970-01-01T00:00:12Z", 12_000))
    site.now += 30 * SECOND
    transaction = site.begun(started=site.stamp())
    site.now += HOUR
    site.end(transaction, 4000.0)
    assert energies(site) == [0.0, 3000.0]
    site.check()


def test_no_clock_no_register_and_one_tag_are_kept_apart_after_a_lost_stop() -> None:
    site = Site().ready()
    for _ in range(2):
        site.begin(started=Stamp("1970-01-01T00:00:12Z", 12_000), meter_start_wh=0.0)
        site.status(CHARGING)
        site.now += 10 * MINUTE
        site.status(AVAILABLE)  # the stop is lost
        site.now += MINUTE
    first, second = site.all(facts.SessionStarted)
    assert first.session != second.session
    assert first.key == second.key
    assert "needs_review" in second.flags
    site.check()


def test_frozen_clock_is_noticed_and_makes_the_key_weak() -> None:
    site = Site().ready()
    at = site.stamp()
    site.status(PREPARING, reported_at=at.text)
    site.now += 2 * MINUTE
    site.status(CHARGING, reported_at=at.text)
    site.begin(started=at)
    site.end(site.last(facts.SessionStarted).transaction, 1000.0, ended=at)
    site.now += MINUTE
    site.begin(started=at)
    assert len(site.all(facts.SessionStarted)) == 2
    assert "clock_frozen" in site.last(facts.SessionStarted).flags
    site.check()


def test_tag_changed_between_two_tries_is_kept_apart() -> None:
    site = Site().ready()
    at = site.stamp()
    site.begin(started=at, tag_ref="tag-a")
    site.begin(started=at, tag_ref="tag-a-and-rubbish")
    assert len(site.all(facts.SessionStarted)) == 2
    first = site.last(facts.SessionEnded)
    assert (first.provisional, first.flags) == (True, ("missing_stop",))
    site.check()


def test_local_time_repeated_when_summer_ends_is_merged_only_with_the_same_register() -> None:
    for register, sessions in ((1000.0, 1), (1600.0, 2)):
        site = Site()
        site.now = from_iso("2025-10-26T00:30:00Z")
        site.ready()
        text = Stamp("2025-10-26T02:30:00")
        site.end(site.begun(started=text), 1000.0, ended=text)
        site.now += HOUR
        site.begin(started=text, meter_start_wh=register)
        assert len(site.all(facts.SessionStarted)) == sessions
        site.check()


def test_restart_within_a_second_with_no_energy_is_merged() -> None:
    site = Site().ready()
    at = site.stamp(T0 - T0 % SECOND)
    site.end(site.begun(started=at), 1000.0, ended=at)
    reply = site.begin(started=Stamp(iso(at.at_ms + 700), at.at_ms + 700)).reply  # type: ignore[operator]
    assert isinstance(reply, inputs.StartReply)
    assert reply.replay
    assert energies(site) == [0.0]
    site.check()


def test_journal_lost_or_another_backends_history_appears_new_and_waits_for_a_person() -> None:
    before, after = Site().ready(), Site(CountingIds([7])).ready()
    at = before.stamp(T0 - 40 * HOUR)
    before.begin(started=at)
    after.begin(started=at)
    ours, theirs = before.last(facts.SessionStarted), after.last(facts.SessionStarted)
    assert ours.session == theirs.session, "named by content, so that a cloud sees one"
    assert "imported" in theirs.flags
    after.check()


def test_another_message_id_is_no_matter() -> None:
    """Nothing in the core knows a message id: a repeat is the same content, whenever it comes."""
    site = Site().ready()
    at = site.stamp()
    transaction = site.begun(started=at)
    site.boot()
    site.now += 90 * 24 * HOUR
    assert site.begun(started=at) == transaction
    assert len(site.all(facts.SessionStarted)) == 1


def test_our_own_clock_is_a_floor_and_the_chargers_right_time_is_believed() -> None:
    """A box without battery or internet tells the day it was built; the charger's clock is weeks ahead."""
    site = Site()
    site.clock = "floor"
    site.ready()
    truth = Stamp(iso(site.now + 30 * 24 * HOUR), site.now + 30 * 24 * HOUR)
    first = site.begun(started=truth)
    assert site.last(facts.SessionStarted).flags == ()
    site.now += MINUTE
    site.boot()
    assert site.begun(started=truth) == first  # sent again after a reboot
    site.clock = "synced"
    site.now = truth.at_ms + MINUTE
    site.boot()
    assert site.begun(started=truth) == first  # and once more when ours has been set
    assert len(site.all(facts.SessionStarted)) == 1
    site.end(first, 4000.0, ended=Stamp(iso(site.now), site.now))
    assert energies(site) == [3000.0]
    site.check()


def test_a_sure_clock_does_not_believe_a_time_far_ahead() -> None:
    site = Site().ready()
    ahead = Stamp(iso(site.now + 30 * 24 * HOUR), site.now + 30 * 24 * HOUR)
    site.begin(started=ahead)
    assert "clock_invalid" in site.last(facts.SessionStarted).flags
    site.check()
