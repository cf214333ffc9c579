"""What the box remembers of its cloud between links, and how it takes over its site's estate (design §9).

A box that holds nothing of its site yet, or lost something (a restore, a salvage, a new epoch), asks at its
hello for what the site goes on with: adopted chargers, sessions that are not over, and what was counted for
caps (`edge.core.estate`). All of it is on disk before the first batch leaves; until then it asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain

import msgspec

from common import facts, sync
from common.errors import Code, Unavailable
from edge.core import estate
from edge.gateway import Gateway
from edge.journal import folder as folders
from edge.journal.journal import Journal
from edge.journal.recall import set_meta

log = logging.getLogger("plugside.uplink")

#: Kept in the journal: the site whose estate is taken over, and the highest link that the cloud has named.
SITE, LINK = "sync.site", "sync.link"

#: Of what is taken over: with what stands around it a record is no larger than the journal takes.
_BODY_BYTES_MAX = facts.RECORD_BYTES_MAX - 1024


def ask_again(db: folders.Database) -> None:
    """Have the next hello ask for the estate: the journal lost something, or was put back."""
    set_meta(db, SITE, b"")


class Inheritance:
    """One site's. `wanted`: the next hello asks for the estate."""

    def __init__(self, gateway: Gateway, journal: Journal) -> None:
        self._gateway = gateway
        self._journal = journal
        site = gateway.state.view.site.encode()
        self.wanted = journal.get(SITE) != site
        self.last_link = int(journal.get(LINK) or b"0")

    async def ask(self) -> None:
        """Have the next hello ask, be it of this process or, should this one end before, of another."""
        self.wanted = True
        await self._journal.set(SITE, b"")

    async def settle(self, welcome: sync.TunnelWelcome) -> None:
        """Take over what the welcome brings, if it was asked for. Raises Unavailable: the next one will."""
        journal, state = self._journal, self._gateway.state
        if self.wanted:
            taken = 0
            bodies = (
                estate.taken_over(state, _read(welcome), self._known),
                estate.counted(state, welcome.charges),
            )
            for body in chain.from_iterable(bodies):
                if not (self._gateway.accepting and journal.room):
                    raise Unavailable(Code.BUSY)  # the next link takes over the rest
                if len(msgspec.json.encode(body)) > _BODY_BYTES_MAX:
                    log.warning("the cloud's estate holds a %s that is larger than facts are", body.KIND)
                    continue
                self._gateway.note(body)
                taken += 1
            await journal.probe()
            await journal.set(SITE, state.view.site.encode())
            self.wanted = False
            if taken:
                log.info("took over %d records of the box before this one", taken)
        if welcome.link_epoch > self.last_link:
            await journal.set(LINK, str(welcome.link_epoch).encode())
            self.last_link = welcome.link_epoch

    def _known(self, session: str) -> bool:
        return self._journal.recall_session(session) is not None


def _read(welcome: sync.TunnelWelcome) -> Iterator[facts.Fact]:
    for record in welcome.estate:
        try:
            yield facts.read(welcome.epoch, 0, record)
        except msgspec.DecodeError as unreadable:
            log.warning("a record of the estate could not be read: %s", unreadable)
