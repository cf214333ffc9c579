"""The writing half: what is said after the commit, how commits group, what happens when one fails."""

import asyncio
import contextlib
import sqlite3

import pytest

from common.errors import Code, Unavailable
from common.facts import RECORD_BYTES_MAX
from edge import outage
from edge.journal.journal import QUEUE_BYTES_MAX, Journal
from tests.journal.support import Disk, FakeIds, Teller, lost, running, sampled, started, table


async def test_on_commit_comes_only_when_another_connection_sees_the_row(tmp_path):
    async with running(tmp_path) as run:
        seen = []
        run.watch.also = lambda seq: seen.append(
            (seq, table(run.journal.path, "SELECT max(seq) FROM fact")[0][0])
        )
        for _ in range(20):
            await run.write(lost())
        assert [seq for seq, _ in seen] == run.watch.commits
        assert run.watch.commits[-1] == 20 == run.journal.committed_seq
        assert all(on_disk >= seq for seq, on_disk in seen)


async def test_nothing_is_committed_or_visible_while_the_disk_is_busy(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        run.push(lost())
        await asyncio.to_thread(disk.stalled.wait)
        assert run.watch.commits == []
        assert run.journal.committed_seq == 0
        assert run.journal.last_seq == 1
        assert table(run.journal.path, "SELECT count(*) FROM fact") == [(0,)]
        disk.go.set()
        await run.journal.probe()
        assert run.watch.commits == [1]


async def test_what_gathers_during_a_commit_shares_the_next_one(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        before = disk.commits
        disk.stall()
        run.push(lost())
        await asyncio.to_thread(disk.stalled.wait)
        for _ in range(50):
            run.push(lost())
        asked = run.journal.submit(lambda db: db.execute("SELECT max(seq) FROM fact").fetchone())
        disk.go.set()
        assert await asked == (51,)
        assert disk.commits - before == 2
        assert run.journal.commits == 2
        assert run.watch.commits == [1, 51]


async def test_a_group_is_bounded(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        run.push(lost())
        await asyncio.to_thread(disk.stalled.wait)
        for _ in range(1030):
            run.push(lost())
        disk.go.set()
        await run.journal.probe()
        assert run.watch.commits == [1, 1025, 1031]


async def test_any_number_of_facts_in_one_push(tmp_path):
    async with running(tmp_path) as run:
        told = []
        for count in (1, 2, 3, 63, 64, 65, 200):
            told += await run.write(*[sampled("s", float(n)) for n in range(count)])
        rows = table(run.journal.path, "SELECT seq, uid, kind, record FROM fact ORDER BY seq")
        assert rows == [(fact.seq, fact.uid, fact.kind, fact.record) for fact in told]


async def test_a_push_that_does_not_follow_changes_nothing(tmp_path):
    async with running(tmp_path) as run:
        await run.write(lost())
        epoch = run.journal.epoch
        body = started("s")
        gap = Teller(epoch, 2).tell(body)
        again = Teller(epoch, 0).tell(body)
        other = Teller("9-other", 1).tell(body)
        inner_gap = [*Teller(epoch, 1).tell(body), *Teller(epoch, 5).tell(lost())]
        big = Teller(epoch, 1).tell(started("s", key="k" * RECORD_BYTES_MAX))
        for wrong in (gap, again, other, inner_gap, big):
            with pytest.raises(ValueError, match="does not follow"):
                run.journal.push(wrong, [("key", b"body")])
        with pytest.raises(ValueError, match="goes with the fact"):
            run.journal.push([], [("key", b"body")])
        assert run.journal.last_seq == 1
        assert run.journal.recall_session("s") is None
        assert run.journal.recall_reply("key") is None
        await run.write(lost())
        assert run.journal.committed_seq == 2


async def test_a_full_queue_refuses_and_takes_again_when_the_disk_goes_on(tmp_path):
    disk = Disk()
    large = sampled("s" * (RECORD_BYTES_MAX - 500))
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        while run.journal.room:
            run.push(large)
        taken = run.journal.last_seq
        assert taken <= QUEUE_BYTES_MAX // RECORD_BYTES_MAX
        one_more = Teller(run.journal.epoch, taken).tell(lost())
        for refused in (lambda: run.journal.push(one_more), lambda: run.journal.set("name", b"value")):
            with pytest.raises(Unavailable) as caught:
                refused()
            assert caught.value.code is Code.JOURNAL_UNAVAILABLE
        assert run.journal.last_seq == taken
        run.journal.put_snapshot(taken, b"the state is kept all the same")
        probed = run.journal.probe()
        room_again = asyncio.Event()
        run.watch.also = lambda _: room_again.set()
        disk.go.set()
        await room_again.wait()
        await probed
        await run.write(lost())
        assert run.journal.committed_seq == taken + 1


async def test_a_failed_commit_is_told_once_and_nothing_is_acknowledged_after_it(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        await run.write(lost())
        disk.stall()
        run.push(lost())
        await asyncio.to_thread(disk.stalled.wait)
        run.push(lost())
        waiting = [run.journal.submit(lambda db: None), run.journal.probe(), run.journal.forget("p")]
        disk.fail()
        disk.go.set()
        await run.watch.failed.wait()
        assert [str(why) for why in run.watch.failures] == ["disk I/O error"]
        for future in waiting:
            with pytest.raises(Unavailable) as told:
                await future
            assert told.value.code is Code.JOURNAL_UNAVAILABLE
        disk.failing = False  # the disk claims to be well again: not believed on this connection
        for refused in (
            lambda: run.push(lost()),
            lambda: run.journal.submit(lambda db: None),
            lambda: run.journal.put_snapshot(1, b""),
            run.journal.probe,
            run.journal.rotate_epoch,
        ):
            with pytest.raises(Unavailable) as why:
                refused()
            assert not outage.for_want_of_room(why.value)
        assert not run.journal.room
        assert run.watch.commits == [1]
        assert run.journal.committed_seq == 1
    assert len(run.watch.failures) == 1
    async with running(tmp_path) as again:
        assert again.journal.last_seq == 1


async def test_a_full_disk_is_a_failure_and_what_was_committed_stays(tmp_path):
    async with running(tmp_path) as run:
        await run.write(lost())
        (pages,) = await run.journal.submit(lambda db: db.execute("PRAGMA page_count").fetchone())
        await run.journal.submit(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
        while not run.watch.failures and run.journal.last_seq < 2000:
            run.push(*[sampled("s", float(n)) for n in range(100)])
            with contextlib.suppress(Unavailable):
                await run.journal.probe()
        await run.watch.failed.wait()
        (why,) = run.watch.failures
        assert isinstance(why, sqlite3.OperationalError)
        assert why.sqlite_errorcode == sqlite3.SQLITE_FULL
        # Who pushes before the failure has been told ends the box with this: it waits for room all the same.
        with pytest.raises(Unavailable) as refused:
            run.push(lost())
        assert outage.for_want_of_room(refused.value)
    async with running(tmp_path) as again:
        assert again.journal.last_seq == run.watch.commits[-1]


async def test_the_writer_lets_a_failed_transaction_be(tmp_path):
    """After a failure closing must not write: what was not committed must not appear."""
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        await run.write(lost())
        disk.fail()
        run.push(lost())
        await run.watch.failed.wait()
        disk.failing = False
    assert (tmp_path / "journal.db-wal").stat().st_size > 0, "the log was tidied up"
    assert table(tmp_path / "journal.db", "SELECT max(seq) FROM fact") == [(1,)]


async def test_submitted_functions_run_in_order_with_pushes(tmp_path):
    async with running(tmp_path) as run:
        disk_says = []
        for _ in range(5):
            run.push(lost())
            disk_says.append(
                run.journal.submit(lambda db: db.execute("SELECT max(seq) FROM fact").fetchone()[0])
            )
        assert await asyncio.gather(*disk_says) == [1, 2, 3, 4, 5]


async def test_a_submitted_function_that_raises_undoes_only_itself(tmp_path):
    def broken(db):
        db.execute("INSERT INTO meta VALUES ('half', 'done')")
        raise KeyError("no")

    def fine(db):
        db.execute("INSERT INTO meta VALUES ('whole', 'done')")
        return 7

    async with running(tmp_path) as run:
        run.push(lost())
        first, second, third = (run.journal.submit(fn) for fn in (broken, fine, fine))
        run.push(lost())
        with pytest.raises(KeyError):
            await first
        assert await second == 7
        with pytest.raises(sqlite3.IntegrityError):
            await third
        await run.journal.probe()
        assert run.journal.get("half") is None
        assert run.journal.get("whole") == "done"
        assert run.journal.committed_seq == 2
        assert run.watch.failures == []


async def test_a_submitted_function_may_not_end_the_transaction(tmp_path):
    async with running(tmp_path) as run:
        future = run.journal.submit(lambda db: db.execute("COMMIT"))
        await run.watch.failed.wait()
        with pytest.raises(Unavailable):
            await future


async def test_an_io_error_inside_a_submitted_function_is_the_journals(tmp_path):
    def on_bad_disk(db):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    async with running(tmp_path) as run:
        future = run.journal.submit(on_bad_disk)
        await run.watch.failed.wait()
        with pytest.raises(Unavailable):
            await future


async def test_a_cancelled_call_runs_all_the_same(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        future = run.journal.set("name", b"value")
        future.cancel()
        disk.go.set()
        await run.journal.probe()
        assert run.journal.get("name") == b"value"
        assert run.watch.failures == []


async def test_a_receiver_that_raises_does_not_keep_others_waiting(tmp_path):
    def raises(seq):
        raise RuntimeError("a gateway's bug")

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with running(tmp_path) as run:
        run.watch.also = raises
        run.push(lost())
        assert await run.journal.submit(lambda db: 5) == 5
        await run.write(lost())
        assert run.journal.committed_seq == 2
    assert [str(error) for error in told] == ["a gateway's bug"] * 2


async def test_close_writes_what_is_queued_and_leaves_no_log(tmp_path):
    async with running(tmp_path) as run:
        for _ in range(30):
            run.push(lost())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db", "lock"]
    assert table(tmp_path / "journal.db", "SELECT max(seq) FROM fact") == [(30,)]
    run.journal.close()
    with pytest.raises(Unavailable) as told:
        run.push(lost())
    assert told.value.code is Code.SHUTTING_DOWN
    await asyncio.sleep(0)
    assert run.watch.commits[-1] == 30


async def test_nothing_is_taken_before_start(tmp_path):
    journal = Journal.open(tmp_path, ids=FakeIds())
    try:
        with pytest.raises(Unavailable):
            journal.push(Teller(journal.epoch).tell(lost()))
        assert not journal.room
    finally:
        journal.close()


async def test_the_log_is_checkpointed_by_the_writer_and_stays_short(tmp_path):
    async with running(tmp_path) as run:
        wal = tmp_path / "journal.db-wal"
        size = 0
        while run.journal.checkpoints < 3:
            await run.write(*[sampled("s", float(n)) for n in range(500)])
            size = max(size, wal.stat().st_size)
        assert size < 6 * 1024 * 1024
        assert (tmp_path / "journal.db").stat().st_size > 8 * 1024 * 1024


async def test_an_idle_writer_checkpoints_what_many_commits_left(tmp_path):
    async with running(tmp_path) as run:
        for _ in range(70):
            await run.write(lost())
        for _ in range(1000):
            if run.journal.checkpoints:
                break
            await asyncio.sleep(0.01)
        assert run.journal.checkpoints == 1
