"""A real file system that fills up under a real journal: samples go, sessions stay, no answer was a lie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.needs import needs

ROOT = Path(__file__).resolve().parents[2]


@needs("unshare")
def test_a_disk_that_fills_up(tmp_path):
    """On a tmpfs of 96 MiB, in a mount namespace of the test's own."""
    inside = 'mount -t tmpfs -o size=96m tmpfs "$1" && exec "$2" -m tests.journal.full_disk_child "$1"'
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    ran = subprocess.run(
        [*alone, "sh", "-c", inside, "sh", tmp_path, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    told = json.loads(ran.stdout)
    assert told["begins"] == ["FINE", True]
    assert told["short"] == [True, True], "thinned, and declared"
    assert told["full"] == [False, True], "the ballast was let go; samples between are not written"
    assert told["sessions_still_commit"] == [True, True]
    assert told["why"][1:] == [True, False]
    assert "full" in told["why"][0]
    assert told["accepting"] is False, "handshakes get 503"
    assert told["room_again"] is True
    assert told["after"] == [True, ""]
    assert told["lost"] == 0
    assert told["sums"] == [8000.0]
