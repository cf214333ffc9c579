"""Chargers that come, boot, go, wait to be adopted, and a box that restarts."""

from __future__ import annotations

import msgspec
import pytest

from common import facts
from common.commands import Adopt, Name, Reset, Stop
from common.errors import Code, error
from edge.core import inputs
from edge.core.inputs import TriggerStatus
from edge.core.station import WAITING_AGAIN_MS, WAITING_MAX
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    MINUTE,
    SECOND,
    Site,
    kinds,
    operator,
)


def waiting(charger: str) -> inputs.StationWaiting:
    return inputs.StationWaiting(charger=charger, address="10.0.0.9", protocol="ocpp1.6")


def test_a_connection_a_boot_and_a_loss() -> None:
    site = Site()
    assert kinds(site.connect()) == ["charger_seen"]
    decision = site.boot()
    assert (kinds(decision), decision.reply) == (["charger_booted"], inputs.BootReply("accepted"))
    shown = site.state.view.chargers["CP1"]
    assert (shown.online, shown.adopted, shown.boots, shown.vendor) == (True, True, 1, "ACME")
    site.lose()
    assert (shown.online, shown.lost_reason) == (False, "gone")
    site.check()


def test_a_charger_that_says_nothing_after_connecting_is_asked_once() -> None:
    site = Site()
    site.connect()
    asked = [request.action for decision in site.wait(MINUTE * 10) for request in decision.requests]
    assert asked == [TriggerStatus(None)]


def test_a_charger_that_booted_is_asked_only_when_it_stays_silent() -> None:
    site = Site()
    site.connect()
    site.wait(2 * SECOND)
    site.boot()
    assert site.wait(29 * SECOND) == []
    assert [r.action for d in site.wait(2 * SECOND) for r in d.requests] == [TriggerStatus(None)]


def test_a_charger_that_reports_is_not_asked() -> None:
    site = Site().ready()
    assert site.wait(10 * MINUTE) == []


def test_a_charger_that_left_is_not_asked() -> None:
    site = Site()
    site.connect()
    site.lose()
    assert site.wait(10 * MINUTE) == []


def test_texts_of_any_length_fit_a_fact() -> None:
    site = Site()
    site.connect()
    site.feed(inputs.Booted(charger="CP1", vendor="v" * 30_000, model="m" * 30_000, firmware="\x00" * 9000))
    site.status(AVAILABLE, info="i" * 30_000, error_code="e" * 30_000, reported_at="t" * 30_000)
    site.check()


def test_a_stranger_waits_until_it_is_adopted() -> None:
    site = Site()
    (seen,) = site.feed(waiting("CP9")).facts
    assert isinstance(seen, facts.ChargerSeen)
    assert not seen.adopted
    shown = site.state.view.chargers["CP9"]
    assert (shown.adopted, shown.online) == (False, False)
    assert site.feed(waiting("CP9")).facts == (), "it dials every few seconds"
    site.now += WAITING_AGAIN_MS
    assert kinds(site.feed(waiting("CP9"))) == ["charger_seen"]


def test_a_late_word_about_waiting_does_not_let_an_adopted_charger_go() -> None:
    site = Site().ready()
    assert site.feed(waiting("CP1")).facts == ()
    assert site.state.view.chargers["CP1"].adopted


def test_the_queue_is_bounded_and_keeps_those_who_still_dial() -> None:
    site = Site()
    for number in range(WAITING_MAX):
        site.feed(waiting(f"OLD{number}"))
    assert site.feed(waiting("NEW")).facts == ()
    site.now += WAITING_AGAIN_MS
    for number in range(1, WAITING_MAX):
        site.feed(waiting(f"OLD{number}"))
    assert kinds(site.feed(waiting("NEW"))) == ["charger_adopted", "charger_seen"]
    assert "OLD0" not in site.state.view.chargers
    assert {"NEW", "OLD1"} <= set(site.state.view.chargers)
    assert len(site.state.stations) == WAITING_MAX
    site.check()


def test_an_adopted_charger_no_longer_waits_and_keeps_its_place() -> None:
    site = Site()
    site.feed(waiting("CP9"))
    site.command(Name.ADOPT, Adopt("Bay 12"), charger="CP9", claims=operator())
    site.now += WAITING_AGAIN_MS
    for number in range(WAITING_MAX + 1):
        site.feed(waiting(f"NEW{number}"))
    assert site.state.view.chargers["CP9"].adopted
    assert sum(not shown.adopted for shown in site.state.view.chargers.values()) == WAITING_MAX
    site.check()


def test_a_flood_of_strangers_keeps_nobody_from_being_adopted() -> None:
    site = Site()
    for number in range(500):
        site.feed(waiting(f"stranger-{number}"))
    assert site.feed(waiting("CP2")).facts == (), "the queue is full"
    site.command(Name.ADOPT, Adopt("Bay 2"), charger="CP2", claims=operator())
    assert site.state.view.chargers["CP2"].adopted
    site.check()


def test_a_charger_may_be_adopted_before_it_dials_and_dials_in_any_case() -> None:
    site = Site()
    decision = site.command(Name.ADOPT, Adopt("Bay 2"), charger="cp-2", claims=operator())
    assert kinds(decision) == ["command_accepted", "charger_adopted", "command_settled"]
    assert site.feed(waiting("CP-2")).facts == (), "it waits no more"
    site.command(Name.ADOPT, Adopt("Bay 3"), id="cmd-2", charger="CP-2", claims=operator())
    shown = site.state.view.chargers
    assert {charger: entry.name for charger, entry in shown.items()} == {"cp-2": "Bay 3"}
    assert site.ready("cp-2").state.view.chargers["cp-2"].online
    site.check()


def test_a_waiting_charger_is_adopted_as_it_spells_itself() -> None:
    site = Site()
    site.feed(waiting("New-1"))
    assert site.feed(waiting("NEW-1")).facts == ()
    site.command(Name.ADOPT, Adopt(), charger="new-1", claims=operator())
    assert {charger: entry.adopted for charger, entry in site.state.view.chargers.items()} == {"New-1": True}
    site.check()


@pytest.mark.parametrize("charger", ["", "CP 1", "a/b", "$(id)", "ä", "x" * 49, "line\nbreak", ".."])
def test_what_no_charger_can_be_called_is_not_adopted_and_the_reason_is_told(charger: str) -> None:
    site = Site()
    decision = site.command(Name.ADOPT, Adopt(), charger=charger, claims=operator())
    assert [(step.stage, step.code) for step in decision.progress] == [("refused", Code.BAD_CHARGER_ID)]
    told = error(Code.BAD_CHARGER_ID, decision.progress[0].detail)
    assert "identity" in told.message
    assert "letters, digits" in told.hint
    assert told.message.isprintable()
    assert site.state.view.chargers == {}
    site.check()


def test_staff_of_some_chargers_adopt_no_other_in_any_spelling() -> None:
    site = Site()
    site.feed(waiting("CP2"))
    some = msgspec.structs.replace(operator(), chargers=("CP1", "cp2"))
    for number, charger in enumerate(("CP3", "CP2", "cp2")):
        decision = site.command(Name.ADOPT, Adopt(), id=f"cmd-{number}", charger=charger, claims=some)
        assert [step.code for step in decision.progress] == [Code.UNKNOWN_CHARGER]
    site.command(Name.ADOPT, Adopt(), id="cmd-9", charger="CP1", claims=some)
    assert [c for c, entry in site.state.view.chargers.items() if entry.adopted] == ["CP1"]


def test_for_drivers_a_charger_that_is_not_adopted_is_unknown() -> None:
    site = Site()
    site.feed(waiting("CP9"))
    for number, charger in enumerate(("CP8", "CP9")):
        start = site.command(Name.START, id=f"s-{number}", charger=charger)
        adopt = site.command(Name.ADOPT, Adopt(), id=f"a-{number}", charger=charger)
        asked = site.command(Name.RESET, Reset(), id=f"r-{number}", charger=charger, claims=operator())
        codes = [step.code for decision in (start, adopt, asked) for step in decision.progress]
        assert codes == [Code.UNKNOWN_CHARGER, Code.NOT_PERMITTED, Code.UNKNOWN_CHARGER]


def test_a_boot_that_says_nothing_wipes_nothing() -> None:
    site = Site()
    site.connect()
    told = inputs.Booted(charger="CP1", vendor="ACME", model="M1", serial="S1", firmware="1.0")
    site.feed(told)
    site.feed(inputs.Booted(charger="CP1", vendor="", model="", serial="", firmware="1.1"))
    shown = site.state.view.chargers["CP1"]
    assert (shown.vendor, shown.model, shown.serial, shown.firmware) == ("ACME", "M1", "S1", "1.1")
    assert shown.boots == 2


def test_after_a_restart_nobody_is_connected() -> None:
    site = Site().ready()
    site.ready("CP2")
    site.lose("CP2")
    assert kinds(site.feed(inputs.Started())) == ["charger_lost"]
    assert site.last(facts.ChargerLost) == facts.ChargerLost(charger="CP1", reason="restart")
    assert site.feed(inputs.Started()).facts == ()
    site.check()


def test_a_note_is_a_fact() -> None:
    site = Site()
    body = facts.SecurityNoted(what="wrong_password", charger="CP1")
    assert site.feed(inputs.Note(body=body)).facts == (body,)


def test_a_charger_that_is_let_go_leaves_nothing_open() -> None:
    site = Site().ready()
    site.begin()
    site.command(Name.STOP, Stop(site.open_sessions()[0]), claims=operator())
    site.status(CHARGING)
    site.command(Name.RESET, id="cmd-2", claims=operator(), args=Reset(ends_charge=True))
    decision = site.feed(inputs.Note(body=facts.ChargerAdopted(charger="CP1", removed=True)))
    assert kinds(decision) == ["session_ended", "command_settled", "command_settled", "charger_adopted"]
    assert {order.state for order in site.state.orders.values()} == {"settled"}
    assert "CP1" not in site.state.stations
    assert site.wait(MINUTE * 10) == []
    site.check()


def test_an_unreadable_message_is_kept_once_and_acknowledged() -> None:
    site = Site().ready()
    given = inputs.Unreadable(charger="CP1", what="start", reason="meterStart:type", raw='{"a":' + '"' * 9000)
    decision = site.feed(given)
    assert (kinds(decision), decision.reply) == (["orphan_recorded"], inputs.Acknowledged())
    orphan = site.last(facts.OrphanRecorded)
    assert (orphan.what, orphan.reason) == ("unreadable", "start: meterStart:type")
    assert len(orphan.raw) > 4000
    assert site.feed(given).facts == ()
    site.check()


def test_messages_of_a_charger_that_never_connected_are_taken_all_the_same() -> None:
    site = Site()
    site.status(AVAILABLE)
    transaction = site.begun()
    site.meter(site.sample(1100.0), transaction=transaction)
    site.end(transaction)
    assert site.last(facts.SessionEnded).energy_wh == 4000.0
    site.check()
