"""Is the journal what was written? The weekly reading of everything, and the note that it was not.

Everything is read in one transaction on a connection of its own, so it is one moment of the journal, whatever
is written, cut or begun anew meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edge.journal import folder as folders
from edge.journal import marks, salvage
from edge.journal.rotation import read_epoch

#: Says that the next start must not believe the journal, and why.
SUSPECT = "journal.suspect"


def damage(path: Path) -> str:
    """What is wrong with the journal, in words; empty when every page and every fact is what was written."""
    try:
        db = sqlite3.connect(folders.reader_uri(path), uri=True, isolation_level=None)
    except sqlite3.Error as failed:
        return str(failed)
    try:
        db.execute("BEGIN")
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            return str(found)
        first, last = marks.bounds(db)
        for _ in marks.verified(db, read_epoch(db), first - 1, up_to=last):
            pass
    except (sqlite3.Error, folders.ChainBroken) as failed:
        return str(failed)
    finally:
        db.close()
    return ""


def mark_suspect(folder: Path, why: str) -> None:
    """Have the next start salvage the journal."""
    fd = os.open(folder / SUSPECT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, why.encode()[:1000])
        os.fsync(fd)
    finally:
        os.close(fd)


def suspicion(folder: Path) -> str:
    """Why the journal is not to be believed; empty = nobody said so."""
    try:
        return (folder / SUSPECT).read_text("utf-8", "replace") or "unknown"
    except OSError:
        return ""


def clear(folder: Path) -> None:
    """The suspect has been dealt with."""
    (folder / SUSPECT).unlink(missing_ok=True)


def damaged_sets(folder: Path) -> list[str]:
    """The damaged sets that are kept, oldest first."""
    return [str(aside) for aside in _asides(folder) if not salvage.was_replaced(aside)]


def replaced_sets(folder: Path) -> list[str]:
    """The journals that a `restore` replaced, oldest first: nothing need be wrong with them."""
    return [str(aside) for aside in _asides(folder) if salvage.was_replaced(aside)]


def _asides(folder: Path) -> list[Path]:
    return [folder / salvage.FOLDER / str(number) for number in salvage.sets(folder)]
