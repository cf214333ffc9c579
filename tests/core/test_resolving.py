"""An operator decides on what is flagged; nothing that was told is lost, nobody is overridden unseen."""

from __future__ import annotations

from typing import Any

import pytest

from common import facts, reconcile, review
from common.commands import Name, Resolve
from common.domain import EnergyMethod, Role
from common.errors import Code
from common.policy import Claims
from edge.core.inputs import Decision, Known
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    HOUR,
    MINUTE,
    SITE,
    Site,
    driver,
    operator,
    refusal,
    stages,
    tagged,
)


def known(site: Site, session: str) -> Known:
    """The session as the journal has it."""
    shown = site.state.view.sessions[session]
    return Known(
        session=session,
        charger=shown.charger,
        evse=shown.evse,
        transaction=shown.transaction,
        principal=shown.principal,
        ended=bool(shown.ended_at),
        provisional=shown.provisional,
        revision=shown.revision,
        meter_start_wh=shown.meter_start_wh,
        meter_stop_wh=shown.meter_stop_wh,
        ended_at=shown.ended_at,
        energy_wh=shown.energy_wh,
        method=shown.method,
        flags=shown.flags,
    )


def resolve(
    site: Site,
    decision: str,
    session: str = "",
    *,
    claims: Claims | None = None,
    command: str = "r-1",
    **more: Any,
) -> Decision:
    if session and "revision" not in more:
        more["revision"] = site.state.view.sessions[session].revision
    args = Resolve(decision=decision, reason=more.pop("reason", "seen on site"), session=session, **more)  # type: ignore[arg-type]
    return site.command(
        Name.RESOLVE,
        args,
        id=command,
        claims=claims or operator(),
        known=known(site, session) if session in site.state.view.sessions else None,
    )


def flagged() -> tuple[Site, str]:
    """A session whose meter ran backwards: no stop value, energy from its samples."""
    site = Site().ready()
    transaction = site.begun()
    site.meter(site.sample(1500.0), transaction=transaction)
    site.now += MINUTE
    site.end(transaction, 10.0)
    session = site.last(facts.SessionEnded).session
    assert "meter_backwards" in site.last(facts.SessionEnded).flags
    return site, session


def row(site: Site, session: str) -> reconcile.LedgerRow:
    return reconcile.fold_all(fact.body for fact in site.journal)[session]


def wants_a_look(site: Site, session: str) -> list[str]:
    shown = site.state.view.sessions[session]
    return review.attention(
        shown.flags, shown.method, ended=bool(shown.ended_at), provisional=shown.provisional
    )


def test_accepting_a_session_leaves_its_values_and_ends_the_question() -> None:
    site, session = flagged()
    assert wants_a_look(site, session)
    decision = resolve(site, "accept", session)
    assert stages(decision) == ["accepted", "settled"]
    revised = site.last(facts.SessionRevised)
    assert (revised.obtained, revised.reason, revised.command) == ("operator", "seen on site", "r-1")
    assert (revised.energy_wh, revised.method, revised.revision) == (500.0, EnergyMethod.SAMPLES, 1)
    assert wants_a_look(site, session) == []
    site.check()


def test_an_energy_is_set_and_what_was_told_before_stays() -> None:
    site, session = flagged()
    told = site.last(facts.SessionEnded)
    resolve(site, "set", session, energy_wh=700.0, reason="read from the display")
    assert (row(site, session).energy_wh, row(site, session).method) == (700.0, EnergyMethod.STATED)
    assert row(site, session).meter_stop_wh == told.meter_stop_wh == 10.0
    assert site.state.view.sessions[session].obtained == "operator"
    assert told in [fact.body for fact in site.journal]
    resolve(site, "set", session, energy_wh=710.0, command="r-2")
    assert (row(site, session).energy_wh, row(site, session).revision) == (710.0, 2)
    site.check()


def test_a_session_of_nobody_is_given_to_somebody() -> None:
    site, session = flagged()
    resolve(site, "attach", session, principal="driver-1")
    revised = site.last(facts.SessionRevised)
    assert (revised.principal, revised.energy_wh) == ("driver-1", 500.0)
    assert site.state.view.sessions[session].principal == "driver-1"


def test_a_session_of_somebody_stays_theirs() -> None:
    site = Site().ready()
    site.feed(tagged("tag-a", "driver-1"))
    site.end(site.begun())
    session = site.last(facts.SessionEnded).session
    assert refusal(resolve(site, "attach", session, principal="driver-2")) == Code.NOTHING_TO_DECIDE


def test_dismissing_takes_the_energy_off_every_bill() -> None:
    site, session = flagged()
    resolve(site, "dismiss", session)
    assert (row(site, session).energy_wh, row(site, session).method) == (None, EnergyMethod.UNKNOWN)
    assert wants_a_look(site, session) == []


def test_two_operators_do_not_override_each_other() -> None:
    site, session = flagged()
    resolve(site, "set", session, energy_wh=700.0)
    late = resolve(site, "set", session, energy_wh=900.0, revision=0, command="r-2")
    assert refusal(late) == Code.CHANGED_MEANWHILE
    assert row(site, session).energy_wh == 700.0


def test_the_same_decision_through_the_cloud_is_one() -> None:
    site, session = flagged()
    resolve(site, "accept", session)
    again = resolve(site, "accept", session, revision=0)
    assert stages(again) == ["accepted", "settled"]
    assert len(site.all(facts.SessionRevised)) == 1


def test_the_chargers_own_stop_after_a_decision_is_a_conflict() -> None:
    site = Site().ready()
    transaction = site.begun()
    site.meter(site.sample(1500.0), transaction=transaction)
    site.status(CHARGING)
    site.status(AVAILABLE)
    site.wait(HOUR)
    session = site.last(facts.SessionEnded).session
    assert site.last(facts.SessionEnded).provisional
    resolve(site, "accept", session)
    site.end(transaction, 1800.0)
    assert site.last(facts.OrphanRecorded).reason == "conflict"
    assert row(site, session).energy_wh == 500.0
    site.check()


@pytest.mark.parametrize(
    ("decision", "more"),
    [
        ("accept", {"reason": "  "}),
        ("accept", {"reason": "x" * 301}),
        ("accept", {"reason": "two\nlines"}),
        ("set", {}),
        ("set", {"energy_wh": -1.0}),
        ("set", {"energy_wh": float("nan")}),
        ("set", {"energy_wh": 5e6}),
        ("accept", {"energy_wh": 1.0}),
        ("attach", {}),
        ("accept", {"principal": "driver-1"}),
        ("attach", {"principal": "x" * 65}),
    ],
)
def test_what_cannot_be_meant_is_refused(decision: str, more: dict[str, Any]) -> None:
    site, session = flagged()
    before = len(site.all(facts.SessionRevised))
    assert refusal(resolve(site, decision, session, **more)) == Code.BAD_REQUEST
    assert len(site.all(facts.SessionRevised)) == before


def test_neither_session_nor_orphan_is_refused() -> None:
    assert refusal(resolve(Site().ready(), "accept")) == Code.BAD_REQUEST


@pytest.mark.parametrize(
    "claims", [driver(), Claims(site=SITE, principal="installer-1", role=Role.INSTALLER)]
)
def test_only_operators_decide(claims: Claims) -> None:
    site, session = flagged()
    assert refusal(resolve(site, "accept", session, claims=claims)) == Code.NOT_PERMITTED


def test_an_open_session_is_not_decided_on() -> None:
    site = Site().ready()
    site.begin()
    (session,) = site.open_sessions()
    assert refusal(resolve(site, "accept", session)) == Code.SESSION_OPEN


def test_a_session_of_another_charger_is_unknown() -> None:
    site, session = flagged()
    args = Resolve(decision="accept", reason="x", session=session, revision=0)
    decision = site.command(Name.RESOLVE, args, claims=operator(), charger="CP2", known=known(site, session))
    assert refusal(decision) == Code.UNKNOWN_SESSION


def test_a_session_without_energy_needs_one() -> None:
    site = Site().ready()
    site.end(site.begun(meter_start_wh=None), None)
    session = site.last(facts.SessionEnded).session
    assert refusal(resolve(site, "accept", session)) == Code.NOTHING_TO_DECIDE
    assert stages(resolve(site, "set", session, energy_wh=0.0, command="r-2"))[-1] == "settled"


# --- orphans -----------------------------------------------------------------------------------------------


def lost_stop() -> tuple[Site, str, str]:
    """A session without its stop, and a stop of no known session."""
    site = Site().ready()
    site.begin()
    site.status(CHARGING)
    site.status(AVAILABLE)
    site.wait(HOUR)
    site.end("424242", 4000.0)
    return site, site.last(facts.SessionEnded).session, site.last(facts.OrphanRecorded).orphan


def test_an_orphan_waits_for_a_decision_and_is_decided_once() -> None:
    site, _, orphan = lost_stop()
    assert list(site.state.stations["CP1"].undecided) == [orphan]
    resolve(site, "dismiss", orphan=orphan)
    decided = site.last(facts.OrphanResolved)
    assert (decided.orphan, decided.decision, decided.reason) == (orphan, "dismissed", "seen on site")
    assert site.state.stations["CP1"].undecided == {}
    assert refusal(resolve(site, "dismiss", orphan=orphan, command="r-2")) == Code.UNKNOWN_ORPHAN
    site.check()


def test_an_orphaned_stop_is_attached_to_its_session() -> None:
    site, session, orphan = lost_stop()
    ended_at = site.last(facts.OrphanRecorded).at
    resolve(site, "attach", session, orphan=orphan)
    after = row(site, session)
    assert (after.energy_wh, after.meter_stop_wh, after.ended_at) == (3000.0, 4000.0, ended_at)
    assert (after.provisional, after.method) == (False, EnergyMethod.REGISTER)
    assert site.last(facts.OrphanResolved).session == session
    assert wants_a_look(site, session) == []
    site.check()


def test_a_stop_that_cannot_be_its_end_is_kept_beside_it() -> None:
    site = Site().ready()
    site.end(site.begun())
    session = site.last(facts.SessionEnded).session
    site.end("424242", 10.0)
    resolve(site, "attach", session, orphan=site.last(facts.OrphanRecorded).orphan)
    assert row(site, session).energy_wh == 4000.0
    assert site.state.stations["CP1"].undecided == {}


def test_an_orphan_that_left_memory_is_recalled() -> None:
    site, _, orphan = lost_stop()
    body = site.last(facts.OrphanRecorded)
    del site.state.stations["CP1"].undecided[orphan]
    args = Resolve(decision="dismiss", reason="old", orphan=orphan)
    decision = site.command(Name.RESOLVE, args, claims=operator(), orphan=body)
    assert stages(decision) == ["accepted", "settled"]


@pytest.mark.parametrize(
    ("decision", "more"),
    [("set", {"energy_wh": 1.0}), ("attach", {}), ("dismiss", {"principal": "driver-1"})],
)
def test_an_orphan_is_accepted_dismissed_or_attached(decision: str, more: dict[str, Any]) -> None:
    site, _, orphan = lost_stop()
    assert refusal(resolve(site, decision, orphan=orphan, **more)) == Code.BAD_REQUEST


def test_reconciliation_is_true_after_decisions() -> None:
    site, session, orphan = lost_stop()
    resolve(site, "attach", session, orphan=orphan)
    cloud = reconcile.fold_all(fact.body for fact in reversed(site.journal))
    box = reconcile.fold_all(fact.body for fact in site.journal)
    report = reconcile.compare(box, cloud, side="box", other="cloud")
    assert report.clean, report.findings
