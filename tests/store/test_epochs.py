"""Epochs that are over: each record of theirs is held against its hash and chain, wherever it is by now."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from cloud.store import epochs
from cloud.store.rows import Earlier, HelloNote
from cloud.store.sql import SqlStore
from common import sync
from tests.store.box import T0_MS, Box
from tests.store.test_ledger import meddle


async def restored(store: SqlStore, box: Box) -> None:
    """Two charges, a card of after the first, another one in a new epoch: 1-a keeps what the box lost."""
    box.charge("s1", 1000, 5000)
    box.charge("s2", 5000, 6000)
    await box.drain(store)
    del box.journal.rows[3:]
    await begun_again(store, box, "s3", 6000)


async def begun_again(store: SqlStore, box: Box, session: str, at_wh: float) -> None:
    box.rotate()
    await box.connect(store)
    box.charge(session, at_wh, at_wh + 500)
    await box.drain(store, most=2)


async def number_of(database: str, what: str) -> int:
    engine = create_async_engine(database)
    async with engine.connect() as tx:
        found = (await tx.execute(text(f"SELECT count(*) FROM {what}"))).scalar_one()
    await engine.dispose()
    return int(found)


async def test_a_site_that_never_left_its_epoch_has_none(store: SqlStore, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    assert await store.earlier_epochs(box.site) == Earlier()


async def test_what_a_box_lost_and_what_it_told_again_are_one_chain(
    store: SqlStore, box: Box, database: str
) -> None:
    await restored(store, box)
    assert await store.earlier_epochs(box.site) == Earlier(epochs=1, records=6)
    assert await number_of(database, "moved") == 1, "batches of two make one run"


async def test_each_of_several_epochs_is_followed(
    store: SqlStore, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "STEP", 2)  # each page ends within a run
    await restored(store, box)
    del box.journal.rows[5:]
    await begun_again(store, box, "s4", 7000)
    del box.journal.rows[1:]
    await begun_again(store, box, "s5", 8000)
    assert await store.earlier_epochs(box.site) == Earlier(epochs=3, records=6 + 6 + 8)
    assert (await store.chain_state(box.site)).intact


async def test_a_box_that_took_anothers_place_leaves_its_epoch_whole(store: SqlStore, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    box.journal.rows.clear()
    await begun_again(store, box, "s2", 5000)
    assert await store.earlier_epochs(box.site) == Earlier(epochs=1, records=3)


async def test_a_box_that_keeps_less_than_it_had_is_in_order(store: SqlStore, box: Box) -> None:
    """What it has pruned stays where it was, and is told no more; the others keep their numbers."""
    box.charge("s1", 1000, 5000)
    box.charge("s2", 5000, 6000)
    await box.drain(store)
    rows = box.journal.rows[2:]
    box.journal.rows, box.journal.begins_after = [], 2
    box.journal.epoch = "2-a"
    told = [box.journal.append(row.uid, row.record) for row in rows]
    opened = await store.open_link(
        box.site, "2-a", box.instance, HelloNote(last_seq=6, begins_after=2), T0_MS
    )
    batch = sync.Batch(
        link=opened.link,
        epoch="2-a",
        from_seq=3,
        records=tuple(sync.Record(row.seq, row.uid, row.salt, row.record, row.inner) for row in told),
        chain_end=told[-1].chain,
    )
    assert isinstance(await store.ingest(box.site, opened.link, batch, None, T0_MS), sync.Ack)
    assert (await store.chain_state(box.site)).intact
    assert await store.earlier_epochs(box.site) == Earlier(epochs=1, records=6)


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("DELETE FROM fact WHERE epoch = '1-a' AND seq = 5", 5),
        ("UPDATE fact SET record = salt WHERE epoch = '1-a' AND seq = 5", 5),
        ("DELETE FROM fact WHERE epoch = '1-a' AND seq = 6", 6),
        ("UPDATE fact SET uid = 'another' WHERE epoch = '1-a' AND seq = 4", 6),
        ("UPDATE sync_state SET chain = epoch_chain WHERE epoch = '1-a'", 6),
        ("DELETE FROM fact WHERE epoch = '2-a' AND seq = 2", 2),
        ("DELETE FROM moved", 6),
    ],
)
async def test_the_first_difference_is_named(
    store: SqlStore, box: Box, database: str, statement: str, broken: int
) -> None:
    await restored(store, box)
    other = "(SELECT salt FROM fact WHERE seq = 1)"
    await meddle(database, statement.replace("epoch_chain", other))
    told = await store.earlier_epochs(box.site)
    assert (told.first_break, told.break_epoch) == (broken, "1-a")


async def test_of_moves_that_were_not_written_down_the_hashes_are_held(
    store: SqlStore, box: Box, database: str
) -> None:
    """A database of before there were runs: what its version says of the epochs that were over then."""
    await restored(store, box)
    await meddle(database, "DELETE FROM moved")
    await meddle(database, "INSERT INTO moved VALUES ('site-1', '1-a', 0, 0, '', 0)")
    assert await store.earlier_epochs(box.site) == Earlier(epochs=1, records=6, without_chain=1)
    await meddle(database, "UPDATE fact SET record = salt WHERE epoch = '1-a' AND seq = 5")
    told = await store.earlier_epochs(box.site)
    assert (told.first_break, told.break_epoch) == (5, "1-a")
