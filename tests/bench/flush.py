"""Chargers that flush their offline queues, as a process of their own; also the charger that is tapped.

    python -m tests.bench.flush PORT COUNT

Commands on standard input: `go`, `pause` (answers `PAUSED {"answered": …}`).
"""

from __future__ import annotations

import sys

import uvloop

from tests.bench.processes import lines, say
from tests.bench.traffic import open_all


async def main(port: int, count: int) -> None:
    chargers = await open_all(port, [f"FLUSH{number:04d}" for number in range(count)], "flush")
    inbox = await lines()
    say("READY")
    while word := (await inbox.readline()).strip():
        if word == b"go":
            for charger in chargers:
                charger.load()
        elif word == b"pause":
            for charger in chargers:
                charger.pause()
            say(
                "PAUSED",
                answered=sum(charger.answered for charger in chargers),
                refused=[text.decode() for charger in chargers for text in charger.refused][:3],
            )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
