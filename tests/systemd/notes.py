"""Reads the commands out of systemd/install.md and runs them as they stand there.

The notes are the program under test: nothing here knows what they install, only where a command begins.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
NOTES = UNITS / "install.md"
ROLES = ("edge", "cloud")


def commands(section: str, role: str = "edge") -> list[str]:
    """The shell commands under the heading `## section`, in order.

    For the cloud they are read as the notes tell: `cloud` wherever one says `edge`.
    """
    found = re.search(
        rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", NOTES.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"install.md has no section {section!r}"
    blocks = re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    return [line.replace("edge", role) for line in lines if line and not line.startswith("#")]


def release(folder: Path) -> Path:
    """Lay out what the notes ask for: a checkout with .venv, at `folder`, to build in without touching ours.

    The pinned requirement files are empty here: the test's environment already holds what they name, and
    `make setup` proves that they resolve. Everything else is the tree's.
    """
    folder.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("common", "edge", "cloud", "systemd"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    for role in ROLES:
        assert (ROOT / f"requirements-{role}.txt").is_file(), (
            "install.md names a file that is not in the tree"
        )
        (folder / f"requirements-{role}.txt").touch()
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def environment(**more: str) -> dict[str, str]:
    """What the commands run with: no index, nothing fetched, and a `python3` that can run this tree."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
    keep = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**keep, "PATH": path, **offline, **more}


def run(command: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Run one command of the notes in a POSIX shell; its output, or a failed assertion that shows it."""
    done = subprocess.run(
        ["/bin/sh", "-euc", command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout
