"""A journal written from records: what salvage and the other ways of beginning again have in common.

Facts are numbered from 1 under a new epoch, their bytes as they were. The tables that follow from facts are
made from them (`projection`), so that nothing is believed that no fact says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from common import chain, facts
from common.facts import Fact
from edge.journal.projection import (
    METER_KIND,
    command_after,
    session_after,
    subject,
    touches_command,
    touches_session,
)
from edge.journal.rotation import write_epoch
from edge.journal.rows import (
    COMMAND_COLUMNS,
    SESSION_COLUMNS,
    CommandRow,
    SessionRow,
    command_values,
    session_values,
)
from edge.journal.schema import MARK_EVERY

#: Facts in one transaction.
_PAGE = 500


class Kept(NamedTuple):
    """A fact's row that proved itself. A tombstone has neither salt nor record."""

    seq: int  #: its number in the journal that it comes from
    uid: str
    kind: str
    inner: bytes
    salt: bytes | None
    record: bytes | None


class Rebuilt(msgspec.Struct):
    """What was written. `seqs`: (old, new) number wherever the old ones have a break."""

    facts: int = 0
    unreadable: int = 0
    seqs: list[tuple[int, int]] = []

    def now(self, old: int) -> int:
        """The new number of the last fact at or before an old one; 0 = there is none."""
        found = 0
        for begins, new in self.seqs:
            if begins > old:
                break
            found = min(new + old - begins, self.facts)
        return found


def write(db: sqlite3.Connection, epoch: str, rows: Iterator[Kept]) -> Rebuilt:
    """Write rows into an empty journal under `epoch`. Raises sqlite3.Error."""
    done = Rebuilt(seqs=[])
    value, before = chain.seed(epoch), -1
    sessions: dict[str, SessionRow] = {}
    commands: dict[str, CommandRow] = {}
    db.execute("BEGIN IMMEDIATE")
    for row in rows:
        fact = _read(epoch, done.facts + 1, row)
        if fact is None and row.record is not None:
            done.unreadable += 1
            continue
        done.facts += 1
        if row.seq != before + 1:
            done.seqs.append((row.seq, done.facts))
        before = row.seq
        about = None if row.kind == METER_KIND else subject(fact) if fact is not None else ""
        db.execute(
            "INSERT INTO fact (seq, uid, kind, subject, inner, salt, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (done.facts, row.uid, row.kind, about, row.inner, row.salt, row.record),
        )
        value = chain.link(value, done.facts, row.uid, row.inner)
        if done.facts % MARK_EVERY == 0:
            db.execute("INSERT INTO mark VALUES (?, ?)", (done.facts, value))
        if fact is not None:
            _project(sessions, commands, fact)
        if done.facts % _PAGE == 0:
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
    _write_rows(db, sessions, commands)
    write_epoch(db, epoch)
    db.execute("COMMIT")
    return done


def _read(epoch: str, seq: int, row: Kept) -> Fact | None:
    if row.record is None:
        return None
    try:
        return facts.read(epoch, seq, row.record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _project(sessions: dict[str, SessionRow], commands: dict[str, CommandRow], fact: Fact) -> None:
    if (session := touches_session(fact)) is not None:
        after = session_after(sessions.get(session), fact)
        if after is not None:
            sessions[session] = after
    elif (command := touches_command(fact)) is not None:
        then = command_after(commands.get(command), fact)
        if then is not None:
            commands[command] = then


def _write_rows(
    db: sqlite3.Connection, sessions: dict[str, SessionRow], commands: dict[str, CommandRow]
) -> None:
    for table, columns, values in (
        ("session", SESSION_COLUMNS, [session_values(row) for row in sessions.values()]),
        ("command", COMMAND_COLUMNS, [command_values(row) for row in commands.values()]),
    ):
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        # Of two rows with one key the journal that they come from had only one: the first stays.
        db.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608
