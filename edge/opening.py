"""Opening the box's journal: taken, held against this folder's site, its state rebuilt; or salvaged first.

    journal.db ──▶ open, quick check, chain since the last goodbye ──▶ recover ──▶ the state
                          └──── damaged: set aside, salvaged, opened again ────┘

Also `restore`: another journal put in the place of this one, with the box stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from common.errors import Code, LocalFault
from common.facts import SecurityNoted
from common.ports import Ids
from edge import inheritance
from edge.core.engine import SiteState
from edge.journal import backups, inspection, restoring, rotation, salvage
from edge.journal import folder as folders
from edge.journal.journal import Journal
from edge.journal.recall import set_meta
from edge.recall import recover

log = logging.getLogger("plugside.journal")

Open = Callable[..., Journal]
#: What happened to the journal while the box was down, to be told as a fact at the next start.
_NEWS = "opening.news"


class News(msgspec.Struct, frozen=True):
    """`what`: journal_salvaged | journal_restored | journal_missing."""

    what: str
    detail: str

    def fact(self) -> SecurityNoted:
        return SecurityNoted(what=self.what, detail=self.detail)


def opened(folder: Path, ids: Ids, open_journal: Open) -> Journal:
    """Open the journal; what is damaged is salvaged first. LocalFault: folder_in_use, folder_unusable."""
    journal = _opened(folder, ids, open_journal)
    backups.tidied(folder)  # of a restore that was killed; the folder is ours from here on
    return journal


def _opened(folder: Path, ids: Ids, open_journal: Open) -> Journal:
    salvage.take_back(folder)
    why = inspection.suspicion(folder)
    if not why and salvage.unfinished(folder):
        why = "a salvage was cut short"
    if not why:
        try:
            return _opened_or_begun(folder, ids, open_journal)
        except folders.Damaged as found:
            why = found.detail
    return saved(folder, ids, open_journal, why)


def _opened_or_begun(folder: Path, ids: Ids, open_journal: Open) -> Journal:
    lost = _lost(folder)
    journal = open_journal(folder, ids=ids)
    if lost:
        log.error("%s", lost)
        journal.write_now(lambda db: _tell(db, News("journal_missing", lost)))
    return journal


def _lost(folder: Path) -> str:
    """That this folder had a journal and has none any more, in words; empty = it has, or never had."""
    path = folder / folders.DATABASE
    newest = backups.newest(folder / backups.FOLDER)
    if not newest or (path.exists() and path.stat().st_size):
        return ""
    copy = folder / backups.FOLDER / newest
    return (
        f"{path} was gone or empty: an empty journal was begun. The latest copy of what was before is {copy};"
        f" to go back to it stop the box and run `plugside-edge restore {copy}`"
    )


def saved(folder: Path, ids: Ids, open_journal: Open, why: str) -> Journal:
    """Salvage the journal and open what became of it. Raises LocalFault."""
    salvage.salvage(folder, ids, why, lambda db, told: _tell(db, News("journal_salvaged", told.text())))
    journal = open_journal(folder, ids=ids)
    inspection.clear(folder)
    return journal


def _tell(db: folders.Database, news: News) -> None:
    """Note it, and that something of the site may be gone from here: its cloud is asked for it."""
    set_meta(db, _NEWS, msgspec.json.encode(news))
    inheritance.ask_again(db)


def news(journal: Journal) -> News | None:
    """What happened while the box was down, if anything did."""
    known = journal.get(_NEWS)
    return msgspec.json.decode(known, type=News) if known else None


async def news_told(journal: Journal) -> None:
    """It is a fact now."""
    await journal.set(_NEWS, b"")


def claimed(journal: Journal, site: str) -> None:
    """See that the journal is this site's; a new one becomes it. Raises LocalFault."""
    owner = journal.write_now(lambda db: rotation.claim(db, site))
    if owner != site:
        raise LocalFault(
            Code.FOLDER_UNUSABLE,
            f"{journal.path} is of site {owner}, and the keys in this folder are of {site}",
            hint="Put that site's keys folder back, or move the journal away and pair this box again.",
        )


def state_of(journal: Journal, site: str) -> SiteState:
    """The state that the journal's facts add up to. Raises LocalFault; Damaged: it is to be salvaged."""
    claimed(journal, site)
    return recover(journal, site)


# --- restore -----------------------------------------------------------------------------------------------


def restore(folder: Path, copy: Path, ids: Ids, site: str = "") -> str:
    """Put a copy in the place of the journal, under a new epoch; where the present one is kept now, or "".

    For a stopped box. site: of the keys in the folder, empty = there are none. Raises LocalFault:
    folder_in_use (it runs), folder_unusable (not a whole journal of this site). Then nothing has changed.
    """
    news = News("journal_restored", f"from {copy.name}; everything retained is sent again")
    return restoring.put_back(folder, copy, ids, site, finish=lambda db: _tell(db, news))
