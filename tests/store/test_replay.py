"""A cloud that was upgraded reads again what its earlier build could only keep."""

from __future__ import annotations

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from cloud.store.replay import known_kinds
from cloud.store.sql import SqlStore, open_store
from common.clock import SystemIds
from tests.store.box import Box, staff

NEWER = ("session_ended", "meter_sampled")


async def as_an_older_build_left_it(database: str) -> None:
    """What the database of a build holds that did not know `NEWER`: bytes, and nothing that they mean."""
    kinds = {kind: v for kind, v in known_kinds().items() if kind not in NEWER}
    engine = create_async_engine(database)
    async with engine.begin() as tx:
        await tx.execute(text("DELETE FROM meter"))
        await tx.execute(
            text("UPDATE session SET ended_at = '', meter_stop_wh = NULL, energy_wh = NULL, reason = ''")
        )
        await tx.execute(
            text(
                "UPDATE fact SET principal = NULL, charger = '', session = NULL"
                " WHERE kind IN ('session_ended', 'meter_sampled')"
            )
        )
        value = msgspec.json.encode(kinds).decode()
        await tx.execute(text("UPDATE meta SET value = :value WHERE key = 'kinds'"), {"value": value})
    await engine.dispose()


async def told(store: SqlStore, site: str) -> tuple[object, ...]:
    return (
        await store.ledger(site),
        (await store.sessions(staff(site))).rows,
        (await store.samples(staff(site), "s1")).rows,
        [row.uid for row in (await store.story(staff(site), "s1")).rows],
        await store.chain_state(site),
    )


async def test_kinds_that_were_unknown_are_read_after_the_upgrade(
    store: SqlStore, box: Box, database: str
) -> None:
    box.charge("s1", 1000, 5000)
    box.charge("s2", 5000, 6000)
    await box.drain(store)
    expected = await told(store, box.site)
    await as_an_older_build_left_it(database)
    assert await told(store, box.site) != expected
    upgraded = await open_store(database, SystemIds())
    assert await told(upgraded, box.site) == expected
    await upgraded.close()


async def test_an_interrupted_or_repeated_reading_changes_nothing_more(
    store: SqlStore, box: Box, database: str
) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    expected = await told(store, box.site)
    await as_an_older_build_left_it(database)
    for _ in range(2):
        again = await open_store(database, SystemIds())
        assert await told(again, box.site) == expected
        await again.close()
        await forget_what_was_known(database)


async def forget_what_was_known(database: str) -> None:
    engine = create_async_engine(database)
    async with engine.begin() as tx:
        await tx.execute(text("UPDATE meta SET value = '{}' WHERE key = 'kinds'"))
    await engine.dispose()


async def test_what_turns_out_unreadable_is_put_aside_and_stays_in_the_chain(
    store: SqlStore, box: Box, database: str
) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    await as_an_older_build_left_it(database)
    engine = create_async_engine(database)
    async with engine.begin() as tx:
        await tx.execute(
            text("UPDATE fact SET record = :record WHERE kind = 'session_ended'"), {"record": b"damaged"}
        )
    await engine.dispose()
    again = await open_store(database, SystemIds())
    state = await again.chain_state(box.site)
    assert (state.intact, state.quarantined) == (True, 1)
    assert (await again.ledger(box.site))["s1"].ended_at == "", "nothing is guessed"
    await again.close()
