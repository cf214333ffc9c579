"""The estate part of the SQL store: the records that a site goes on with when its box is replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import schema
from cloud.store.engine import Database, whole
from cloud.store.projection import SESSION_KINDS
from common import facts
from common.caps import Charge
from common.trust.recovery import Sealed
from common.tuning import LimitWanted, OfflinePolicyChanged, TraitsChanged

#: Sessions that are handed over, the latest first: open ones, and those that wait for their charger's stop.
SESSIONS_MAX = 512
#: Records in one estate; with their usual 400 bytes a quarter of what the welcome may hold.
RECORDS_MAX = 4096
#: An estate is a part of one frame of the tunnel, which has 4 MiB.
BYTES_MAX = 2 * 1024 * 1024
#: Charges of those with caps that are handed over, the latest first: 1 MiB of the welcome at most.
CHARGES_MAX = 4096
#: Recovery keys of which something is kept: the present one, and those of boxes before it, which somebody may
#: still want to use.
SEALED_MAX = 3

_LATEST = (schema.sealed.c.kept_ms.desc(), schema.sealed.c.number.desc())


class EstatePart:
    """`cloud.store.ports.EstateStore` on SQL."""

    _db: Database

    @whole
    async def estate(self, site: str) -> tuple[bytes, ...]:
        async with self._db.read() as tx:
            chargers = await _chargers(tx, site)
            settings = await _settings(tx, site, set(chargers))
            found = [*chain.from_iterable(chargers.values()), *settings, *await _sessions(tx, site)]
        size, records = 0, []
        for record in found[:RECORDS_MAX]:
            size += len(record)
            if size > BYTES_MAX:
                break
            records.append(record)
        return tuple(records)

    @whole
    async def charges(self, site: str, since: str) -> dict[str, tuple[Charge, ...]]:
        session, device = schema.session, schema.device
        capped = select(device.c.principal).where(device.c.site == site, device.c.caps.is_not(None))
        columns = ("principal", "session", "charger", "started_at", "first_at", "energy_wh", "authorization")
        query = (
            select(*(session.c[name] for name in columns))
            .where(session.c.site == site, session.c.principal.in_(capped), session.c.first_at >= since)
            .where(session.c.ended_at != "", session.c.provisional.is_(False))  # others are in the estate
            .order_by(session.c.first_at.desc())
            .limit(CHARGES_MAX)
        )
        async with self._db.read() as tx:
            rows = (await tx.execute(query)).all()
        return charges_of(reversed(rows))

    @whole
    async def keep_sealed(self, blob: Sealed, now_ms: int) -> None:
        table = schema.sealed
        mine = (table.c.site == blob.site) & (table.c.to == blob.to)
        async with self._db.write() as tx:
            if (await tx.scalar(select(table.c.number).where(mine)) or 0) >= blob.number:
                return
            await tx.execute(delete(table).where(mine))
            await tx.execute(insert(table).values(**msgspec.structs.asdict(blob), kept_ms=now_ms))
            kept = select(table.c.to).where(table.c.site == blob.site).order_by(*_LATEST)
            last = (await tx.scalars(kept.limit(SEALED_MAX))).all()
            await tx.execute(delete(table).where(table.c.site == blob.site, table.c.to.not_in(last)))

    @whole
    async def sealed(self, site: str) -> tuple[Sealed, ...]:
        table = schema.sealed
        query = select(table.c.site, table.c.number, table.c.to, table.c.by, table.c.data)
        async with self._db.read() as tx:
            found = await tx.execute(query.where(table.c.site == site).order_by(*_LATEST))
            return tuple(Sealed(**row) for row in found.mappings())


async def _chargers(tx: AsyncConnection, site: str) -> dict[str, list[bytes]]:
    """For each adopted charger the record that says so, by its latest name, and its security profile."""
    table = schema.fact
    query = select(table.c.charger, table.c.epoch, table.c.seq, table.c.record).where(
        table.c.site == site,
        table.c.kind.in_((facts.ChargerAdopted.KIND, facts.ChargerSecured.KIND)),
        table.c.record.is_not(None),
    )
    latest: dict[str, bytes] = {}
    secured: dict[str, bytes] = {}
    for row in await tx.execute(query.order_by(table.c.at, table.c.seq)):
        fact = facts.read(row.epoch, row.seq, row.record)
        if isinstance(fact.body, facts.ChargerSecured):
            secured[row.charger] = row.record
            continue
        gone = isinstance(fact.body, facts.ChargerAdopted) and fact.body.removed
        latest.pop(row.charger, None)
        if gone:
            secured.pop(row.charger, None)
        else:
            latest[row.charger] = row.record
    more = {charger: [secured[charger]] for charger in latest if charger in secured}
    return {charger: [record, *more.get(charger, ())] for charger, record in latest.items()}


async def _settings(tx: AsyncConnection, site: str, chargers: Collection[str]) -> list[bytes]:
    """What was decided last, for the site and for these chargers: limits by rank, an installer's traits."""
    table = schema.fact
    query = select(table.c.epoch, table.c.seq, table.c.record).where(
        table.c.site == site,
        table.c.kind.in_((LimitWanted.KIND, TraitsChanged.KIND, OfflinePolicyChanged.KIND)),
        table.c.record.is_not(None),
    )
    latest: dict[tuple[str | int, ...], bytes] = {}
    for row in await tx.execute(query.order_by(table.c.at, table.c.seq)):
        match facts.read(row.epoch, row.seq, row.record).body:
            case LimitWanted(rank="installer" | "operator") as body if body.charger in chargers:
                latest["limit", body.charger, body.rank, body.evse] = row.record
            case TraitsChanged(source="installer") as body if body.charger in chargers:
                latest["traits", body.charger] = row.record
            case OfflinePolicyChanged():
                latest["policy",] = row.record
    return list(latest.values())


def charges_of(rows: Iterable[Any]) -> dict[str, tuple[Charge, ...]]:
    """What a box counts, by principal. rows: `SessionRow`s or their columns, the oldest first."""
    found: dict[str, list[Charge]] = {}
    for row in rows:
        one = Charge(
            session=row.session,
            charger=row.charger,
            at=row.started_at,
            told_at=row.first_at,
            energy_wh=row.energy_wh or 0.0,
            refused=row.authorization == "blocked",
        )
        found.setdefault(row.principal, []).append(one)
    return {principal: tuple(charges) for principal, charges in found.items()}


async def _sessions(tx: AsyncConnection, site: str) -> list[bytes]:
    """All that was told of the sessions which are not over for good, the oldest first, and their meters."""
    session, fact = schema.session, schema.fact
    query = select(session.c.session).where(
        session.c.site == site, or_(session.c.ended_at == "", session.c.provisional)
    )
    open_ones = (await tx.scalars(query.order_by(session.c.first_at.desc()).limit(SESSIONS_MAX))).all()
    records: list[bytes] = []
    for uid in reversed(open_ones):
        told = select(fact.c.record).where(
            fact.c.site == site, fact.c.session == uid, fact.c.record.is_not(None)
        )
        by_time = fact.c.at, fact.c.seq
        rows = await tx.scalars(told.where(fact.c.kind.in_(SESSION_KINDS)).order_by(*by_time))
        records += [record for record in rows if record is not None]
        metered = told.where(fact.c.kind == facts.MeterSampled.KIND)
        last = await tx.scalar(metered.order_by(fact.c.at.desc(), fact.c.seq.desc()).limit(1))
        if last is not None:
            records.append(last)
    return records
