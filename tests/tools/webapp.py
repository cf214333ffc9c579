"""Builds the web app when its sources have changed: `python -m tests.tools.webapp` (make demo, make test).

With `--check` it runs the TypeScript compiler over everything instead. Node and npm come from a wheel;
whoever installs Plugside's own wheel finds the app built in it and needs neither.
"""

from __future__ import annotations

import fcntl
import hashlib
import sys
from pathlib import Path

from tests.needs import ROOT, npm, npm_install

WEB = ROOT / "common" / "web"
DIST = WEB / "dist"
STAMP = DIST / ".stamp"
#: What the build depends on, beside `src`.
_SOURCES = ("src", "public", "tools", "index.html", "package-lock.json", "tsconfig.json", "vite.config.ts")


def sources() -> list[Path]:
    """The files that a build is made of, in order."""
    found = []
    for name in _SOURCES:
        path = WEB / name
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [path for path in found if ".test." not in path.name]


def fingerprint() -> str:
    """What tells one state of the sources from another."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.relative_to(WEB).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def build() -> str:
    """Build if there is need to. Returns what went wrong; empty = the app is there."""
    if not npm_install(WEB):
        return "the app's npm packages could not be installed"
    with (WEB / "node_modules" / ".build-lock").open("w") as lock:
        # Test workers come here at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint()
        if STAMP.exists() and STAMP.read_text() == wanted:
            return ""
        done = npm("run", "build", folder=WEB, quiet=True)
        if done is None or done.returncode:
            return f"the app does not build:\n{done.stdout}{done.stderr}" if done else "there is no npm"
        STAMP.write_text(wanted)
    return ""


def check() -> int:
    """Run the type checker."""
    if not npm_install(WEB):
        sys.exit("the app's npm packages could not be installed")
    done = npm("run", "check", folder=WEB)
    return 1 if done is None else done.returncode


def main() -> None:
    if "--check" in sys.argv[1:]:
        sys.exit(check())
    wrong = build()
    if wrong:
        sys.exit(wrong)


if __name__ == "__main__":
    main()
