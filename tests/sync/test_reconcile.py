"""Reconciliation finds what was planted, and nothing else."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import facts
from common.domain import EnergyMethod
from common.reconcile import (
    LedgerRow,
    Report,
    compare,
    fold,
    fold_all,
    ledger_page,
    read_ledger,
    session_digest,
)


def row(
    name: str,
    hour: int,
    start: float | None = None,
    stop: float | None = None,
    *,
    charger: str = "CP1",
    evse: int = 1,
    minutes: int = 50,
    **other: object,
) -> LedgerRow:
    fields = {
        "session": name,
        "charger": charger,
        "evse": evse,
        "started_at": f"2026-03-01T{hour:02}:00:00Z",
        "ended_at": f"2026-03-01T{hour:02}:{minutes:02}:00Z",
        "meter_start_wh": start,
        "meter_stop_wh": stop,
        "energy_wh": None if start is None or stop is None else stop - start,
        "method": EnergyMethod.REGISTER,
    }
    return LedgerRow(**{**fields, **other})


def ledger(rows: Iterable[LedgerRow]) -> dict[str, LedgerRow]:
    return {row.session: row for row in rows}


def judge(ours: Iterable[LedgerRow], theirs: Iterable[LedgerRow] | None = None) -> Report:
    other = None if theirs is None else ledger(theirs)
    return compare(ledger(ours), other, side="the cloud", other="the box")


def verdict(report: Report) -> tuple[int, int, int]:
    return report.lost, report.doubled, report.differing


DAY = (row("a", 8, 0, 5000), row("b", 9, 5000, 9000), row("c", 11, 9040, 12_000))


def test_two_equal_ledgers_are_clean_and_say_what_was_compared() -> None:
    report = judge(DAY, DAY)
    assert report.clean
    assert report.sessions == 3
    assert report.first_difference is None
    assert report.compared == {"the cloud": 3, "the box": 3}


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_session_that_one_side_has_not_is_lost(missing: int) -> None:
    fewer = [r for place, r in enumerate(DAY) if place != missing]
    for ours, theirs, has_not in ((fewer, DAY, "the cloud"), (DAY, fewer, "the box")):
        report = judge(ours, theirs)
        assert report.lost >= 1
        assert any(f.sessions == (DAY[missing].session,) and f.side == has_not for f in report.findings)


def test_a_session_lost_on_both_sides_shows_in_the_register() -> None:
    report = judge([DAY[0], DAY[2]], [DAY[0], DAY[2]])
    assert verdict(report) == (1, 0, 0)
    assert report.first_difference is not None
    assert "4040 Wh" in report.first_difference.message


def test_the_same_session_with_other_values_differs_and_the_field_is_named() -> None:
    changed = [DAY[0], row("b", 9, 5000, 9000, energy_wh=4001.0), DAY[2]]
    report = judge(changed, DAY)
    assert verdict(report) == (0, 0, 1)
    assert report.first_difference is not None
    assert report.first_difference.message == "energy_wh: 4001.0 in the cloud, 4000 in the box"


@pytest.mark.parametrize(
    "double",
    [
        row("b2", 9, 5000, 9000),
        row("b2", 9, 5000, 9000, started_at="2026-03-01T09:49:00Z", ended_at="2026-03-01T10:30:00Z"),
        row("b2", 10, 5000, 9000),
        row("b2", 12, 5000, 9000),
        row("b2", 9, minutes=10),
        row("b2", 9, started_at="2026-03-01T09:00:00Z", ended_at=""),
    ],
)
def test_a_doubled_session_is_found_by_time_or_by_register_on_either_side(double: LedgerRow) -> None:
    assert judge([*DAY, double]).doubled >= 1
    report = judge(DAY, [*DAY, double])
    assert report.doubled >= 1
    assert report.lost >= 1, "and one side has not got it"


def test_a_double_on_both_sides_counts_once() -> None:
    both = [*DAY, row("b2", 9, 5000, 9000)]
    assert judge(both, both).doubled == judge(both).doubled == 1


@pytest.mark.parametrize(
    "rows",
    [
        (row("a", 8, 0, 5000), row("b", 9, 0, 3000), row("c", 10, 0, 4000)),  # a register for each session
        (
            row("a", 8, 90_000, 95_000),
            row("b", 9, 0, 3000),
            row("c", 10, 3000, 4000),
        ),  # replaced
        (row("a", 8, 90_000, 95_000), row("b", 9, 20, 3000), row("c", 10, 3000, 4000)),
        # a new meter that was set back after its first charge (simulated: 14186, 14956)
        (row("a", 8, 0, 5000), row("b", 9, 0, 2500), row("c", 10, 2500, 5300)),
        (row("a", 8, 100, 500), row("b", 9, 500, 900, evse=2)),  # two connectors, two registers
        (row("a", 8, 100, 500), row("b", 8, 100, 500, charger="CP2")),
        (row("a", 8, 100, 500), row("b", 9, 560, 900)),  # standby
        (row("a", 8), row("b", 9)),  # no meter
        (row("a", 8, started_at="1970-01-01T00:00:09Z"), row("b", 8, started_at="1970-01-01T00:00:09Z")),
        (row("a", 8, started_at="2026-03-01 08:00"), row("b", 8, started_at="2026-03-01 08:00")),
        (row("a", 8, 100, 500, ended_at="2026-03-01T09:30:00Z", provisional=True), row("b", 9, 500, 600)),
        (row("a", 8, 100, 500, ended_at="2026-03-01T09:00:00.400Z"), row("b", 9, 500, 600)),
        (row("a", 8, 100, 500), row("b", 9, 500, None, ended_at="")),  # the last one is still open
    ],
)
def test_what_real_meters_and_clocks_do_is_no_finding(rows: tuple[LedgerRow, ...]) -> None:
    assert judge(rows).clean, judge(rows).findings


def test_what_a_register_that_began_anew_counts_twice_is_found() -> None:
    rows = row("a", 8, 0, 5000), row("b", 9, 0, 2500), row("c", 10, 2500, 5300), row("d", 11, 4000, 9000)
    (finding,) = judge(rows).findings
    assert (finding.kind, finding.sessions) == ("doubled", ("c", "d"))


def test_an_open_session_that_the_next_start_did_not_close_is_a_double() -> None:
    assert judge([row("a", 8, 100, None, ended_at=""), row("b", 9, 500, 900)]).doubled == 1


def test_the_first_difference_is_the_earliest() -> None:
    report = judge([DAY[1]], DAY)
    assert report.lost == 2
    assert report.first_difference is not None
    assert report.first_difference.sessions == ("a",)


# --- folding -----------------------------------------------------------------------------------------------

START = facts.SessionStarted(
    session="s",
    charger="CP1",
    evse=2,
    connector=1,
    transaction="7",
    principal="p",
    started_at="2026-03-01T08:00:00Z",
    received_at="2026-03-01T08:00:01Z",
    meter_start_wh=100,
)
END = facts.SessionEnded(
    session="s",
    charger="CP1",
    evse=2,
    ended_at="2026-03-01T09:00:00Z",
    received_at="2026-03-01T09:00:01Z",
    meter_stop_wh=600.0,
    energy_wh=500.0,
    method=EnergyMethod.REGISTER,
)
REVISED = facts.SessionRevised(
    session="s", charger="CP1", revision=1, energy_wh=400.0, method=EnergyMethod.SAMPLES, obtained="operator"
)
AGAIN = facts.SessionRevised(
    session="s", charger="CP1", revision=2, meter_stop_wh=700.0, energy_wh=600.0, method=EnergyMethod.REGISTER
)


def test_facts_come_to_the_row_that_they_tell() -> None:
    assert fold_all([START, END, REVISED, AGAIN]) == {
        "s": LedgerRow(
            session="s",
            charger="CP1",
            evse=2,
            started_at="2026-03-01T08:00:00Z",
            ended_at="2026-03-01T09:00:00Z",
            meter_start_wh=100,
            meter_stop_wh=700.0,
            energy_wh=600.0,
            method=EnergyMethod.REGISTER,
            revision=2,
        )
    }


@given(
    order=st.permutations([START, END, REVISED, AGAIN]),
    repeats=st.lists(st.sampled_from([START, END, REVISED, AGAIN]), max_size=4),
)
def test_neither_order_nor_repetition_changes_what_facts_come_to(
    order: list[facts.Body], repeats: list[facts.Body]
) -> None:
    told = [body for body in order if body is not REVISED or order.index(REVISED) < order.index(AGAIN)]
    assert fold_all([*told, *repeats]) == fold_all([START, END, REVISED, AGAIN])


def test_other_facts_leave_the_row_alone() -> None:
    known = fold(None, START)
    assert fold(known, facts.MeterSampled(charger="CP1", evse=2, session="s")) is known
    assert fold_all([facts.ChargerLost(charger="CP1")]) == {}


def test_a_digest_tells_rows_apart_and_not_spellings() -> None:
    assert session_digest(row("a", 8, 100, 500)) == session_digest(row("a", 8, 100.0, 500.0))
    assert session_digest(row("a", 8, 100, 500)) != session_digest(row("a", 8, 100, 501))


def test_a_ledger_goes_over_the_wire_and_back() -> None:
    assert read_ledger(ledger_page(DAY)) == list(DAY)


def test_two_sessions_of_one_second_are_looked_at_in_the_order_of_the_register() -> None:
    """Found by the kill loop: the uid that comes first is not the session that came first."""
    at = "2026-11-20T10:00:00Z"
    steps = [(f"{letter}", 1000.0 + 500 * place) for place, letter in enumerate("dbca")]
    rows = {
        name: LedgerRow(
            session=name,
            charger="CP1",
            evse=1,
            started_at=at,
            ended_at="2026-11-20T10:00:01Z",
            meter_start_wh=start_wh,
            meter_stop_wh=start_wh + 500,
            energy_wh=500.0,
        )
        for name, start_wh in steps
    }
    report = compare(rows, rows, side="box", other="cloud")
    assert (report.lost, report.doubled, report.differing) == (0, 0, 0)
    del rows["b"]
    report = compare(rows, rows, side="box", other="cloud")
    assert report.lost == 1, "what is missing within the second is still found"


@pytest.mark.parametrize("uids", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("ended", ["2026-11-20T11:00:00Z", ""])
def test_a_refused_charge_and_the_one_of_its_second_are_no_double(uids: tuple[str, str], ended: str) -> None:
    """Found by the simulation (49143): a tag is refused, and within its second the phone's start begins."""
    refused, begun = uids
    at = "2026-11-20T10:00:00Z"
    place = {"charger": "CP1", "evse": 1, "started_at": at, "meter_start_wh": 1000.0}
    stopped = {"meter_stop_wh": 3000.0, "energy_wh": 2000.0} if ended else {}
    rows = {
        refused: LedgerRow(session=refused, **place, ended_at=at, meter_stop_wh=1000.0, energy_wh=0.0),
        begun: LedgerRow(session=begun, **place, ended_at=ended, **stopped),
    }
    assert verdict(compare(rows, rows, side="box", other="cloud")) == (0, 0, 0)
    rows["c"] = LedgerRow(session="c", **place, ended_at="2026-11-20T10:30:00Z", meter_stop_wh=1000.0)
    assert compare(rows, rows, side="box", other="cloud").doubled, "two that both go on are one too many"
