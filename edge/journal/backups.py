"""Backups: whole copies of the journal made while it is written to, and a copy put back.

    nightly, `backup`     VACUUM INTO on a reading connection   data/backups/journal-DATE.db, three are kept
    before a migration    the same, of the old version          data/backups/before-vN.db
    `restore`             with the box stopped                  a new epoch: everything retained is sent again

A copy is complete or it is not there: it is written under another name, synced, and then renamed. Copies hold
names and tags as the journal does, so forgetting a person goes through them, too (`forget`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from common.errors import Code, LocalFault
from common.ports import Ids
from edge.journal import folder as folders
from edge.journal import marks, people, rotation, schema

FOLDER = "backups"
#: Nightly copies kept.
KEEP = 3
_NIGHTLY = "journal-*.db"
#: Left free on the disk behind a copy, in bytes: a copy must not be what fills it.
SPARE_BYTES = 64 * 1024 * 1024


def name_at(at: str) -> str:
    """The file name of a copy made at an ISO time."""
    return f"journal-{at[:19].replace(':', '').replace('-', '')}Z.db"


def copy(db: sqlite3.Connection, target: Path) -> int:
    """Copy the journal behind `db` to a new file, whole and synced; its size in bytes.

    Raises LocalFault (folder_unusable) when the disk has no room for it, or the folder cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        _has_room(target.parent, pages * page_bytes + SPARE_BYTES)
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db.execute("VACUUM INTO ?", (str(part),))
        _sync(part)
        part.replace(target)
        _sync(target.parent)
        return target.stat().st_size
    except (sqlite3.Error, OSError) as failed:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise folders.unusable(target, failed) from failed


def copy_of(journal: Path, target: Path) -> int:
    """`copy` of a journal that is in use, on a connection of its own."""
    db = sqlite3.connect(folders.reader_uri(journal), uri=True, isolation_level=None)
    try:
        return copy(db, target)
    finally:
        db.close()


def newest(folder: Path) -> str:
    """The newest nightly copy's name; empty = there is none."""
    return max((path.name for path in folder.glob(_NIGHTLY)), default="")


def _has_room(folder: Path, wanted: int) -> None:
    if shutil.disk_usage(folder).free < wanted:
        raise OSError(errno.ENOSPC, f"a copy needs {wanted // 2**20} MiB")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def keep_newest(folder: Path, keep: int = KEEP) -> None:
    """Remove nightly copies but the newest; other files are left alone."""
    for old in sorted(folder.glob(_NIGHTLY), reverse=True)[keep:]:
        old.unlink(missing_ok=True)


def before_migration(data: Path, db: sqlite3.Connection, version: int) -> None:
    """Copy a file of an older version before it is changed. Raises as `copy` does: without it no change."""
    copy(db, data / FOLDER / f"before-v{version + 1}.db")


def forget(folder: Path, principal: str) -> list[str]:
    """Remove a person from every copy; the paths of those that could not be opened for it."""
    left = []
    for path in sorted(folder.glob("*.db")):
        try:
            db = sqlite3.connect(path, isolation_level=None)
            try:
                db.execute("PRAGMA secure_delete = ON").fetchall()
                db.execute("BEGIN IMMEDIATE")
                people.forget(db, principal)
                db.execute("COMMIT")
            finally:
                db.close()
        except sqlite3.Error:
            left.append(str(path))
    return left


def check(path: Path, site: str) -> sqlite3.Connection:
    """Open a copy to read, having seen that it is a whole journal of this site and of no newer version.

    site: empty = whosesoever. Raises LocalFault with what to do.
    """
    if not path.is_file():
        raise LocalFault(Code.FOLDER_UNUSABLE, f"{path} is not there", hint="Name a file that `backup` made.")
    db = sqlite3.connect(folders.reader_uri(path), uri=True, isolation_level=None)
    try:
        _judge(db, path, site)
    except (sqlite3.Error, schema.TooNew, schema.NotAJournal) as wrong:
        db.close()
        hint = "Nothing was changed. Name another backup."
        if isinstance(wrong, schema.TooNew):
            hint = "Nothing was changed. Install that version first."
        raise LocalFault(Code.FOLDER_UNUSABLE, f"{path}: {wrong}", hint=hint) from wrong
    except BaseException:
        db.close()
        raise
    return db


def prepared(
    data: Path, copy: Path, ids: Ids, present: str, finish: Callable[[sqlite3.Connection], None]
) -> Path:
    """A copy made ready to be the journal: brought to this version, under a new epoch; its path.

    present: the epoch of the journal that it replaces; the new one counts on from the later of the two.
    Raises LocalFault (a fact is not what was written), sqlite3.Error, OSError.
    """
    tidied(data)
    work = data / f"{FOLDER}.work"
    work.mkdir(mode=0o700)
    path = work / folders.DATABASE
    _has_room(work, copy.stat().st_size + folders.WAL_BYTES_MAX)
    shutil.copyfile(copy, path)
    path.chmod(0o600)
    db = folders.open_writer(work, quick_check=True)
    try:
        _proven(db, copy)
        later = max(present, rotation.read_epoch(db), key=rotation.counter)
        db.execute("BEGIN IMMEDIATE")
        rotation.rotate(db, rotation.next_epoch(later, ids))
        finish(db)
        db.execute("COMMIT")
    finally:
        db.close()
    _sync(path)
    for left in work.iterdir():
        if left != path:
            left.unlink()
    return path


def tidied(data: Path) -> None:
    """Leave nothing of `prepared` behind: a refused copy is as large as a journal, and as private."""
    shutil.rmtree(data / f"{FOLDER}.work", ignore_errors=True)


def _proven(db: sqlite3.Connection, copy: Path) -> None:
    """See that every fact is what was written: of a bit that flipped within one SQLite knows nothing.

    A box on such a copy would salvage it and lose the fact, where another backup may have it. LocalFault.
    """
    first, last = marks.bounds(db)
    try:
        for _ in marks.verified(db, rotation.read_epoch(db), first - 1, up_to=last):
            pass
    except folders.ChainBroken as broken:
        raise LocalFault(
            Code.FOLDER_UNUSABLE, f"{copy}: {broken}", hint="Nothing was changed. Name another backup."
        ) from broken


def _judge(db: sqlite3.Connection, path: Path, site: str) -> None:
    version = schema.version_of(db)
    if not version:
        raise schema.NotAJournal("it is empty")
    if version > len(schema.MIGRATIONS):
        raise schema.TooNew(version, len(schema.MIGRATIONS))
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))
    row = db.execute("SELECT value FROM meta WHERE name = 'journal.site'").fetchone()
    if site and row is not None and row[0] != site:
        raise LocalFault(
            Code.FOLDER_UNUSABLE,
            f"{path} is of site {row[0]}, and this folder's keys are of {site}",
            hint="Nothing was changed. Name a backup of this site, or put that site's keys back first.",
        )
