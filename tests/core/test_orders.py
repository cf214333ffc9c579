"""Orders to their one end: answers, what is observed, what is sent again, and what never comes."""

from __future__ import annotations

import pytest

from common import commands, facts
from common.commands import Name
from common.errors import Code
from edge.core import inputs
from edge.core.identity import minted_tag
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    HOUR,
    MINUTE,
    PREPARING,
    SECOND,
    UNAVAILABLE,
    Site,
    driver,
    kinds,
    operator,
    stages,
)

STAFF = operator()
MINTED = minted_tag("cmd-1")


def settled(site: Site) -> list[tuple[str, str]]:
    return [(body.outcome, body.code) for body in site.all(facts.CommandSettled)]


def sent(site: Site, command: str = "cmd-1") -> list[int]:
    return [body.attempt for body in site.all(facts.CommandSent) if body.command == command]


# --- start -------------------------------------------------------------------------------------------------


def test_a_start_has_succeeded_when_its_session_begins() -> None:
    site = Site().ready()
    call = site.command()
    answered = site.answer(call)
    assert (kinds(answered), stages(answered)) == (["command_confirmed"], ["confirmed"])
    decision = site.begin(minted=MINTED, tag_ref="ref-of-minted")
    assert kinds(decision) == ["session_started", "command_settled"]
    started = site.last(facts.SessionStarted)
    assert (started.command, started.principal, started.authorization) == ("cmd-1", "driver-1", "accepted")
    end = site.last(facts.CommandSettled)
    assert (end.outcome, end.session, end.principal) == ("succeeded", started.session, "driver-1")
    assert decision.progress[0].session == started.session
    assert site.wait(HOUR) == []
    site.check()


def test_the_session_may_come_before_the_answer() -> None:
    site = Site().ready()
    call = site.command()
    site.begin(minted=MINTED)
    assert settled(site) == [("succeeded", "")]
    assert site.answer(call).facts == ()
    assert site.answer(call, "rejected").facts == ()
    assert settled(site) == [("succeeded", "")]


@pytest.mark.parametrize("answer", ["timeout", "lost"])
def test_a_start_without_an_answer_may_still_be_seen(answer: str) -> None:
    site = Site().ready()
    site.answer(site.command(), answer)
    assert settled(site) == []
    site.wait(100 * SECOND)
    site.begin(minted=MINTED)
    assert settled(site) == [("succeeded", "")]
    assert sent(site) == [1]


@pytest.mark.parametrize("answer", ["timeout", "lost", None])
def test_a_start_that_is_never_seen_stays_unknown_and_is_never_sent_again(answer: str | None) -> None:
    site = Site().ready()
    call = site.command()
    if answer:
        site.answer(call, answer)
    site.wait(134 * SECOND)
    assert settled(site) == []
    site.wait(SECOND)
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]
    assert sent(site) == [1]
    site.check()


def unanswered_start(how: str) -> Site:
    """A site whose start got no answer, connected anew where the connection took it along."""
    site = Site().ready()
    call = site.command()
    if how == "timeout":
        site.answer(call, "timeout")
        return site
    site.wait(SECOND)
    if how == "crash":
        site.feed(inputs.Started())
    else:
        site.answer(call, "lost")
    site.connect()
    return site


@pytest.mark.parametrize("how", ["timeout", "lost", "crash"])
def test_who_sees_nothing_begin_may_press_again(how: str) -> None:
    site = unanswered_start(how)
    site.command(id="cmd-2")
    assert sent(site) == sent(site, "cmd-2") == [1]
    site.begin(minted=minted_tag("cmd-2"))
    assert settled(site) == [("succeeded", "")]
    assert site.last(facts.CommandSettled).command == "cmd-2"
    site.wait(135 * SECOND)
    assert settled(site)[1:] == [("unknown", Code.CHARGER_TIMEOUT)], "the first was never seen"
    site.check()


@pytest.mark.parametrize("how", ["timeout", "lost", "crash"])
def test_the_first_of_two_starts_may_be_the_one_that_begins(how: str) -> None:
    site = unanswered_start(how)
    site.answer(site.command(id="cmd-2"), "rejected")
    site.begin(minted=MINTED)
    assert [(body.command, body.outcome) for body in site.all(facts.CommandSettled)] == [
        ("cmd-2", "failed"),
        ("cmd-1", "succeeded"),
    ]
    site.check()


def test_the_phone_hears_that_a_start_went_down_with_its_connection() -> None:
    site = Site().ready()
    told = site.answer(site.command(), "lost", detail="the charger disconnected")
    assert stages(told) == ["confirmed"]
    confirmed = site.last(facts.CommandConfirmed)
    assert (confirmed.answer, confirmed.detail) == ("timeout", "the charger disconnected")


def test_a_start_that_was_accepted_and_not_plugged_in() -> None:
    site = Site().ready()
    site.answer(site.command())
    site.wait(135 * SECOND)
    assert settled(site) == [("failed", Code.NOT_PLUGGED_IN)]


@pytest.mark.parametrize(
    ("answer", "code", "stage"),
    [
        ("rejected", Code.CHARGER_REJECTED, ["confirmed", "settled"]),
        ("error", Code.CHARGER_REJECTED, ["confirmed", "settled"]),
        ("not_supported", Code.CHARGER_NOT_SUPPORTED, ["confirmed", "settled"]),
        ("not_sent", Code.CHARGER_OFFLINE, ["settled"]),
    ],
)
def test_a_start_that_the_charger_declines(answer: str, code: Code, stage: list[str]) -> None:
    site = Site().ready()
    decision = site.answer(site.command(), answer, detail="d" * 30_000)
    assert (settled(site), stages(decision)) == ([("failed", code)], stage)
    assert site.wait(HOUR) == []
    site.check()


def test_a_start_that_waited_too_long_for_its_turn_has_expired() -> None:
    site = Site().ready()
    call = site.command()
    site.now += 15 * SECOND
    site.answer(call, "not_sent")
    assert settled(site) == [("failed", Code.EXPIRED)]


def test_a_start_that_comes_after_its_time_still_belongs_to_its_command() -> None:
    site = Site().ready()
    site.answer(site.command())
    site.wait(HOUR)
    site.begin(minted=MINTED)
    started = site.last(facts.SessionStarted)
    assert (started.command, started.principal, started.authorization) == ("cmd-1", "driver-1", "accepted")
    assert settled(site) == [("failed", Code.NOT_PLUGGED_IN)], "an end is an end"


def test_a_tag_that_begins_a_second_session_is_flagged_and_a_superseding_one_is_not() -> None:
    site = Site().ready()
    site.command()
    site.begin(minted=MINTED)
    site.now += MINUTE
    site.begin(minted=MINTED)
    assert site.last(facts.SessionStarted).flags == ()
    assert site.last(facts.SessionStarted).supersedes is not None
    site.end(site.last(facts.SessionStarted).transaction)
    site.now += MINUTE
    site.begin(minted=MINTED, meter_start_wh=5000.0)
    assert site.last(facts.SessionStarted).flags == ("tag_reused",)
    assert site.last(facts.SessionStarted).principal == "driver-1"


def test_a_late_answer_updates_an_open_command() -> None:
    site = Site().ready()
    call = site.command()
    site.answer(call, "timeout")
    assert site.last(facts.CommandConfirmed).answer == "timeout"
    assert site.answer(call, "timeout").facts == ()
    site.answer(call, "accepted")
    assert site.last(facts.CommandConfirmed).answer == "accepted"
    site.wait(135 * SECOND)
    assert settled(site) == [("failed", Code.NOT_PLUGGED_IN)]


def test_after_a_crash_a_start_is_reconciled_by_observation() -> None:
    site = Site().ready()
    site.command()
    site.feed(inputs.Started())
    site.connect()
    assert sent(site) == [1]
    site.begin(minted=MINTED)
    assert settled(site) == [("succeeded", "")]
    site.check()


def test_anothers_answer_is_nobodys() -> None:
    site = Site().ready()
    call = site.command()
    for change in ({"charger": "CP2"}, {"command": None}, {"command": "other"}):
        fields = {"charger": "CP1", "request": "r", "command": "cmd-1", "answer": "accepted"} | change
        assert site.feed(inputs.CallEnded(**fields)) == inputs.NOTHING  # type: ignore[arg-type]
    assert call.requests


# --- stop --------------------------------------------------------------------------------------------------


def stopping() -> tuple[Site, inputs.Decision]:
    site = Site().ready()
    site.begin()
    site.status(PREPARING)
    site.status(CHARGING)
    (session,) = site.open_sessions()
    stop = site.command(Name.STOP, commands.Stop(session), claims=STAFF, expires_ms=site.now + 5 * MINUTE)
    return site, stop


def test_a_stop_has_succeeded_when_its_session_ends() -> None:
    site, stop = stopping()
    site.answer(stop)
    assert settled(site) == []
    decision = site.end(site.last(facts.SessionStarted).transaction)
    assert kinds(decision) == ["session_ended", "command_settled"]
    assert settled(site) == [("succeeded", "")]
    site.check()


def test_a_stop_without_an_answer_is_sent_again_with_growing_pauses() -> None:
    site, stop = stopping()
    site.answer(stop, "timeout")
    began, at = site.now, []
    for decision in site.wait(5 * MINUTE):
        at += [(decision.requests[0].expires_ms, decision.requests[0].id)] if decision.requests else []
    assert [ms - began for ms, _ in at] == [
        (5 + 10) * SECOND,
        35 * SECOND,
        75 * SECOND,
        155 * SECOND,
        5 * MINUTE,
    ]
    assert len({name for _, name in at}) == 5
    assert sent(site) == [1, 2, 3, 4, 5, 6]
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]
    site.check()


def test_an_answered_stop_is_not_sent_again() -> None:
    site, stop = stopping()
    site.answer(stop)
    site.wait(HOUR)
    assert sent(site) == [1]
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]


@pytest.mark.parametrize("answer", ["error", "timeout", "lost", "not_sent"])
def test_no_failure_on_the_way_ends_a_stop(answer: str) -> None:
    site, stop = stopping()
    assert site.answer(stop, answer).facts == ()
    site.wait(6 * SECOND)
    assert sent(site) == [1, 2]


def test_a_repeated_stop_that_is_rejected_may_have_worked_the_first_time() -> None:
    site, stop = stopping()
    site.answer(stop, "lost")
    site.lose()
    again = site.connect()
    assert site.answer(again, "rejected").facts == ()
    site.end(site.last(facts.SessionStarted).transaction)
    assert settled(site) == [("succeeded", "")]
    site.check()


def test_a_stop_waits_for_a_charger_that_is_away_and_goes_first_when_it_is_back() -> None:
    site = Site().ready()
    site.begin()
    (session,) = site.open_sessions()
    site.lose()
    decision = site.command(Name.STOP, commands.Stop(session), claims=STAFF, expires_ms=site.now + 5 * MINUTE)
    assert (kinds(decision), decision.requests) == (["command_accepted"], ())
    assert site.wait(MINUTE) == []
    back = site.connect()
    assert [request.action for request in back.requests] == [
        inputs.StopCharge(site.last(facts.SessionStarted).transaction)
    ]
    assert back.requests[0].urgent
    site.check()


def test_a_stop_that_was_answered_or_has_expired_is_not_sent_when_the_charger_is_back() -> None:
    site, stop = stopping()
    site.answer(stop)
    site.lose()
    assert site.connect().requests == ()
    site, stop = stopping()
    site.lose()
    site.now += 5 * MINUTE
    assert site.connect().requests == ()


def test_a_stop_that_never_left_has_failed() -> None:
    site = Site().ready()
    site.begin()
    (session,) = site.open_sessions()
    site.lose()
    site.command(Name.STOP, commands.Stop(session), claims=STAFF)
    site.wait(HOUR)
    assert settled(site) == [("failed", Code.EXPIRED)]


def test_a_provisional_end_is_an_end() -> None:
    site, _ = stopping()
    site.lose()
    site.connect()
    site.boot()
    site.status(AVAILABLE)
    site.wait(2 * MINUTE)
    assert site.last(facts.SessionEnded).provisional
    assert settled(site) == [("succeeded", "")]
    site.check()


def test_a_stop_of_a_superseded_session_has_failed() -> None:
    site, _ = stopping()
    site.now += MINUTE
    site.begin()
    assert site.last(facts.SessionStarted).supersedes
    assert settled(site) == [("failed", Code.UNKNOWN_SESSION)]


# --- the others --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args"),
    [
        (Name.UNLOCK, commands.Unlock()),
        (Name.AVAILABILITY, commands.SetAvailability(False)),
        (Name.CONFIGURE, commands.Configure("k", "v")),
        (Name.READ_CONFIGURATION, commands.ReadConfiguration()),
        (Name.CLEAR_CACHE, commands.ClearCache()),
        (Name.MESSAGE, commands.Message("acme")),
    ],
)
def test_where_the_answer_is_all_that_can_be_seen(name: Name, args: commands.Args) -> None:
    site = Site().ready()
    decision = site.answer(site.command(name, args, claims=STAFF), result={"k": "v"})
    assert stages(decision) == ["confirmed", "settled"]
    assert (settled(site), decision.progress[-1].result) == ([("succeeded", "")], {"k": "v"})
    again = site.command(name, args, claims=STAFF)
    assert again.progress[-1].result == {"k": "v"}
    site.check()


def test_upkeep_that_came_to_nothing_says_that_a_car_charges() -> None:
    """The outbox keeps such a call back for the whole charge: the charger was never asked."""
    site = Site().ready()
    site.begin()
    site.command(Name.READ_CONFIGURATION, commands.ReadConfiguration(), claims=STAFF)
    site.wait(HOUR)
    end = site.last(facts.CommandSettled)
    assert (end.code, end.detail) == (
        Code.CHARGER_TIMEOUT,
        "a car charges there; upkeep waits until none does",
    )


def test_a_reset_has_succeeded_when_the_charger_boots() -> None:
    site = Site().ready()
    site.answer(site.command(Name.RESET, commands.Reset(), claims=STAFF))
    site.lose()
    site.connect()
    assert settled(site) == []
    assert kinds(site.boot()) == ["charger_booted", "command_settled"]
    assert settled(site) == [("succeeded", "")]


def test_a_reset_after_which_nothing_boots_is_unknown() -> None:
    site = Site().ready()
    site.answer(site.command(Name.RESET, commands.Reset(), claims=STAFF), "lost")
    site.wait(5 * MINUTE)
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]


def test_an_unlock_without_an_answer_is_unknown_and_not_repeated() -> None:
    site = Site().ready()
    site.answer(site.command(Name.UNLOCK, commands.Unlock()), "timeout")
    site.wait(HOUR)
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]
    assert sent(site) == [1]


def test_a_scheduled_availability_has_succeeded_when_it_shows() -> None:
    site = Site().ready(evses=2)
    site.status(CHARGING)
    call = site.command(Name.AVAILABILITY, commands.SetAvailability(False), claims=STAFF, evse=1)
    site.answer(call, "scheduled")
    site.answer(call, "rejected")
    site.status(UNAVAILABLE, evse=2)
    site.wait(HOUR)
    assert settled(site) == []
    site.status(UNAVAILABLE, evse=1)
    assert settled(site) == [("succeeded", "")]
    assert sent(site) == [1]
    site.check()


def test_a_scheduled_availability_that_never_shows() -> None:
    site = Site().ready()
    site.answer(site.command(Name.AVAILABILITY, commands.SetAvailability(False), claims=STAFF), "scheduled")
    site.wait(25 * HOUR)
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]


def test_configuration_waits_for_the_charger_and_for_its_boot() -> None:
    site = Site().ready()
    site.lose()
    site.command(Name.CONFIGURE, commands.Configure("k", "v"), claims=STAFF, expires_ms=site.now + 20 * HOUR)
    site.wait(HOUR)
    assert sent(site) == []
    assert site.connect().requests == ()
    site.now += SECOND
    site.boot()
    (decision,) = site.wait(SECOND)
    assert [request.action for request in decision.requests] == [inputs.SetVariable("k", "v")]
    assert decision.requests[0].priority == inputs.PRIORITY_HOUSEKEEPING
    site.lose()
    site.wait(MINUTE)
    site.connect()
    site.wait(6 * SECOND)
    assert sent(site) == [1, 2]
    site.wait(20 * HOUR)
    assert settled(site) == [("unknown", Code.CHARGER_TIMEOUT)]
    assert len(sent(site)) < 20 * 12 + 10, "at most every five minutes"
    site.check()


def test_a_command_of_one_charger_is_no_matter_of_another() -> None:
    site = Site().ready()
    site.ready("CP2")
    site.command(charger="CP1")
    site.command(charger="CP2", id="cmd-2", claims=driver("driver-2"))
    site.begin(charger="CP2", minted=MINTED)
    assert settled(site) == []
    assert site.last(facts.SessionStarted).authorization == "invalid"
    site.begin(charger="CP2", evse=1, minted=minted_tag("cmd-2"), started=site.stamp(site.now + 1000))
    assert settled(site) == [("succeeded", "")]
