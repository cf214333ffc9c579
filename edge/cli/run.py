"""`plugside-edge run`: the daemon, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys

from common.cli.daemon import keep_to_itself
from edge.settings import EdgeSettings
from edge.site import serve

#: How long the loop's thread may keep the interpreter from the journal's. A commit needs it a few times, for
#: microseconds; Python's 5 ms would each time be many times what a good disk takes.
SWITCH_S = 0.0005

#: Containers made and not freed until Python looks for cycles. Nothing here makes many, and with Python's 700
#: the search took a tenth of a busy box's time; this many are some MiB at the very most.
GC_EVERY = 20_000


def _tune() -> None:
    """Set the interpreter up for a process that runs for months and answers within milliseconds."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what is imported stays: not to be looked through again
    gc.set_threshold(GC_EVERY, 10, 10)


async def run(args: argparse.Namespace) -> int:
    """Run the box. Returns 0 after a stop that was asked for; raises what kept it from running."""
    settings = EdgeSettings.typed(args)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for chatty in ("httpx", "httpcore"):
        # A line for every request, each second while a pairing code is shown.
        logging.getLogger(chatty).setLevel(logging.WARNING)
    keep_to_itself()
    _tune()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)
    return 0
