"""A new epoch: the retained facts go on under a new name, with a new chain; numbers and bytes stay.

Needed when the chain can no longer be trusted between box and cloud: a fresh install, a restored backup, a
fork (design §9). No row is touched: an epoch begins behind what has left the journal (`begins_after`), and
only the marks are written anew, so that a journal of years rotates as quickly as one of a day. The new chain
is computed ahead, in steps between which the journal is written to as ever (`ahead`); the change itself is
one short transaction that reads what came since (`rotate`).
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from common import chain
from common.ports import Ids
from edge.journal import marks
from edge.journal.schema import MARK_EVERY

#: Facts read at once, and by one step ahead: some 5 ms of a small box.
STEP = 2048


#: The epoch's numbers begin behind this one.
_BEGINS = "journal.begins_after"


class Head(NamedTuple):
    """Where the journal ends: the epoch, the last seq in it, the chain after that; and where it began."""

    epoch: str
    seq: int
    chain: bytes
    begins_after: int = 0


def next_epoch(previous: str, ids: Ids) -> str:
    """A counter, so that a person sees which is the later one, and randomness, so that a restored copy of
    the box never names the same epoch again (design §4).
    """
    return f"{counter(previous) + 1}-{ids.token(8).hex()}"


def counter(epoch: str) -> int:
    """The counter in an epoch's name; 0 for none."""
    return int(epoch.partition("-")[0]) if epoch else 0


class Ahead:
    """The chain of an epoch to come, as far as it has been computed. Nothing of it is on disk."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.begins_after = -1  #: the last fact that has left the journal, 0 = none; -1 = not looked yet
        self.seq = 0  #: how far it has come
        self.chain = chain.seed(epoch)
        self.marks: list[tuple[int, bytes]] = []

    def over(self, db: sqlite3.Connection, up_to: int) -> None:
        """Take the chain on to `up_to`. Raises ChainBroken where a fact is missing."""
        gone = marks.bounds(db)[0] - 1
        if self.begins_after != gone:
            # More was cut meanwhile, or this is the first step: from the beginning.
            self.begins_after = self.seq = gone
            self.chain = chain.seed(self.epoch)
            self.marks = [(gone, self.chain)] if gone else []
        while self.seq < up_to:
            rows = db.execute(
                "SELECT seq, uid, inner FROM fact WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (self.seq, up_to, STEP),
            ).fetchall()
            if not rows:
                raise marks.ChainBroken(self.seq + 1, "is missing")
            for number, uid, inner in rows:
                if number != self.seq + 1:
                    raise marks.ChainBroken(self.seq + 1, "is missing")
                self.seq = number
                self.chain = chain.link(self.chain, number, uid, inner)
                if number % MARK_EVERY == 0:
                    self.marks.append((number, self.chain))


def ahead(db: sqlite3.Connection, known: Ahead) -> int:
    """One step of the new chain; how many facts are left. Raises ChainBroken."""
    first, last = marks.bounds(db)
    known.over(db, min(last, max(known.seq, first - 1) + STEP))
    return last - known.seq


def rotate(db: sqlite3.Connection, epoch: str, known: Ahead | None = None) -> Head:
    """Let everything go on under `epoch`, inside the caller's transaction. known: what was computed ahead.

    Raises ChainBroken when the retained facts are not gap-free; the caller rolls back.
    """
    _, last = marks.bounds(db)
    known = known or Ahead(epoch)
    assert known.epoch == epoch, "the chain of another epoch"
    known.over(db, last)
    db.execute("DELETE FROM mark")
    db.executemany("INSERT INTO mark VALUES (?, ?)", known.marks)
    write_epoch(db, epoch)
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_BEGINS, known.begins_after))
    return Head(epoch, known.seq, known.chain, known.begins_after)


def claim(db: sqlite3.Connection, site: str) -> str:
    """Whose journal this is; nobody's becomes `site`'s."""
    db.execute("INSERT OR IGNORE INTO meta VALUES ('journal.site', ?)", (site,))
    (owner,) = db.execute("SELECT value FROM meta WHERE name = 'journal.site'").fetchone()
    return str(owner)


def read_epoch(db: sqlite3.Connection) -> str:
    """The journal's epoch; empty in a new file."""
    found = db.execute("SELECT value FROM meta WHERE name = 'journal.epoch'").fetchone()
    return found[0] if found else ""


def write_epoch(db: sqlite3.Connection, epoch: str) -> None:
    """Name the journal's epoch."""
    db.execute(
        "INSERT INTO meta VALUES ('journal.epoch', ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
        (epoch,),
    )


def read_beginning(db: sqlite3.Connection) -> int:
    """Behind which number the journal's epoch began; 0 for one that began at the first fact."""
    found = db.execute("SELECT value FROM meta WHERE name = ?", (_BEGINS,)).fetchone()
    return int(found[0]) if found else 0
