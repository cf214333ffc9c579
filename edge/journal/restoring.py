"""A copy put in the journal's place, with the box stopped: under a new epoch, or not at all.

copy ──▶ whole? this site's? ──▶ data/backups.work: this version, new epoch ──▶ journal.db
                                      the journal that was there ──▶ data/damaged/N (kept for a person)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from common.ports import Ids
from edge.journal import backups, inspection, recovery, rotation, salvage
from edge.journal import folder as folders


def put_back(
    folder: Path, copy: Path, ids: Ids, site: str, *, finish: Callable[[sqlite3.Connection], None]
) -> str:
    """Where the journal that was there is kept now; "" = there was none. finish: last words into the new one.

    Raises LocalFault: folder_in_use, folder_unusable. Then nothing has changed.
    """
    lock = folders.lock(folder)
    try:
        backups.check(copy, site).close()

        def end(db: sqlite3.Connection) -> None:
            finish(db)
            recovery.say_goodbye_within(db)

        try:
            ready = backups.prepared(folder, copy, ids, _present_epoch(folder), end)
            aside = salvage.set_aside(folder) if (folder / folders.DATABASE).exists() else None
            ready.replace(folder / folders.DATABASE)
            folders.sync_names(folder)
        except (sqlite3.Error, OSError) as failed:
            raise folders.unusable(folder / folders.DATABASE, failed) from failed
        finally:
            backups.tidied(folder)
        if aside is not None:
            salvage.replaced(aside, copy)
        inspection.clear(folder)
    finally:
        lock.release()
    return str(aside or "")


def _present_epoch(folder: Path) -> str:
    path = folder / folders.DATABASE
    if not path.exists():
        return ""
    try:
        db = folders.open_reader(path)
        try:
            return rotation.read_epoch(db)
        finally:
            db.close()
    except sqlite3.Error:
        return ""
