"""What the uplink reads, and new epochs: the chain is the one that the rows give."""

import asyncio

import pytest

from common import chain
from common.errors import Code, LocalFault, Unavailable
from edge.journal import inspection, pruning
from edge.journal.journal import Journal
from edge.journal.rotation import next_epoch
from edge.journal.schema import MARK_EVERY
from tests.journal.support import (
    Disk,
    FakeIds,
    accepted,
    chain_of,
    ended,
    lost,
    running,
    sampled,
    sent,
    settled,
    started,
    table,
)

COUNT = 3 * MARK_EVERY + 5


async def fill(run, count=COUNT):
    return await run.write(*[sampled("s1", float(n)) for n in range(count)])


async def test_records_are_what_was_pushed_with_the_chain_after_each(tmp_path):
    async with running(tmp_path) as run:
        told = await fill(run)
        expected = chain_of(run.journal.path, run.journal.epoch)
        stored, at = [], 1
        while batch := run.journal.records(at, max_records=50, max_bytes=10_000):
            assert len(batch) <= 50
            stored += batch
            at = batch[-1].seq + 1
        assert [(row.seq, row.uid, row.record) for row in stored] == [
            (fact.seq, fact.uid, fact.record) for fact in told
        ]
        assert {row.seq: row.chain for row in stored} | {0: expected[0]} == expected
        assert all(row.inner == chain.inner_hash(row.salt, row.record) for row in stored)
        assert len({row.salt for row in stored}) == COUNT


async def test_the_chain_is_known_at_every_place(tmp_path):
    async with running(tmp_path) as run:
        await fill(run)
        expected = chain_of(run.journal.path, run.journal.epoch)
        assert {seq: run.journal.chain_at(seq) for seq in range(COUNT + 1)} == expected
        assert expected[0] == chain.seed(run.journal.epoch)
        assert run.journal.chain_at(COUNT + 1) is None
        assert run.journal.chain_at(-1) is None
        assert run.journal.records(COUNT + 1, max_records=10, max_bytes=1000) == []
        assert run.journal.records(COUNT + 9, max_records=10, max_bytes=1000) == []


async def test_records_are_bounded_in_bytes_but_never_stuck(tmp_path):
    async with running(tmp_path) as run:
        (fact, *_) = await run.write(*[lost() for _ in range(10)])
        size = len(fact.record) + len(fact.uid) + 16 + 32
        read = run.journal.records
        assert [row.seq for row in read(1, max_records=10, max_bytes=3 * size)] == [1, 2, 3]
        assert [row.seq for row in read(1, max_records=10, max_bytes=4 * size - 1)] == [1, 2, 3]
        assert [row.seq for row in read(4, max_records=10, max_bytes=1)] == [4]
        assert [row.seq for row in read(9, max_records=10, max_bytes=10**6)] == [9, 10]
        assert [row.seq for row in read(1, max_records=1, max_bytes=10**6)] == [1]


async def test_only_what_is_on_disk_is_handed_to_the_cloud(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        await run.write(lost())
        disk.stall()
        run.push(lost())
        assert [row.seq for row in run.journal.records(1, max_records=10, max_bytes=10**6)] == [1]
        assert run.journal.chain_at(2) is None
        disk.go.set()


async def test_a_tombstone_keeps_its_place_in_the_chain(tmp_path):
    async with running(tmp_path) as run:
        await fill(run, 5)
        before = chain_of(run.journal.path, run.journal.epoch)
        await run.journal.submit(
            lambda db: db.execute("UPDATE fact SET record = NULL, salt = NULL WHERE seq = 3")
        )
        rows = run.journal.records(1, max_records=10, max_bytes=10**6)
        assert (rows[2].record, rows[2].salt) == (None, b"")
        assert {row.seq: row.chain for row in rows} | {0: before[0]} == before


async def test_a_new_epoch_keeps_the_bytes_and_gives_a_new_chain(tmp_path):
    async with running(tmp_path) as run:
        told = await fill(run)
        old_epoch = run.journal.epoch
        old = chain_of(run.journal.path, old_epoch)
        await run.journal.rotate_epoch()
        epoch = run.journal.epoch
        assert epoch.startswith("2-")
        assert epoch != old_epoch
        assert (run.journal.last_seq, run.journal.committed_seq) == (COUNT, COUNT)
        new = chain_of(run.journal.path, epoch)
        assert {seq: run.journal.chain_at(seq) for seq in range(COUNT + 1)} == new
        assert not set(new.values()) & set(old.values())
        assert table(run.journal.path, "SELECT seq, record FROM fact ORDER BY seq") == [
            (fact.seq, fact.record) for fact in told
        ]
        run.teller.epoch = epoch
        more = await run.write(lost())
        assert run.watch.commits[-1] == COUNT + 1
    async with running(tmp_path) as run:
        assert run.journal.epoch == epoch
        assert [fact.record for fact in run.journal.recover()[1]] == [fact.record for fact in told + more]
        assert {fact.epoch for fact in run.journal.recover()[1]} == {epoch}


async def test_a_new_epoch_of_a_journal_without_its_oldest_touches_no_row(tmp_path):
    """Years of facts: what has left the journal is behind the epoch's beginning, and nothing moves."""
    cut = 2 * MARK_EVERY
    async with running(tmp_path) as run:
        await run.write(*[lost() for _ in range(cut - 2)])
        await run.write(started("s1"), accepted("c1", "s1"))
        told = await run.write(
            sent("c1"), ended("s1"), settled("c1"), started("s2"), *[lost() for _ in range(300)]
        )
        run.journal.put_snapshot(cut + 4, b"before s2's samples")
        run.journal.put_snapshot(cut + 304, b"after all")
        await run.journal.submit(lambda db: pruning.cut(db, cut))
        await run.journal.submit(lambda db: pruning.cut(db, cut))
        assert run.journal.chain_at(0) is None, "what the seed is for has left"
        rows = table(run.journal.path, "SELECT * FROM fact ORDER BY seq")
        sessions, commands = (table(run.journal.path, f"SELECT * FROM {t}") for t in ("session", "command"))
        head = await run.journal.rotate_epoch(await run.journal.prepare_rotation())
        assert (head.seq, head.begins_after, run.journal.begins_after) == (cut + 304, cut, cut)
        assert table(run.journal.path, "SELECT * FROM fact ORDER BY seq") == rows
        assert table(run.journal.path, "SELECT * FROM session") == sessions
        assert table(run.journal.path, "SELECT * FROM command") == commands
        assert run.journal.chain_at(cut) == chain.seed(head.epoch)
        (first, *_) = run.journal.records(cut + 1, max_records=1, max_bytes=1)
        assert first.chain == chain.link(chain.seed(head.epoch), cut + 1, told[0].uid, first.inner)
        run.teller.epoch = head.epoch
        await run.write(lost())
    async with running(tmp_path, seed="b") as run:
        assert run.journal.begins_after == cut
        snapshot, facts = run.journal.recover()
        assert snapshot == (cut + 304, b"after all")
        assert [fact.seq for fact in facts] == [cut + 305]
    assert inspection.damage(tmp_path / "journal.db") == ""
    chain_of(tmp_path / "journal.db", head.epoch, cut)


async def test_what_was_queued_before_a_rotation_is_committed_under_its_old_number(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        run.push(lost())
        await asyncio.to_thread(disk.stalled.wait)
        run.push(started("s1"))
        rotated, probed = run.journal.rotate_epoch(), run.journal.probe()
        for refused in (
            lambda: run.push(lost()),
            run.journal.rotate_epoch,
            lambda: run.journal.put_snapshot(1, b""),
        ):
            with pytest.raises(Unavailable) as caught:
                refused()
            assert caught.value.code is Code.BUSY
        disk.go.set()
        await rotated
        await probed
        assert run.watch.commits == [1, 2]
        assert run.journal.recall_session("s1").started_seq == 2


async def test_a_rotation_that_finds_a_hole_changes_nothing(tmp_path):
    async with running(tmp_path) as run:
        await fill(run, 300)
        epoch = run.journal.epoch
        marks = table(run.journal.path, "SELECT * FROM mark")
        await run.journal.submit(lambda db: db.execute("DELETE FROM fact WHERE seq = 100"))
        with pytest.raises(LocalFault) as caught:
            await run.journal.rotate_epoch()
        assert "fact 100 is missing" in caught.value.message
        assert run.journal.epoch == epoch
        assert table(run.journal.path, "SELECT * FROM mark") == marks
        await run.write(lost())
        assert run.journal.committed_seq == 301


async def test_a_rotation_that_the_disk_refuses_leaves_the_old_epoch(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        await fill(run, 10)
        epoch = run.journal.epoch
        disk.fail()
        with pytest.raises(Unavailable):
            await run.journal.rotate_epoch()
        disk.failing = False
    journal = Journal.open(tmp_path, ids=FakeIds())
    assert (journal.epoch, journal.last_seq) == (epoch, 10)
    journal.close()


async def test_an_empty_journal_can_begin_a_new_epoch(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.rotate_epoch()
        run.teller.epoch = run.journal.epoch
        await run.write(lost())
        assert chain_of(run.journal.path, run.journal.epoch)[1] == run.journal.chain_at(1)


def test_epochs_count_up_and_never_repeat():
    one = next_epoch("", FakeIds("a"))
    assert one.startswith("1-")
    assert next_epoch(one, FakeIds("a")).startswith("2-")
    # A restored copy counts the same, so the randomness has to differ.
    assert next_epoch(one, FakeIds("a")) != next_epoch(one, FakeIds("b"))
    assert next_epoch("41-abc", FakeIds("a")).startswith("42-")
    assert len(next_epoch("999999-abc", FakeIds("a"))) <= 64
