"""The records of one session with their places in the chain, for a receipt (`edge.receipts`).

Read on a connection of its own, off the loop, in one read transaction, so that an epoch that is rotated
meanwhile cannot mix numbers. Bounded: a session's samples are looked for between its first and its last fact.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from common import chain, facts
from common.errors import Code, Unavailable
from common.facts import Fact, MeterSampled
from edge.journal import marks
from edge.journal.folder import open_reader
from edge.journal.projection import METER_KIND, SESSION_KINDS
from edge.journal.rotation import read_epoch


class Place(NamedTuple):
    """One record and where it stands: the chain before it, and after it by `chain.link`."""

    seq: int
    uid: str
    salt: bytes
    inner: bytes
    record: bytes
    before: bytes


class Evidence(NamedTuple):
    """What the journal holds of one session. `left_out`: signed samples beyond `most`."""

    epoch: str
    places: tuple[Place, ...]
    end: bytes  #: the chain after the last of them
    left_out: int


_KINDS = ", ".join(f"'{kind}'" for kind in sorted(SESSION_KINDS))
_PLACES = "SELECT seq, uid, salt, inner, record FROM fact WHERE"
_STORY = (
    f"{_PLACES} subject = :session AND kind IN ({_KINDS}) AND record IS NOT NULL ORDER BY seq LIMIT :most"
)
# SQLite looks for the bytes; whether they stand in the right place is seen below.
_SIGNED = (
    "SELECT seq, record FROM fact WHERE seq BETWEEN :first AND :last"  # noqa: S608 - our own names
    f" AND kind = '{METER_KIND}' AND instr(record, :session) AND instr(record, :signed) ORDER BY seq"
)


def collect(path: Path, session: str, *, most: int) -> Evidence | None:
    """The session's own facts and those with its signed meter data, at most `most`; None: it has no start.

    Of too many signed samples the first and the last are taken. Blocks. Raises Unavailable.
    """
    try:
        with closing(open_reader(path)) as db:
            db.execute("BEGIN")
            return _collect(db, session, most)
    except sqlite3.Error as failed:
        raise Unavailable(Code.JOURNAL_UNAVAILABLE, str(failed)) from failed


def _collect(db: sqlite3.Connection, session: str, most: int) -> Evidence | None:
    epoch = read_epoch(db)
    row = db.execute("SELECT started_seq, last_seq FROM session WHERE session = ?", (session,)).fetchone()
    story = db.execute(_STORY, {"session": session, "most": most}).fetchall()
    if row is None or not story:
        return None
    wanted = {
        "first": row[0],
        "last": max(row[1], story[-1][0]),
        "session": session.encode(),
        "signed": b'"signed":',
    }
    signed = [
        seq
        for seq, record in db.execute(_SIGNED, wanted)
        if _is_signed(facts.read(epoch, seq, record), session)
    ]
    room = most - len(story)
    taken = (
        signed
        if len(signed) <= room
        else [*signed[: room - room // 2], *signed[-(room // 2) or len(signed) :]]
    )
    found = {values[0]: values for values in story}
    for seq in taken:
        found[seq] = db.execute(f"{_PLACES} seq = ?", (seq,)).fetchone()
    places: list[Place] = []
    end = b""
    for seq in sorted(found):
        _, uid, salt, inner, record = found[seq]
        before = marks.chain_at(db, epoch, seq - 1)
        if before is None:
            return None
        places.append(Place(seq, uid, salt, inner, record, before))
        end = chain.link(before, seq, uid, inner)
    return Evidence(epoch, tuple(places), end, len(signed) - len(taken))


def _is_signed(fact: Fact, session: str) -> bool:
    body = fact.body
    return (
        isinstance(body, MeterSampled)
        and body.session == session
        and any(sample.signed for sample in body.samples)
    )
