"""What the groups share: a box with an honest phone, a browser; and one line a group at the end of
`pytest tests/attacks -q`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import PurePath

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

from tests.attacks.groups import GROUPS, not_here, number_of, tried
from tests.attacks.stand import Stand, stand
from tests.browsers.pages import APP, PageServer, chromium


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """A box of this module's own."""
    async with stand(tmp_path_factory.mktemp("s")) as attacked:
        yield attacked


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageServer]:
    """The server of all test pages."""
    async with PageServer(tmp_path_factory.mktemp("pages")) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(
    pages: PageServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BrowserContext]:
    """One Chromium for all groups of this worker."""
    async with chromium(pages, tmp_path_factory.mktemp("b")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: BrowserContext) -> AsyncIterator[Page]:
    """A page of the app's origin, with the client of the tests."""
    opened = await browser.new_page()
    await opened.goto(APP)
    yield opened
    await opened.close()


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
        if told is None and (number not in absent or number in tried()):
            continue  # not asked for this time
        parts = []
        if told is not None:
            words = {"passed": "withstood", "failed": "SUCCEEDED", "error": "broke", "skipped": "skipped"}
            parts = [f"{count} {words[outcome]}" for outcome, count in told.items()]
        if number in absent:
            parts.append(
                "in part elsewhere or not: not_here.md" if parts else "does not run here: not_here.md"
            )
        terminalreporter.write_line(f"{number:3} {title}: {', '.join(parts)}")
