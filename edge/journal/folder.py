"""The data folder: one process at a time, and a database in it that is set up as durability needs it.

Everything that can be wrong with the folder is found here, before anything is served, and said as a
`LocalFault` with what to do about it.

Nothing in this process may open journal.db but through SQLite: POSIX drops all of a process's locks on a file
when it closes any descriptor of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import msgspec

from common.errors import Code, LocalFault
from edge.journal import ballast, schema

#: What functions for the writer are given: only this package looks into it.
Database = sqlite3.Connection

DATABASE = "journal.db"
LOCK = "lock"

#: Largest write-ahead log kept; also where a checkpoint is made: bounds what a start reads again.
WAL_BYTES_MAX = 4 * 1024 * 1024
#: How long a lock of somebody outside (an administrator's sqlite3 shell) is waited for, in ms.
BUSY_MS = 2_000

#: What durability and safety rest on; each is read back after it is set. secure_delete: see `people`.
_WRITER_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("mmap_size", "0", 0),
    ("journal_size_limit", str(WAL_BYTES_MAX), WAL_BYTES_MAX),
    ("wal_autocheckpoint", "0", 0),
    ("secure_delete", "ON", 1),
    ("temp_store", "MEMORY", 2),
    ("busy_timeout", str(BUSY_MS), BUSY_MS),
)
_READER_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("query_only", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("mmap_size", "0", 0),
    ("wal_autocheckpoint", "0", 0),
    ("temp_store", "MEMORY", 2),
    ("busy_timeout", str(BUSY_MS), BUSY_MS),
)


class FolderLock:
    """Exclusive use of the folder until `release` or the process's end."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise LocalFault(Code.FOLDER_IN_USE, f"{folder}, process {holder}") from None
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let another process in. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lock(folder: Path) -> FolderLock:
    """Make the folder if need be and take it. LocalFault: folder_in_use, folder_unusable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FolderLock(folder)
    except OSError as refused:
        raise unusable(folder, refused) from refused


class Damaged(LocalFault):
    """The journal's file is not what was written. What of it still proves itself can be salvaged."""


class ChainBroken(Exception):  # noqa: N818 - a finding, reported as Damaged
    """The rows do not give the chain that was written: something was changed, lost or damaged."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"fact {seq} {what}")
        self.seq = seq


def open_writer(
    folder: Path,
    connection: type[sqlite3.Connection] = sqlite3.Connection,
    *,
    quick_check: bool,
    before_migration: Callable[[sqlite3.Connection, int], None] = lambda _db, _version: None,
) -> sqlite3.Connection:
    """The one connection that writes and checkpoints: set up, migrated, checked, and proven to commit.

    before_migration: makes a copy of a file of an older version. On a full disk the ballast is let go.
    Raises LocalFault (folder_unusable) with what to do; Damaged when the file is not what was written.
    """
    path = folder / DATABASE
    for last_try in (False, True):
        db: sqlite3.Connection | None = None
        try:
            _create(path)
            _forget_cached(path)
            db = sqlite3.connect(
                path,
                factory=connection,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_MS / 1000,
            )
            _set_up(db, quick_check=quick_check, before_migration=before_migration)
        except (sqlite3.Error, OSError, schema.TooNew, schema.NotAJournal) as found:
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
            if not last_try and disk_is_full(found) and ballast.release(folder):
                continue
            raise unusable(path, found) from found
        else:
            return db
    raise AssertionError("the second try returns or raises")


def _set_up(
    db: sqlite3.Connection,
    *,
    quick_check: bool,
    before_migration: Callable[[sqlite3.Connection, int], None],
) -> None:
    # A file that is made now can give pages back to the disk; an older one only uses them again.
    if db.execute("PRAGMA page_count").fetchone() == (0,):
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _set(db, _WRITER_PRAGMAS)
    schema.version_of(db)
    if quick_check:
        _check(db)
    schema.migrate(db, before=lambda version: before_migration(db, version))
    # A read-only file system or a full disk shows only when something is written: count this opening.
    db.execute(
        "INSERT INTO meta VALUES ('journal.opened', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1"
    )
    # What a killed process left in the log, an erasure perhaps, is brought to its end now. That copies it
    # into the file and syncs that: rows whose own sync failed are on the disk from here on, or not at all.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def disk_is_full(found: BaseException) -> bool:
    """Whether an error says that there is no room."""
    code = getattr(found, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or getattr(found, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection for look-ups on the caller's thread. Raises sqlite3.Error."""
    db = sqlite3.connect(reader_uri(path), uri=True, isolation_level=None, check_same_thread=False)
    _set(db, _READER_PRAGMAS)
    # From its first read on it counts as a user of the log, so that no other's close removes that.
    db.execute("SELECT count(*) FROM meta").fetchone()
    return db


def reader_uri(path: Path) -> str:
    """How SQLite is told to open `path` without the right to write."""
    return f"file:{quote(str(path))}?mode=ro"


def reader_pragmas() -> tuple[str, ...]:
    """The statements that set up a reading connection."""
    return tuple(f"PRAGMA {name} = {value}" for name, value, _ in _READER_PRAGMAS)


def _create(path: Path) -> None:
    """An empty file that only its owner may read (it will hold names), with its name on disk too."""
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for folder in (path.parent, path.parent.parent):
        sync_names(folder)


def sync_names(folder: Path) -> None:
    """Have the names in a folder on disk: what was made there, moved there or away. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _forget_cached(path: Path) -> None:
    """After an end without a goodbye (a log is there) have the files read from the disk itself.

    What a failed sync did not write stays in the system's cache as if it had been (Linux marks it clean).
    Before SQLite opens the file, because closing a descriptor of it drops SQLite's locks.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists():
        return
    for file in (path, log):
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def _set(db: sqlite3.Connection, pragmas: tuple[tuple[str, str, object], ...]) -> None:
    for name, value, wanted in pragmas:
        db.execute(f"PRAGMA {name} = {value}").fetchall()
        (got,) = db.execute(f"PRAGMA {name}").fetchone()
        if got != wanted:
            raise sqlite3.OperationalError(f"this file system does not allow {name}={value} (it stays {got})")


def _check(db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))


def unusable(path: Path, found: Exception) -> LocalFault:
    """The fault for what was found, with the next step that fits it."""
    code = getattr(found, "sqlite_errorcode", 0) & 0xFF
    number = getattr(found, "errno", None)
    if isinstance(found, schema.TooNew):
        step = "Install that version again, or use another data folder."
    elif isinstance(found, schema.NotAJournal):
        step = "Name another data folder."
    elif disk_is_full(found):
        step = "Free space on that disk and start again."
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) or number:
        step = "Make the folder writable for this user (or remount the disk) and start again."
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        step = "Close the program that has the file open and start again."
    else:
        step = (
            "Keep the folder as it is: move it aside whole, then restore the latest backup, "
            "or start with an empty folder and pair again."
        )
    detail = getattr(found, "strerror", None) or str(found)
    kind = Damaged if _is_damage(found) else LocalFault
    return kind(Code.FOLDER_UNUSABLE, f"{path}: {detail}", hint=step)


def _is_damage(found: Exception) -> bool:
    if isinstance(found, ChainBroken | msgspec.MsgspecError):
        return True
    if not isinstance(found, sqlite3.DatabaseError):
        return False
    code = getattr(found, "sqlite_errorcode", None)
    if code is None:  # of our own checks
        return type(found) is sqlite3.DatabaseError
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
