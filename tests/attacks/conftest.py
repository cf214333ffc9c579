"""One line a group at the end of `pytest tests/attacks -q`."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import PurePath

import pytest

from tests.attacks.groups import GROUPS, not_here, number_of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each group that ran how many attempts were made and what became of them."""
    ended: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            number = number_of(PurePath(str(report.nodeid).partition("::")[0]).name)
            if number is not None:
                ended[number][outcome] += 1
    if not ended:
        return
    terminalreporter.section("attacks by group")
    absent = not_here()
    for number, title in GROUPS.items():
        told = ended.get(number)
        if told is None and number not in absent:
            continue
        parts = []
        if told is not None:
            words = {"passed": "withstood", "failed": "SUCCEEDED", "error": "broke", "skipped": "skipped"}
            parts = [f"{count} {words[outcome]}" for outcome, count in told.items()]
        if number in absent:
            parts.append(
                "in part elsewhere or not: not_here.md" if parts else "does not run here: not_here.md"
            )
        terminalreporter.write_line(f"{number:3} {title}: {', '.join(parts)}")
