"""Pages of history: complete, in order, filtered, bounded, and nothing that was erased."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from common.errors import Code, Unavailable
from common.facts import OrphanRecorded
from common.sought import Sought
from edge.journal import history as history_module
from edge.journal.history import History
from edge.journal.rows import Counts
from tests.journal.support import (
    AT,
    accepted,
    confirmed,
    ended,
    lost,
    revised,
    running,
    sampled,
    sent,
    settled,
    started,
    table,
)


@asynccontextmanager
async def reading(folder):
    async with running(folder) as run, History(run.journal.path) as history:
        yield run, history


async def every(read, cursor):
    """All rows of a paged read, and the sizes of its pages."""
    rows, sizes, at = [], [], None
    while True:
        page = await (read() if at is None else read(**{cursor: at}))
        rows += page.rows
        sizes.append(len(page.rows))
        if page.next is None:
            return rows, sizes
        at = page.next


async def test_sessions_come_latest_first_and_filtered(tmp_path):
    async with reading(tmp_path) as (run, history):
        for number in range(7):
            await run.write(
                started(f"s{number}", principal=f"p{number % 2}", charger=f"CP{number % 3}"), lost()
            )

        async def uids(**filters):
            wanted = Sought(**filters)
            rows, sizes = await every(
                lambda **more: history.sessions(limit=2, wanted=wanted, **more), "before"
            )
            assert max(sizes) <= 2
            return [row.session for row in rows]

        assert await uids() == ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]
        assert await uids(principal="p1") == ["s5", "s3", "s1"]
        assert await uids(charger="CP0") == ["s6", "s3", "s0"]
        assert await uids(principal="p0", charger="CP0") == ["s6", "s0"]
        assert await uids(principal="nobody") == []
        assert await uids(session="s2") == ["s2"]
        assert await uids(since="2026-11-20T09:59:58.000Z", until="2026-11-20T09:59:59.000Z") == await uids()
        assert (
            await uids(since="2026-11-20T09:59:59.000Z") == await uids(until="2026-11-20T09:59:58.000Z") == []
        )
        (row,) = (await history.sessions(limit=1)).rows
        assert row == run.journal.recall_session("s6") == await history.session_row("s6")
        assert await history.session_row("s9") is None


async def test_a_session_tells_its_whole_story_and_only_its_own(tmp_path):
    async with reading(tmp_path) as (run, history):
        story = []
        for bodies, mine in (
            ((accepted("c1"), sent("c1")), True),
            ((accepted("c9"), started("s9", command="c9")), False),
            ((confirmed("c1"), started("s1", command="c1"), settled("c1", session="s1")), True),
            ((sampled("s1"), lost()), False),
            ((accepted("c2", "s1", name="stop"), sent("c2"), ended("s1"), settled("c2")), True),
            ((ended("s9"),), False),
            ((revised("s1", 1),), True),
        ):
            told = await run.write(*bodies)
            story += told if mine else []
        rows, sizes = await every(lambda **more: history.session("s1", limit=3, **more), "after")
        assert rows == story
        assert sizes == [3, 3, 3, 1]
        assert (await history.session("s2")).rows == ()


async def test_a_series_has_every_sample_of_its_session(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(sampled("s1", 0.5))  # before the session is known: nobody's series
        await run.write(started("s1"), started("s2"))
        for number in range(10):
            await run.write(sampled("s1", float(number)), sampled("s2", 99.0), sampled(None, 98.0), lost())

        async def energies(session, **options):
            rows, sizes = await every(lambda **more: history.series(session, **options, **more), "after")
            return [row.sample.energy_wh for row in rows], sizes

        assert await energies("s1") == ([float(n) for n in range(10)], [10])
        values, sizes = await energies("s1", limit=4)
        assert values == [float(n) for n in range(10)]
        assert sizes[:2] == [4, 4]
        await run.write(ended("s1"), sampled("s2", 97.0), sampled("s1", 50.0, late=True), sampled("s2", 96.0))
        rows = (await history.series("s1")).rows
        assert [(row.sample.energy_wh, row.late) for row in rows][-2:] == [(9.0, False), (50.0, True)]
        assert {row.received_at for row in rows} == {AT}
        assert (await energies("s2"))[0] == [99.0] * 10 + [97.0, 96.0]
        assert (await history.series("s3")).rows == ()


async def test_a_series_looks_only_so_far_in_one_read(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(started("s1"), sampled("s1", 1.0))
        for _ in range(history_module.SCAN_MAX // 5000 + 1):
            await run.write(*[sampled("s2") for _ in range(5000)])
        await run.write(sampled("s1", 2.0), ended("s1"))
        rows, sizes = await every(lambda **more: history.series("s1", **more), "after")
        assert [row.sample.energy_wh for row in rows] == [1.0, 2.0]
        assert sizes == [1, 1]


async def test_a_session_whose_uid_stands_in_anothers_text_gets_no_foreign_samples(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(started("CP1"), sampled("s2", 5.0), sampled("CP1", 6.0))
        assert [row.sample.energy_wh for row in (await history.series("CP1")).rows] == [6.0]


async def test_an_audit_picks_kinds_and_a_range(tmp_path):
    async with reading(tmp_path) as (run, history):
        told = await run.write(started("s1"), sampled("s1"), lost(), ended("s1"), lost(), started("s2"))

        async def seqs(*kinds, **options):
            rows, _ = await every(lambda **more: history.audit(kinds, limit=2, **(options | more)), "after")
            assert all(told[fact.seq - 1] == fact for fact in rows)
            return [fact.seq for fact in rows]

        assert await seqs() == [1, 3, 4, 5, 6]
        assert await seqs("charger_lost") == [3, 5]
        assert await seqs("session_started", "charger_lost") == [1, 3, 5, 6]
        assert await seqs(after=3, up_to=5) == [4, 5]
        assert await seqs("session_started", after=1) == [6]
        assert await seqs("no such kind') OR 1=1 --") == []


async def test_what_was_erased_is_not_shown(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(started("s1"), sampled("s1"), lost())
        await run.journal.submit(
            lambda db: db.execute("UPDATE fact SET record = NULL, salt = NULL WHERE seq > 1")
        )
        assert [fact.seq for fact in (await history.audit()).rows] == [1]
        assert (await history.series("s1")).rows == ()


async def test_the_ledger_is_counted(tmp_path):
    async with reading(tmp_path) as (run, history):
        empty = await history.counts()
        assert (empty.facts, empty.first_seq, empty.last_seq, empty.energy_wh) == (0, 1, 0, 0.0)
        await run.write(*[started(f"s{n}") for n in range(6)])
        await run.write(ended("s1"), ended("s2"), ended("s3", provisional=True), ended("s4", energy_wh=None))
        await run.write(revised("s2", 1, energy_wh=500.0), accepted("c1"), accepted("c2"), settled("c2"))
        await run.write(OrphanRecorded(charger="CP1", what="stop", reason="unknown"), sampled("s1"))
        assert await history.counts() == Counts(
            epoch=run.journal.epoch,
            first_seq=1,
            last_seq=16,
            facts=16,
            open=2,
            provisional=1,
            ended=2,
            revised=1,
            orphans=1,
            commands=2,
            unsettled=1,
            energy_wh=7000.0 + 500.0 + 7000.0,
        )


@pytest.mark.parametrize("limit", [0, -5, 10**9])
async def test_a_page_is_bounded_whatever_is_asked(tmp_path, limit):
    async with reading(tmp_path) as (run, history):
        await run.write(*[lost() for _ in range(history_module.PAGE_MAX + 1)])
        page = await history.audit(limit=limit)
        assert 1 <= len(page.rows) <= history_module.PAGE_MAX
        assert page.next == page.rows[-1].seq


async def test_facts_carry_the_epoch_of_the_moment(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(started("s1"))
        await run.journal.rotate_epoch()
        assert {fact.epoch for fact in (await history.session("s1")).rows} == {run.journal.epoch}


async def test_readers_share_a_connection_and_cannot_write(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(*[started(f"s{n}") for n in range(20)])
        pages = await asyncio.gather(*(history.sessions(limit=n + 1) for n in range(20)))
        assert [len(page.rows) for page in pages] == list(range(1, 21))
        with pytest.raises(Unavailable) as caught:
            await history._all("DELETE FROM fact", {})
        assert caught.value.code is Code.JOURNAL_UNAVAILABLE
        assert table(run.journal.path, "SELECT count(*) FROM fact") == [(20,)]


async def test_a_closed_reader_says_so(tmp_path):
    async with running(tmp_path) as run:
        history = History(run.journal.path)
        with pytest.raises(Unavailable):
            await history.counts()
        await history.open()
        await history.counts()
        await history.close()
        await history.close()
        with pytest.raises(Unavailable):
            await history.counts()


async def test_a_reader_does_not_keep_the_log_from_being_emptied(tmp_path):
    async with reading(tmp_path) as (run, history):
        await run.write(*[started(f"s{n}") for n in range(20)])
        await history.sessions(limit=3)
        await history.audit(limit=3)
        await run.journal.forget("p")
        assert (tmp_path / "journal.db-wal").stat().st_size == 0
