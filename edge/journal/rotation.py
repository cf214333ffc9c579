"""A new epoch: the retained facts become 1..n under a new name, with a new chain and the same bytes.

Needed when numbers can no longer be trusted between box and cloud: a fresh install, a restored backup, a
fork (design §9). The new chain is computed ahead, in steps between which the journal is written to as ever
(`ahead`); the change itself is one transaction that reads what came since (`rotate`). Rows move only if the
oldest were cut away before; otherwise only the marks are written anew, so rotating needs no disk space to
speak of.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

from common import chain
from common.errors import Code, Unavailable
from common.ports import Ids
from edge.journal import folder, marks
from edge.journal.schema import MARK_EVERY

#: Facts read at once, and by one step ahead: some 5 ms of a small box.
STEP = 2048


class Head(NamedTuple):
    """Where the journal ends: the epoch, the last seq in it, and the chain after that."""

    epoch: str
    seq: int
    chain: bytes


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
        self.cut = -1  #: rows that the journal has lost at its front; -1 = not looked yet
        self.seq = 0
        self.chain = chain.seed(epoch)
        self.marks: list[tuple[int, bytes]] = []

    def over(self, db: sqlite3.Connection, up_to: int) -> None:
        """Take the chain on to old number `up_to`. Raises ChainBroken where a fact is missing."""
        first, _ = marks.bounds(db)
        if self.cut != first - 1:
            # More was cut meanwhile, or this is the first step: from the beginning.
            self.seq, self.chain, self.marks, self.cut = 0, chain.seed(self.epoch), [], first - 1
        while (at := self.cut + self.seq) < up_to:
            rows = db.execute(
                "SELECT seq, uid, inner FROM fact WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (at, up_to, STEP),
            ).fetchall()
            if not rows:
                raise marks.ChainBroken(at + 1, "is missing")
            for number, uid, inner in rows:
                if number != self.cut + self.seq + 1:
                    raise marks.ChainBroken(self.cut + self.seq + 1, "is missing")
                self.seq += 1
                self.chain = chain.link(self.chain, self.seq, uid, inner)
                if self.seq % MARK_EVERY == 0:
                    self.marks.append((self.seq, self.chain))


def ahead(db: sqlite3.Connection, known: Ahead) -> int:
    """One step of the new chain; how many facts are left. Raises ChainBroken."""
    _, last = marks.bounds(db)
    known.over(db, min(last, max(known.cut, 0) + known.seq + STEP))
    return last - known.cut - known.seq


def see_room(known: Ahead, path: Path) -> None:
    """Rows that move go through the log, all in one transaction: is there disk for it? Raises Unavailable.

    Only a journal that has lost its oldest rows moves any (two years on); 16 µs of writing a row, measured.
    """
    needed = path.stat().st_size + folder.WAL_BYTES_MAX if known.cut > 0 else 0
    if needed and shutil.disk_usage(path.parent).free < needed:
        raise Unavailable(Code.JOURNAL_UNAVAILABLE, f"a new epoch needs {needed // 2**20} MiB of disk")


def rotate(db: sqlite3.Connection, epoch: str, known: Ahead | None = None) -> Head:
    """Renumber everything under `epoch`, inside the caller's transaction. known: what was computed ahead.

    Raises ChainBroken when the retained facts are not gap-free; the caller rolls back.
    """
    _, last = marks.bounds(db)
    known = known or Ahead(epoch)
    assert known.epoch == epoch, "the chain of another epoch"
    known.over(db, last)
    db.execute("DELETE FROM mark")
    if known.cut:
        _move(db, known.cut, last)
    db.executemany("INSERT INTO mark VALUES (?, ?)", known.marks)
    write_epoch(db, epoch)
    return Head(epoch, known.seq, known.chain)


def _move(db: sqlite3.Connection, cut: int, last: int) -> None:
    """Every number that names a fact becomes smaller by `cut`. In stretches that do not meet their targets,
    ascending: whatever order SQLite updates a stretch in, no two numbers ever meet.
    """
    for first in range(cut + 1, last + 1, cut):
        stretch = (cut, first, first + cut - 1)
        db.execute("UPDATE fact SET seq = seq - ? WHERE seq BETWEEN ? AND ?", stretch)
    db.execute("UPDATE snapshot SET seq = max(seq - ?, 0)", (cut,))
    for table, columns in (
        ("session", ("started_seq", "ended_seq", "last_seq")),
        ("command", ("accepted_seq", "sent_seq", "confirmed_seq", "settled_seq")),
        ("reply", ("seq",)),
    ):
        # 0 means "has not happened"; what was cut away cannot be named any more and reads as the first fact.
        moved = ", ".join(f"{c} = CASE {c} WHEN 0 THEN 0 ELSE max({c} - :cut, 1) END" for c in columns)
        db.execute(f"UPDATE {table} SET {moved}", {"cut": cut})  # noqa: S608 - our own names


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
