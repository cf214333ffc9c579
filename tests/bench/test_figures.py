"""The bench's arithmetic. What the bench measures is never a test's pass or fail."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import Budget, Figure, Row, latency, middle, number, percentile, table

SAMPLES = st.lists(st.floats(0, 1e9), min_size=1, max_size=200)


@given(SAMPLES, st.floats(0, 1))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9 * len(values)
    assert share == 0 or sum(value < found for value in values) < share * len(values)


def test_percentiles_of_a_hundred() -> None:
    hundred = list(range(1, 101))
    assert [percentile(hundred, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_there_is_no_percentile_of_nothing_or_of_more_than_all(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


@given(st.lists(SAMPLES, min_size=1, max_size=5))
def test_a_latency_pools_its_tail_and_takes_the_middle_round(rounds: list[list[float]]) -> None:
    found = latency(rounds)
    assert found.p50 == statistics.median(percentile(one, 0.5) for one in rounds)
    assert found.p99 == percentile([value for one in rounds for value in one], 0.99)
    assert found.count == sum(map(len, rounds))


def row(**given: object) -> Row:
    fields: dict[str, object] = {
        "bench": "tap",
        "what": "start",
        "unit": "µs",
        "ours": Figure(200.0, 900.0, 9),
    }
    return Row(**(fields | given))


def test_a_ratio_is_of_the_figure_that_is_named() -> None:
    other = Figure(100.0, 300.0, 9)
    assert row(other=other).ratio == 2
    assert row(other=other, ratio_of="p99").ratio == 3
    assert row(other=other, quotient=7.5).ratio == 7.5
    assert row().ratio is None
    assert row(other=Figure(100.0), ratio_of="p99").ratio is None
    assert row(other=Figure(0.0)).ratio is None


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        (Budget("ratio", 3.0), "met"),
        (Budget("ratio", 2.9), "NOT MET"),
        (Budget("ratio", 3.1, at_least=True), "NOT MET"),
        (Budget("p99", 900.0), "met"),
        (Budget("p50", 199.0), "NOT MET"),
        (None, ""),
    ],
)
def test_a_verdict_is_of_what_the_budget_names(budget: Budget | None, verdict: str) -> None:
    assert row(other=Figure(100.0, 300.0), ratio_of="p99", budget=budget).verdict == verdict


def test_a_budget_of_a_figure_that_was_not_taken_is_neither() -> None:
    assert row(ours=middle([1.0, 2.0, 4.0]), budget=Budget("p99", 5)).verdict == "not measured"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (0.1234, "0.123"), (12.34, "12.3"), (999.6, "1,000"), (12345.6, "12,346")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_table_has_a_line_for_each_row_and_says_what_is_not_met() -> None:
    rows = [
        row(compared="relay", other=Figure(100.0, 300.0), ratio_of="p99", budget=Budget("ratio", 2.5)),
        row(bench="memory", what="idle", unit="KiB", ours=Figure(20.0), budget=Budget("p50", 32)),
    ]
    head, first, second = table(rows).splitlines()
    assert head.split() == ["what", "ours", "p50", "p99", "compared", "to", "p50", "p99", "ratio", "budget"]
    cells = [cell.strip() for cell in first.split("  ") if cell.strip()]
    assert cells == [
        "tap: start",
        "200",
        "900",
        "µs",
        "relay",
        "100",
        "300",
        "3.00 ×",
        "≤ 2.5 × p99",
        "NOT MET",
    ]
    assert second.split() == ["memory:", "idle", "20", "KiB", "≤", "32", "met"]
