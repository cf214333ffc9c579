"""A damaged journal: set aside whole, and what of it still proves itself goes on in a fresh one.

    journal.db, -wal, -shm ──▶ data/damaged/1/    together: a log belongs to its file; three sets are kept
                                    │ rows whose bytes fit their hash
                                    ▼
                              fresh journal.db under a new epoch: everything is sent to the cloud again

A kill in the middle of that costs nothing: files that had begun to move are taken back (`take_back`), and a
salvage that was cut short is begun again.

A row is believed when its record fits its inner hash; a tombstone is one anyway. What did not survive is lost
here; the cloud may have it. What the facts do not say (names, settings, stored replies, the state snapshot)
is carried over as far as it can be read. A journal that lost its state snapshot and its first facts begins
with what the others say: chargers report themselves anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from common import chain
from common.ports import Ids
from edge.journal import folder as folders
from edge.journal import rebuilding, recovery, rotation
from edge.journal.rebuilding import Kept, Rebuilt

log = logging.getLogger("plugside.journal")

FOLDER = "damaged"
#: Damaged sets kept.
KEEP = 3
#: Rows read at once; where a page of the file cannot be read, rows are tried one by one.
_PAGE = 256
#: Numbers tried in vain, one by one, before the rest counts as unreadable.
_PATIENCE = 100_000
_COPIED = ("person", "tag", "reply")
#: What belongs to the file and moves before it.
_SIDE_FILES = ("-wal", "-shm")
#: A database's first bytes, which tell its pages; and what no journal's length comes to (it may be damaged).
_HEADER_BYTES, _LENGTH_MAX = 100, 2**34
#: In a set that was salvaged to the end.
_DONE = "salvaged"
_REPLACED = "replaced by "


class Salvaged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a damaged journal, for people."""

    why: str
    epoch: str
    facts: int  #: that are in the new journal
    lost: int | None  #: of which the old one had a number, and that are not; None: it does not tell
    aside: str  #: the folder with the damaged files

    def text(self) -> str:
        gone = "how many are lost here cannot be told" if self.lost is None else f"{self.lost} are lost here"
        return (
            f"the journal was damaged ({self.why}): {self.facts} facts were saved, {gone};"
            f" the damaged files are in {self.aside}"
        )


def salvage(
    folder: Path, ids: Ids, why: str, finish: Callable[[sqlite3.Connection, Salvaged], None]
) -> Salvaged:
    """Set the journal aside and begin a fresh one with what it still proves. Blocks; for the start only.

    finish: last words into the fresh one, before it takes the old one's place.
    Raises LocalFault: folder_in_use; folder_unusable when not even a fresh journal can be written.
    """
    lock = folders.lock(folder)
    try:
        try:
            aside = folder / FOLDER / str(max(sets(folder), default=0))
            if not unfinished(folder):
                aside = set_aside(folder)
            told = _write_fresh(folder, aside, ids, why, finish)
            done_with(aside, told.text())
        except (sqlite3.Error, OSError) as failed:
            raise folders.unusable(folder / folders.DATABASE, failed) from failed
    finally:
        lock.release()
    log.error("%s", told.text())
    return told


def done_with(aside: Path, why: str) -> None:
    """The set has been dealt with; it is kept for a person."""
    (aside / _DONE).write_text(f"{why}\n")


def replaced(aside: Path, copy: Path) -> None:
    """The set was no damage: a copy has taken its place."""
    done_with(aside, f"{_REPLACED}{copy}")


def was_replaced(aside: Path) -> bool:
    """Whether it was `replaced`."""
    try:
        return (aside / _DONE).read_text("utf-8", "replace").startswith(_REPLACED)
    except OSError:
        return False


def unfinished(folder: Path) -> bool:
    """Whether a salvage was cut short: the journal is aside, and there is no other yet."""
    newest = max(sets(folder), default=0)
    return (
        newest > 0
        and not (folder / folders.DATABASE).exists()
        and not (folder / FOLDER / str(newest) / _DONE).exists()
    )


def sets(folder: Path) -> list[int]:
    """The numbers of the damaged sets that are kept."""
    place = folder / FOLDER
    return sorted(int(one.name) for one in place.iterdir() if one.name.isdigit()) if place.is_dir() else []


def take_back(folder: Path) -> None:
    """Undo a move that was cut short: a log whose file never followed it goes back to that file.

    Without it the file would be one of an earlier time, and look whole. Raises LocalFault: folder_in_use.
    """
    lock = folders.lock(folder)
    try:
        _take_back(folder)
    except OSError as failed:
        raise folders.unusable(folder, failed) from failed
    finally:
        lock.release()


def _take_back(folder: Path) -> None:
    newest = max(sets(folder), default=0)
    aside = folder / FOLDER / str(newest)
    database = folder / folders.DATABASE
    if not newest or (aside / folders.DATABASE).exists() or not database.exists():
        return
    for suffix in _SIDE_FILES:
        file = aside / f"{folders.DATABASE}{suffix}"
        if file.exists() and not (folder / file.name).exists():
            log.warning("%s goes back to its file: moving both was cut short", file)
            file.replace(folder / file.name)
    folders.sync_names(folder)


def set_aside(folder: Path) -> Path:
    """Move the journal's files together to a numbered folder of their own; the oldest such folders go."""
    _take_back(folder)
    place = folder / FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    numbers = sets(folder)
    for old in numbers[: max(0, len(numbers) - KEEP + 1)]:
        shutil.rmtree(place / str(old))
    aside = place / str(numbers[-1] + 1 if numbers else 1)
    aside.mkdir(mode=0o700)
    # The log first: left behind alone it would be played into the next file. `take_back` knows a kill here.
    for suffix in (*_SIDE_FILES, ""):
        file = folder / f"{folders.DATABASE}{suffix}"
        if file.exists():
            file.replace(aside / file.name)
    folders.sync_names(aside)
    folders.sync_names(folder)
    return aside


def _write_fresh(
    folder: Path, aside: Path, ids: Ids, why: str, finish: Callable[[sqlite3.Connection, Salvaged], None]
) -> Salvaged:
    # Under another name until it is whole: a power cut in here must not leave half a journal.
    work = folder / f"{FOLDER}.work"
    shutil.rmtree(work, ignore_errors=True)
    fresh_folder = work / "fresh"
    fresh_folder.mkdir(mode=0o700, parents=True)
    fresh = folders.open_writer(fresh_folder, quick_check=False)
    old = _open_damaged(_copy_of(aside, work / "old"))
    try:
        epoch = rotation.next_epoch(_epoch(old), ids)
        last, sure = _last(old)
        done = rebuilding.write(fresh, epoch, _rows(old, last, sure=sure))
        if old is not None:
            _carry_over(old, fresh, done)
        lost = max(0, last - done.facts) if sure else None
        told = Salvaged(why=why, epoch=epoch, facts=done.facts, lost=lost, aside=str(aside))
        finish(fresh, told)
        recovery.say_goodbye(fresh)
    finally:
        fresh.close()
        if old is not None:
            with contextlib.suppress(sqlite3.Error):
                old.close()
    (fresh_folder / folders.DATABASE).replace(folder / folders.DATABASE)
    folders.sync_names(folder)  # before the set counts as dealt with
    shutil.rmtree(work)
    return told


def _copy_of(aside: Path, place: Path) -> Path:
    """Where to read the damaged file: a copy, since SQLite brings a log to its end; itself if it must be."""
    size = sum(file.stat().st_size for file in aside.iterdir())
    if shutil.disk_usage(aside).free < 2 * size + folders.WAL_BYTES_MAX:
        return aside / folders.DATABASE
    shutil.copytree(aside, place)
    _as_long_as_it_was(place / folders.DATABASE)
    return place / folders.DATABASE


def _as_long_as_it_was(path: Path) -> None:
    """Give a file that was cut its length back: of a shorter one than it says itself SQLite reads nothing.

    What is missing reads as zeros, which are no page of a table: the rows there fail, the others do not.
    https://www.sqlite.org/fileformat.html#the_database_header
    """
    with path.open("r+b") as file:
        head = file.read(_HEADER_BYTES)
        page_bytes = int.from_bytes(head[16:18], "big")
        whole = int.from_bytes(head[28:32], "big") * (65536 if page_bytes == 1 else page_bytes)
        if file.seek(0, os.SEEK_END) < whole <= _LENGTH_MAX:
            with contextlib.suppress(OSError):  # a file system that cannot: as little as before
                file.truncate(whole)  # without blocks: it takes no room


def _open_damaged(path: Path) -> sqlite3.Connection | None:
    db = sqlite3.connect(path, isolation_level=None)
    # A uid or a kind that is no text any more is the row's end, not this reading's.
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        db.close()
        return None
    return db


def _epoch(old: sqlite3.Connection | None) -> str:
    try:
        epoch = rotation.read_epoch(old) if old is not None else ""
        int(epoch.partition("-")[0])
    except (sqlite3.Error, AttributeError, ValueError):
        return ""
    return epoch


def _last(old: sqlite3.Connection | None) -> tuple[int, bool]:
    """The highest number that the old journal is known to have had; whether that was its highest for sure."""
    last, sure = 0, False
    if old is None:
        return last, sure
    for sql in (
        "SELECT max(seq) FROM mark",
        "SELECT max(last_seq) FROM session",
        "SELECT max(seq) FROM fact",
    ):
        sure = False
        with contextlib.suppress(sqlite3.Error, TypeError):
            last, sure = max(last, old.execute(sql).fetchone()[0] or 0), True
    with contextlib.suppress(sqlite3.Error, TypeError, ValueError):
        # Up to where it was last found to be what was written, in the same epoch.
        (said,) = old.execute("SELECT value FROM meta WHERE name = 'journal.verified'").fetchone()
        last = max(last, recovery.verified_up_to(said, rotation.read_epoch(old)))
    return last, sure


def _rows(old: sqlite3.Connection | None, last: int, *, sure: bool) -> Iterator[Kept]:
    """Every row that can be read and proves itself, in order. Not sure of the last: while any is found."""
    if old is None:
        return
    sql = "SELECT seq, uid, kind, inner, salt, record FROM fact WHERE seq >= ? AND seq < ? ORDER BY seq"
    at, vain = 0, 0
    while at <= last or not sure:
        try:
            found, end = old.execute(sql, (at, at + _PAGE)).fetchall(), at + _PAGE
        except sqlite3.Error:
            found, end = [], at + _PAGE
            for seq in range(at, end):
                try:
                    found += old.execute(sql, (seq, seq + 1)).fetchall()
                except sqlite3.Error:
                    vain += 1
        yield from filter(_proves_itself, (Kept(*row) for row in found))
        if not found and not sure and at > last:
            vain += _PAGE
        if vain > _PATIENCE:
            return
        at = end


def _proves_itself(row: Any) -> bool:
    """row: a `Kept` whose columns may have become anything."""
    if not (isinstance(row.uid, str) and isinstance(row.kind, str) and isinstance(row.inner, bytes)):
        return False
    if row.record is None:
        return len(row.inner) == len(chain.seed(""))
    if not (isinstance(row.record, bytes) and isinstance(row.salt, bytes)):
        return False
    return chain.inner_hash(row.salt, row.record) == row.inner


def _readable(rows: sqlite3.Cursor) -> list[Any]:
    """The rows up to the first that cannot be read."""
    found: list[Any] = []
    with contextlib.suppress(sqlite3.Error):
        found.extend(iter(rows.fetchone, None))
    return found


def _carry_over(old: sqlite3.Connection, fresh: sqlite3.Connection, done: Rebuilt) -> None:
    """What no fact says, as far as it can be read."""
    fresh.execute("BEGIN IMMEDIATE")
    for table in _COPIED:
        with contextlib.suppress(sqlite3.Error):
            rows = _readable(old.execute(f"SELECT * FROM {table}"))  # noqa: S608 - our own names
            if table == "reply":
                rows = [(key, body, done.now(seq[0]) if seq else 0) for key, body, *seq in rows]
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                fresh.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)  # noqa: S608
    with contextlib.suppress(sqlite3.Error):
        settings = _readable(old.execute("SELECT name, value FROM meta"))
        keep = [(n, v) for n, v in settings if n == "journal.site" or not str(n).startswith("journal.")]
        fresh.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", keep)
    with contextlib.suppress(sqlite3.Error):
        for seq, checksum, state in old.execute("SELECT seq, sum, state FROM snapshot ORDER BY id"):
            if sha256(state).digest() == checksum:
                recovery.add_snapshot(fresh, done.now(seq), state)
    fresh.execute("COMMIT")
