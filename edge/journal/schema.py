"""The journal's tables, and how a file from an older version becomes one of this version.

    fact        one row a fact, never changed but by erasure (record and salt go, inner hash stays)
    mark        the chain at every `MARK_EVERY`th fact; between marks it follows from the rows
    session     projection, one row a session        command   projection, one row a command
    reply       the exact reply to a message that changed something, by its deduplication key; its fact
    snapshot    the newest two encoded states        meta      names and values (the epoch; settings)
    person, tag the only place of names and raw tags; `people.forget` empties them

Meter samples are most of the rows and the busiest path. They have no subject and are in no index, so that one
costs one row in the table's last page and nothing else; a session's samples are found by going through the
facts between its first and its last.

Tables are STRICT (SQLite ≥ 3.37): a blob that somebody's edit turned into text would not hash any more.

The chain is stored at marks only. So a new epoch (`rotation`) rewrites the marks and not the journal, and
needs no second copy's worth of disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

#: "PLSG": tells our files from other SQLite databases.
APPLICATION_ID = 0x504C5347

#: Facts between two stored chain values: what a look-up of the chain hashes at most, well under 1 ms.
MARK_EVERY = 256

_FIRST = (
    """CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) WITHOUT ROWID, STRICT""",
    """CREATE TABLE fact (
        seq INTEGER PRIMARY KEY,
        uid TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT,
        inner BLOB NOT NULL,
        salt BLOB,
        record BLOB
    ) STRICT""",
    "CREATE INDEX fact_by_subject ON fact(subject) WHERE subject IS NOT NULL",
    "CREATE INDEX fact_by_kind ON fact(kind) WHERE subject IS NOT NULL",
    """CREATE TABLE mark (
        seq INTEGER PRIMARY KEY,
        chain BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE session (
        session TEXT PRIMARY KEY,
        charger TEXT NOT NULL,
        evse INTEGER NOT NULL,
        connector INTEGER NOT NULL,
        transaction_id TEXT NOT NULL,
        principal TEXT,
        key TEXT NOT NULL,
        weak INTEGER NOT NULL,
        boot INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        provisional INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        meter_start_wh REAL,
        meter_stop_wh REAL,
        ended_at TEXT NOT NULL,
        command TEXT,
        tag_ref TEXT,
        authorization TEXT NOT NULL,
        started_at TEXT NOT NULL,
        energy_wh REAL,
        method TEXT NOT NULL,
        reason TEXT NOT NULL,
        flags TEXT NOT NULL,
        started_seq INTEGER NOT NULL,
        ended_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL
    ) STRICT""",
    # Never two sessions with one (charger, transaction), whatever anybody decides.
    """CREATE UNIQUE INDEX session_by_transaction ON session(charger, transaction_id)
        WHERE transaction_id <> ''""",
    "CREATE UNIQUE INDEX session_by_strong_key ON session(key) WHERE weak = 0 AND key <> ''",
    "CREATE INDEX session_by_weak_key ON session(key, started_seq) WHERE weak = 1 AND key <> ''",
    "CREATE INDEX session_by_start ON session(started_seq)",
    "CREATE INDEX session_by_principal ON session(principal, started_seq)",
    "CREATE INDEX session_by_charger ON session(charger, started_seq)",
    """CREATE TABLE command (
        id TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        state TEXT NOT NULL,
        principal TEXT,
        answer TEXT NOT NULL,
        outcome TEXT NOT NULL,
        code TEXT NOT NULL,
        detail TEXT NOT NULL,
        session TEXT,
        result BLOB NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        path TEXT NOT NULL,
        charger TEXT NOT NULL,
        accepted_seq INTEGER NOT NULL,
        sent_seq INTEGER NOT NULL,
        confirmed_seq INTEGER NOT NULL,
        settled_seq INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX command_by_session ON command(session) WHERE session IS NOT NULL",
    """CREATE TABLE reply (
        key TEXT PRIMARY KEY,
        body BLOB NOT NULL
    ) WITHOUT ROWID, STRICT""",
    """CREATE TABLE snapshot (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        seq INTEGER NOT NULL,
        sum BLOB NOT NULL,
        state BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE person (
        principal TEXT PRIMARY KEY,
        name TEXT NOT NULL
    ) WITHOUT ROWID, STRICT""",
    """CREATE TABLE tag (
        ref TEXT PRIMARY KEY,
        tag TEXT NOT NULL,
        principal TEXT
    ) WITHOUT ROWID, STRICT""",
)

#: A reply knows the fact that it went to disk with, so that it can leave with it.
_SECOND = ("ALTER TABLE reply ADD COLUMN seq INTEGER NOT NULL DEFAULT 0",)

#: Forward only. Step n turns version n into n+1 in one transaction; a step is never edited once released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND)

#: The oldest version whose code can work with a file of this one: an upgrade that fails its trial is taken
#: back without touching the file. So a step first only adds (columns with defaults, tables); what it made
#: superfluous goes in a later step, together with a higher number here.
OPENS_WITH = 1


class TooNew(Exception):  # noqa: N818 - a finding, reported as a LocalFault
    """The file was written by a later version."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"it was written by a newer version (its schema is {found}, this version knows up to {known})"
        )


class NotAJournal(Exception):  # noqa: N818
    """A database, but not one of ours."""


def version_of(db: sqlite3.Connection) -> int:
    """The file's version; 0 = it is empty. Raises NotAJournal, sqlite3.Error."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise NotAJournal("it is a database of another application")
    return int(version)


def migrate(
    db: sqlite3.Connection,
    migrations: tuple[tuple[str, ...], ...] = MIGRATIONS,
    *,
    before: Callable[[int], None] = lambda _: None,
) -> None:
    """Bring the file up to this version. Raises TooNew, NotAJournal or sqlite3.Error; a step that fails
    leaves the file as it was before that step. A newer file that says this version may work with it is left
    as it is.

    before: called with the version of a file that is about to be changed, for a copy of it.
    """
    version = version_of(db)
    if version > len(migrations):
        found = db.execute("SELECT value FROM meta WHERE name = 'journal.opens_with'").fetchone()
        if found is None or not isinstance(found[0], int) or found[0] > len(migrations):
            raise TooNew(version, len(migrations))
        return
    if 0 < version < len(migrations):
        before(version)
    for number, step in enumerate(migrations[version:], version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in step:
                db.execute(statement)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('journal.opens_with', ?)", (OPENS_WITH,))
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
