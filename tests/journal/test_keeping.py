"""The keeper: the ladder in order, each step declared first; retention; copies; the weekly reading."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from edge import keeping
from edge.journal import backups, inspection, quota
from edge.journal.quota import MIB, Level, Room
from tests.box.support import eventually
from tests.journal.keeping import Kept, kept

FILLER = 2000  #: samples that make a journal of more than 1 MiB


def room(**changed) -> Room:
    given = {"quota": 100 * MIB, "used": 50 * MIB, "disk_free": 1000 * MIB}
    return Room(**(given | changed))


@pytest.mark.parametrize(
    ("used", "before", "level"),
    [
        (79, Level.FINE, Level.FINE),
        (80, Level.FINE, Level.THIN),
        (90, Level.FINE, Level.THIN_UNACKED),
        (95, Level.FINE, Level.SPARSE),
        (97, Level.FINE, Level.BALLAST),
        (150, Level.FINE, Level.BALLAST),
        # Left only well below where it began.
        (76, Level.THIN, Level.THIN),
        (74, Level.THIN, Level.FINE),
        (91, Level.SPARSE, Level.SPARSE),
        (89, Level.SPARSE, Level.THIN_UNACKED),
        (93, Level.BALLAST, Level.BALLAST),
        (91, Level.BALLAST, Level.SPARSE),
    ],
)
def test_the_levels_and_where_they_end(used, before, level):
    assert quota.level(room(used=used * MIB), before) is level


def test_a_short_disk_counts_like_a_small_quota():
    short = room(used=90 * MIB, quota=1000 * MIB, disk_free=18 * MIB)
    assert short.disk_is_short
    assert quota.level(short) is Level.THIN_UNACKED
    assert quota.level(room(used=90 * MIB, quota=1000 * MIB, disk_free=0)) is Level.BALLAST
    # Empty pages are room, but not for the log.
    empty = {"used": 10 * MIB, "reusable": 80 * MIB}
    assert quota.level(room(**empty, disk_free=8 * MIB)) is Level.FINE
    assert quota.level(room(**empty, disk_free=4 * MIB, log=4 * MIB)) is Level.FINE
    assert quota.level(room(**empty, disk_free=4 * MIB)) is Level.BALLAST


def test_the_quota_grows_with_the_chargers_unless_it_is_set():
    assert quota.quota_bytes(0) == quota.quota_bytes(4) == 512 * MIB
    assert quota.quota_bytes(100) == 12_800 * MIB
    assert quota.quota_bytes(100, mib=600) == 600 * MIB
    assert quota.BALLAST_BYTES >= quota.RESERVE_BYTES


async def full(box: Kept, percent: float) -> None:
    """Make the quota such that the journal fills it by so much."""
    pages, free, size = box.journal.pages()
    box.keeper._quota_mib = (pages - free) * size * 100 / percent / MIB  # type: ignore[assignment]


async def test_what_the_cloud_has_goes_first(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(FILLER)
        box.acked = box.journal.committed_seq
        await box.samples(FILLER)
        await full(box, 82)
        await box.keeper.look()
        whole, gone = box.stored()
        assert whole + gone == 2 * FILLER
        assert FILLER / 4 < gone <= FILLER, "as much as is needed, and no more"
        assert {told.reason for told in box.declared()} <= {"rolled_up", "halved"}
        assert all(told.acked and told.last_seq <= box.acked for told in box.declared())
        assert sum(told.count for told in box.declared()) == gone
        assert box.keeper.level is Level.FINE
        assert inspection.damage(box.journal.path) == ""


async def test_what_it_has_not_goes_only_when_that_is_not_enough(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(FILLER)
        box.acked = 0
        await full(box, 85)
        await box.keeper.look()
        assert box.stored() == (FILLER, 0)
        await full(box, 91)
        await box.keeper.look()
        whole, gone = box.stored()
        assert gone > 0
        assert whole > 0
        assert all(told.reason == "halved" and not told.acked for told in box.declared())
        # First and last are never among them.
        ((first, last),) = box.journal._all(
            "SELECT min(seq), max(seq) FROM fact WHERE kind = 'meter_sampled' AND record IS NOT NULL", ()
        )
        ((low, high),) = box.journal._all(
            "SELECT min(seq), max(seq) FROM fact WHERE kind = 'meter_sampled'", ()
        )
        assert (first, last) == (low, high)


async def test_a_declaration_is_on_disk_before_anything_goes(tmp_path):
    """Whenever the power goes: no tombstone without a declaration over it."""
    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(600)
        await full(box, 92)
        seen = []

        def watch(seq: int, before=box.gateway._committed) -> None:
            _, gone = box.stored()
            seen.append(gone <= sum(told.count for told in box.declared()))
            before(seq)

        box.journal._on_commit = watch
        await box.keeper.look()
        assert box.stored()[1] > 0
        assert seen
        assert all(seen)


async def test_hardly_any_room_samples_are_answered_declared_and_not_written(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(30)
        written = box.stored()[0]
        await full(box, 400)
        await box.keeper.look()
        assert box.gateway.sparse
        (onset,) = [told for told in box.declared() if told.reason == "not_stored"]
        assert (onset.count, onset.over, bool(onset.since)) == (0, False, True)
        replies = await box.samples(60)
        assert all(reply.sent for reply in replies), "a charger is not left without its answer"
        whole = sum(box.stored())
        assert written + 5 <= whole <= written + 8, "one of each ten minutes"
        assert box.gateway.unstored == 60 - (whole - written)
        # What says more is written whatever the disk.
        await box.samples(3, context="trigger")
        assert sum(box.stored()) == whole + 3
        # And the session ends to the Wh.
        stop = await box.ended(1000.0 + 7777.0)
        assert stop.sent
        (session,) = box.gateway.state.view.sessions.values()
        assert session.energy_wh == 7777.0 + (1000.0 - (session.meter_start_wh or 0))
        dropped = box.gateway.unstored
        await full(box, 10)
        await box.keeper.look()
        assert not box.gateway.sparse
        last = box.declared()[-1]
        assert (last.reason, last.count, last.over) == ("not_stored", dropped, True)
        assert box.gateway.unstored == 0


async def test_a_restart_after_thinning_finds_the_same_state(tmp_path):
    from edge.core import engine

    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(900)
        await full(box, 92)
        await box.keeper.look()
        assert box.stored()[1] > 0
        await box.samples(5)
        before = engine.encode_state(box.gateway.state)
        box.gateway._paused = True  # no snapshot at the end: as after kill -9
    async with kept(tmp_path, "b") as box:
        state = box.gateway.state
        assert state.view.sessions.keys() == engine.decode_state(before).view.sessions.keys()
        (session,) = state.view.sessions.values()
        (earlier,) = engine.decode_state(before).view.sessions.values()
        assert session == earlier


async def test_retention_by_age(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(600)
        await box.ended(9999.0)
        box.clock.now += 91 * keeping.DAY_MS
        await box.settle()
        await box.keeper.retire(box.clock.now)
        assert box.stored() == (0, 600)
        assert {told.reason for told in box.declared()} == {"retention"}
        # Two years on the facts go, and the session; nothing that the cloud has not.
        box.acked = 300
        box.clock.now += 2 * 366 * keeping.DAY_MS
        await box.settle()
        await box.keeper.retire(box.clock.now)
        assert box.journal._all("SELECT min(seq) FROM fact", ()) == [(257,)]
        assert box.journal._all("SELECT count(*) FROM session", ()) == [(1,)]
        box.acked = None
        await box.keeper.retire(box.clock.now)
        assert box.journal._all("SELECT count(*) FROM session", ()) == [(0,)]
        assert inspection.damage(box.journal.path) == ""


async def test_a_day_makes_a_copy_and_a_week_a_reading(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        box.keeper._read_diary()
        await box.keeper.daily()
        assert backups.newest(tmp_path / "backups") == ""  # the first day begins now
        for _ in range(8):
            box.clock.now += keeping.DAY_MS
            await box.keeper.daily()
        copies = sorted((tmp_path / "backups").glob("*.db"))
        assert len(copies) == backups.KEEP
        assert inspection.damage(copies[0]) == ""
        assert box.keeper._diary.checked_ms == box.clock.now - keeping.DAY_MS
    async with kept(tmp_path, "b") as box:
        box.keeper._read_diary()
        assert box.keeper._diary.kept_ms > 0


async def test_the_weekly_reading_ends_the_process_and_names_the_suspect(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        await box.samples(20)
        await box.keeper.check()
        assert inspection.suspicion(tmp_path) == ""
        db = sqlite3.connect(box.journal.path)
        with db:
            db.execute("UPDATE fact SET salt = zeroblob(16) WHERE seq = 10")
        db.close()
        await box.keeper.check()
        assert box.gateway.failed is not None
        assert box.gateway.failed.done()
        assert "fact 10 does not match" in inspection.suspicion(tmp_path)


async def test_the_clouds_mark_is_remembered_for_a_start_without_it(tmp_path):
    async with kept(tmp_path) as box:
        await box.begun()
        box.acked = 3
        await box.keeper.look()
        await box.keeper._write_diary()
    async with kept(tmp_path, "b") as box:
        box.keeper._read_diary()
        box.keeper._acked = lambda: None
        assert box.keeper.mark == 3
        await box.gateway.rotate_epoch()
        assert box.keeper.mark == 0, "numbers of another epoch mean nothing"


async def test_health_tells_sizes(tmp_path):
    async with kept(tmp_path) as box:
        told = box.keeper.describe()
        assert told["level"] == "fine"
        assert told["used"] > 0
        assert told["quota"] == 64 * MIB
        assert told["damaged_sets"] == []


async def test_the_room_goes_round(tmp_path):
    async with kept(tmp_path) as box:
        running = asyncio.get_running_loop().create_task(box.keeper.run())
        await eventually(lambda: box.keeper._diary.kept_ms > 0, "the first round")
        running.cancel()
        await asyncio.wait({running})
        assert (tmp_path / "ballast").stat().st_size == quota.BALLAST_BYTES
