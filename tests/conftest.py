"""For every test: with CI=true a skipped test is a failure, so that a missing tool cannot pass for green.

Laws checked by hypothesis have no deadline, for one example nor for making them: a slow or busy machine is
no counterexample. With CI=true the examples are the same each time: a new one is to be found where it can be
mended.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
IN_CI = os.environ.get("CI") == "true"

settings.register_profile(
    "house",
    parent=settings.get_profile("ci" if IN_CI else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


def _fail_if_skipped(report: Report) -> Report:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        where_and_why = report.longrepr
        reason = where_and_why[2] if isinstance(where_and_why, tuple) else str(where_and_why)
        report.outcome = "failed"
        report.longrepr = f"{reason}\nWith CI=true a skip is a failure: have CI install what the test needs."
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip in CI becomes the failure of that test; an expected failure stays one."""
    return _fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected."""
    return _fail_if_skipped((yield))
