"""Draws the app's PNG icons from its SVG ones, by the system's Chromium: `python -m tests.tools.icons`."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.needs import find_tool

PUBLIC = Path(__file__).resolve().parents[2] / "common" / "web" / "public"
WANTED = (
    ("icon.svg", "icon-192.png", 192),
    ("icon.svg", "icon-512.png", 512),
    ("../tools/icon-maskable.svg", "icon-maskable-512.png", 512),
)


def main() -> None:
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=find_tool("chromium"))
        for source, name, size in WANTED:
            page = browser.new_page(viewport={"width": size, "height": size})
            picture = (PUBLIC / source).read_text()
            page.set_content(f"<style>body{{margin:0}}svg{{display:block;width:{size}px}}</style>{picture}")
            page.screenshot(path=PUBLIC / name, omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
