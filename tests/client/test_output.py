"""What the three command lines share: exit codes, errors, tables, JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.cli import output
from common.domain import ConnectorState, Target
from common.errors import Code, LocalFault, error

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.NOT_PERMITTED, 2),
        (Code.BAD_INVITE, 2),
        (Code.NOT_PAIRED, 2),
        (Code.BAD_SETTINGS, 2),
        (Code.NO_PATH, 3),
        (Code.SITE_OFFLINE, 3),
        (Code.NOT_RUNNING, 3),
        (Code.INTERNAL, 1),
        (Code.UNTRUSTED_PEER, 1),
    ],
)
def test_exit_codes(code: Code, expected: int, capsys: Capture) -> None:
    assert output.report_error(error(code)) == expected
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [error(code).message, error(code).hint]


def test_an_error_for_programs(capsys: Capture) -> None:
    failed = LocalFault(Code.NOT_RUNNING, "no socket", hint="Start it.")
    assert output.report_error(failed, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "error": {"code": "not_running", "message": failed.message, "hint": "Start it."},
    }


def test_a_table_in_a_pipe_has_its_columns_and_obeys_nothing(capsys: Capture) -> None:
    output.table(("ID", "Name"), [("CP1", "Bay 12"), ("LONGER", "a\x1b[31mb\n")])
    assert capsys.readouterr().out.splitlines() == ["ID      Name", "CP1     Bay 12", "LONGER  a�[31mb�"]


class Terminal(io.StringIO):
    """A terminal's end, as far as a table looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "drawn"), [(60, False), (120, True)])
def test_a_narrow_terminal_cuts_nothing_short(
    columns: int, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    headers = ("ID", "Name", "State", "Serial")
    row = (
        "GARAGE-WALLBOX-001",
        "Visitors, behind the bicycle shed 🚲",
        "1: charging",
        "SIM-GARAGE-WALLBOX-001",
    )
    shown = Terminal()
    output.table(headers, [row, ("CP2", "", "1: available", "")], out=shown)
    for cell in (*headers, *row, "CP2"):
        assert cell in shown.getvalue()
    assert ("──" in shown.getvalue()) is drawn
    if not drawn:
        assert shown.getvalue().endswith("\nID: CP2\n  State: 1: available\n")


def test_values_of_ours_print_as_json(capsys: Capture) -> None:
    output.print_json({"target": Target("CP1"), "state": ConnectorState.AVAILABLE, "text": "ü"})
    assert json.loads(capsys.readouterr().out) == {
        "target": {"charger": "CP1"},
        "state": "available",
        "text": "ü",
    }


def test_the_runner_tells_errors(capsys: Capture) -> None:
    async def fail() -> int:
        raise error(Code.BUSY)

    async def well() -> int:
        return 0

    assert output.run_command(fail) == 3
    assert "Too much is going on" in capsys.readouterr().err
    assert output.run_command(well) == 0


@pytest.mark.parametrize("daemon", ["edge", "cloud"])
def test_a_pipe_that_has_read_enough_ends_a_command_quietly(daemon: str) -> None:
    typed = f"""
import sys
from {daemon}.cli import local, main
async def told(args):
    print("more than anybody reads", flush=True)
    return 0
local.HANDLERS["health"] = told
sys.exit(main.main(["health"]))
"""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [sys.executable, "-c", typed], stdout=theirs, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize("daemon", ["edge", "cloud"])
def test_a_full_disk_behind_the_output_is_said(daemon: str) -> None:
    typed = f"""
import sys
from {daemon}.cli import local, main
async def told(args):
    print("more than there is room for")
    return 0
local.HANDLERS["health"] = told
sys.exit(main.main(["health"]))
"""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", typed], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
