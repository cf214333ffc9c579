"""Thinning and pruning: whatever goes, the chain holds, sums stay, and everything that went was declared."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts
from common.domain import MeterSample, iso
from common.thinning import Thinned
from edge.journal import inspection, pruning, thinning
from edge.journal.schema import MARK_EVERY
from edge.journal.thinning import Stage
from tests.journal.support import (
    Started,
    accepted,
    chain_of,
    ended,
    lost,
    revised,
    running,
    sampled,
    settled,
    started,
    table,
)
from tests.journal.test_laws import MEMORY

T0 = 1_795_000_000_000


def reading(session: str | None, minute: int, **changed) -> facts.MeterSampled:
    sample = MeterSample(at=iso(T0 + minute * 60_000), energy_wh=1000.0 + minute, **changed)
    return facts.MeterSampled(charger="CP1", evse=1, session=session, samples=(sample,))


async def snapshots(run: Started) -> None:
    """Two, of now: everything before may be thinned."""
    for _ in range(2):
        run.journal.put_snapshot(run.journal.last_seq, b"{}")
    await run.journal.probe()


async def thinned(run: Started, stage: Stage, up_to: int = 10**9) -> list[Thinned]:
    """The stage once over the whole journal, declared as the keeper does; the declarations."""
    told, at = [], 0
    while True:
        plan = await run.journal.submit(lambda db, at=at: thinning.plan(db, stage, at, up_to))
        if plan is None:
            return told
        at = plan.last
        if plan.rows:
            told.append(plan.declaration(acked=True))
            await run.write(told[-1])
            count = await run.journal.submit(lambda db, plan=plan: thinning.carry_out(db, plan))
            assert count == told[-1].count


def left(run: Started) -> list[int]:
    """Minutes of the samples that still have content."""
    found = table(
        run.journal.path, "SELECT seq, record FROM fact WHERE record IS NOT NULL AND kind = 'meter_sampled'"
    )
    bodies = [facts.read("e", seq, record).body for seq, record in found]  # type: ignore[arg-type]
    return [round(body.samples[0].energy_wh - 1000) for body in bodies]


async def test_every_other_goes_and_the_first_and_last_stay(tmp_path):
    async with running(tmp_path) as run:
        await run.write(started("s"), *[reading("s", n) for n in range(9)], ended("s"))
        await snapshots(run)
        (told,) = await thinned(run, Stage.HALVE)
        assert left(run) == [0, 2, 4, 6, 8]
        assert (told.first_seq, told.last_seq, told.count, told.reason) == (3, 9, 4, "halved")
        assert (told.first_uid, told.last_uid, told.epoch) == ("u3", "u9", run.journal.epoch)
        await thinned(run, Stage.HALVE)
        assert left(run) == [0, 4, 8]
        await thinned(run, Stage.HALVE)
        await thinned(run, Stage.HALVE)
        assert left(run) == [0, 8]
        assert await thinned(run, Stage.HALVE) == []
        chain_of(run.journal.path, run.journal.epoch)
    assert inspection.damage(tmp_path / "journal.db") == ""


async def test_rolled_up_leaves_one_of_ten_minutes(tmp_path):
    async with running(tmp_path) as run:
        await run.write(started("s"), *[reading("s", n) for n in range(60)], ended("s"))
        await snapshots(run)
        await thinned(run, Stage.ROLL_UP)
        kept = left(run)
        assert (kept[0], kept[-1]) == (0, 59)
        assert 6 <= len(kept) <= 8
        assert await thinned(run, Stage.ROLL_UP) == []


@pytest.mark.parametrize(
    "special",
    [{"context": "begin"}, {"context": "interruption"}, {"context": "trigger"}, {"signed": ("OCMF|{}",)}],
)
async def test_samples_that_say_more_are_kept(tmp_path, special):
    async with running(tmp_path) as run:
        await run.write(reading("s", 0), *[reading("s", n, **special) for n in range(1, 5)], reading("s", 5))
        await snapshots(run)
        for stage in (Stage.HALVE, Stage.ROLL_UP):
            assert await thinned(run, stage) == []
        await thinned(run, Stage.RETENTION)
        assert left(run) == ([1, 2, 3, 4] if "signed" in special else [])


async def test_sessions_are_thinned_apart(tmp_path):
    async with running(tmp_path) as run:
        mixed = [reading(session, n) for n in range(5) for session in ("a", "b", None)]
        await run.write(*mixed)
        await snapshots(run)
        await thinned(run, Stage.HALVE)
        assert sorted(left(run)) == [0, 0, 0, 2, 2, 2, 4, 4, 4]


async def test_nothing_goes_that_a_restart_would_replay(tmp_path):
    async with running(tmp_path) as run:
        await run.write(*[reading("s", n) for n in range(20)])
        assert await thinned(run, Stage.RETENTION) == []  # no snapshot
        run.journal.put_snapshot(20, b"{}")
        assert await thinned(run, Stage.RETENTION) == []  # one, which may turn out unreadable
        run.journal.put_snapshot(20, b"{}")
        await run.write(*[reading("s", n) for n in range(20, 40)])
        run.journal.put_snapshot(40, b"{}")
        await run.journal.probe()
        await thinned(run, Stage.RETENTION)
        assert left(run) == list(range(20, 40))


async def test_a_plan_that_reaches_what_a_restart_replays_does_nothing(tmp_path):
    async with running(tmp_path) as run:
        await run.write(*[reading("s", n) for n in range(9)])
        await snapshots(run)
        plan = await run.journal.submit(lambda db: thinning.plan(db, Stage.HALVE, 0, 99))
        await run.journal.submit(lambda db: db.execute("UPDATE snapshot SET seq = 3").rowcount)
        assert await run.journal.submit(lambda db: thinning.carry_out(db, plan)) == 0
        assert len(left(run)) == 9


async def test_a_plan_of_another_epoch_does_nothing(tmp_path):
    async with running(tmp_path) as run:
        await run.write(*[reading("s", n) for n in range(9)])
        await snapshots(run)
        plan = await run.journal.submit(lambda db: thinning.plan(db, Stage.HALVE, 0, 99))
        await run.journal.rotate_epoch()
        assert await run.journal.submit(lambda db: thinning.carry_out(db, plan)) == 0
        assert len(left(run)) == 9


async def test_thinning_gives_pages_back(tmp_path):
    async with running(tmp_path) as run:
        for _ in range(10):
            await run.write(*[reading(f"s{n % 4}", n) for n in range(1000)])
        await snapshots(run)

        def used() -> int:
            pages, free, _ = run.journal.pages()
            return pages - free

        before = used()
        for _ in range(3):
            await thinned(run, Stage.HALVE)
        assert used() < before * 0.6
        pages, free, _ = run.journal.pages()
        assert free > 0
        for _ in range(20):
            await run.journal.submit(pruning.give_back)
        assert run.journal.pages()[0] < pages
        chain_of(run.journal.path, run.journal.epoch)


async def test_batches_for_the_cloud_carry_tombstones(tmp_path):
    async with running(tmp_path) as run:
        await run.write(*[reading("s", n) for n in range(9)])
        await snapshots(run)
        await thinned(run, Stage.HALVE)
        rows = run.journal.records(1, max_records=100, max_bytes=10**6)
        assert [row.seq for row in rows if row.record is None] == [2, 4, 6, 8]
        assert all(row.salt == b"" and len(row.inner) == 32 for row in rows if row.record is None)


# --- pruning ---


async def test_a_cut_is_made_at_marks_and_never_behind_what_is_needed(tmp_path):
    async with running(tmp_path) as run:
        await run.write(*[lost() for _ in range(4 * MARK_EVERY)])
        assert await run.journal.submit(lambda db: pruning.cut(db, 10**9)) == 0  # no snapshot yet
        await snapshots(run)
        assert await run.journal.submit(lambda db: pruning.cut(db, MARK_EVERY - 1)) == 0
        assert await run.journal.submit(lambda db: pruning.cut(db, 3 * MARK_EVERY)) == MARK_EVERY
        assert await run.journal.submit(lambda db: pruning.cut(db, 3 * MARK_EVERY)) == MARK_EVERY
        assert run.journal.chain_at(2 * MARK_EVERY - 1) is None
        assert run.journal.chain_at(2 * MARK_EVERY) is not None
        rows = run.journal.records(2 * MARK_EVERY + 1, max_records=5, max_bytes=10**6)
        assert rows[0].seq == 2 * MARK_EVERY + 1
        _, after = run.journal.recover()
        assert list(after) == []
    assert inspection.damage(tmp_path / "journal.db") == ""
    async with running(tmp_path, seed="b") as run:
        ahead = await run.journal.prepare_rotation()
        head = await run.journal.rotate_epoch(ahead)
        assert (head.seq, head.begins_after) == (4 * MARK_EVERY, 2 * MARK_EVERY)
        await run.journal.submit(lambda db: None)
    chain_of(tmp_path / "journal.db", head.epoch, head.begins_after)


async def test_old_sessions_replies_and_commands_leave_by_their_own_age(tmp_path):
    async with running(tmp_path) as run:
        await run.write(started("old"), accepted("c"), replies=[("k-old", b"1")])
        await run.write(ended("old"), settled("c"))
        mark = run.journal.last_seq
        await run.write(started("open"), started("new"), ended("new"), replies=[("k-new", b"2")])
        await run.write(revised("old", 1))
        gone = await run.journal.submit(lambda db: pruning.forget_sessions(db, mark))
        assert gone == 1  # the reply; the session was revised since
        assert (run.journal.recall_reply("k-old"), run.journal.recall_reply("k-new")) == (None, b"2")
        last = run.journal.last_seq
        await run.journal.submit(lambda db: pruning.forget_sessions(db, last))
        assert table(run.journal.path, "SELECT session FROM session") == [("open",)]
        assert await run.journal.submit(lambda db: pruning.forget_commands(db, mark)) == 1
        assert table(run.journal.path, "SELECT count(*) FROM command") == [(0,)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=40), st.integers(0, 60))
def test_the_last_fact_before_a_time_is_found_among_tombstones(rows, minute):
    import sqlite3

    from edge.journal import schema
    from edge.journal.rotation import write_epoch

    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    write_epoch(db, "1-a")
    times = sorted(at for at, _ in rows)
    for seq, (at, (_, gone)) in enumerate(zip(times, rows, strict=True), 1):
        fact = facts.make(
            epoch="1-a", seq=seq, uid="u", at=iso(T0 + at * 60_000), clock="synced", body=lost()
        )
        record = None if gone else fact.record
        db.execute("INSERT INTO fact VALUES (?, 'u', 'k', NULL, x'', NULL, ?)", (seq, record))
    found = pruning.last_before(db, T0 + minute * 60_000)
    older = [seq for seq, at in enumerate(times, 1) if at < minute]
    # Never one too many; too few only by tombstones.
    assert found <= len(older)
    assert all(rows[seq - 1][1] for seq in older if seq > found)


# --- the law ---


@st.composite
def lives(draw):
    """Facts of some sessions in any order, with what is done to the journal in between."""
    names = ("a", "b", None)
    body = st.one_of(
        st.builds(reading, st.sampled_from(names), st.integers(0, 500)),
        st.builds(lambda n, m: reading(n, m, context="end"), st.sampled_from(names), st.integers(0, 500)),
        st.builds(sampled, st.sampled_from(names)),
        st.builds(lost),
    )
    done = st.sampled_from([*Stage, "cut", "rotate", "snapshot"])
    return draw(st.lists(st.one_of(st.lists(body, min_size=1, max_size=80), done), min_size=1, max_size=14))


async def _lived(folder: Path, steps) -> None:
    async with running(folder) as run:
        await run.write(started("a", key="a"), started("b", key="b"))
        await run.write(ended("a", energy_wh=5.5), ended("b", energy_wh=7.5), revised("b", 1, energy_wh=7.0))
        declared: list[Thinned] = []
        for step in steps:
            if isinstance(step, list):
                await run.write(*step)
            elif step == "snapshot":
                await snapshots(run)
            elif step == "rotate":
                await run.journal.rotate_epoch(await run.journal.prepare_rotation())
                run.teller.epoch, run.teller.seq = run.journal.epoch, run.journal.last_seq
                declared.clear()  # their numbers are of the old epoch
            elif step == "cut":
                await run.journal.submit(lambda db: pruning.cut(db, 10**9))
            else:
                declared += await thinned(run, step)
        path, epoch = run.journal.path, run.journal.epoch
        assert inspection.damage(path) == ""
        # The sums of sessions are what they were.
        assert table(path, "SELECT session, energy_wh FROM session ORDER BY session") == [
            ("a", 5.5),
            ("b", 7.0),
        ]
        # Every tombstone of this epoch lies under a declaration, unless it came with the epoch.
        if "rotate" not in steps:
            gone = {seq for (seq,) in table(path, "SELECT seq FROM fact WHERE record IS NULL")}
            covered = {n for told in declared for n in range(told.first_seq, told.last_seq + 1)}
            assert gone <= covered
            if "cut" not in steps:
                assert len(gone) == sum(told.count for told in declared)
        # A batch can be made from the first retained fact on.
        first = table(path, "SELECT min(seq) FROM fact")[0][0]
        rows = run.journal.records(first, max_records=10**6, max_bytes=10**9)
        assert rows[-1].seq == run.journal.last_seq
        assert rows[-1].chain == run.journal.chain_at(run.journal.last_seq)
        assert run.journal.epoch == epoch


@settings(max_examples=40, deadline=None)
@given(lives())
def test_whatever_is_thinned_or_cut_chain_and_sums_hold(steps):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        asyncio.run(_lived(Path(folder), steps))
