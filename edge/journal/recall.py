"""Look-ups for the loop's thread: microseconds, by primary key or index, on a read-only connection.

What is pushed but not yet on disk is found too (`pending`): a look-up never knows less than was pushed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from common import facts
from common.facts import Fact
from edge.journal import marks, people
from edge.journal.pending import Pending
from edge.journal.projection import command_after, session_after, touches_command, touches_session
from edge.journal.rows import (
    COMMAND_COLUMNS,
    SESSION_COLUMNS,
    CommandRow,
    SessionRow,
    StoredRecord,
    TagRow,
    command_row,
    session_row,
)
from edge.journal.writer import unavailable

_SESSION = f"SELECT {', '.join(SESSION_COLUMNS)} FROM session WHERE "  # noqa: S608 - our own names
_COMMAND = f"SELECT {', '.join(COMMAND_COLUMNS)} FROM command WHERE id = ?"  # noqa: S608
#: A charger whose clock cannot be believed may use a key again; its latest session is the one meant.
_BY_KEY = (
    f"SELECT * FROM ({_SESSION} key = ?1 AND key <> '' AND weak = 0"  # noqa: S608
    f" UNION ALL SELECT * FROM ({_SESSION} key = ?1 AND key <> '' AND weak = 1"
    " ORDER BY started_seq DESC LIMIT 1)) ORDER BY started_seq DESC LIMIT 1"
)
#: How many of a charger's orphans and decisions are looked through for one: some ms.
_ORPHANS_MAX = 500
_LATEST = f"ORDER BY seq DESC LIMIT {_ORPHANS_MAX}"
_ORPHANS = f"SELECT record FROM fact WHERE record IS NOT NULL AND subject = ? AND kind = ? {_LATEST}"  # noqa: S608
_DECIDED = f"SELECT record FROM fact WHERE record IS NOT NULL AND subject IS NOT NULL AND kind = ? {_LATEST}"  # noqa: S608
#: Rows fetched at once for a batch: a batch is bounded in bytes, so a page must not be large.
_RECORDS_PAGE = 32


class Recall:
    """The reading half of the journal. Loop thread only."""

    epoch: str

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._pending = Pending()
        self._chain_end: tuple[str, int, bytes] = ("", 0, b"")

    def _all(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as failed:
            raise unavailable(failed) from failed

    def _session(self, where: str, *values: object) -> SessionRow | None:
        found = self._all(_SESSION + where, values)
        return session_row(found[0]) if found else None

    # --- replies, sessions, commands -------------------------------------------------------------------

    def recall_reply(self, key: str) -> bytes | None:
        """The reply stored under `key`, exactly as it was pushed; the latest if there were several."""
        pending = self._pending.reply(key)
        if pending is not None:
            return pending
        found = self._all("SELECT body FROM reply WHERE key = ?", (key,))
        return found[0][0] if found else None

    def recall_session(self, session: str) -> SessionRow | None:
        """The session with this uid."""
        return self._pending.session(session) or self._session("session = ?", session)

    def recall_session_by_key(self, key: str) -> SessionRow | None:
        """The session with this deduplication key; the one that started last, where a weak key came twice."""
        if not key:
            return None
        pending = self._pending.session_by_key(key)
        found = self._all(_BY_KEY, (key,))
        if not found:
            return pending
        row = session_row(found[0])
        if pending is not None and pending.started_seq >= row.started_seq:
            return pending
        return self._pending.session(row.session) or row

    def recall_session_by_transaction(self, charger: str, transaction: str) -> SessionRow | None:
        """The session that has this transaction id on its charger's wire."""
        if not transaction:
            return None
        pending = self._pending.session_by_transaction(charger, transaction)
        where = "charger = ? AND transaction_id = ? AND transaction_id <> ''"
        return pending or self._session(where, charger, transaction)

    def transaction_taken(self, charger: str, transaction: str) -> bool:
        """Whether the id was ever used on this charger: it is never given out again."""
        return self.recall_session_by_transaction(charger, transaction) is not None

    def recall_command(self, command_id: str) -> CommandRow | None:
        """The command with this id, however long ago it was settled."""
        pending = self._pending.command(command_id)
        if pending is not None:
            return pending
        if command_id == self._pending.absent_command:
            return None  # a new command is looked up before it is decided and again when it is pushed
        found = self._all(_COMMAND, (command_id,))
        if not found:
            self._pending.absent_command = command_id
            return None
        return command_row(found[0])

    def recall_fact(self, seq: int) -> Fact | None:
        """The fact at `seq`, if it is on disk and has not been erased."""
        found = self._all("SELECT record FROM fact WHERE seq = ? AND record IS NOT NULL", (seq,))
        return facts.read(self.epoch, seq, found[0][0]) if found else None

    def rows_after(
        self, made: Sequence[Fact]
    ) -> tuple[Sequence[tuple[SessionRow, bool]], Sequence[tuple[CommandRow, bool]]]:
        """The rows that these facts change, each as they leave it, with whether it is new."""
        sessions: dict[str, tuple[SessionRow, bool]] = {}
        commands: dict[str, tuple[CommandRow, bool]] = {}
        for fact in made:
            if (session := touches_session(fact)) is not None:
                row, new = sessions.get(session) or (self.recall_session(session), False)
                if (after := session_after(row, fact)) is not None:
                    new = new or isinstance(fact.body, facts.SessionStarted)
                    sessions[session] = (after, new)
            elif (command := touches_command(fact)) is not None:
                earlier, fresh = commands.get(command) or (self.recall_command(command), False)
                if (then := command_after(earlier, fact)) is not None:
                    commands[command] = (then, fresh or earlier is None)
        return tuple(sessions.values()), tuple(commands.values())

    def recall_orphan(self, charger: str, orphan: str) -> facts.OrphanRecorded | None:
        """The orphan of this name, if it is on disk and waits for a decision still. Looks through the latest
        of its charger only: this is on the loop, and an older one is listed all the same."""
        found: facts.OrphanRecorded | None = None
        decided = self._all(_DECIDED, (facts.OrphanResolved.KIND,))
        for (record,) in (*decided, *self._all(_ORPHANS, (charger, facts.OrphanRecorded.KIND))):
            body = facts.read(self.epoch, 0, record).body
            if isinstance(body, facts.OrphanResolved) and body.orphan == orphan:
                return None
            if isinstance(body, facts.OrphanRecorded) and body.orphan == orphan:
                found = found or body
        return found

    # --- names, settings -------------------------------------------------------------------------------

    def recall_name(self, principal: str) -> str | None:
        """The person's name, if it is known here."""
        return people.person_name(self._reader, principal)

    def recall_tag(self, ref: str) -> TagRow | None:
        """The raw tag behind a reference, if it is known here."""
        return people.tag_of(self._reader, ref)

    def get(self, name: str) -> bytes | None:
        """The value last `set` and committed under `name`."""
        found = self._all("SELECT value FROM meta WHERE name = ?", (checked_name(name),))
        return found[0][0] if found else None

    def pages(self) -> tuple[int, int, int]:
        """Pages in the file, how many of them hold nothing, and a page's size in bytes."""
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(self._all(f"PRAGMA {name}", ())[0][0]) for name in names)
        return pages, free, size

    # --- sync ------------------------------------------------------------------------------------------

    def chain_at(self, seq: int) -> bytes | None:
        """The chain after `seq`; None if that is not on disk, or not any more."""
        epoch, at, value = self._chain_end
        if (epoch, at) == (self.epoch, seq):
            return value
        try:
            return marks.chain_at(self._reader, self.epoch, seq)
        except sqlite3.Error as failed:
            raise unavailable(failed) from failed

    def records(self, from_seq: int, *, max_records: int, max_bytes: int) -> list[StoredRecord]:
        """Consecutive facts on disk from `from_seq` on: at least one if there is one, else within both
        bounds. `max_bytes` counts records, uids, salts and inner hashes. Empty when nothing is there.
        """
        value = self.chain_at(from_seq - 1)
        if value is None:
            return []
        taken: list[StoredRecord] = []
        size, up_to = 0, from_seq - 1 + max_records
        page = min(_RECORDS_PAGE, max_records)
        try:
            for stored in marks.walk(self._reader, from_seq - 1, value, up_to=up_to, page=page):
                size += len(stored.record or b"") + len(stored.uid) + len(stored.salt) + len(stored.inner)
                if taken and size > max_bytes:
                    break
                taken.append(stored)
        except sqlite3.Error as failed:
            raise unavailable(failed) from failed
        if taken:
            self._chain_end = (self.epoch, taken[-1].seq, taken[-1].chain)
        return taken


def checked_name(name: str) -> str:
    """A name for `get` and `set`; the journal's own are not among them."""
    if name.startswith("journal."):
        raise ValueError(f"{name} is the journal's own")
    return name


def set_meta(db: sqlite3.Connection, name: str, value: bytes) -> None:
    """Keep a value under a name, on the writing connection."""
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value)
    )
