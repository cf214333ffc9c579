"""`plugside-cloud run`: the daemon, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from cloud.service import serve
from cloud.settings import CloudSettings
from common.cli.daemon import keep_to_itself


async def run(args: argparse.Namespace) -> int:
    """Run the cloud. Returns 0 after a stop that was asked for; raises what kept it from running."""
    settings = CloudSettings.typed(args)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for chatty in ("alembic", "aiosqlite", "uvicorn"):
        # What they tell at INFO is about themselves.
        logging.getLogger(chatty).setLevel(logging.WARNING)
    keep_to_itself()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)
    return 0
