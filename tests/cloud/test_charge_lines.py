"""Charge lines, the pure part: what is billed, what waits, and the law that the sums keep."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.charge_lines import (
    ChargeLine,
    billable_milliwh,
    booked,
    due,
    energy_kwh,
    line_id,
    month_after,
    standings,
    waiting,
)
from common import facts
from common.domain import EnergyMethod
from common.facts import Body, Fact

SITE = "site-1"
METHODS = list(EnergyMethod)


def fact(body: Body, at: str = "2026-03-01T10:00:00.000Z", uid: str = "") -> Fact:
    return facts.make(epoch="1-a", seq=1, uid=uid or f"{body.KIND}-{at}", at=at, clock="synced", body=body)


def start(session: str = "s", **more: object) -> Fact:
    fields: dict[str, object] = {
        "charger": "CP1",
        "evse": 1,
        "transaction": "7",
        "principal": "ann",
        "started_at": "2026-03-01T08:00:00Z",
        "received_at": "2026-03-01T08:00:00Z",
        "meter_start_wh": 1000.0,
        **more,
    }
    return fact(facts.SessionStarted(session=session, **fields), "2026-03-01T08:00:00.000Z")  # type: ignore[arg-type]


def end(session: str = "s", energy_wh: float | None = 4000.0, **more: object) -> Fact:
    fields: dict[str, object] = {
        "charger": "CP1",
        "evse": 1,
        "principal": "ann",
        "ended_at": "2026-03-01T09:00:00Z",
        "received_at": "2026-03-01T09:00:00Z",
        "meter_stop_wh": 5000.0,
        "method": EnergyMethod.REGISTER,
        **more,
    }
    at = "2026-03-01T09:00:00.000Z"
    return fact(facts.SessionEnded(session=session, energy_wh=energy_wh, **fields), at)  # type: ignore[arg-type]


def revision(number: int, energy_wh: float | None, session: str = "s", **more: object) -> Fact:
    fields: dict[str, object] = {
        "charger": "CP1",
        "principal": "ann",
        "method": EnergyMethod.REGISTER,
        **more,
    }
    body = facts.SessionRevised(session=session, revision=number, energy_wh=energy_wh, **fields)  # type: ignore[arg-type]
    return fact(body, f"2026-03-{number + 1:02}T12:00:00.000Z", f"rev-{session}-{number}")


def settled(*told: Fact) -> list[ChargeLine]:
    return due(SITE, told, [])


def test_a_session_in_order_is_one_line() -> None:
    (line,) = settled(start(), end())
    assert (line.kind, line.energy_milliwh, line.principal) == ("charge", 4_000_000, "ann")
    assert line.id == line_id(SITE, "s", 0)
    assert line.id != line_id("another", "s", 0)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ((start(),), "open"),
        ((end(),), "no_start"),
        ((start(), end(provisional=True)), "provisional"),
        ((start(), end(energy_wh=None, method=EnergyMethod.UNKNOWN)), "no_energy"),
        ((start(), end(energy_wh=-1.0)), "no_energy"),
        ((start(), end(method=EnergyMethod.INTEGRATED)), "estimated"),
        ((start(principal=None), end(principal=None)), "nobody_pays"),
        ((start(authorization="blocked"), end()), "authorization_blocked"),
        ((start(flags=("imported",)), end()), "imported"),
        ((start(flags=("needs_review",)), end()), "needs_review"),
        ((start(flags=("clock_invalid",)), end()), "clock_invalid"),
        ((start(), end(flags=("meter_backwards",), method=EnergyMethod.SAMPLES)), "meter_backwards"),
        ((start(), end(flags=("a_flag_of_a_newer_box",))), "a_flag_of_a_newer_box"),
        ((start(), end(), revision(1, 10, flags=("implausible_energy",))), "implausible_energy"),
    ],
)
def test_what_waits_for_an_operator_is_on_no_line_until_one_has_decided(
    told: tuple[Fact, ...], why: str
) -> None:
    held = waiting(told)
    assert (held.waiting if held else "open") == why
    before = due(SITE, told, [])
    assert why == "implausible_energy" or before == []
    word = revision(9, 3000, obtained="operator", principal="bob", ended_at="2026-03-01T09:30:00Z")
    assert waiting([*told, word]) is None
    lines = [*before, *due(SITE, [*told, word], before)]
    assert sum(line.energy_milliwh for line in lines) == 3_000_000
    assert lines[-1].obtained == "operator"
    assert lines[-1].principal == ("bob" if why == "nobody_pays" else "ann")


@pytest.mark.parametrize(
    "told",
    [
        (start(flags=("offline",)), end()),
        (start(), end(provisional=True, flags=("missing_stop",)), revision(1, 4000)),
        (start(), end(flags=("sample_conflict", "register_decreased"))),
        (start(), end(method=EnergyMethod.SAMPLES)),
        (start(), end(energy_wh=0.0)),
        (start(flags=("imported",)), end(), revision(1, 5, obtained="operator"), revision(2, 4000)),
    ],
)
def test_what_is_only_unusual_is_billed(told: tuple[Fact, ...]) -> None:
    assert waiting(told) is None
    assert settled(*told)[-1].total_milliwh == billable_milliwh(told)


def test_a_superseded_session_is_neither_billed_nor_waited_for() -> None:
    told = (start(), end(energy_wh=0.0, flags=("superseded",)))
    assert settled(*told) == []
    assert waiting(told) is None


def test_an_operator_can_take_everything_back() -> None:
    told = (start(), end(), revision(1, None, obtained="operator", method=EnergyMethod.UNKNOWN))
    charge, taken_back = settled(*told)
    assert (charge.energy_milliwh, taken_back.energy_milliwh) == (4_000_000, -4_000_000)
    assert taken_back.corrects == charge.id
    assert waiting(told) is None
    nothing = (start(), end(provisional=True), revision(1, None, obtained="operator"))
    assert settled(*nothing) == []
    assert waiting(nothing) is None


def test_what_became_doubtful_after_it_was_billed_stays_billed_until_somebody_decides() -> None:
    told = (start(), end())
    lines = settled(*told)
    doubtful = (*told, revision(1, 9000, flags=("meter_backwards",)))
    assert due(SITE, doubtful, lines) == []
    held = waiting(doubtful)
    assert held is not None
    assert held.waiting == "meter_backwards"


@pytest.mark.parametrize(
    ("ended_at", "at_ms"),
    [
        ("2026-03-01T09:00:00Z", 1_772_355_600_000),
        ("2026-03-01T10:00:00+01:00", 1_772_355_600_000),
        ("1970-01-01T00:00:00Z", 1_772_355_600_000),  # a clock that was never set: when it was written down
        ("2080-01-01T00:00:00Z", 1_772_355_600_000),
        ("01.03.2026 09:00", 1_772_355_600_000),
    ],
)
def test_a_line_is_of_a_month_that_somebody_will_export(ended_at: str, at_ms: int) -> None:
    (standing,) = standings((start(), end(ended_at=ended_at)))
    assert standing.at_ms == at_ms


def test_months_follow_each_other_and_a_closed_one_takes_nothing_more() -> None:
    assert month_after("2026-12") == "2027-01"
    assert month_after("2026-09") == "2026-10"
    assert booked("2026-03", "") == "2026-03"
    assert booked("2026-03", "2026-03") == "2026-04"
    assert booked("2026-05", "2026-03") == "2026-05"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.000"),
        (4_000_000, "4.000"),
        (-499_750, "-0.49975"),
        (1, "0.000001"),
        (12_345_678_901, "12345.678901"),
    ],
)
def test_kwh_are_told_exactly(amount: int, text: str) -> None:
    assert energy_kwh(amount) == text


# --- the law -----------------------------------------------------------------------------------------------

_WH = st.one_of(st.none(), st.floats(0, 90_000, allow_nan=False), st.integers(0, 90_000).map(float))
_FLAGS = st.lists(
    st.sampled_from(["offline", "imported", "needs_review", "meter_backwards", "sample_conflict"]), max_size=1
).map(tuple)


@st.composite
def sessions(draw: st.DrawFn) -> list[Fact]:
    """One session's facts, in order; some odd, some revised, some by an operator."""
    name = draw(st.uuids()).hex
    told = [
        start(name, principal=draw(st.sampled_from(["ann", "bob", None])), flags=draw(_FLAGS)),
        end(
            name,
            draw(_WH),
            provisional=draw(st.booleans()),
            method=draw(st.sampled_from(METHODS)),
            flags=draw(_FLAGS),
            principal=None,
        ),
    ]
    for number in range(1, draw(st.integers(0, 4)) + 1):
        obtained = draw(st.sampled_from(["measured", "operator", "estimated"]))
        method = draw(st.sampled_from(METHODS))
        principal = draw(st.sampled_from(["ann", "eve", None]))
        told.append(
            revision(
                number,
                draw(_WH),
                name,
                obtained=obtained,
                method=method,
                principal=principal,
                flags=draw(_FLAGS),
            )
        )
    return told


@given(
    told=st.lists(sessions(), min_size=1, max_size=4),
    data=st.data(),
)
def test_all_lines_together_are_all_billable_energy_in_whatever_order_facts_come(
    told: list[list[Fact]], data: st.DataObject
) -> None:
    """Σ of the lines over all exports = Σ of billable energies; each (session, revision) once; ids stable."""
    arrivals = data.draw(st.permutations([(place, fact) for place, one in enumerate(told) for fact in one]))
    known: list[list[Fact]] = [[] for _ in told]
    written: list[list[ChargeLine]] = [[] for _ in told]
    for place, came in arrivals:
        known[place].append(came)
        if data.draw(st.booleans()):  # an export, now or not; of what is known, in any order
            for one in range(len(told)):
                seen = data.draw(st.permutations(known[one]))
                fresh = due(SITE, seen, written[one])
                assert due(SITE, [*seen, *seen], [*written[one], *fresh]) == [], "again: nothing"
                written[one] += fresh
    for one in range(len(told)):
        written[one] += due(SITE, known[one], written[one])
    lines = [line for one in written for line in one]
    assert sum(line.energy_milliwh for line in lines) == sum(billable_milliwh(one) for one in told)
    assert (
        len({(line.session, line.revision) for line in lines})
        == len({line.id for line in lines})
        == len(lines)
    )
    for one in written:
        _joined(one)


def _joined(lines: Sequence[ChargeLine]) -> None:
    """Each correction names the line before it, and the totals run on."""
    total = 0
    for before, line in zip([None, *lines], lines, strict=False):
        total += line.energy_milliwh
        assert line.total_milliwh == total
        assert line.corrects == (before.id if before else None)
        assert line.kind == ("correction" if before else "charge")
        assert before is None or before.principal == line.principal, "whoever was charged is credited"


@given(told=sessions(), data=st.data())
def test_a_cloud_that_is_filled_again_writes_lines_with_the_same_ids(
    told: list[Fact], data: st.DataObject
) -> None:
    once = due(SITE, told, [])
    again = due(SITE, data.draw(st.permutations(told)), [])
    assert [line.id for line in again] == [line.id for line in once]
    assert again == once
