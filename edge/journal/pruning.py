"""Pruning: what is older than anybody may ask for leaves the journal, the oldest first.

Functions for `Journal.submit`, each one small transaction. Facts are cut off at the front in whole stretches
between two stored marks, so that the chain of the rest still begins at a value that was written. Never cut:
what the cloud has not acknowledged, and what a restart replays (`thinning.horizon`): a state snapshot always
stands before anything goes.
"""

from __future__ import annotations

import sqlite3

from common import facts
from common.domain import from_iso
from edge.journal import marks
from edge.journal.rotation import read_epoch
from edge.journal.schema import MARK_EVERY
from edge.journal.thinning import horizon

#: Rows that one transaction removes at most.
ROWS_MAX = 500
#: Pages that one transaction gives back to the disk: 1 MiB.
PAGES_GIVEN_BACK = 256


def last_before(db: sqlite3.Connection, at_ms: int) -> int:
    """The last fact that was written before a time; 0 = none. Times never go back, so halving finds it.

    A tombstone tells no time: it counts as old as the next fact that has one.
    """
    epoch = read_epoch(db)
    first, last = marks.bounds(db)
    low, high = first - 1, last  # all up to `low` are older; none behind `high` is
    while low < high:
        middle = (low + high + 1) // 2
        found = db.execute(
            "SELECT seq, record FROM fact WHERE seq BETWEEN ? AND ? AND record IS NOT NULL"
            " ORDER BY seq LIMIT 1",
            (middle, high),
        ).fetchone()
        if found is None:
            high = middle - 1  # tombstones at the end of the range: as young as what stands behind it
        elif from_iso(facts.read(epoch, *found).at) < at_ms:
            low = found[0]
        else:
            high = middle - 1
    return low if low >= first else 0


def cut(db: sqlite3.Connection, up_to: int) -> int:
    """Remove the oldest facts, one stretch between marks, none behind `up_to`; how many went."""
    first, _ = marks.bounds(db)
    end = (first - 1) // MARK_EVERY * MARK_EVERY + MARK_EVERY
    if end > min(up_to, horizon(db)):
        return 0
    db.execute("DELETE FROM fact WHERE seq <= ?", (end,))
    db.execute("DELETE FROM mark WHERE seq < ?", (end,))
    return end - first + 1


def forget_sessions(db: sqlite3.Connection, up_to: int) -> int:
    """Remove rows of sessions that ended at or before `up_to`, and replies of that time; how many went."""
    gone = db.execute(
        "DELETE FROM session WHERE rowid IN (SELECT rowid FROM session WHERE ended AND NOT provisional"
        " AND last_seq <= ? ORDER BY started_seq LIMIT ?)",
        (up_to, ROWS_MAX // 2),
    ).rowcount
    gone += db.execute(
        "DELETE FROM reply WHERE key IN (SELECT key FROM reply WHERE seq BETWEEN 1 AND ? LIMIT ?)",
        (up_to, ROWS_MAX - ROWS_MAX // 2),
    ).rowcount
    return gone


def forget_commands(db: sqlite3.Connection, up_to: int) -> int:
    """Remove rows of commands settled at or before `up_to`: the facts stay, the ids are free again."""
    return db.execute(
        "DELETE FROM command WHERE rowid IN (SELECT rowid FROM command WHERE state = 'settled'"
        " AND settled_seq <= ? LIMIT ?)",
        (up_to, ROWS_MAX),
    ).rowcount


def give_back(db: sqlite3.Connection) -> None:
    """Give some empty pages back to the disk (journals made before this was possible only use them again)."""
    db.execute(f"PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})").fetchall()
