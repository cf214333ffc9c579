"""Files of earlier versions: copied, then brought forward with nothing lost; newer ones judged by name."""

import sqlite3
from pathlib import Path

import pytest

from common.errors import Code, LocalFault
from edge.journal import people, schema
from edge.journal.folder import open_writer
from edge.journal.journal import Journal
from tests.journal.support import FakeIds, lost, running, table

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(int(path.stem[1:]) for path in GOLDEN.glob("v*.sql"))


def golden(folder: Path, version: int) -> Path:
    """A journal as a box of that version left it."""
    path = folder / "journal.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript((GOLDEN / f"v{version}.sql").read_text())
    db.close()
    return path


def test_there_is_a_golden_file_of_every_earlier_version() -> None:
    assert list(range(1, len(schema.MIGRATIONS))) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_an_earlier_version_goes_on(tmp_path, version):
    path = golden(tmp_path, version)
    facts = table(path, "SELECT * FROM fact ORDER BY seq")
    async with running(tmp_path) as run:
        journal = run.journal
        assert table(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
        assert table(path, "SELECT * FROM fact ORDER BY seq") == facts
        assert (journal.recall_session("s1").energy_wh, journal.recall_session("s1").revision) == (999.0, 1)
        assert journal.recall_command("c1").outcome == "succeeded"
        assert journal.recall_reply("start-1") == b'[3,"1",{}]'
        assert (journal.recall_name("p1"), journal.recall_tag("ref").tag) == ("Ada", "04AB")
        assert journal.get("setting") == b"kept"
        snapshot, after = journal.recover()
        assert snapshot == (len(facts), b"{}")
        assert list(after) == []
        await run.write(lost(), replies=[("stop-1", b"later")])
        assert journal.chain_at(journal.last_seq) is not None
        assert table(path, "SELECT key, seq FROM reply ORDER BY key") == [
            ("start-1", 0),
            ("stop-1", len(facts) + 1),
        ]
    # The copy that was made first is the old file.
    copy = tmp_path / "backups" / f"before-v{version + 1}.db"
    assert table(copy, "PRAGMA user_version") == [(version,)]
    assert table(copy, "SELECT * FROM fact ORDER BY seq") == facts


def test_without_a_copy_there_is_no_migration(tmp_path):
    path = golden(tmp_path, VERSIONS[0])
    (tmp_path / "backups").write_text("in the way")
    with pytest.raises(LocalFault) as caught:
        Journal.open(tmp_path, ids=FakeIds())
    assert caught.value.code is Code.FOLDER_UNUSABLE
    assert table(path, "PRAGMA user_version") == [(VERSIONS[0],)]
    assert table(path, "PRAGMA integrity_check") == [("ok",)]


def test_migrations_go_forward_one_transaction_each(tmp_path):
    db = open_writer(tmp_path, quick_check=True)
    number = len(schema.MIGRATIONS) + 1
    one = (*schema.MIGRATIONS, ("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)"))
    broken = (*one, ("CREATE TABLE third (x)", "INSERT INTO nowhere VALUES (1)"))
    copied = []
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(db, broken, before=copied.append)
    assert copied == [number - 1]
    assert db.execute("PRAGMA user_version").fetchone() == (number,)
    assert db.execute("SELECT x FROM more").fetchall() == [(1,)]
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'third'").fetchone() == (0,)
    schema.migrate(db, one, before=copied.append)  # nothing left to do
    assert copied == [number - 1]
    db.close()


def test_a_newer_file_that_only_added_still_opens_and_one_that_took_away_does_not(tmp_path):
    Journal.open(tmp_path, ids=FakeIds()).close()
    newer = (*schema.MIGRATIONS, ("ALTER TABLE reply ADD COLUMN more TEXT NOT NULL DEFAULT ''",))
    db = open_writer(tmp_path, quick_check=True)
    schema.migrate(db, newer)
    db.close()
    Journal.open(tmp_path, ids=FakeIds()).close()  # an upgrade taken back
    path = tmp_path / "journal.db"
    assert table(path, "PRAGMA user_version") == [(len(newer),)]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'journal.opens_with'", (len(newer),))
    db.close()
    before = path.read_bytes()
    with pytest.raises(LocalFault) as caught:
        Journal.open(tmp_path, ids=FakeIds())
    assert "newer version" in caught.value.message
    assert "Install that version" in caught.value.hint
    assert path.read_bytes() == before


async def test_an_older_program_can_write_what_it_knew_into_a_newer_file(tmp_path):
    """Expand, then contract: version 1's own statements still work after version 2 added to them."""
    async with running(tmp_path) as run:
        await run.write(lost())
        await run.journal.submit(
            lambda db: db.execute("INSERT INTO reply (key, body) VALUES ('k', x'01')").rowcount
        )
        await run.journal.submit(lambda db: people.name_person(db, "p", "n"))
        assert run.journal.recall_reply("k") == b"\x01"
