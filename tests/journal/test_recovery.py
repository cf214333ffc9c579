"""After a restart: the newest snapshot that can be read, and exactly the facts after it."""

import sqlite3

import pytest

from common.errors import Code, LocalFault
from edge.journal.journal import Journal
from edge.journal.schema import MARK_EVERY
from tests.journal.support import FakeIds, ended, lost, running, sampled, started, table


def change(path, sql, *values):
    db = sqlite3.connect(path)
    with db:
        db.execute(sql, values)
    db.close()


async def filled(folder, count=600):
    """A journal of `count` facts; returns them."""
    async with running(folder) as run:
        told = await run.write(
            started("s1"), *[sampled("s1", float(n)) for n in range(count - 2)], ended("s1")
        )
        assert run.journal.last_seq == count
    return told


def reopened(folder):
    return Journal.open(folder, ids=FakeIds())


async def test_an_empty_journal_recovers_nothing(tmp_path):
    journal = reopened(tmp_path)
    snapshot, facts = journal.recover()
    assert snapshot is None
    assert list(facts) == []
    journal.close()


async def test_recover_gives_what_was_pushed(tmp_path):
    told = await filled(tmp_path)
    journal = reopened(tmp_path)
    snapshot, facts = journal.recover()
    assert snapshot is None
    assert list(facts) == told
    assert (journal.last_seq, journal.committed_seq) == (600, 600)
    journal.close()


async def test_recover_begins_at_the_newest_snapshot(tmp_path):
    async with running(tmp_path) as run:
        told = []
        for number in range(5):
            told += run.push(lost())
            run.journal.put_snapshot(run.journal.last_seq, b"state %d" % (number + 1))
        told += run.push(lost(), lost())
        with pytest.raises(ValueError, match="before that fact"):
            run.journal.put_snapshot(8, b"")
        await run.journal.probe()
        assert table(run.journal.path, "SELECT seq, state FROM snapshot ORDER BY id") == [
            (4, b"state 4"),
            (5, b"state 5"),
        ]
    journal = reopened(tmp_path)
    snapshot, facts = journal.recover()
    assert snapshot == (5, b"state 5")
    assert list(facts) == told[5:]
    older, facts = journal.recover(readable=lambda state: state != b"state 5")
    assert older == (4, b"state 4")
    assert list(facts) == told[4:]
    nothing, facts = journal.recover(readable=lambda _: False)
    assert nothing is None
    assert list(facts) == told
    journal.close()


async def test_a_damaged_snapshot_is_passed_over(tmp_path):
    async with running(tmp_path) as run:
        run.push(lost())
        run.journal.put_snapshot(1, b"older")
        run.push(lost())
        run.journal.put_snapshot(2, b"newer")
        await run.journal.probe()
    change(tmp_path / "journal.db", "UPDATE snapshot SET state = x'00' WHERE seq = 2")
    journal = reopened(tmp_path)
    snapshot, facts = journal.recover()
    assert snapshot == (1, b"older")
    assert [fact.seq for fact in facts] == [2]
    journal.close()


async def test_without_a_snapshot_and_without_the_first_facts_there_is_no_state(tmp_path):
    await filled(tmp_path)
    change(tmp_path / "journal.db", f"DELETE FROM fact WHERE seq <= {MARK_EVERY}")
    journal = reopened(tmp_path)
    with pytest.raises(LocalFault) as caught:
        journal.recover()
    assert caught.value.code is Code.FOLDER_UNUSABLE
    assert "backup" in caught.value.hint
    journal.close()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (
            "UPDATE fact SET record = CAST(replace(record, '7000', '9000') AS BLOB) WHERE seq = 600",
            "fact 600 does not match",
        ),
        ("UPDATE fact SET salt = zeroblob(16) WHERE seq = 300", "fact 300 does not match"),
        ("UPDATE fact SET uid = 'other' WHERE seq = 300", "fact 512 does not lead to the chain"),
        ("DELETE FROM fact WHERE seq = 300", "fact 300 is missing"),
        ("DELETE FROM mark WHERE seq = 512", "fact 512 does not lead to the chain"),
        ("UPDATE mark SET chain = zeroblob(32) WHERE seq = 256", "fact 256 does not lead to the chain"),
    ],
)
async def test_what_is_not_what_was_written_is_found(tmp_path, damage, what):
    await filled(tmp_path)
    change(tmp_path / "journal.db", damage)
    with pytest.raises(LocalFault) as caught:
        read_all(tmp_path)
    assert caught.value.code is Code.FOLDER_UNUSABLE
    assert what in caught.value.message
    assert "move it aside" in caught.value.hint


def read_all(folder):
    journal = reopened(folder)
    try:
        return list(journal.recover()[1])
    finally:
        journal.close()


async def test_a_hole_in_the_last_facts_is_found_at_opening(tmp_path):
    await filled(tmp_path)
    change(tmp_path / "journal.db", "DELETE FROM fact WHERE seq = 590")
    with pytest.raises(LocalFault) as caught:
        reopened(tmp_path)
    assert caught.value.code is Code.FOLDER_UNUSABLE


async def test_an_epoch_that_is_gone_is_not_made_up(tmp_path):
    await filled(tmp_path, 3)
    change(tmp_path / "journal.db", "DELETE FROM meta WHERE name = 'journal.epoch'")
    with pytest.raises(LocalFault):
        reopened(tmp_path)


async def test_erased_facts_are_left_out_and_the_chain_holds(tmp_path):
    told = await filled(tmp_path)
    change(tmp_path / "journal.db", "UPDATE fact SET record = NULL, salt = NULL WHERE seq BETWEEN 2 AND 9")
    assert read_all(tmp_path) == [told[0], *told[9:]]


async def test_an_unreadable_record_is_not_skipped_in_silence(tmp_path):
    """A record that hashes right but cannot be read was written wrong: never guess around it."""
    async with running(tmp_path) as run:
        (fact,) = run.teller.tell(lost())
        broken = type(fact)(
            fact.epoch, fact.seq, fact.uid, fact.kind, fact.v, fact.at, fact.clock, fact.body, b'{"uid":1}'
        )
        run.journal.push([broken])
        await run.journal.probe()
    with pytest.raises(LocalFault):
        read_all(tmp_path)


async def test_writing_goes_on_after_a_restart(tmp_path):
    told = await filled(tmp_path, 300)
    async with running(tmp_path, seed="b") as run:
        assert run.journal.recall_session("s1").state == "ended"
        told += await run.write(lost(), started("s2"))
    assert read_all(tmp_path) == told
