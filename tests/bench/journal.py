"""How fast the journal commits, against the disk itself: `journal_rate` as rows of the table."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable

import uvloop

from tests.bench import journal_rate
from tests.bench.context import Context, interleaved
from tests.bench.figures import Budget, Row, middle

SECONDS = 0.6


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    seconds = context.seconds(SECONDS)
    rates: dict[str, list[float]] = {name: [] for name in journal_rate.VARIANTS}
    floors: dict[str, list[float]] = {name: [] for name in journal_rate.VARIANTS}
    for _, name in interleaved(list(rates), context.rounds):
        folder = context.fresh("journal")
        before = journal_rate.floor(folder, seconds / 4)
        rate, _ = uvloop.run(journal_rate.VARIANTS[name](folder, seconds))
        floors[name].append((before + journal_rate.floor(folder, seconds / 4)) / 2)
        rates[name].append(rate)
        shutil.rmtree(folder)
    return [
        Row(
            bench="journal",
            what=f"durable writes, {name}",
            unit="/s",
            ours=middle(rates[name]),
            compared="fdatasync of a page",
            other=middle(floors[name]),
            quotient=statistics.median(a / b for a, b in zip(rates[name], floors[name], strict=True)),
            budget=Budget("ratio", journal_rate.BUDGETS[name], at_least=True)
            if name in journal_rate.BUDGETS
            else None,
        )
        for name in rates
    ]
