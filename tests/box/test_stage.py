"""The demo's stage: what it hands out to the daemons that it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge.demo.stage import _PORTS, free_port

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_at_the_same_place_are_told_two_ports() -> None:
    told = free_port()
    code = (
        "import itertools\nfrom edge.demo import stage\n"
        f"stage._places = itertools.count({_PORTS.index(told)})\nprint(stage.free_port())"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(other.stdout) in _PORTS
    assert int(other.stdout) != told
