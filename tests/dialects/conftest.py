"""The catalogue's own report: `pytest tests/dialects -k quirk` prints a line an entry instead of a dot."""

from __future__ import annotations

import pytest


def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """`052 A start repeated ...: ok` for the tests of the catalogue, if they were asked for by that name."""
    asked = "quirk" in config.getoption("keyword") and config.getoption("verbose") <= 0
    if not asked or "test_quirk[" not in report.nodeid or getattr(report, "when", "") != "call":
        return None
    entry = report.nodeid.partition("test_quirk[")[2].removesuffix("]")
    word = {"passed": "ok", "failed": "FAILED"}.get(report.outcome, report.outcome)
    return report.outcome, f"\n{entry}: {word}", word.upper()
