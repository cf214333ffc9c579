"""A process to be killed: writes facts as fast as it can and prints each seq that it was told is on disk.

Started by `test_crash`; ends by itself after `FACTS_MAX`.
"""

import asyncio
import os
import sys
from pathlib import Path

from common import facts
from common.clock import SystemIds
from common.facts import Fact
from edge.journal.journal import Journal

WAITING = 64
FACTS_MAX = 200_000


def fact_at(epoch: str, seq: int) -> Fact:
    """What is written at `seq`, here and in the test that looks afterwards."""
    body: facts.Body
    if seq % 10 == 1:
        body = facts.SessionStarted(
            session=f"s{seq}",
            charger="CP1",
            evse=1,
            transaction=str(seq),
            key=f"k{seq}",
            started_at="2026-11-20T10:00:00Z",
            received_at="2026-11-20T10:00:00Z",
        )
    else:
        body = facts.ChargerLost(charger=f"CP{seq % 7}", reason="x" * (seq % 300))
    return facts.make(
        epoch=epoch, seq=seq, uid=f"u{seq}", at="2026-11-20T10:00:00.000Z", clock="synced", body=body
    )


async def main(folder: Path) -> None:
    journal = Journal.open(folder, ids=SystemIds())
    over = asyncio.Event()

    def fill() -> None:
        while journal.last_seq - journal.committed_seq < WAITING:
            fact = fact_at(journal.epoch, journal.last_seq + 1)
            replies = [(f"k{fact.seq}", f"reply {fact.seq}".encode())] if fact.seq % 10 == 1 else []
            journal.push([fact], replies)

    def on_commit(seq: int) -> None:
        os.write(1, b"%d\n" % seq)
        if seq < FACTS_MAX:
            fill()
        else:
            over.set()

    journal.start(asyncio.get_running_loop(), on_commit, lambda _: over.set())
    fill()
    await over.wait()
    journal.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
