"""Takes the pictures that stand in README.md: `python -m tests.web.readme_shots`.

The app's own screens on their stage (`tests.web.stage`), at one moment, so that a picture changes when a
screen does. They are written to `common/web/shots/`, which is committed and not shipped.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from tests.tools.webapp import WEB
from tests.web import stage

FOLDER: Final = WEB / "shots"
#: Six o'clock in Berlin, when people come home and plug in.
MOMENT: Final = datetime(2027, 1, 15, 17, 44, tzinfo=UTC)

#: Name, scene, place, what to tap, what is there then, size, look.
SHOTS: Final[tuple[tuple[str, str, str, tuple[str, ...], str, str, stage.Look], ...]] = (
    ("driver-ready", "ready", "/", (), "Ready", "phone", "light"),
    ("driver-charging", "charging", "/", (), "Charging 7.2 kW", "phone", "light"),
    ("driver-unreachable", "unreachable", "/", (), "Site unreachable", "phone", "dark"),
    ("driver-session", "charging", "/history/home/s-99", (), "5.113 kWh", "phone", "light"),
    ("operator-needs-you", "garage", "/operator/home", (), "1 fault", "desk", "light"),
    ("operator-session", "garage", "/operator/home/sessions/s-3", (), "Its end is ours", "desk", "dark"),
)


def take(browser: Browser, address: str) -> None:
    """Take all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, scene, place, taps, words, size, look in SHOTS:
        with stage.page(browser, "about:blank", size=size, look=look) as shown:
            shown.clock.set_fixed_time(MOMENT)
            shown.goto(f"{address}?scene={scene}#{place}")
            for tap in taps:
                shown.get_by_test_id(tap).click()
            shown.get_by_text(words).locator("visible=true").first.wait_for()
            shown.locator(".loading").first.wait_for(state="detached")
            if "charging" in (scene, name) or name == "driver-session":
                shown.locator(".u-wrap").wait_for()
            shown.screenshot(path=FOLDER / f"{name}.png", animations="disabled")


def main() -> None:
    """Build the stage, take the pictures, say where they are."""
    with tempfile.TemporaryDirectory(prefix="plugside-") as scratch:
        folder = Path(scratch)
        stage.run_npx("vite", "build", "--config", "test/stage/vite.config.ts", "--outDir", scratch)
        with stage.served(folder) as url, stage.chromium() as browser:
            take(browser, f"{url}/index.html")
    print(f"{len(SHOTS)} pictures in {FOLDER.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
