"""What watches over the box's heart: its journal's end is the process's, and systemd hears it beat."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NoReturn

from common.errors import Code, Unavailable
from common.notify import notify
from edge import outage

if TYPE_CHECKING:
    from edge.journal.journal import Journal
    from edge.site import Site

#: For the last goodbye to apps before the process ends, in s.
GOODBYE_S = 0.3


async def gateway(site: Site) -> NoReturn:
    """Fatal: a journal that cannot commit ends the process; chargers keep what they queue."""
    assert site.gateway.failed is not None
    # Shielded: this room's own end is not the journal's, and what is pending must still be written.
    why = await asyncio.shield(site.gateway.failed)
    site.listener.disconnect(reason="nothing can be written down now; dial again")
    site.apps.cut_all(Code.JOURNAL_UNAVAILABLE)
    if outage.for_want_of_room(why):
        await outage.over(site.folder, enough=site.has_room)
    await asyncio.sleep(GOODBYE_S)
    raise Unavailable(Code.JOURNAL_UNAVAILABLE, str(why))


async def feed_watchdog(journal: Journal, interval_s: float) -> NoReturn:
    """WATCHDOG=1 only if the loop ticked and the journal's thread answered."""
    while True:
        await journal.probe()
        notify("WATCHDOG=1", environ=os.environ)
        await asyncio.sleep(interval_s)
