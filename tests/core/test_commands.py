"""Commands as they arrive: taken on, refused with a reason, recognised when they come again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common import commands, facts
from common.commands import CLASSES, Name, Repeat
from common.domain import ConnectorState, Role, Target
from common.errors import Code
from edge.core import engine, inputs, intents, orders
from edge.core.identity import minted_tag, remote_start_id
from edge.core.inputs import RecalledCommand
from edge.core.state import SETTLED_ORDERS_MAX
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
    SUSPENDED_EVSE,
    UNAVAILABLE,
    Site,
    driver,
    kinds,
    operator,
    refusal,
    stages,
)

STAFF = operator()


def refused(at: Site, code: Code, **command: Any) -> inputs.Decision:
    """The command is declined with this code, and nothing changes but that this is known."""
    before = msgspec.json.encode((at.state.stations, at.state.view.chargers, at.state.view.sessions))
    decision = at.command(**command)
    assert refusal(decision) == code
    assert decision.requests == ()
    assert kinds(decision) in ([], ["command_settled"])
    assert before == msgspec.json.encode((at.state.stations, at.state.view.chargers, at.state.view.sessions))
    return decision


def test_every_state_is_free_or_says_why_not() -> None:
    assert intents._FREE | set(intents._NOT_FREE) == set(ConnectorState)
    assert not intents._FREE & set(intents._NOT_FREE)
    until_confirmed = {name for name, kind in CLASSES.items() if kind.repeat is Repeat.UNTIL_CONFIRMED}
    once_idle = {Name.UPDATE_FIRMWARE}  # its first call waits for the charger; none is made twice
    assert until_confirmed | once_idle >= intents._WAITS, "what waits for a charger may be sent twice"


# --- taken on ----------------------------------------------------------------------------------------------


def test_a_start_is_written_down_and_then_called() -> None:
    site = Site().ready()
    decision = site.command(evse=1)
    assert kinds(decision) == ["command_accepted", "command_sent"]
    assert stages(decision) == ["accepted"]
    (request,) = decision.requests
    tag = minted_tag("cmd-1")
    assert request.action == inputs.StartCharge(1, 1, tag, remote_start_id(tag))
    assert (request.command, request.priority, request.urgent) == ("cmd-1", inputs.PRIORITY_START, False)
    assert request.expires_ms == site.now + 15 * SECOND
    accepted = site.last(facts.CommandAccepted)
    assert (accepted.principal, accepted.role, accepted.evse, accepted.connector) == (
        "driver-1",
        Role.DRIVER,
        1,
        1,
    )
    site.check()


def test_a_stop_leaves_at_once() -> None:
    site, session = own_session()
    decision = site.command(Name.STOP, commands.Stop(session), id="cmd-2")
    (request,) = decision.requests
    assert (request.urgent, request.priority) == (True, inputs.PRIORITY_STOP)
    transaction = site.last(facts.SessionStarted).transaction
    assert request.action == inputs.StopCharge(transaction)
    assert site.last(facts.CommandAccepted).session == session


def own_session() -> tuple[Site, str]:
    """A session that driver-1 started with the app."""
    site = Site().ready()
    site.answer(site.command(evse=1))
    site.begin(minted=minted_tag("cmd-1"), tag_ref="minted")
    return site, site.open_sessions()[0]


@pytest.mark.parametrize(
    ("name", "args", "evse", "action"),
    [
        (Name.UNLOCK, commands.Unlock(), None, inputs.UnlockConnector(1, 1)),
        (Name.RESET, commands.Reset(hard=True), None, inputs.ResetStation(True)),
        (Name.AVAILABILITY, commands.SetAvailability(False), None, inputs.ChangeAvailability(0, 1, False)),
        (Name.AVAILABILITY, commands.SetAvailability(True), 1, inputs.ChangeAvailability(1, 1, True)),
        (Name.CONFIGURE, commands.Configure("k", "v"), None, inputs.SetVariable("k", "v")),
        (Name.READ_CONFIGURATION, commands.ReadConfiguration(("k",)), None, inputs.GetVariables(("k",))),
        (Name.CLEAR_CACHE, commands.ClearCache(), None, inputs.ClearAuthorizationCache()),
        (Name.MESSAGE, commands.Message("acme", "m", "d"), None, inputs.VendorMessage("acme", "m", "d")),
    ],
)
def test_what_each_command_asks_of_the_charger(
    name: Name, args: commands.Args, evse: int | None, action: inputs.Action
) -> None:
    site = Site().ready()
    decision = site.command(name, args, claims=STAFF, evse=evse)
    assert [request.action for request in decision.requests] == [action]
    site.check()


def test_adopting_is_done_in_the_box() -> None:
    site = Site()
    site.feed(inputs.StationWaiting(charger="CP9"))
    decision = site.command(Name.ADOPT, commands.Adopt("Bay 12"), charger="CP9", claims=STAFF)
    assert kinds(decision) == ["command_accepted", "charger_adopted", "command_settled"]
    assert (stages(decision), decision.requests) == (["accepted", "settled"], ())
    shown = site.state.view.chargers["CP9"]
    assert (shown.adopted, shown.name) == (True, "Bay 12")
    site.check()


@pytest.mark.parametrize("name", ["x" * 65, "bell\x07", "two\nlines"])
def test_a_name_that_no_screen_can_show_is_refused(name: str) -> None:
    site = Site().ready()
    refused(site, Code.BAD_REQUEST, name=Name.ADOPT, args=commands.Adopt(name), claims=STAFF)


# --- which connector ---------------------------------------------------------------------------------------


def started_on(site: Site, **command: Any) -> int:
    (request,) = site.command(**command).requests
    assert isinstance(request.action, inputs.StartCharge)
    return request.action.evse


def test_the_only_connector_need_not_be_named() -> None:
    site = Site().ready()
    site.status(AVAILABLE, evse=0)
    site.lose()
    site.connect()
    assert started_on(site) == 1


def test_a_connector_that_is_named_is_the_one() -> None:
    site = Site().ready(evses=2)
    site.status(PREPARING, evse=2)
    assert started_on(site, evse=1) == 1


def test_of_several_the_one_where_a_car_was_just_plugged_in() -> None:
    site = Site().ready(evses=3)
    site.status(PREPARING, evse=2)
    assert started_on(site) == 2


def test_of_several_the_only_one_that_is_free() -> None:
    site = Site().ready(evses=2)
    site.begin(evse=1)
    site.status(CHARGING, evse=1)
    assert started_on(site) == 2


def test_where_it_is_not_clear_it_has_to_be_named() -> None:
    site = Site().ready(evses=2)
    decision = refused(site, Code.UNKNOWN_CONNECTOR)
    assert decision.progress[0].detail == "its connectors are 1, 2"


@pytest.mark.parametrize(
    "target", [Target("CP1", 3), Target("CP1", 0), Target("CP1", 1, 2), Target("CP1", None, 1)]
)
def test_a_connector_that_is_not_there(target: Target) -> None:
    refused(Site().ready(evses=2), Code.UNKNOWN_CONNECTOR, target=target)


def test_a_charger_that_told_no_connectors_yet() -> None:
    site = Site()
    site.connect()
    refused(site, Code.UNKNOWN_CONNECTOR, evse=1)


# --- refused -----------------------------------------------------------------------------------------------


def test_another_sites_command_leaves_no_trace() -> None:
    assert refused(Site().ready(), Code.WRONG_SITE, site="site-2").facts == ()


def test_the_longest_id_and_the_longest_name() -> None:
    site = Site().ready()
    longest = commands.Adopt("x" * intents.NAME_CHARS_MAX)
    decision = site.command(Name.ADOPT, longest, claims=STAFF, id="x" * intents.ID_CHARS_MAX)
    assert stages(decision) == ["accepted", "settled"]


@pytest.mark.parametrize("bad", [{"id": ""}, {"id": "x" * 65}, {"args": commands.Reset()}])
def test_a_malformed_command_leaves_no_trace(bad: dict[str, Any]) -> None:
    assert refused(Site().ready(), Code.BAD_REQUEST, **bad).facts == ()


def test_an_expired_command() -> None:
    site = Site().ready()
    refused(site, Code.EXPIRED, expires_ms=site.now)
    assert stages(site.command(id="cmd-2", expires_ms=site.now + 1)) == ["accepted"]


def test_a_command_that_wants_to_live_too_long() -> None:
    site = Site().ready()
    longest = site.now + CLASSES[Name.START].ttl_ms + intents.EXPIRY_ALLOWANCE_MS
    decision = refused(site, Code.BAD_REQUEST, expires_ms=longest + 1)
    assert "30 s" in decision.progress[0].detail
    assert stages(site.command(id="cmd-2", expires_ms=longest)) == ["accepted"]


def test_rights_come_from_policy() -> None:
    site = Site().ready()
    refused(site, Code.UNKNOWN_CHARGER, charger="CP7")
    refused(site, Code.UNKNOWN_CHARGER, id="cmd-2", claims=driver(chargers=("CP2",)))
    refused(site, Code.NOT_PERMITTED, id="cmd-3", name=Name.RESET, args=commands.Reset())


def test_a_charger_that_is_away() -> None:
    site = Site().ready()
    site.lose()
    refused(site, Code.CHARGER_OFFLINE)
    refused(
        site,
        Code.CHARGER_OFFLINE,
        id="cmd-2",
        name=Name.READ_CONFIGURATION,
        args=commands.ReadConfiguration(),
        claims=STAFF,
    )


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (FAULTED, Code.CONNECTOR_FAULTED),
        (UNAVAILABLE, Code.CONNECTOR_UNAVAILABLE),
        (RESERVED, Code.CONNECTOR_RESERVED),
        (FINISHING, Code.UNPLUG_FIRST),
        (CHARGING, Code.CONNECTOR_IN_USE),
        (SUSPENDED_EV, Code.CONNECTOR_IN_USE),
        (SUSPENDED_EVSE, Code.CONNECTOR_IN_USE),
    ],
)
def test_a_connector_that_is_not_free(shown: ConnectorState, code: Code) -> None:
    site = Site()
    site.connect()
    site.status(shown)
    refused(site, code)


def test_a_connector_whose_last_state_is_only_remembered_may_be_tried() -> None:
    site = Site()
    site.connect()
    site.status(FAULTED)
    site.lose()
    site.connect()
    assert stages(site.command()) == ["accepted"]


def test_a_connector_that_is_being_confirmed() -> None:
    site = Site().ready()
    site.status(CHARGING)
    site.status(FINISHING)
    site.status(SUSPENDED_EV)
    refused(site, Code.CONFIRMING, id="cmd-2", name=Name.UNLOCK, args=commands.Unlock())
    site.status(FINISHING)
    site.status(AVAILABLE)
    site.status(FINISHING)
    refused(site, Code.CONFIRMING)


def test_a_connector_in_use_by_anybody() -> None:
    site = Site().ready()
    site.begin()
    refused(site, Code.CONNECTOR_IN_USE)
    refused(site, Code.CONNECTOR_IN_USE, id="cmd-2", claims=STAFF)


def test_a_start_that_is_on_its_way_holds_the_connector() -> None:
    site = Site().ready(evses=2)
    first = site.command(evse=1)
    refused(site, Code.CONNECTOR_IN_USE, id="cmd-2", evse=1, claims=driver("driver-2"))
    assert stages(site.command(id="cmd-3", evse=2, claims=driver("driver-2"))) == ["accepted"]
    site.answer(first, "rejected")
    assert stages(site.command(id="cmd-4", evse=1, claims=driver("driver-2"))) == ["accepted"]


def test_a_session_whose_stop_was_lost_does_not_lock_the_next_driver_out() -> None:
    site = Site().ready()
    site.begin()
    site.status(CHARGING)
    refused(site, Code.CONNECTOR_IN_USE)
    site.status(AVAILABLE)
    assert stages(site.command(id="cmd-2")) == ["accepted"]


def test_too_many_open_commands() -> None:
    site = Site().ready()
    for number in range(intents.OPEN_ORDERS_MAX):
        site.command(Name.CONFIGURE, commands.Configure("k", "v"), claims=STAFF, id=f"cmd-{number}")
    refused(site, Code.BUSY, id="cmd-x", evse=1)
    site.check()


def test_a_stop_of_what_is_not_there() -> None:
    site = Site().ready()
    site.ready("CP2")
    site.begin(charger="CP2")
    (session,) = site.open_sessions("CP2")
    stop = {"name": Name.STOP, "args": commands.Stop("nowhere"), "claims": STAFF}
    refused(site, Code.UNKNOWN_SESSION, **stop)
    refused(site, Code.UNKNOWN_SESSION, **stop | {"id": "cmd-2", "args": commands.Stop(session)})
    refused(
        site,
        Code.NOT_YOUR_SESSION,
        **stop | {"id": "cmd-3", "charger": "CP2", "args": commands.Stop(session), "claims": driver("thief")},
    )


def test_a_stop_of_an_ended_session_has_its_effect_already() -> None:
    site, session = own_session()
    site.end(site.last(facts.SessionStarted).transaction)
    decision = site.command(Name.STOP, commands.Stop(session), id="cmd-2")
    assert kinds(decision) == ["command_accepted", "command_settled"]
    assert (stages(decision), decision.progress[-1].outcome) == (["accepted", "settled"], "succeeded")
    assert decision.requests == ()


# --- again -------------------------------------------------------------------------------------------------


def test_a_repeat_is_told_the_stages_so_far() -> None:
    site = Site().ready()
    first = site.command()
    site.now += MINUTE  # a repeat may come after its own expiry
    again = site.command(expires_ms=site.now - 1)
    assert (again.facts, again.requests, stages(again)) == ((), (), ["accepted"])
    site.answer(first)
    assert stages(site.command()) == ["accepted", "confirmed"]
    site.begin(minted=minted_tag("cmd-1"))
    done = site.command()
    assert (done.facts, stages(done)) == ((), ["accepted", "confirmed", "settled"])
    assert (done.progress[-1].outcome, done.progress[-1].session) == ("succeeded", site.open_sessions()[0])


def test_a_repeat_of_a_failure_is_told_why() -> None:
    site = Site().ready()
    site.answer(site.command(), "rejected", detail="cable loose")
    again = site.command()
    assert stages(again) == ["accepted", "confirmed", "settled"]
    end = again.progress[-1]
    assert (end.outcome, end.code, end.detail) == ("failed", Code.CHARGER_REJECTED, "cable loose")


def test_a_refusal_is_repeated_although_it_would_be_taken_on_now() -> None:
    site = Site().ready()
    site.lose()
    refused(site, Code.CHARGER_OFFLINE)
    site.ready()
    again = site.command()
    assert (refusal(again), again.facts) == (Code.CHARGER_OFFLINE, ())


@pytest.mark.parametrize("other", [{"fingerprint": "another"}, {"claims": driver("driver-2")}])
def test_a_used_id_for_something_else_changes_nothing(other: dict[str, Any]) -> None:
    site = Site().ready()
    site.command(evse=1)
    decision = site.command(evse=1, **other)
    assert (refusal(decision), decision.facts) == (Code.ID_REUSE, ())


def test_what_left_memory_is_recalled() -> None:
    site = Site().ready()
    given = inputs.CommandReceived(
        claims=driver(),
        path="lan",  # type: ignore[arg-type]
        id="old",
        name=Name.START,
        target=Target("CP1"),
        args=commands.Start(),
        expires_ms=0,
        fingerprint="print",
        site="site-1",
    )
    assert engine.needs_recall(site.state, given)
    assert engine.recall_key(site.state, given) == "old"
    row = RecalledCommand(
        fingerprint="print",
        state="settled",
        principal="driver-1",
        answer="accepted",
        outcome="succeeded",
        session="session-1",
    )
    told = {"id": "old", "fingerprint": "print"}
    done = site.command(recalled=row, **told)
    assert (done.facts, stages(done)) == ((), ["accepted", "confirmed", "settled"])
    assert done.progress[-1].session == "session-1"
    assert refusal(site.command(recalled=row, id="old", fingerprint="other")) == Code.ID_REUSE
    no = RecalledCommand(
        fingerprint="print", state="settled", principal="driver-1", outcome="refused", code="expired"
    )
    assert refusal(site.command(recalled=no, **told)) == Code.EXPIRED


def test_a_known_command_is_not_asked_for() -> None:
    site = Site().ready()
    site.command()
    assert "cmd-1" in site.state.orders
    assert not engine.needs_recall(site.state, _received("cmd-1"))
    assert engine.needs_recall(site.state, _received("cmd-2"))


def _received(command: str) -> inputs.CommandReceived:
    return inputs.CommandReceived(
        claims=driver(),
        path="lan",  # type: ignore[arg-type]
        id=command,
        name=Name.START,
        target=Target("CP1"),
        args=commands.Start(),
        expires_ms=0,
        fingerprint="print",
        site="site-1",
    )


def test_the_memory_of_settled_commands_is_bounded() -> None:
    site = Site().ready()
    site.lose()
    for number in range(SETTLED_ORDERS_MAX + 20):
        site.command(id=f"cmd-{number}")
    assert len(site.state.orders) == SETTLED_ORDERS_MAX
    assert "cmd-0" not in site.state.orders
    site.check()


def test_a_large_result_does_not_stay_in_memory() -> None:
    site = Site().ready()
    sent = site.command(Name.READ_CONFIGURATION, commands.ReadConfiguration(), claims=STAFF)
    decision = site.answer(sent, result={f"key-{n}": "v" * 50 for n in range(1000)})
    told = decision.progress[-1].result
    assert 100 < len(told) < 1000
    assert told["cut"] + len(told) - 1 == 1000
    assert "cmd-1" not in site.state.orders
    assert site.last(facts.CommandConfirmed).result == told
    site.check()


def test_orders_that_are_open_stay_whatever_settles() -> None:
    site = Site().ready()
    site.command(Name.CONFIGURE, commands.Configure("k", "v"), claims=STAFF, id="open")
    for number in range(SETTLED_ORDERS_MAX + 20):
        site.command(id=f"cmd-{number}", charger="CP7")
    assert site.state.orders["open"].state == "sent"
    assert orders.start_intended(site.state, "CP1", 1) is False
