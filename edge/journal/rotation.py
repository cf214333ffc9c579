"""A new epoch: the retained facts become 1..n under a new name, with a new chain and the same bytes.

Needed when numbers can no longer be trusted between box and cloud: a fresh install, a restored backup, a
fork (design §9). One transaction. Rows move only if the oldest were cut away before; otherwise only the marks
are written anew, so rotating needs no disk space to speak of. It reads the whole journal once (some seconds
for a full one) and nothing is written meanwhile.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from common import chain
from common.ports import Ids
from edge.journal import marks
from edge.journal.schema import MARK_EVERY

#: Marks written at once.
_PAGE = 256


class Head(NamedTuple):
    """Where the journal ends: the epoch, the last seq in it, and the chain after that."""

    epoch: str
    seq: int
    chain: bytes


def next_epoch(previous: str, ids: Ids) -> str:
    """A counter, so that a person sees which is the later one, and randomness, so that a restored copy of
    the box never names the same epoch again (design §4).
    """
    counter = int(previous.partition("-")[0]) + 1 if previous else 1
    return f"{counter}-{ids.token(8).hex()}"


def rotate(db: sqlite3.Connection, epoch: str) -> Head:
    """Renumber everything under `epoch`, inside the caller's transaction.

    Raises ChainBroken when the retained facts are not gap-free; the caller rolls back.
    """
    first, last = marks.bounds(db)
    cut = first - 1
    db.execute("DELETE FROM mark")
    if cut:
        _move(db, cut, last)
    value, fresh, seq = chain.seed(epoch), [], 0
    for stored in marks.walk(db, 0, value, up_to=last - cut):
        seq, value = stored.seq, stored.chain
        if seq % MARK_EVERY == 0:
            fresh.append((seq, value))
        if len(fresh) == _PAGE:
            db.executemany("INSERT INTO mark VALUES (?, ?)", fresh)
            fresh.clear()
    if seq != last - cut:
        raise marks.ChainBroken(seq + 1 + cut, "is missing")
    db.executemany("INSERT INTO mark VALUES (?, ?)", fresh)
    write_epoch(db, epoch)
    return Head(epoch, seq, value)


def _move(db: sqlite3.Connection, cut: int, last: int) -> None:
    """Every number that names a fact becomes smaller by `cut`. Ascending, so that no two ever meet."""
    for seq in range(cut + 1, last + 1):
        db.execute("UPDATE fact SET seq = ? WHERE seq = ?", (seq - cut, seq))
    db.execute("UPDATE snapshot SET seq = max(seq - ?, 0)", (cut,))
    for table, columns in (
        ("session", ("started_seq", "ended_seq", "last_seq")),
        ("command", ("accepted_seq", "sent_seq", "confirmed_seq", "settled_seq")),
        ("reply", ("seq",)),
    ):
        # 0 means "has not happened"; what was cut away cannot be named any more and reads as the first fact.
        moved = ", ".join(f"{c} = CASE {c} WHEN 0 THEN 0 ELSE max({c} - :cut, 1) END" for c in columns)
        db.execute(f"UPDATE {table} SET {moved}", {"cut": cut})  # noqa: S608 - our own names


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
