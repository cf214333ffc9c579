"""The bench's arithmetic: percentiles, rows, budgets and the one table. Pure.

A row says what was measured, what ours took, what the same took elsewhere, and whether the budget of the
design holds. A latency's p50 is the median of the rounds' p50s, its p99 is taken over all samples together;
a ratio compares figures of one run only, because a shared machine's speed wanders between runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Kind = Literal["p50", "p99", "ratio"]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 … 1) of the values do not exceed (nearest rank)."""
    if not values or not 0 <= share <= 1:
        raise ValueError("a percentile is a share from 0 to 1 of at least one value")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Figure(msgspec.Struct, frozen=True):
    """One measured thing. `p99` None: a rate or a size, which has rounds but no samples."""

    p50: float
    p99: float | None = None
    count: int = 0  #: samples, or rounds


def latency(rounds: Sequence[Sequence[float]]) -> Figure:
    """Of samples by round."""
    pooled = [sample for one in rounds for sample in one]
    return Figure(
        statistics.median(percentile(one, 0.5) for one in rounds), percentile(pooled, 0.99), len(pooled)
    )


def middle(rounds: Sequence[float]) -> Figure:
    """Of one number a round."""
    return Figure(statistics.median(rounds), None, len(rounds))


class Budget(msgspec.Struct, frozen=True):
    """What the design allows: `what` of the row is at most (or at least) `limit`."""

    what: Kind
    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether the value keeps it."""
        return value >= self.limit if self.at_least else value <= self.limit


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `compared` names what `other` is; `ratio_of`: which figures the ratio is of.

    `quotient`: the ratio where it is not simply ours through the other's (a median of rounds' ratios).
    """

    bench: str
    what: str
    unit: str
    ours: Figure
    compared: str = ""
    other: Figure | None = None
    ratio_of: Literal["p50", "p99"] = "p50"
    quotient: float | None = None
    budget: Budget | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours through the other's, of the figures that the budget speaks of."""
        if self.quotient is not None or self.other is None:
            return self.quotient
        ours, other = getattr(self.ours, self.ratio_of), getattr(self.other, self.ratio_of)
        return None if ours is None or not other else ours / other

    @property
    def verdict(self) -> str:
        """met | not met | empty without a budget."""
        if self.budget is None:
            return ""
        value = self.ratio if self.budget.what == "ratio" else getattr(self.ours, self.budget.what)
        if value is None:
            return "not measured"
        return "met" if self.budget.met(value) else "NOT MET"

    def plain(self) -> dict[str, Any]:
        """For the JSON file."""
        return msgspec.to_builtins(self) | {"ratio": self.ratio, "verdict": self.verdict}


class Skip(Exception):  # noqa: N818 - not an error: a bench that this machine cannot run says why
    """A bench that cannot be had here; the text names what is missing."""


_HEAD = ("what", "ours p50", "p99", "", "compared to", "p50", "p99", "ratio", "budget", "")


def number(value: float | None) -> str:
    """Three significant digits, thousands apart, nothing for None."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def _budget(row: Row) -> str:
    if row.budget is None:
        return ""
    sign = "≥" if row.budget.at_least else "≤"
    if row.budget.what == "ratio":
        return f"{sign} {row.budget.limit:g} × {row.ratio_of if row.ours.p99 is not None else ''}".rstrip()
    return (
        f"{row.budget.what} {sign} {row.budget.limit:g}" if row.ours.p99 else f"{sign} {row.budget.limit:g}"
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as one table, aligned; columns that hold numbers to the right."""
    lines = [_HEAD]
    for row in rows:
        other = row.other or Figure(math.nan)
        ratio = row.ratio
        lines.append(
            (
                f"{row.bench}: {row.what}",
                number(row.ours.p50),
                number(row.ours.p99),
                row.unit,
                row.compared,
                number(row.other and row.other.p50),
                number(other.p99),
                f"{ratio:.2f} ×" if ratio is not None else "",
                _budget(row),
                row.verdict,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = {1, 2, 5, 6, 7}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
