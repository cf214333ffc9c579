"""Copies of a journal in use, and a copy put back: whole or not at all, then under a new epoch."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from common.errors import Code, LocalFault
from edge import opening
from edge.journal import backups, inspection, people, salvage
from edge.journal.journal import Journal
from tests.journal.support import FakeIds, ended, lost, running, sampled, started, table

SITE = "s-1"


def site_journal(folder: Path, seed: str = "a") -> Journal:
    journal = opening.opened(folder, FakeIds(seed), Journal.open)
    opening.claimed(journal, SITE)
    return journal


async def test_a_copy_made_while_facts_are_written_is_whole(tmp_path):
    async with running(tmp_path) as run:
        await run.write(started("s"), *[sampled("s", float(n)) for n in range(2000)])
        target = tmp_path / "out" / "copy.db"
        making = asyncio.get_running_loop().run_in_executor(None, backups.copy_of, run.journal.path, target)
        while not making.done():
            await run.write(*[sampled("s", float(n)) for n in range(50)])
        size = await making
        written = run.journal.last_seq
    copy = tmp_path / "out" / "copy.db"
    assert copy.stat().st_size == size
    assert copy.stat().st_mode & 0o777 == 0o600
    assert inspection.damage(copy) == ""
    ((held,),) = table(copy, "SELECT max(seq) FROM fact")
    assert 2001 <= held <= written
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["copy.db"]


def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path):
    site_journal(tmp_path).close()
    place = tmp_path / "place"
    place.mkdir()
    (place / "x.db.part").mkdir()  # in the way
    (tmp_path / "file").write_text("")
    for target in (place / "x.db", tmp_path / "file" / "x.db"):
        with pytest.raises(LocalFault) as caught:
            backups.copy_of(tmp_path / "journal.db", target)
        assert caught.value.code is Code.FOLDER_UNUSABLE
        assert not target.exists()


def test_three_nightly_copies_are_kept_and_others_left_alone(tmp_path):
    for day in range(10, 16):
        (tmp_path / backups.name_at(f"2026-11-{day}T03:00:00.000Z")).write_text("")
    (tmp_path / "before-v2.db").write_text("")
    backups.keep_newest(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "before-v2.db",
        "journal-20261113T030000Z.db",
        "journal-20261114T030000Z.db",
        "journal-20261115T030000Z.db",
    ]
    assert backups.newest(tmp_path) == "journal-20261115T030000Z.db"


async def test_a_forgotten_person_leaves_the_copies_too(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.submit(lambda db: people.name_person(db, "p1", "Ada Unmistakable"))
        await run.journal.submit(lambda db: people.name_person(db, "p2", "Grace"))
        backups.copy_of(run.journal.path, tmp_path / "backups" / "journal-1.db")
    (tmp_path / "backups" / "broken.db").write_bytes(b"rubbish" * 1000)
    assert backups.forget(tmp_path / "backups", "p1") == [str(tmp_path / "backups" / "broken.db")]
    copy = tmp_path / "backups" / "journal-1.db"
    assert b"Unmistakable" not in copy.read_bytes()
    assert table(copy, "SELECT name FROM person") == [("Grace",)]


# --- restore ---


async def filled(folder: Path) -> None:
    journal = site_journal(folder)
    journal.close()
    async with running(folder) as run:
        await run.write(started("s1"), *[sampled("s1", float(n)) for n in range(300)], ended("s1"))
        run.journal.put_snapshot(run.journal.last_seq, b"state")
        await run.journal.probe()


async def test_a_copy_put_back_begins_a_new_epoch_with_everything_it_has(tmp_path):
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    await filled(data)
    backups.copy_of(data / "journal.db", copy)
    async with running(data) as run:
        await run.journal.rotate_epoch()
        run.teller.epoch, run.teller.seq = run.journal.epoch, run.journal.last_seq
        await run.write(started("lost with the restore"))
        before = run.journal.epoch
    aside = opening.restore(data, copy, FakeIds("c"), SITE)
    journal = site_journal(data)
    assert journal.epoch.startswith("3-"), "later than both"
    assert journal.epoch != before
    assert journal.last_seq == 302
    assert journal.recall_session("s1").state == "ended"
    assert journal.recall_session("lost with the restore") is None
    snapshot, after = journal.recover()
    assert snapshot == (302, b"state")
    assert list(after) == []
    news = opening.news(journal)
    assert news is not None
    assert news.fact().what == "journal_restored"
    journal.close()
    assert inspection.damage(data / "journal.db") == ""
    assert table(Path(aside) / "journal.db", "SELECT count(*) FROM fact") == [(303,)]
    assert not salvage.unfinished(data)
    assert (inspection.replaced_sets(data), inspection.damaged_sets(data)) == ([aside], []), "it was whole"
    assert copy.exists()


async def test_what_a_killed_restore_left_is_gone_at_the_next_start(tmp_path):
    """It is as large as a journal, and has names in it that may be forgotten meanwhile."""
    await filled(tmp_path)
    work = tmp_path / "backups.work"
    work.mkdir()
    (work / "journal.db").write_bytes((tmp_path / "journal.db").read_bytes())
    site_journal(tmp_path).close()
    assert not work.exists()


async def test_a_copy_into_an_empty_folder(tmp_path):
    await filled(tmp_path / "old")
    copy = tmp_path / "copy.db"
    backups.copy_of(tmp_path / "old" / "journal.db", copy)
    assert opening.restore(tmp_path / "new", copy, FakeIds("c")) == ""
    journal = site_journal(tmp_path / "new")
    assert journal.last_seq == 302
    journal.close()


def refused(folder: Path, copy: Path, site: str = SITE) -> LocalFault:
    with pytest.raises(LocalFault) as caught:
        opening.restore(folder, copy, FakeIds("c"), site)
    return caught.value


async def test_what_is_no_copy_of_this_site_is_refused_and_nothing_changes(tmp_path):
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    await filled(data)
    backups.copy_of(data / "journal.db", copy)
    before = (data / "journal.db").read_bytes()
    whole = copy.read_bytes()

    fault = refused(data, tmp_path / "nowhere.db")
    assert "is not there" in fault.message
    fault = refused(data, copy, "s-other")
    assert "of site s-1" in fault.message
    assert "s-other" in fault.message
    copy.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
    assert refused(data, copy).hint.startswith("Nothing was changed")
    copy.write_bytes(b"")
    assert "empty" in refused(data, copy).message
    copy.write_bytes(b"some other file" * 500)
    assert refused(data, copy).code is Code.FOLDER_UNUSABLE
    copy.write_bytes(whole)
    with sqlite3.connect(copy) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert "Install that version" in refused(data, copy).hint
    # The chain of a copy that somebody has changed does not hold.
    copy.write_bytes(whole)
    with sqlite3.connect(copy) as db:
        db.execute("DELETE FROM fact WHERE seq = 100")
    db.close()
    assert "fact 100 is missing" in refused(data, copy).message
    # A bit that flipped within a record: SQLite sees nothing wrong with the file.
    copy.write_bytes(whole)
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE fact SET record = cast(replace(record, 'CP1', 'CP0') AS BLOB) WHERE seq = 1")
    db.close()
    fault = refused(data, copy)
    assert fault.message.endswith(f"({copy}: fact 1 does not match its hash)")
    assert fault.hint.startswith("Nothing was changed. Name another backup")
    assert (data / "journal.db").read_bytes() == before
    assert salvage.sets(data) == []
    assert not list(data.glob("*.work")), "a refused copy does not stay on the disk"
    assert refused(data, copy).code is Code.FOLDER_UNUSABLE


async def test_a_running_box_is_refused_by_name(tmp_path):
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    await filled(data)
    backups.copy_of(data / "journal.db", copy)
    journal = site_journal(data)
    assert refused(data, copy).code is Code.FOLDER_IN_USE
    journal.close()


async def test_a_journal_of_another_site_is_refused_with_what_to_do(tmp_path):
    await filled(tmp_path)
    journal = Journal.open(tmp_path, ids=FakeIds())
    with pytest.raises(LocalFault) as caught:
        opening.state_of(journal, "s-2")
    journal.close()
    assert "is of site s-1" in caught.value.message
    assert "Put that site's keys folder back" in caught.value.hint


async def test_new_facts_follow_a_restore(tmp_path):
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    await filled(data)
    backups.copy_of(data / "journal.db", copy)
    opening.restore(data, copy, FakeIds("c"), SITE)
    async with running(data, seed="d") as run:
        await run.write(lost())
        assert run.journal.chain_at(303) is not None
    assert inspection.damage(data / "journal.db") == ""
