"""Ids: version 7 of RFC 9562, and never the same twice, whoever asks for them."""

import subprocess
import sys
import threading
import uuid

from common.clock import SystemIds

COUNT = 1_000  # several draws of randomness


def test_they_are_version_7_and_tell_when_they_were_made() -> None:
    made = [uuid.UUID(SystemIds().uid()) for _ in range(COUNT)]
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {uuid.RFC_4122}
    stamps = [one.int >> 80 for one in made]
    assert stamps == sorted(stamps)
    assert len({one.int & ((1 << 62) - 1) for one in made}) == COUNT


def test_threads_get_different_ones() -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend([SystemIds().uid() for _ in range(COUNT)]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one[14:] for one in made}) == 8 * COUNT, "without the time, which would hide a repeat"


FORK = """
import os
from common.clock import SystemIds
SystemIds().uid()
child = os.fork()
for _ in range(100):
    os.write(1, SystemIds().uid()[14:].encode() + b"\\n")
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_gets_different_ones() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    made = done.stdout.split()
    assert len(set(made)) == len(made) == 200
