"""Snapshots, and how a process finds its state again: the newest readable snapshot and the facts after it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from common import facts
from common.errors import Code, LocalFault
from common.facts import Fact
from common.ports import Ids
from edge.journal import folder, marks, rotation
from edge.journal.rotation import Head

log = logging.getLogger("plugside.journal")

#: Snapshots kept: the newest, and the one before in case the newest cannot be read.
SNAPSHOTS = 2


def head(db: sqlite3.Connection, ids: Ids) -> Head:
    """Where the journal ends; a new one begins its first epoch here. Raises ChainBroken, sqlite3.Error."""
    epoch = rotation.read_epoch(db)
    _, last = marks.bounds(db)
    if not epoch and not last:
        epoch = rotation.next_epoch("", ids)
        rotation.write_epoch(db, epoch)
    value = marks.chain_at(db, epoch, last)
    if not epoch or value is None:
        raise marks.ChainBroken(last, "has no chain before it")
    return Head(epoch, last, value, rotation.read_beginning(db))


def verify_since_goodbye(db: sqlite3.Connection, head: Head) -> None:
    """After an end without a goodbye hold what was written since the last one against hashes and chain.

    Raises ChainBroken, sqlite3.Error. The journal counts as left without a goodbye from here on.
    """
    said = dict(
        db.execute("SELECT name, value FROM meta WHERE name IN ('journal.goodbye', 'journal.verified')")
    )
    mine = f"{head.epoch} {head.seq}"
    if said.get("journal.goodbye") != mine:
        first, _ = marks.bounds(db)
        after = max(verified_up_to(said.get("journal.verified"), head.epoch), first - 1)
        for _ in marks.verified(db, head.epoch, min(after, head.seq), up_to=head.seq):
            pass
        note_verified(db, mine)
    db.execute("DELETE FROM meta WHERE name = 'journal.goodbye'")


def verified_up_to(said: object, epoch: str) -> int:
    """The last fact of `epoch` that was found to be what was written, as `note_verified` kept it; 0 = none.

    Raises ValueError: not kept by us.
    """
    of, _, seq = str(said or "").rpartition(" ")
    return int(seq) if of == epoch else 0


def note_verified(db: sqlite3.Connection, up_to: str) -> None:
    """Everything up to here (epoch and seq) is what was written."""
    db.execute("INSERT OR REPLACE INTO meta VALUES ('journal.verified', ?)", (up_to,))


def say_goodbye(db: sqlite3.Connection) -> None:
    """Everything is written, and nothing failed."""
    db.execute("BEGIN IMMEDIATE")
    say_goodbye_within(db)
    db.execute("COMMIT")


def say_goodbye_within(db: sqlite3.Connection) -> None:
    """`say_goodbye` inside the caller's transaction."""
    mine = f"{rotation.read_epoch(db)} {marks.bounds(db)[1]}"
    db.execute("INSERT OR REPLACE INTO meta VALUES ('journal.goodbye', ?)", (mine,))
    note_verified(db, mine)


def add_snapshot(db: sqlite3.Connection, seq: int, state: bytes) -> None:
    """Keep the state after fact `seq`, inside the caller's transaction; the oldest beyond two goes."""
    checksum = sha256(state).digest()
    db.execute("INSERT INTO snapshot (seq, sum, state) VALUES (?, ?, ?)", (seq, checksum, state))
    db.execute(
        "DELETE FROM snapshot WHERE id NOT IN (SELECT id FROM snapshot ORDER BY id DESC LIMIT ?)",
        (SNAPSHOTS,),
    )


def newest_snapshot(
    db: sqlite3.Connection, path: Path, readable: Callable[[bytes], bool]
) -> tuple[int, bytes] | None:
    """The newest snapshot that is whole and `readable`. LocalFault when there is none and one is needed."""
    try:
        first, _ = marks.bounds(db)
        rows = db.execute("SELECT seq, sum, state FROM snapshot ORDER BY id DESC").fetchall()
    except sqlite3.Error as failed:
        raise folder.unusable(path, failed) from failed
    for seq, checksum, state in rows:
        if sha256(state).digest() == checksum and readable(state):
            return seq, state
        log.warning("the snapshot at %d cannot be read; going back to the one before", seq)
    if first > 1:
        raise LocalFault(
            Code.FOLDER_UNUSABLE,
            f"{path}: no state snapshot can be read, and facts before {first} are not kept",
            hint="Restore the latest backup.",
        )
    return None


def facts_after(db: sqlite3.Connection, path: Path, epoch: str, seq: int) -> Iterator[Fact]:
    """The facts behind `seq` in order, each held against its hash and the chain; erased ones are left out.

    Raises LocalFault where something is missing or is not what was written.
    """
    try:
        _, last = marks.bounds(db)
        for stored in marks.verified(db, epoch, seq, up_to=last):
            if stored.record is not None:
                yield facts.read(epoch, stored.seq, stored.record)
    except (sqlite3.Error, marks.ChainBroken, msgspec.MsgspecError) as found:
        raise folder.unusable(path, found) from found
