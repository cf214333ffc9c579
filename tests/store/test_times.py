"""A box that began with a wrong clock and was set right: true times beside those that were told."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.store.ports import Store
from cloud.store.rows import SessionRow
from common import facts
from common.corrections import Step, shift_ms
from common.domain import from_iso, iso
from tests.store.box import T0_MS, Box, staff

DAY_MS = 86_400_000
MINUTE_MS = 60_000


def stepped(box: Box, by_ms: int, mono_ms: int, boot: str = "b1") -> None:
    """The clock is set; the box's own minutes go on from there."""
    before_ms = T0_MS + (box.minutes + 1) * MINUTE_MS
    box.write(
        facts.ClockStepped(before=iso(before_ms), after=iso(before_ms + by_ms), boot=boot, mono_ms=mono_ms)
    )
    box.minutes += by_ms // MINUTE_MS


async def only(store: Store, box: Box) -> SessionRow:
    await box.drain(store)
    (row,) = (await store.sessions(staff(box.site))).rows
    assert await store.session(staff(box.site), row.session) == row
    return row


async def test_what_was_told_before_the_step_is_corrected_and_kept(store: Store, box: Box) -> None:
    box.start("s1", 1000)
    stepped(box, 10 * DAY_MS, mono_ms=10 * MINUTE_MS)
    box.end("s1", 1000, 3000)
    row = await only(store, box)
    assert row.started_at == iso(T0_MS + MINUTE_MS), "as told"
    assert row.corrected_started_at == iso(T0_MS + MINUTE_MS + 10 * DAY_MS)
    assert row.corrected_ended_at == "", "told by a clock that was right"
    assert from_iso(row.ended_at) - from_iso(row.corrected_started_at) == 2 * MINUTE_MS, "a true duration"


async def test_what_an_earlier_boot_told_stands(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 3000)
    box.minutes += 60
    stepped(box, DAY_MS, mono_ms=5 * MINUTE_MS)
    row = await only(store, box)
    assert (row.corrected_started_at, row.corrected_ended_at) == ("", "")


async def test_the_minute_before_a_power_cut_is_of_the_boot_before(store: Store, box: Box) -> None:
    """Time goes on from the last fact: only what is later than that is of the boot that was set right."""
    box.charge("s1", 1000, 3000)
    last_ms = T0_MS + box.minutes * MINUTE_MS
    box.start("s2", 3000)
    before_ms = last_ms + 2 * MINUTE_MS
    box.write(
        facts.ClockStepped(
            before=iso(before_ms),
            after=iso(before_ms + DAY_MS),
            boot="b2",
            mono_ms=10 * MINUTE_MS,
            since=iso(last_ms),
        )
    )
    await box.drain(store)
    rows = {row.session: row for row in (await store.sessions(staff(box.site))).rows}
    assert (rows["s1"].corrected_started_at, rows["s1"].corrected_ended_at) == ("", "")
    assert rows["s2"].corrected_started_at == iso(last_ms + MINUTE_MS + DAY_MS)


async def test_a_charger_with_a_time_of_its_own_is_not_corrected(store: Store, box: Box) -> None:
    begun: dict[str, Any] = {"session": "s1", "charger": "CP1", "evse": 1, "transaction": "7"}
    box.write(facts.SessionStarted(**begun, started_at="2026-03-11T07:59:00Z", received_at=iso(T0_MS)))
    stepped(box, 10 * DAY_MS, mono_ms=10 * MINUTE_MS)
    assert (await only(store, box)).corrected_started_at == ""


async def test_corrected_times_are_the_same_however_the_records_came(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 3000)
    stepped(box, DAY_MS, mono_ms=60 * MINUTE_MS)
    before = await only(store, box)
    assert before.corrected_ended_at
    box.rotate()
    await box.connect(store)
    assert await only(store, box) == before


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), 0),
        (((5, "b1", 1000, 9000, 900),), 8000),
        (((5, "b1", 1000, 400, 900),), -600),
        (((1, "b1", 1000, 9000, 900),), 0),
        # Two steps of one boot add up; one of the next boot is none of this one's business.
        (((5, "b1", 1000, 9000, 900), (6, "b1", 9500, 9400, 1400), (7, "b2", 9900, 10_900, 10)), 7900),
        # Between two steps of a boot only the second one counts.
        (((1, "b1", 100, 400, 50), (5, "b1", 1000, 9000, 800)), 8000),
        # Told before this boot began.
        (((5, "b1", 100_000, 200_000, 900),), 0),
        # Told twice, by a process that was killed before it knew that it had told.
        (((5, "b1", 1000, 9000, 900), (6, "b1", 1100, 9100, 1000)), 8000),
        # Set, and noticed a moment later.
        (((5, "b1", -2000, 6000, 400),), 0),
        # Crept ahead of its line by less than a step, then set.
        (((5, "b1", 450, 8450, 400),), 8000),
        # There and back.
        (((5, "b1", 1000, 9000, 900), (6, "b1", 9500, 1500, 1400)), 0),
    ],
)
def test_the_shift_is_that_of_the_steps_behind_in_the_same_boot(
    steps: tuple[tuple[int, str, int, int, int], ...], expected: int
) -> None:
    made = [Step(seq=s, boot=b, before_ms=f, after_ms=t, mono_ms=m) for s, b, f, t, m in steps]
    assert shift_ms(3, 500, made) == expected
