"""The app on its stage (`common/web/test/stage`), in a real Chromium: scenes, sizes, looks, axe.

The stage is built into a folder of the test run and served from loopback; nothing of it is shipped.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browsers.pages import QUIET
from tests.needs import find_tool, npm
from tests.tools.webapp import WEB

SHOTS = Path(__file__).parent / "shots"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

#: A phone in the hand, and the desk of whoever runs a site.
SIZES: dict[str, tuple[int, int]] = {"phone": (390, 844), "desk": (1280, 800)}
Look = Literal["light", "dark"]
LOOKS: tuple[Look, ...] = ("light", "dark")


def run_npx(*arguments: str) -> None:
    """Run a tool of the app's npm packages. Fails with what it said."""
    done = npm("exec", "--no", "--", *arguments, folder=WEB, quiet=True)
    assert done is not None, "there is no npm"
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A test's output is its own."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder's files from loopback; the address without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=find_tool("chromium"), args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page(
    browser: Browser, url: str, *, size: str = "phone", look: Look = "light", locale: str = "en-GB"
) -> Iterator[Page]:
    """A page of its own device. Fails at its end if the page complained."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=look,
        locale=locale,
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    )
    complaints: list[str] = []
    try:
        shown = context.new_page()
        shown.set_default_timeout(10_000)
        shown.on("pageerror", lambda failed: complaints.append(str(failed)))
        shown.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        shown.goto(url)
        yield shown
    finally:
        context.close()
    assert not complaints, complaints


def shoot(shown: Page, name: str) -> None:
    """A picture for people to look at."""
    SHOTS.mkdir(exist_ok=True)
    shown.screenshot(path=SHOTS / f"{name}.png")


def violations(shown: Page) -> list[str]:
    """What axe calls serious or critical on the page now, a line each."""
    shown.evaluate(AXE.read_text())
    found = shown.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {one['help']}: {json.dumps([node['target'] for node in one['nodes'][:3]])}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
