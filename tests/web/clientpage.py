"""The TypeScript client alone in a page of the cloud, in a real Chromium."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browsers.pages import QUIET
from tests.needs import find_tool, npm
from tests.tools.webapp import WEB
from tests.web import PATIENCE_MS

#: A page of the cloud that does nothing by itself.
PLACE = "/healthz"


def built(folder: Path) -> str:
    """The client as one script. Fails with what the build said."""
    done = npm(
        *("exec", "--no", "--", "vite", "build"),
        *("--config", str(WEB / "test" / "client" / "vite.config.ts"), "--outDir", str(folder)),
        folder=WEB,
        quiet=True,
    )
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "client.js").read_text()


@asynccontextmanager
async def chromium(folder: Path, *switches: str) -> AsyncIterator[Browser]:
    """The system's Chromium. Each of its contexts is a phone of its own."""
    async with async_playwright() as engine:
        browser = await engine.chromium.launch(
            executable_path=find_tool("chromium"),
            args=[*QUIET, *switches],
            env={**os.environ, "HOME": str(folder)},
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def phone_of(browser: Browser, *, warned: bool = False) -> AsyncIterator[BrowserContext]:
    """A phone. warned: its person has gone past the browser's warning of a certificate."""
    # The script is put into the page by the test; what the app may do is tested with the app.
    context = await browser.new_context(bypass_csp=True, ignore_https_errors=warned)
    try:
        yield context
    finally:
        await context.close()


async def client_page(context: BrowserContext, origin: str, script: str, *, opened: bool = True) -> Page:
    """A page with the client in it, as `test`.

    The page itself is the cloud's: browsers look where a page came from before it may speak to this machine.
    """
    page = await context.new_page()
    await page.goto(origin + PLACE)
    await page.evaluate(script)
    if opened:
        await page.evaluate("test.open()")
    return page


async def until(page: Page, condition: str, argument: Any = None) -> None:
    """Wait for a condition in the page; it is called with `argument`."""
    await page.wait_for_function(condition, arg=argument, timeout=PATIENCE_MS)
