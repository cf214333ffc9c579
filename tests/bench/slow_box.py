"""The box over a disk that takes its time: `plugside-edge run` with a journal whose commits are slow.

    python -m tests.bench.slow_box MILLISECONDS --data DIR --socket PATH run --ocpp … --lan …

Each transaction that writes takes so much longer, on the journal's own thread, as a worn SD card would.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from functools import partial
from typing import Any

import uvloop

from edge.cli.main import parser
from edge.journal.journal import Journal
from edge.settings import EdgeSettings
from edge.site import Site


class SlowDisk(sqlite3.Connection):
    """Late after every COMMIT, and after every INSERT that is a transaction of its own."""

    seconds = 0.0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        done = super().execute(sql, *values)
        if sql == "COMMIT" or (sql.startswith("INSERT") and not self.in_transaction):
            time.sleep(self.seconds)
        return done


async def main(arguments: list[str]) -> None:
    given = parser().parse_args(arguments)
    names = ("data", "socket", "ocpp", "lan", "adopt", "log_level")
    settings = EdgeSettings(**{name: getattr(given, name) for name in names})
    site = Site(settings, open_journal=partial(Journal.open, connection=SlowDisk))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        await site.open()
        await site.run(stop)
    finally:
        await site.close()


if __name__ == "__main__":
    SlowDisk.seconds = float(sys.argv[1]) / 1000
    uvloop.run(main(sys.argv[2:]))
