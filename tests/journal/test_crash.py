"""kill -9 under load: whatever the process said was on disk is there, without a gap, and nothing is bent."""

import signal
import subprocess
import sys
from pathlib import Path

from edge.journal.journal import Journal
from tests.journal.crash_child import fact_at
from tests.journal.support import FakeIds, chain_of, table

ROOT = Path(__file__).resolve().parents[2]
#: The child is killed after so many more commits; where in its work that finds it is up to the machine.
ROUNDS = (1, 7, 40, 150, 3)


def killed_after(folder: Path, lines: int) -> int:
    """Run the child, kill it after it has printed so many lines; the last seq that it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.journal.crash_child", str(folder)], cwd=ROOT, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        said += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    assert child.returncode == -signal.SIGKILL
    assert said == sorted(said)
    return said[-1]


def test_what_was_said_to_be_on_disk_is_there_after_kill_9(tmp_path):
    before = 0
    for lines in ROUNDS:
        said = killed_after(tmp_path, lines)
        assert said > before
        journal = Journal.open(tmp_path, ids=FakeIds())
        try:
            last = journal.last_seq
            assert last >= said
            snapshot, facts = journal.recover()
            assert snapshot is None
            assert list(facts) == [fact_at(journal.epoch, seq) for seq in range(1, last + 1)]
            assert chain_of(journal.path, journal.epoch)[last] == journal.chain_at(last)
            starts = range(1, last + 1, 10)
            assert table(journal.path, "SELECT started_seq FROM session ORDER BY started_seq") == [
                (seq,) for seq in starts
            ]
            assert all(journal.recall_reply(f"k{seq}") == f"reply {seq}".encode() for seq in starts)
            assert not journal.recall_reply(f"k{starts[-1] + 10}")
        finally:
            journal.close()
        before = last
