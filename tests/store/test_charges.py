"""Charge lines in the store: one a session and revision, months that stay as they were exported."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloud.charge_lines import ChargeLine, line_id
from cloud.exports import month_at, read_zone
from cloud.store import charges
from cloud.store.ports import Store
from common import facts
from common.domain import EnergyMethod
from common.errors import Refused
from tests.store.box import T0_MS, Box, driver, staff

UTC_MONTH: Callable[[int], str] = lambda at_ms: month_at(at_ms, read_zone("UTC"))  # noqa: E731
MONTH_MINUTES = 31 * 24 * 60


def revised(session: str, revision: int, energy_wh: float | None) -> facts.SessionRevised:
    return facts.SessionRevised(
        session=session,
        revision=revision,
        energy_wh=energy_wh,
        method=EnergyMethod.REGISTER,
        charger="CP1",
        principal="ann",
    )


async def bill(store: Store, box: Box) -> None:
    await store.bill(box.site, await store.unbilled(box.site), T0_MS)


async def close(store: Store, box: Box, month: str) -> bool:
    await bill(store, box)
    return await store.close_month(box.site, month, "UTC", UTC_MONTH, T0_MS)


async def lines(store: Store, box: Box, month: str) -> tuple[ChargeLine, ...]:
    return (await store.charge_lines(staff(box.site), month, limit=500)).rows


async def test_a_session_is_one_line_however_often_it_is_billed(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    for _ in range(3):
        await bill(store, box)
    assert await store.unbilled(box.site) == []
    await close(store, box, "2026-03")
    (line,) = await lines(store, box, "2026-03")
    assert line.id == line_id(box.site, "s1", 0)
    assert (line.kind, line.energy_milliwh, line.principal, line.corrects) == (
        "charge",
        4_000_000,
        "ann",
        None,
    )


async def test_a_revision_is_a_line_that_says_the_difference(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    await bill(store, box)
    box.write(revised("s1", 1, 3500.25))
    await box.drain(store)
    await close(store, box, "2026-03")
    charge, correction = await lines(store, box, "2026-03")
    assert (correction.kind, correction.corrects, correction.revision) == ("correction", charge.id, 1)
    assert (correction.energy_milliwh, correction.total_milliwh) == (-499_750, 3_500_250)


async def test_a_closed_month_stays_and_what_is_late_goes_into_the_next(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    assert await close(store, box, "2026-03")
    exported = await lines(store, box, "2026-03")
    # A session of March that comes after its export, a correction, and one of April.
    box.charge("s2", 5000, 6000)
    box.write(revised("s1", 1, 4100))
    await box.drain(store)
    box.minutes = MONTH_MINUTES
    box.charge("s3", 6000, 6500)
    await box.drain(store)
    assert not await close(store, box, "2026-03"), "closed once is closed"
    assert await lines(store, box, "2026-03") == exported
    await close(store, box, "2026-04")
    april = await lines(store, box, "2026-04")
    assert {(line.session, line.revision) for line in april} == {("s1", 1), ("s2", 0), ("s3", 0)}
    late = next(line for line in april if line.session == "s2")
    assert late.ended_at.startswith("2026-03"), "a late line keeps its session's own times"
    assert await lines(store, box, "2026-03") == exported


async def test_a_later_month_closes_those_before_it_each_with_its_own_lines(store: Store, box: Box) -> None:
    box.charge("s1", 0, 100)
    box.minutes = MONTH_MINUTES
    box.charge("s2", 100, 300)
    await box.drain(store)
    await close(store, box, "2026-05")
    assert [line.session for line in await lines(store, box, "2026-03")] == ["s1"]
    assert [line.session for line in await lines(store, box, "2026-04")] == ["s2"]
    assert await lines(store, box, "2026-05") == ()
    assert await store.closed_through(box.site) == "2026-05"


def test_a_line_is_sealed_in_these_bytes_for_ever() -> None:
    """Whatever lines come to hold: a month's seal is held against it years later."""
    line = ChargeLine(
        id="l1",
        session="s1",
        revision=1,
        kind="correction",
        corrects="l0",
        charger="CP1",
        evse=1,
        connector=2,
        principal=None,
        started_at="2026-03-01T10:00:00Z",
        ended_at="2026-03-01T11:00:00Z",
        at_ms=1_772_362_800_000,
        energy_milliwh=-5,
        total_milliwh=7_000_000,
        obtained="operator",
        month="2026-03",
    )
    assert charges.sealed(line) == (
        b'["2026-03","l1","s1",1,"correction","l0","CP1",1,2,null,'
        b'"2026-03-01T10:00:00Z","2026-03-01T11:00:00Z",1772362800000,-5,7000000,"operator"]\n'
    )


async def test_what_was_exported_is_sealed_and_what_comes_later_breaks_no_seal(
    store: Store, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charges, "_STEP", 2)  # several pages
    for number in range(5):
        box.charge(f"s{number}", number * 100, number * 100 + 100)
    await box.drain(store)
    await close(store, box, "2026-03")
    box.minutes = MONTH_MINUTES
    box.charge("s9", 500, 700)
    box.write(revised("s1", 1, 90))
    await box.drain(store)
    await bill(store, box)
    told = await store.closed_months(box.site)
    assert (told.months, told.unsealed, told.changed) == (1, 0, ())
    await close(store, box, "2026-05")
    told = await store.closed_months(box.site)
    assert (told.months, told.unsealed, told.changed) == (2, 0, ())
    assert await store.stray_lines(box.site) == []
    assert {
        name: len(found) for name, found in (await store.lines_of(box.site, ["s1", "s2", "x"])).items()
    } == {
        "s1": 2,
        "s2": 1,
    }


async def test_pages_go_on_where_they_ended_and_a_driver_sees_only_their_own(store: Store, box: Box) -> None:
    for number in range(5):
        box.charge(f"s{number}", number * 100, number * 100 + 100, principal="ann" if number % 2 else "bob")
    await box.drain(store)
    await close(store, box, "2026-03")
    paged: list[str] = []
    after = ""
    while True:
        page = await store.charge_lines(staff(box.site), "2026-03", after=after, limit=2)
        paged += [line.session for line in page.rows]
        after = page.next
        if not after:
            break
    assert paged == [f"s{number}" for number in range(5)]
    own = (await store.charge_lines(driver(box.site, "ann"), "2026-03")).rows
    assert {line.principal for line in own} == {"ann"}
    with pytest.raises(Refused):
        await store.charge_lines(staff(box.site), "2026-03", after="nonsense")


async def test_forgetting_a_person_leaves_the_lines(store: Store, box: Box) -> None:
    box.charge("s1", 0, 100)
    await box.drain(store)
    await close(store, box, "2026-03")
    before = await lines(store, box, "2026-03")
    await store.forget("ann")
    assert await lines(store, box, "2026-03") == before


async def test_a_cloud_that_is_filled_again_makes_the_same_lines(store: Store, box: Box) -> None:
    """A restored cloud gets everything again under a new epoch; ids and months are what they were."""
    box.charge("s1", 0, 100)
    box.write(revised("s1", 1, 90))
    await box.drain(store)
    await close(store, box, "2026-03")
    exported = await lines(store, box, "2026-03")
    fresh = Box("site-2")
    await fresh.settle_in(store)
    fresh.journal.rows = list(box.journal.rows)
    fresh.cursor = type(fresh.cursor)("1-a", len(fresh.journal.rows))
    await fresh.connect(store)
    await fresh.drain(store)
    await close(store, fresh, "2026-03")
    again = await lines(store, fresh, "2026-03")
    assert [(line.session, line.revision, line.energy_milliwh, line.month) for line in again] == [
        (line.session, line.revision, line.energy_milliwh, line.month) for line in exported
    ]
