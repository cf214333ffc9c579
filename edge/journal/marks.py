"""The chain as stored: a value at every `MARK_EVERY`th fact, and from there by the rows (`common.chain`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from common import chain
from edge.journal.folder import ChainBroken as ChainBroken
from edge.journal.rows import StoredRecord
from edge.journal.schema import MARK_EVERY


def bounds(db: sqlite3.Connection) -> tuple[int, int]:
    """First and last seq; (1, 0) for an empty journal."""
    first, last = db.execute("SELECT (SELECT min(seq) FROM fact), (SELECT max(seq) FROM fact)").fetchone()
    return (1, 0) if last is None else (first, last)


def chain_at(db: sqlite3.Connection, epoch: str, seq: int) -> bytes | None:
    """The chain after `seq`; None if the journal does not reach there (or not back to there)."""
    mark = db.execute(
        "SELECT seq, chain FROM mark WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)
    ).fetchone()
    if mark is None and seq == 0 and (db.execute("SELECT min(seq) FROM fact").fetchone()[0] or 1) > 1:
        return None  # what the seed is for has left the journal
    at, value = mark or (0, chain.seed(epoch))
    if seq < at:
        return None
    rows = db.execute("SELECT seq, uid, inner FROM fact WHERE seq > ? AND seq <= ? ORDER BY seq", (at, seq))
    for number, uid, inner in rows.fetchall():
        if number != at + 1:
            return None
        at, value = number, chain.link(value, number, uid, inner)
    return value if at == seq else None


def walk(
    db: sqlite3.Connection, after: int, value: bytes, *, up_to: int, page: int = MARK_EVERY
) -> Iterator[StoredRecord]:
    """The facts behind `after` in order, each with the chain after it; `value` is the chain after `after`.

    Reads in pages of some MiB at most, so that no read transaction stays open and memory stays small. Ends
    at `up_to`, or early where a fact is missing.
    """
    while after < up_to:
        rows = db.execute(
            "SELECT seq, uid, salt, record, inner FROM fact WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (after, up_to, page),
        ).fetchall()
        if not rows:
            return
        for seq, uid, salt, record, inner in rows:
            if seq != after + 1:
                return
            after, value = seq, chain.link(value, seq, uid, inner)
            yield StoredRecord(seq, uid, salt or b"", record, inner, value)


def verified(db: sqlite3.Connection, epoch: str, after: int, *, up_to: int) -> Iterator[StoredRecord]:
    """`walk`, with every fact held against its inner hash and every mark against the chain.

    Raises ChainBroken at the first fact that is missing or not what was written.
    """
    value = chain_at(db, epoch, after)
    if value is None:
        raise ChainBroken(after, "is missing, or one before it")
    for stored in walk(db, after, value, up_to=up_to):
        after = stored.seq
        if stored.record is not None and chain.inner_hash(stored.salt, stored.record) != stored.inner:
            raise ChainBroken(after, "does not match its hash")
        if after % MARK_EVERY == 0:
            mark = db.execute("SELECT chain FROM mark WHERE seq = ?", (after,)).fetchone()
            if mark != (stored.chain,):
                raise ChainBroken(after, "does not lead to the chain that was written")
        yield stored
    if after < up_to:
        raise ChainBroken(after + 1, "is missing")
