"""After an upgrade of this cloud: what a newer box had sent before is read again, now that it can be.

A kind, or a version of one, that this build does not know is stored as it came (`common.facts.UnknownBody`)
and acknowledged, so that a box never waits for its cloud. `meta` remembers which kinds the last build knew;
facts of those that came to be known since are projected into the tables as if they had just arrived. Runs
before the store is used; stopped half-way it begins anew, and changes nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import codec, schema
from cloud.store.engine import Database, is_values_fault
from cloud.store.ingest import RECORDS_FAULT, Ingest
from common import facts, sync

log = logging.getLogger("plugside.store")

KINDS = "kinds"
#: What the builds knew that did not write it down yet.
_FIRST = (
    *("charger_seen", "charger_adopted", "charger_booted", "charger_lost", "connector_changed"),
    *("session_started", "meter_sampled", "session_ended", "session_revised", "orphan_recorded"),
    *("command_accepted", "command_sent", "command_confirmed", "command_settled"),
    *("authorization_changed", "clock_stepped", "security_noted"),
)
#: Facts that are read again in one transaction.
STEP = 500


def known_kinds() -> dict[str, int]:
    """The kinds that this build reads, each with the highest version of it."""
    return {kind: body.V for kind, body in facts.BODIES.items()}


async def replay(database: Database, now_ms: int) -> int:
    """Read again what an earlier build could not. Returns how many facts that were."""
    known = known_kinds()
    async with database.write() as tx:
        before = await _kinds_before(tx)
    if before == known:
        return 0
    learned = {kind: before.get(kind, 0) for kind, v in known.items() if v > before.get(kind, 0)}
    count = await _replay(database, learned, now_ms)
    # Exactly what this build knows: an older one that runs meanwhile leaves its mark, too.
    async with database.write() as tx:
        await tx.execute(database.upsert(schema.meta), {"key": KINDS, "value": codec.to_json(known)})
    if count:
        log.info("%d records of kinds that this version knows now were read again", count)
    return count


async def _kinds_before(tx: AsyncConnection) -> dict[str, int]:
    table = schema.meta
    found = await tx.scalar(select(table.c.value).where(table.c.key == KINDS).with_for_update())
    return dict.fromkeys(_FIRST, 1) if found is None else msgspec.json.decode(found, type=dict[str, int])


async def _replay(database: Database, learned: Mapping[str, int], now_ms: int) -> int:
    """learned: kinds that are read now, each with the version that was read already (0 = none)."""
    count, place = 0, ("", "")
    while learned:
        async with database.write() as tx:
            rows = await _page(tx, learned, place)
            for site in dict.fromkeys(row.site for row in rows):
                await _project(database, tx, site, [row for row in rows if row.site == site], now_ms)
        count += len(rows)
        if len(rows) < STEP:
            break
        place = rows[-1].site, rows[-1].uid
    return count


async def _page(
    tx: AsyncConnection, learned: Mapping[str, int], place: tuple[str, str]
) -> Sequence[Row[Any]]:
    table = schema.fact
    wanted = [and_(table.c.kind == kind, table.c.v > v) for kind, v in learned.items()]
    behind = or_(table.c.site > place[0], and_(table.c.site == place[0], table.c.uid > place[1]))
    query = select(table).where(table.c.record.is_not(None), or_(*wanted), behind)
    return (await tx.execute(query.order_by(table.c.site, table.c.uid).limit(STEP))).all()


async def _project(
    database: Database, tx: AsyncConnection, site: str, rows: Sequence[Row[Any]], now_ms: int
) -> None:
    for row in sorted(rows, key=lambda row: (row.epoch, row.seq)):
        record = sync.Record(row.seq, row.uid, row.salt, row.record, row.inner)
        opened = sync.open_record(row.epoch, record)
        if isinstance(opened, facts.Fact) and isinstance(opened.body, facts.UnknownBody):
            continue  # a version still beyond this build
        again = Ingest(database, tx, site, now_ms)
        if isinstance(opened, facts.Fact):
            try:
                async with tx.begin_nested():
                    await _known(tx, site, record, opened)
                    await again.project([opened])
            except RECORDS_FAULT as fault:
                if not is_values_fault(fault):
                    raise
                opened = sync.Poison(record, f"the database does not take it: {fault}")
        if isinstance(opened, sync.Poison):
            # It stays where it is in the chain; that it could not be read is put beside it.
            await again.quarantine(row.epoch, [opened])


async def _known(tx: AsyncConnection, site: str, record: sync.Record, fact: facts.Fact) -> None:
    """The fact's row says now whom and what it is about."""
    table = schema.fact
    told = codec.fact_values(site, fact.epoch, record, fact)
    changed = {name: told[name] for name in ("principal", "charger", "session")}
    await tx.execute(update(table).where(table.c.site == site, table.c.uid == record.uid).values(**changed))
