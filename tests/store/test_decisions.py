"""What an operator decided, in the cloud's tables: revision, flags, whose session, orphans."""

from __future__ import annotations

from cloud.store.ports import Store
from common import facts
from common.domain import EnergyMethod
from common.sought import Sought
from tests.store.box import Box, driver, staff

DECISIONS = (facts.OrphanResolved.KIND,)


def revise(box: Box, session: str, revision: int, **more: object) -> None:
    box.write(
        facts.SessionRevised(
            session=session, charger="CP1", revision=revision, obtained="operator", reason="seen", **more
        )  # type: ignore[arg-type]
    )


async def test_a_decision_moves_revision_energy_and_flags(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    revise(box, "s1", 1, energy_wh=3500.0, method=EnergyMethod.STATED, flags=("resolved_set",))
    await box.drain(store)
    (row,) = (await store.sessions(staff(box.site))).rows
    assert (row.revision, row.energy_wh, row.method) == (1, 3500.0, EnergyMethod.STATED)
    assert (row.obtained, row.reason, row.flags) == ("operator", "seen", ("resolved_set",))
    assert row.meter_stop_wh == 5000, "what the charger told stays"


async def test_a_session_of_nobody_becomes_somebodys(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000, principal=None)
    await box.drain(store)
    assert (await store.sessions(driver(box.site))).rows == ()
    revise(box, "s1", 1, principal="ann", energy_wh=4000.0, flags=("resolved_attached",))
    await box.drain(store)
    (row,) = (await store.sessions(driver(box.site))).rows
    assert row.principal == "ann"


async def test_only_what_may_want_a_look_is_flagged(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    box.start("s2", 5000)
    box.write(
        facts.SessionEnded(
            session="s2",
            charger="CP1",
            evse=1,
            principal="ann",
            ended_at="2026-03-01T09:00:00Z",
            received_at="2026-03-01T09:00:00Z",
            energy_wh=900.0,
            method=EnergyMethod.INTEGRATED,
            obtained="estimated",
            flags=("estimated",),
        )
    )
    await box.drain(store)
    (row,) = (await store.sessions(staff(box.site), sought=Sought(flagged=True))).rows
    assert (row.session, row.obtained) == ("s2", "estimated")


async def test_orphans_and_decisions_are_told(store: Store, box: Box) -> None:
    box.write(facts.OrphanRecorded(charger="CP1", orphan="o-1", what="stop", reason="unknown_transaction"))
    box.write(facts.OrphanResolved(charger="CP1", orphan="o-1", decision="dismissed", reason="seen"))
    await box.drain(store)
    (orphan,) = (await store.audit(staff(box.site), [facts.OrphanRecorded.KIND])).rows
    (decision,) = (await store.told_since(box.site, DECISIONS, since="2026-03-01T00:00:00Z")).rows
    assert facts.read(orphan.epoch, orphan.seq, bytes(orphan.record)).kind == "orphan_recorded"
    assert facts.read(decision.epoch, decision.seq, bytes(decision.record)).kind == "orphan_resolved"
    assert (await store.told_since(box.site, DECISIONS, since="2027-01-01T00:00:00Z")).rows == ()
