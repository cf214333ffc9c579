"""Who sees what of a site: a snapshot and the facts after it come to the same view, for each pair of eyes."""

from __future__ import annotations

from common import facts
from common.domain import ConnectorState, EnergyMethod, Role
from common.policy import Claims, view_for, visible
from common.tuning import LimitApplied
from common.view import View, apply

AT = "2026-03-01T08:00:00.000Z"
HERS = (
    facts.ChargerAdopted(charger="CP1"),
    facts.ConnectorChanged(charger="CP1", evse=1, connector=1, state=ConnectorState.PREPARING),
    facts.SessionStarted(
        session="s1",
        charger="CP1",
        evse=1,
        transaction="7",
        principal="p-ada",
        started_at=AT,
        received_at=AT,
    ),
    LimitApplied(charger="CP1", evse=1, scope="session", rank="driver", limit_a=16.0, proof="accepted"),
    facts.SessionEnded(
        session="s1",
        charger="CP1",
        evse=1,
        principal="p-ada",
        ended_at=AT,
        received_at=AT,
        energy_wh=0.0,
        method=EnergyMethod.REGISTER,
        reason="Local",
    ),
    LimitApplied(charger="CP1", evse=1, scope="session", rank="driver", limit_a=16.0, proof="refused"),
)


def seen(who: Claims, since: int, until: int) -> tuple[View, View]:
    """What somebody has who got a snapshot after `since` facts, and then facts; and a snapshot of now."""
    box, theirs = View(site="site-1"), View(site="site-1")
    for seq, body in enumerate(HERS[:until], 1):
        fact = facts.make(epoch="1-a", seq=seq, uid=f"u{seq}", at=AT, clock="synced", body=body)
        apply(box, fact)
        if seq == since:
            theirs = view_for(who, box)
        elif seq > since and visible(who, body):
            apply(theirs, fact)
    theirs.seq = box.seq
    theirs.epoch, theirs.at = box.epoch, box.at
    return theirs, view_for(who, box)


def test_the_limit_of_a_charge_is_there_for_whoever_sees_the_charge_and_goes_with_it() -> None:
    for role, principal, sees in (
        (Role.OPERATOR, "p-op", True),
        (Role.DRIVER, "p-ada", True),
        (Role.DRIVER, "p-bob", False),
    ):
        who = Claims(site="site-1", principal=principal, role=role)
        for since in range(2, len(HERS) + 1):
            for until in range(since, len(HERS) + 1):
                told, now = seen(who, since, until)
                assert told == now, (principal, since, until)
        running, _ = seen(who, 2, 4)
        assert (running.chargers["CP1"].connectors[1].session_limit is not None) is sees
        over, _ = seen(who, 2, len(HERS))
        assert over.chargers["CP1"].connectors[1].session_limit is None
