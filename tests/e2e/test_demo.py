"""`plugside-edge demo`: the scripted form, and the live one that Ctrl-C ends, leaving nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from common.webapp import WebApp
from tests.e2e.place import ROOT

#: Both forms start two daemons and live through a charge; on a busy machine that takes a while.
PATIENCE_S = 90


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: sockets will lie in it, and a socket's path has 107 bytes at most."""
    return tmp_path_factory.mktemp("d")


def running_on(folder: Path) -> list[str]:
    """Every process that was started on this folder."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(folder) in line:
            lines.append(line)
    return lines


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def demo(home: Path, *arguments: str) -> asyncio.subprocess.Process:
    """The demo's process, for a person whose home is `home`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "edge.cli.main", "demo", *arguments),
        cwd=ROOT,
        env={**os.environ, "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_scripted_demo_says_that_one_session_arrived_whole(short: Path) -> None:
    process = await demo(short, "--once", "--json")
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    told = json.loads(out)
    assert (told["sessions"], told["lost"], told["doubled"], told["differing"]) == (1, 0, 0, 0)
    assert (told["start_path"], told["stop_path"]) == ("lan", "cloud")
    assert told["energy_wh"] == told["register_wh"] > 0
    assert told["tap_to_confirmed_ms"] > 0
    assert running_on(short) == []
    assert left_in(short) == []


async def test_ctrl_c_ends_the_demo_and_leaves_nothing(short: Path) -> None:
    data, home = short / "demo", short / "home"
    home.mkdir()
    process = await demo(home, "--data", str(data))
    assert process.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while "Ctrl-C ends" not in "".join(said):
                said.append((await process.stdout.readline()).decode())
                assert said[-1], "".join(said)
            assert len(running_on(data)) == 3  # itself, the cloud, the box
            # The app's two links, a driver's and an operator's, where the app is built.
            assert "".join(said).count("/#join=plugside1_") == (2 if WebApp().built else 0)
            process.send_signal(signal.SIGINT)
            rest, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()  # it ends what it has started
            await process.wait()
    assert process.returncode == 0, err.decode()
    assert "nothing is left running" in rest.decode()
    assert running_on(data) == []
    assert left_in(home) == []
