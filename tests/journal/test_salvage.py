"""Damage: told apart, set aside together, and what still proves itself goes on under a new epoch."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from common import chain
from edge import opening
from edge.journal import folder as folders
from edge.journal import inspection, people, salvage
from edge.journal.journal import Journal
from tests.journal.support import FakeIds, chain_of, ended, lost, revised, running, sampled, started, table


async def filled(folder: Path, samples: int = 600) -> list:
    async with running(folder) as run:
        told = await run.write(started("s1"), replies=[("start-1", b"stored")])
        told += await run.write(*[sampled("s1", float(n)) for n in range(samples)])
        told += await run.write(ended("s1"), revised("s1", 1, energy_wh=6900.0), started("s2"))
        run.journal.put_snapshot(run.journal.last_seq, b"state")
        await run.journal.submit(lambda db: people.name_person(db, "p1", "Ada"))
        await run.journal.set("setting", b"kept")
    return told


def change(path: Path, sql: str, *values: object) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute(sql, values)
    db.close()


def site_opened(folder: Path) -> Journal:
    """As the site opens it: what is damaged is salvaged."""
    return opening.opened(folder, FakeIds("b"), Journal.open)


def verified(path: Path) -> None:
    assert inspection.damage(path) == ""


async def test_a_flipped_bit_costs_the_fact_that_it_is_in(tmp_path):
    told = await filled(tmp_path)
    path = tmp_path / "journal.db"
    # A bit in one record's own bytes: the pages are whole, only the hash knows.
    ((record,),) = table(path, "SELECT record FROM fact WHERE seq = 300")
    change(path, "UPDATE fact SET record = ? WHERE seq = 300", bytes([record[0] ^ 1]) + record[1:])
    assert "fact 300 does not match its hash" in inspection.damage(path)
    inspection.mark_suspect(tmp_path, inspection.damage(path))
    journal = site_opened(tmp_path)
    assert journal.epoch.startswith("2-")
    assert journal.last_seq == len(told) - 1
    assert journal.recall_session("s1").energy_wh == 6900.0
    assert journal.recall_session("s1").started_seq == 1
    assert journal.recall_session("s2").state == "open"
    assert journal.recall_reply("start-1") == b"stored"
    assert (journal.recall_name("p1"), journal.get("setting")) == ("Ada", b"kept")
    snapshot, after = journal.recover()
    assert snapshot == (len(told) - 1, b"state")
    assert list(after) == []
    news = opening.news(journal)
    assert news is not None
    assert "603 facts were saved, 1 are lost" in news.detail
    assert news.fact().what == "journal_salvaged"
    journal.close()
    verified(path)
    survivors = [fact.uid for fact in told if fact.seq != 300]
    assert [uid for (uid,) in table(path, "SELECT uid FROM fact ORDER BY seq")] == survivors
    chain_of(path, journal.epoch)
    # The next start believes it, and the damaged set is still there.
    again = Journal.open(tmp_path, ids=FakeIds("c"))
    assert again.epoch == journal.epoch
    again.close()
    assert table(tmp_path / "damaged" / "1" / "journal.db", "SELECT count(*) FROM fact") == [(len(told),)]


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
async def test_a_file_cut_in_half_keeps_what_is_before_the_cut(tmp_path, part):
    told = await filled(tmp_path, 3000)
    path = tmp_path / "journal.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part) // 4096 * 4096])
    journal = site_opened(tmp_path)
    kept = [uid for (uid,) in table(path, "SELECT uid FROM fact ORDER BY seq")]
    uids = [fact.uid for fact in told]
    assert kept == [uid for uid in uids if uid in set(kept)], "in order, and none invented"
    assert len(kept) > len(told) * part / 2, "what is before the cut is saved, not the whole thrown away"
    assert journal.last_seq == len(kept)
    news = opening.news(journal)
    assert news is not None
    if part < 0.9:  # the marks that would tell are behind the cut as well
        assert "how many are lost here cannot be told" in news.detail
    journal.close()
    verified(path)


async def test_a_bit_that_flipped_within_a_number_is_no_number(tmp_path):
    """Such a record can be read, and tells another energy than was written."""
    told = await filled(tmp_path)
    path = tmp_path / "journal.db"
    ((record,),) = table(path, "SELECT record FROM fact WHERE kind = 'session_ended'")
    flipped = record.replace(b'"energy_wh":7', b'"energy_wh":5')
    assert flipped != record
    change(path, "UPDATE fact SET record = ? WHERE kind = 'session_ended'", flipped)
    inspection.mark_suspect(tmp_path, inspection.damage(path))
    site_opened(tmp_path).close()
    assert table(path, "SELECT count(*) FROM fact") == [(len(told) - 1,)]
    assert table(path, "SELECT count(*) FROM fact WHERE kind = 'session_ended'") == [(0,)]


async def test_an_end_that_is_gone_counts_as_lost(tmp_path):
    told = await filled(tmp_path)
    path = tmp_path / "journal.db"
    change(path, "DELETE FROM fact WHERE seq > 600")
    change(path, "DELETE FROM session")  # nothing else knows of the last ones
    inspection.mark_suspect(tmp_path, "somebody cut it")
    site_opened(tmp_path).close()
    assert (
        f"600 facts were saved, {len(told) - 600} are lost" in (tmp_path / "damaged/1/salvaged").read_text()
    )


async def test_a_page_of_rubbish_costs_its_rows_only(tmp_path):
    told = await filled(tmp_path, 3000)
    path = tmp_path / "journal.db"
    whole = bytearray(path.read_bytes())
    # A leaf of the facts somewhere in the middle.
    at = whole.index(told[1500].record) // 4096 * 4096
    whole[at : at + 4096] = b"\x05" * 4096
    path.write_bytes(whole)
    journal = site_opened(tmp_path)
    assert len(told) - 40 < journal.last_seq < len(told)
    assert journal.recall_session("s1").energy_wh == 6900.0
    journal.close()
    verified(path)


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough" * 500])
async def test_nothing_to_salvage_begins_anew_and_says_so(tmp_path, content):
    await filled(tmp_path)
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    if not content:
        inspection.mark_suspect(tmp_path, "it is empty")
    journal = site_opened(tmp_path)
    assert journal.last_seq == 0
    assert opening.news(journal) is not None
    journal.close()
    verified(path)


def test_a_log_goes_aside_with_its_file(tmp_path):
    """A log belongs to its file: left behind it would be played into the next one."""
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"journal.db{suffix}").write_text(suffix or "file")
    aside = salvage.set_aside(tmp_path)
    assert sorted(file.name for file in aside.iterdir()) == ["journal.db", "journal.db-shm", "journal.db-wal"]
    assert list(tmp_path.glob("journal.db*")) == []


async def test_what_is_only_in_the_log_is_salvaged(tmp_path):
    async with running(tmp_path / "a") as run:
        told = await run.write(*[lost() for _ in range(20)])
        copy = tmp_path / "b"
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{run.journal.path}{suffix}", copy / f"journal.db{suffix}")
    inspection.mark_suspect(copy, "a test")
    journal = site_opened(copy)
    assert journal.last_seq == len(told)
    journal.close()
    verified(copy / "journal.db")


async def test_a_salvage_that_was_cut_short_is_begun_again(tmp_path):
    told = await filled(tmp_path)
    # The power went right after the files were set aside.
    lock = folders.lock(tmp_path)
    salvage.set_aside(tmp_path)
    lock.release()
    assert salvage.unfinished(tmp_path)
    journal = site_opened(tmp_path)
    assert journal.last_seq == len(told)
    assert not salvage.unfinished(tmp_path)
    journal.close()
    assert salvage.sets(tmp_path) == [1]


async def test_a_kill_between_the_log_and_its_file_loses_nothing_of_the_log(tmp_path):
    """The log is aside, its file is not: opened so, it would be whole, and of an earlier time."""
    async with running(tmp_path / "a") as run:
        told = await run.write(*[lost() for _ in range(20)])
        copy = tmp_path / "b"
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{run.journal.path}{suffix}", copy / f"journal.db{suffix}")
    aside = copy / "damaged" / "1"
    aside.mkdir(parents=True)
    (copy / "journal.db-wal").replace(aside / "journal.db-wal")
    journal = site_opened(copy)
    assert (journal.last_seq, journal.epoch) == (len(told), told[0].epoch), "as if nothing had been begun"
    journal.close()
    # The same when the next thing is a restore, or the damage is found again.
    again = salvage.set_aside(copy)
    assert (again / "journal.db").exists()


async def test_only_the_last_sets_are_kept(tmp_path):
    for number in range(1, 6):
        (tmp_path / "journal.db").write_bytes(b"x" * 5000 + bytes([number]))
        site_opened(tmp_path).close()
    assert salvage.sets(tmp_path) == [3, 4, 5]


async def test_tombstones_survive_as_tombstones(tmp_path):
    told = await filled(tmp_path)
    path = tmp_path / "journal.db"
    change(path, "UPDATE fact SET record = NULL, salt = NULL WHERE seq BETWEEN 10 AND 20")
    inspection.mark_suspect(tmp_path, "a test")
    journal = site_opened(tmp_path)
    assert journal.last_seq == len(told)
    assert table(path, "SELECT count(*) FROM fact WHERE record IS NULL") == [(11,)]
    value = journal.chain_at(journal.last_seq)
    assert value is not None
    assert value != chain.seed(journal.epoch)
    journal.close()


async def test_after_an_end_without_a_goodbye_what_was_written_since_is_verified(tmp_path):
    """A write that the disk lost after it had said yes is found, wherever it lies."""
    async with running(tmp_path) as run:
        await run.write(*[sampled("s", float(n)) for n in range(400)])
        run.journal.put_snapshot(run.journal.last_seq, b"")
        await run.journal.probe()
    path = tmp_path / "journal.db"
    change(path, "UPDATE fact SET salt = zeroblob(16) WHERE seq = 100")
    Journal.open(tmp_path, ids=FakeIds()).close()  # it had said goodbye: the weekly reading would find it
    change(path, "DELETE FROM meta WHERE name IN ('journal.goodbye', 'journal.verified')")
    with pytest.raises(folders.Damaged) as caught:
        Journal.open(tmp_path, ids=FakeIds())
    assert "fact 100 does not match" in caught.value.message


async def test_a_kill_right_after_a_salvage_loses_no_word_of_it(tmp_path):
    """The fresh journal says itself that it was salvaged, and has the cloud asked for the site's estate."""
    await filled(tmp_path)
    path = tmp_path / "journal.db"
    change(path, "INSERT OR REPLACE INTO meta VALUES ('sync.site', ?)", b"s-1")
    path.write_bytes(path.read_bytes()[:-8192])

    def killed(folder, *, ids):
        raise KeyboardInterrupt  # before anything is opened

    with pytest.raises(KeyboardInterrupt):
        opening.saved(tmp_path, FakeIds("b"), killed, "it was cut")
    journal = site_opened(tmp_path)
    news = opening.news(journal)
    assert news is not None
    assert news.what == "journal_salvaged"
    assert not journal.get("sync.site")
    journal.close()
