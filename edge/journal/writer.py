"""The writer: one thread that turns what was pushed into transactions, one for everything that waits.

    loop thread ── Push, Call ──▶ inbox ──▶ writer thread: BEGIN, rows, COMMIT ──▶ loop: committed(seq)

While one group is on its way to the disk the next gathers in the inbox, so a slow disk makes larger groups
and not longer queues (design §2). The one connection writes and checkpoints (SQLite's WAL-reset bug needs
two), and a checkpoint comes after the answer to the commit, not within it.

After anything goes wrong with a transaction nothing more is written: after a failed fsync the next commit on
the same connection "succeeds" although data is gone (Linux marks such pages clean). The process ends
and looks again.
"""

from __future__ import annotations

import os
import queue
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from common import chain
from common.errors import Code, Unavailable
from common.facts import Fact
from common.ports import Ids
from edge.journal.folder import BUSY_MS, WAL_BYTES_MAX
from edge.journal.projection import METER_KIND, subject
from edge.journal.reserve import reserve
from edge.journal.rotation import Head
from edge.journal.rows import (
    COMMAND_COLUMNS,
    SESSION_COLUMNS,
    CommandRow,
    SessionRow,
    command_values,
    session_values,
)
from edge.journal.schema import MARK_EVERY

#: Facts in one transaction at most. The disk's share is paid off by some dozens already; more would only
#: delay the first answer.
GROUP_FACTS_MAX = 1024
#: Rows that one INSERT can have. Each call into SQLite gives the interpreter away, and a busy event loop
#: gives it back only after the switch interval: few calls keep a commit short while the loop is working. So
#: there are statements for the usual small groups, which are then one call, and for pieces of large ones.
_INSERTS = (*range(1, 17), 32, 64)
#: An idle writer checkpoints after this long, in s, if at least this many commits (about 1 MiB of log) are
#: waiting: paid when nobody waits, and seldom enough to spare an SD card.
_IDLE_S = 0.25
_IDLE_COMMITS = 64
#: How often an erasure that waits for a reader to finish is tried again, in s.
_ERASE_RETRY_S = 0.05
#: Salts are drawn this many at a time: one call to the system instead of one a fact.
_SALTS = 256

_FACT_COLUMNS = 7


class Push(msgspec.Struct, frozen=True):
    """Facts and what goes to disk with them. `new_*`: this push has the fact that made the row."""

    facts: Sequence[Fact]
    replies: Sequence[tuple[str, bytes]]
    sessions: Sequence[tuple[SessionRow, bool]]
    commands: Sequence[tuple[CommandRow, bool]]
    weight: int


class Call(msgspec.Struct, frozen=True):
    """A function to run in order, inside the group's transaction (None: only say that its turn came).

    `ticket` names who waits, 0 = nobody: its failure is then the journal's. `erase`: done only when the
    log's old pages are gone too.
    """

    fn: Callable[[sqlite3.Connection], Any] | None
    ticket: int
    weight: int
    erase: bool = False


class Done(msgspec.Struct, frozen=True):
    """A group is on disk. `seq`: the last fact pushed so far. `results`: (ticket, value or exception)."""

    seq: int
    weight: int
    results: Sequence[tuple[int, object]]


class Owner(Protocol):
    """Who is told, on the writer's thread."""

    def group_done(self, done: Done) -> None: ...
    def writer_failed(self, why: BaseException) -> None: ...


def _insert(table: str, columns: Sequence[str], suffix: str = "") -> str:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({names}) VALUES ({marks}){suffix}"  # noqa: S608 - our own names


def _upsert(table: str, columns: Sequence[str]) -> str:
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
    return _insert(table, columns, f" ON CONFLICT({columns[0]}) DO UPDATE SET {changed}")


# A fresh row is inserted plainly, so that a uid or an id that is taken is an error and not an overwriting.
_SESSION_SQL = {True: _insert("session", SESSION_COLUMNS), False: _upsert("session", SESSION_COLUMNS)}
_COMMAND_SQL = {True: _insert("command", COMMAND_COLUMNS), False: _upsert("command", COMMAND_COLUMNS)}
_REPLY_SQL = _upsert("reply", ("key", "body", "seq"))


def _insert_facts(count: int) -> str:
    row = "(" + ",".join("?" * _FACT_COLUMNS) + ")"
    names = "seq, uid, kind, subject, inner, salt, record"
    return f"INSERT INTO fact ({names}) VALUES {','.join([row] * count)}"  # noqa: S608 - our own names


_FACT_SQL = {count: _insert_facts(count) for count in _INSERTS}
#: How many rows go into the next statement when so many are left.
_PIECE = tuple(max((n for n in _INSERTS if n <= left), default=0) for left in range(_INSERTS[-1] + 1))


class Writer:
    """See the module. Everything here runs on the writer's thread, but for the inbox's other end."""

    def __init__(self, db: sqlite3.Connection, wal: Path, head: Head, ids: Ids, owner: Owner) -> None:
        self.inbox: queue.SimpleQueue[Push | Call | None] = queue.SimpleQueue()
        self.commits = 0  #: transactions committed, for metrics
        self.checkpoints = 0
        self._db = db
        self._wal = wal
        self._head = head
        self._ids = ids
        self._owner = owner
        self._salts = b""
        self._salt_at = 0
        self._stopping = False
        self._unchecked = 0  #: commits since the last checkpoint
        self._reserved = False  #: the log has its full length, or there is no room for it
        self._wal_tried = 0  #: the log's size when a checkpoint was last tried because of it
        self._erasing: list[tuple[int, object]] = []
        self._clear()

    def _clear(self) -> None:
        """Nothing gathered for the transaction."""
        self._facts: list[Fact] = []
        self._marks: list[tuple[int, bytes]] = []
        self._replies: dict[str, tuple[str, bytes, int]] = {}
        self._sessions: dict[str, tuple[SessionRow, bool]] = {}
        self._commands: dict[str, tuple[CommandRow, bool]] = {}

    # --- the thread ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write until None comes out of the inbox; then leave an empty log. The owner closes."""
        try:
            while not self._stopping:
                group = self._gather()
                if group:
                    self._commit(group)
                self._keep_log_short(idle=not group)
            self._truncate()
        except BaseException as failed:  # whatever it is, nothing more may be acknowledged
            self._owner.writer_failed(failed)

    def _gather(self) -> list[Push | Call]:
        """Wait for something, then take all that is there."""
        group: list[Push | Call] = []
        facts = 0
        try:
            op = self.inbox.get(timeout=self._patience())
            while op is not None:
                group.append(op)
                if type(op) is Push:
                    facts += len(op.facts)
                    if facts >= GROUP_FACTS_MAX:
                        return group
                op = self.inbox.get_nowait()
            self._stopping = True
        except queue.Empty:
            pass
        return group

    def _patience(self) -> float | None:
        if self._erasing:
            return _ERASE_RETRY_S
        return _IDLE_S if self._unchecked >= _IDLE_COMMITS else None

    # --- one transaction -------------------------------------------------------------------------------

    def _commit(self, group: Sequence[Push | Call]) -> None:
        results: list[tuple[int, object]] = []
        erased: list[tuple[int, object]] = []
        seq = self._head.seq
        begun = any(isinstance(op, Call) and op.fn is not None for op in group)
        if begun:
            self._db.execute("BEGIN IMMEDIATE")
        for op in group:
            if isinstance(op, Push):
                self._take(op)
                seq = op.facts[-1].seq
                continue
            value = self._call(op, op.fn) if op.fn is not None else None
            if op.ticket:
                (erased if op.erase else results).append((op.ticket, value))
        self._end(begun=begun)
        self._erasing += erased
        self._owner.group_done(Done(seq, sum(op.weight for op in group), results))

    def _end(self, *, begun: bool) -> None:
        """Write what is gathered and commit."""
        count, db = len(self._facts), self._db
        if not (begun or count):
            return  # somebody only asked whether we are here
        rows = self._rows()
        if (
            begun
            or count not in _FACT_SQL
            or self._marks
            or self._replies
            or self._sessions
            or self._commands
        ):
            if not begun:
                db.execute("BEGIN IMMEDIATE")
            self._insert(rows)
            db.execute("COMMIT")
        else:
            # One statement is a transaction of its own.
            db.execute(_FACT_SQL[count], rows)
        self._clear()
        self.commits += 1
        self._unchecked += 1

    def _take(self, push: Push) -> None:
        """Add a push to what the transaction will write."""
        self._facts += push.facts
        for key, body in push.replies:
            self._replies[key] = (key, body, push.facts[-1].seq)
        for session, new in push.sessions:
            known = self._sessions.get(session.session)
            self._sessions[session.session] = (session, new or (known is not None and known[1]))
        for command, new in push.commands:
            earlier = self._commands.get(command.id)
            self._commands[command.id] = (command, new or (earlier is not None and earlier[1]))

    def _rows(self) -> list[object]:
        """The gathered facts as one flat list of SQL values, the chain taken on over them."""
        epoch, seq, value, begins_after = self._head
        salts, at = self._salts, self._salt_at
        rows: list[object] = []
        for fact in self._facts:
            if at == len(salts):
                salts, at = self._ids.token(chain.SALT_BYTES * _SALTS), 0
            salt = salts[at : at + chain.SALT_BYTES]
            at += chain.SALT_BYTES
            seq, uid, kind, record = fact.seq, fact.uid, fact.kind, fact.record
            inner = chain.inner_hash(salt, record)
            value = chain.link(value, seq, uid, inner)
            rows += (seq, uid, kind, None if kind == METER_KIND else subject(fact), inner, salt, record)
            if seq % MARK_EVERY == 0:
                self._marks.append((seq, value))
        self._salts, self._salt_at = salts, at
        self._head = Head(epoch, seq, value, begins_after)
        return rows

    def _insert(self, rows: list[object]) -> None:
        """Give SQLite what is gathered, inside a transaction."""
        db, at = self._db, 0
        while at < len(rows):
            left = (len(rows) - at) // _FACT_COLUMNS
            count = _PIECE[min(left, len(_PIECE) - 1)]
            db.execute(_FACT_SQL[count], rows[at : at + count * _FACT_COLUMNS])
            at += count * _FACT_COLUMNS
        if self._marks:
            db.executemany("INSERT INTO mark VALUES (?, ?)", self._marks)
        for session, new in self._sessions.values():
            db.execute(_SESSION_SQL[new], session_values(session))
        for command, new in self._commands.values():
            db.execute(_COMMAND_SQL[new], command_values(command))
        if self._replies:
            db.executemany(_REPLY_SQL, self._replies.values())

    def _call(self, call: Call, fn: Callable[[sqlite3.Connection], object]) -> object:
        """Run a submitted function. Its own exception is its caller's; the group goes on without it."""
        db = self._db
        if self._facts:
            self._insert(self._rows())
            self._clear()
        db.execute("SAVEPOINT call")
        try:
            value = fn(db)
        except Exception as raised:
            if not call.ticket or not db.in_transaction or _is_the_disk(raised):
                raise
            db.execute("ROLLBACK TO call")
            value = raised
        if not db.in_transaction:
            raise sqlite3.ProgrammingError("a submitted function ended the journal's transaction")
        db.execute("RELEASE call")
        if isinstance(value, Head):
            self._head = value
        return value

    # --- the log ---------------------------------------------------------------------------------------

    def _keep_log_short(self, *, idle: bool) -> None:
        if self._erasing:
            self._erase()
        elif not self._reserved and self._unchecked >= _IDLE_COMMITS:
            # Not at once: most of a short life's time would go into it.
            reserve(self._wal, WAL_BYTES_MAX)
            self._reserved = True
        elif idle and self._unchecked >= _IDLE_COMMITS:
            self._checkpoint()
        elif not idle:
            size = os.stat(self._wal).st_size  # noqa: PTH116 - on every commit; a Path costs more than the call
            if size > WAL_BYTES_MAX:
                # A reader can keep a checkpoint from finishing: then again when a quarter more is there.
                if size >= self._wal_tried + WAL_BYTES_MAX // 4:
                    self._checkpoint()
                    self._wal_tried = size
            else:
                self._wal_tried = 0

    def _checkpoint(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.checkpoints += 1
        self._unchecked = 0

    def _erase(self) -> None:
        """Truncate the log now if no reader needs it; else the next round tries again."""
        self._db.execute("PRAGMA busy_timeout = 0").fetchall()
        self._truncate()
        self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchall()

    def _truncate(self) -> None:
        """Empty the log. What was deleted before then stands nowhere any more."""
        (busy, _, _) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            return
        self._unchecked = 0
        self._reserved = False
        if self._erasing:
            self._owner.group_done(Done(self._head.seq, 0, self._erasing))
            self._erasing = []


def _is_the_disk(raised: Exception) -> bool:
    """Whether an error says that the file or the disk under it is not to be trusted any more."""
    code = getattr(raised, "sqlite_errorcode", None)
    return code is not None and code & 0xFF not in (
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    )


def unavailable(why: BaseException | str) -> Unavailable:
    """What a caller gets once the journal cannot write; its cause is the disk's own error."""
    refusal = Unavailable(Code.JOURNAL_UNAVAILABLE, str(why))
    if isinstance(why, BaseException):
        refusal.__cause__ = why
    return refusal
