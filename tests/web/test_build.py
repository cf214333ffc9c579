"""The built app: types and tests in TypeScript, its bytes, what it may not hold, its place in the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from common.clock import SystemClock, built_ms
from common.webapp import WebApp
from tests.needs import ROOT, needs, npm
from tests.tools import webapp

pytestmark = [needs("vite"), pytest.mark.xdist_group("webapp")]

#: Of what a browser loads before it shows anything (issue: the shell in at most 120 kB, compressed).
SHELL_BYTES_MAX = 120_000
#: Of all that the service worker keeps, compressed where it travels so.
KEPT_BYTES_MAX = 260_000


@pytest.fixture(scope="module")
def dist() -> Path:
    wrong = webapp.build()
    assert not wrong, wrong
    return webapp.DIST


def packed(path: Path) -> int:
    """Bytes over the wire."""
    beside = path.with_name(path.name + ".br")
    return (beside if beside.exists() else path).stat().st_size


def first_load(dist: Path) -> set[str]:
    """What index.html asks for by itself."""
    page = (dist / "index.html").read_text()
    asked = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    return {"index.html", *(name.lstrip("/") for name in asked if not name.endswith(".png"))}


def test_the_types_hold() -> None:
    done = npm("run", "check", folder=webapp.WEB, quiet=True)
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_tested_in_typescript_holds() -> None:
    done = npm("test", "--", "--reporter=dot", folder=webapp.WEB, quiet=True)
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shell_is_small(dist: Path) -> None:
    loaded = {name: packed(dist / name) for name in first_load(dist)}
    assert sum(loaded.values()) <= SHELL_BYTES_MAX, loaded


def test_what_is_kept_for_a_start_with_no_network_is_small(dist: Path) -> None:
    worker = (dist / "sw.js").read_text()
    names = re.findall(r'"(/[^"]*)"', worker)
    assert "/" in names
    kept = {name: packed(dist / (name.lstrip("/") or "index.html")) for name in names}
    assert set(kept) == {path for path in WebApp(dist).paths if path not in ("/index.html", "/sw.js")}
    assert sum(kept.values()) <= KEPT_BYTES_MAX, kept


def test_nothing_of_others_and_nothing_inline(dist: Path) -> None:
    page = (dist / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert re.findall(r'(?:src|href)="(?!/)[^"]*"', page) == []
    for path in [*dist.rglob("*.js"), *dist.rglob("*.css")]:
        text = path.read_text()
        # Names of XML namespaces and examples of addresses are no places that a page goes to.
        places = set(re.findall(r"https?://[\w.-]+", text)) - {"http://www.w3.org", "https://127.0.0.1"}
        assert {place for place in places if not place.endswith((".example", ".example.com"))} == set(), path
        for hole in ("eval(", "new Function", "document.write", "insertAdjacentHTML"):
            assert hole not in text, (path, hole)
        assert "data:text/html" not in text


def test_no_fake_and_no_secret_is_built_in(dist: Path) -> None:
    for path in dist.rglob("*.js"):
        text = path.read_text()
        assert "FakeClient" not in text
        assert "PRIVATE KEY" not in text


def test_the_wheel_holds_the_built_app_and_not_what_it_is_made_of(dist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    began_ms = SystemClock().now_ms()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("common/web/")]
        archive.extract("common/built.txt", tmp_path)
    # The floor of a clock that was never set is the time of the build, by no hand of anybody's.
    assert began_ms <= built_ms(tmp_path / "common" / "built.txt") <= SystemClock().now_ms()
    assert {"common/web/dist/index.html", "common/web/dist/sw.js"} <= set(names)
    assert [name for name in names if not name.startswith("common/web/dist/")] == []
