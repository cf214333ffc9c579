"""The app on its stage (`common/web/test/stage`), in a real Chromium: scenes, sizes, looks, axe.

The stage is built into a folder of the test run and served from loopback; nothing of it is shipped.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import segno
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browsers.pages import QUIET
from tests.needs import find_tool, npm
from tests.tools.webapp import WEB
from tests.web import PATIENCE_MS

SHOTS = Path(__file__).parent / "shots"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

#: A phone in the hand, the smallest that is still about, and the desk of whoever runs a site.
SIZES: dict[str, tuple[int, int]] = {"phone": (390, 844), "small": (320, 568), "desk": (1280, 800)}
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

    def handle(self) -> None:
        with suppress(ConnectionError):  # a page that is closed while it loads
            super().handle()


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


def film_of(text: str) -> bytes:
    """What a camera sees that looks at a QR: one picture in YUV4MPEG2, 640 × 480, played again and again."""
    modules = [[bool(dark) for dark in row] for row in segno.make(text, micro=False).matrix_iter(border=4)]
    width, height = 640, 480
    scale = height // len(modules)
    rows = bytearray(b"\xff" * (width * height))
    left = (width - scale * len(modules)) // 2
    for y, row in enumerate(modules):
        for x, dark in enumerate(row):
            if dark:
                for line in range(y * scale, (y + 1) * scale):
                    at = line * width + left + x * scale
                    rows[at : at + scale] = bytes(scale)
    grey = b"\x80" * (width * height // 2)
    return b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(rows) + grey


@contextmanager
def launched(tools: Playwright, *switches: str) -> Iterator[Browser]:
    """The system's Chromium; a thread has one `sync_playwright` for all of them."""
    browser = tools.chromium.launch(executable_path=find_tool("chromium"), args=[*QUIET, *switches])
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, where there is no other one."""
    with sync_playwright() as tools, launched(tools) as browser:
        yield browser


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
        shown.set_default_timeout(PATIENCE_MS)
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


def opens_and_closes_by_keyboard(shown: Page, test_id: str) -> None:
    """Enter on it opens a dialog, Escape closes that, and the focus is where it was."""
    opener = shown.get_by_test_id(test_id)
    opener.focus()
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("dialog")).to_be_visible()
    shown.keyboard.press("Escape")
    expect(shown.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
