"""Opening: one process a folder, a file that is ours and whole, pragmas that hold, and errors that help."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import Code, LocalFault
from edge.journal import schema
from edge.journal.folder import lock
from edge.journal.journal import Journal
from tests.journal.support import FakeIds, lost, running, table

ROOT = Path(__file__).resolve().parents[2]
OPEN_IN_ANOTHER_PROCESS = """
import pathlib, sys
from common.clock import SystemIds
from common.errors import LocalFault
from edge.journal.journal import Journal
try:
    Journal.open(pathlib.Path(sys.argv[1]), ids=SystemIds())
except LocalFault as refused:
    print(refused.code.value, refused.message)
"""


def opened(folder: Path, **options) -> Journal:
    return Journal.open(folder, ids=FakeIds(), **options)


def fault_of(folder: Path, **options) -> LocalFault:
    with pytest.raises(LocalFault) as caught:
        opened(folder, **options)
    return caught.value


async def test_the_pragmas_hold_on_the_writing_connection(tmp_path):
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "mmap_size": 0,
        "journal_size_limit": 4 * 1024 * 1024,
        "wal_autocheckpoint": 0,
        "secure_delete": 1,
        "application_id": 0x504C5347,
        "user_version": len(schema.MIGRATIONS),
    }
    async with running(tmp_path) as run:
        found = await run.journal.submit(
            lambda db: {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
        )
    assert found == wanted


def test_after_an_end_without_a_goodbye_the_files_are_read_from_the_disk_itself(tmp_path, monkeypatch):
    """Pages of a failed sync are in the system's cache as if they had been written."""
    journal = opened(tmp_path)
    dropped = []

    def advise(fd, offset, length, advice):
        dropped.append((Path(f"/proc/self/fd/{fd}").readlink().name, offset, length, advice))

    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in ("journal.db", "journal.db-wal"):
        shutil.copyfile(tmp_path / file, crashed / file)
    journal.close()
    monkeypatch.setattr(os, "posix_fadvise", advise)
    opened(crashed).close()
    assert dropped == [(name, 0, 0, os.POSIX_FADV_DONTNEED) for name in ("journal.db", "journal.db-wal")]
    dropped.clear()
    opened(tmp_path).close()
    assert dropped == [], "where a goodbye was said nothing can have failed"


def test_a_pragma_that_does_not_take_is_refused(tmp_path):
    class NoWal(sqlite3.Connection):
        def execute(self, sql, *values):
            return super().execute(sql.replace("= WAL", "= DELETE"), *values)

    fault = fault_of(tmp_path, connection=NoWal)
    assert fault.code is Code.FOLDER_UNUSABLE
    assert "journal_mode=WAL" in fault.message


def test_the_folder_is_made_and_only_its_owner_reads_it(tmp_path):
    folder = tmp_path / "a" / "b"
    opened(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "journal.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o600


def test_a_second_run_on_the_folder_is_refused_and_names_the_first(tmp_path):
    journal = opened(tmp_path)
    try:
        mine = fault_of(tmp_path)
        theirs = subprocess.run(
            [sys.executable, "-c", OPEN_IN_ANOTHER_PROCESS, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert mine.code is Code.FOLDER_IN_USE
        assert theirs.stdout.startswith("folder_in_use ")
        pid = (tmp_path / "lock").read_text().strip()
        assert f"process {pid}" in mine.message
        assert f"process {pid}" in theirs.stdout
    finally:
        journal.close()
    opened(tmp_path).close()


def test_an_open_that_fails_lets_go_of_the_folder(tmp_path):
    (tmp_path / "journal.db").write_bytes(b"not a database" * 100)
    fault_of(tmp_path)
    lock(tmp_path).release()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("PRAGMA user_version = 999")
        db.execute("UPDATE meta SET value = 999 WHERE name = 'journal.opens_with'")
    db.close()
    fault = fault_of(tmp_path)
    assert fault.code is Code.FOLDER_UNUSABLE
    assert "newer version" in fault.message
    assert "999" in fault.message
    assert "Install that version" in fault.hint
    assert table(tmp_path / "journal.db", "PRAGMA user_version") == [(999,)]


def test_a_database_of_another_application_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    fault = fault_of(tmp_path)
    assert "another application" in fault.message
    assert table(tmp_path / "journal.db", "SELECT name FROM sqlite_master") == [("theirs",)]


@pytest.mark.parametrize("damage", ["not a database at all, but long enough" * 50, ""])
async def test_a_damaged_file_says_what_to_do(tmp_path, damage):
    async with running(tmp_path) as run:
        for _ in range(50):
            await run.write(lost())
    path = tmp_path / "journal.db"
    whole = path.read_bytes()
    path.write_bytes(damage.encode() if damage else whole[: len(whole) // 2])
    fault = fault_of(tmp_path)
    assert fault.code is Code.FOLDER_UNUSABLE
    assert "move it aside" in fault.hint
    assert str(path) in fault.message


async def test_a_page_of_rubbish_is_found_by_the_quick_check(tmp_path):
    async with running(tmp_path) as run:
        await run.write(*[lost() for _ in range(200)])
        ((root,),) = table(run.journal.path, "SELECT rootpage FROM sqlite_master WHERE name = 'fact_by_kind'")
    path = tmp_path / "journal.db"
    whole = bytearray(path.read_bytes())
    at = (root - 1) * 4096
    whole[at : at + 4096] = b"\x05" * 4096
    path.write_bytes(whole)
    assert "move it aside" in fault_of(tmp_path).hint


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (sqlite3.SQLITE_FULL, "Free space"),
        (sqlite3.SQLITE_READONLY, "writable"),
        (sqlite3.SQLITE_IOERR, "move it aside"),
        (sqlite3.SQLITE_BUSY, "Close the program"),
    ],
)
def test_a_disk_that_does_not_take_the_first_write_says_what_to_do(tmp_path, number, step):
    opened(tmp_path).close()

    class Refuses(sqlite3.Connection):
        def execute(self, sql, *values):
            if sql.startswith("INSERT"):
                error = sqlite3.OperationalError("cannot")
                error.sqlite_errorcode = number
                raise error
            return super().execute(sql, *values)

    fault = fault_of(tmp_path, connection=Refuses)
    assert fault.code is Code.FOLDER_UNUSABLE
    assert step in fault.hint
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert fault_of(folder).code is Code.FOLDER_UNUSABLE
    (tmp_path / "data" / "journal.db").mkdir(parents=True)
    assert "writable" in fault_of(tmp_path / "data").hint


def test_an_epoch_is_begun_once_and_kept(tmp_path):
    first = Journal.open(tmp_path, ids=FakeIds("a"))
    first.close()
    second = Journal.open(tmp_path, ids=FakeIds("b"), quick_check=False)
    second.close()
    assert first.epoch == second.epoch
    assert first.epoch.startswith("1-")
    assert (first.last_seq, first.committed_seq) == (0, 0)
    other = Journal.open(tmp_path / "other", ids=FakeIds("b"))
    other.close()
    assert other.epoch != first.epoch
