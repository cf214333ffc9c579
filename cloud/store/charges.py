"""The billing part of the SQL store: charge lines and closed months.

A line is written once, in the transaction that looked at its session's facts, and never changed but for its
month, which is filled in when that month is closed. What has a month is what was exported, for ever; its
closing is sealed with a hash over those lines, so that none is changed, moved or taken away unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Row, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.charge_lines import ChargeLine, Standing, booked, due, waiting
from cloud.store import schema
from cloud.store.engine import Database, whole
from cloud.store.projection import SESSION_KINDS
from cloud.store.rows import ClosedMonths, Page
from common import facts
from common.errors import Code, Refused
from common.facts import Fact
from common.policy import Claims, is_staff

_BAR = "|"
#: Lines whose month is decided by one round trip; all of them are one transaction.
_STEP = 500
#: What a seal is over, in this order, for ever: a field that lines have later breaks no seal from before.
_SEALED = (
    *("month", "id", "session", "revision", "kind", "corrects", "charger", "evse", "connector", "principal"),
    *("started_at", "ended_at", "at_ms", "energy_milliwh", "total_milliwh", "obtained"),
)


class ChargePart:
    """`cloud.store.ports.ChargeStore` on SQL."""

    _db: Database

    @whole
    async def unbilled(self, site: str, *, after: str = "", limit: int = 200) -> list[str]:
        session, line = schema.session, schema.charge_line
        has_line = (
            select(line.c.id)
            .where(
                line.c.site == session.c.site,
                line.c.session == session.c.session,
                line.c.revision == session.c.revision,
            )
            .exists()
        )
        query = select(session.c.session).where(
            session.c.site == site, session.c.session > after, session.c.ended_at != "", ~has_line
        )
        async with self._db.read() as tx:
            return list(await tx.scalars(query.order_by(session.c.session).limit(limit)))

    @whole
    async def bill(self, site: str, sessions: Sequence[str], now_ms: int) -> list[Standing]:
        if not sessions:
            return []
        table = schema.charge_line
        held: list[Standing] = []
        async with self._db.write() as tx:
            await _lock(tx, site)
            told = await facts_of(tx, site, sessions)
            query = select(table).where(table.c.site == site, table.c.session.in_(sessions))
            written: dict[str, list[ChargeLine]] = {}
            for row in await tx.execute(query):
                written.setdefault(row.session, []).append(_line(row))
            fresh: list[ChargeLine] = []
            for session in sessions:
                fresh += due(site, told[session], written.get(session, ()))
                if (standing := waiting(told[session])) is not None:
                    held.append(standing)
            if fresh:
                values = [{"site": site, "made_ms": now_ms, **msgspec.structs.asdict(line)} for line in fresh]
                await tx.execute(table.insert(), values)
        return held

    @whole
    async def close_month(
        self, site: str, month: str, zone: str, month_of: Callable[[int], str], now_ms: int
    ) -> bool:
        table = schema.charge_line
        async with self._db.write() as tx:
            await _lock(tx, site)
            through = await _closed_through(tx, site)
            if month <= through:
                return False
            after = ""
            while True:
                query = select(table.c.id, table.c.at_ms).where(
                    table.c.site == site, table.c.month == "", table.c.id > after
                )
                rows = (await tx.execute(query.order_by(table.c.id).limit(_STEP))).all()
                by_month: dict[str, list[str]] = {}
                for line_id, at_ms in rows:
                    target = booked(month_of(at_ms), through)
                    if target <= month:
                        by_month.setdefault(target, []).append(line_id)
                for target, ids in by_month.items():
                    change = update(table).where(table.c.site == site, table.c.id.in_(ids))
                    await tx.execute(change.values(month=target))
                if len(rows) < _STEP:
                    break
                after = rows[-1].id
            seal = await _seal(self._db, tx, site, through, month)
            closing = {"site": site, "month": month, "zone": zone, "closed_ms": now_ms, "seal": seal}
            await tx.execute(schema.closing.insert(), closing)
        return True

    @whole
    async def closed_through(self, site: str) -> str:
        async with self._db.read() as tx:
            return await _closed_through(tx, site)

    @whole
    async def charge_lines(
        self, claims: Claims, month: str, *, after: str = "", limit: int = 100
    ) -> Page[ChargeLine]:
        table = schema.charge_line
        query = select(table).where(table.c.site == claims.site, table.c.month == month)
        if not is_staff(claims):
            query = query.where(table.c.principal == claims.principal)
        order = (table.c.at_ms, table.c.session, table.c.revision)
        if after:
            query = query.where(tuple_(*order) > _cursor(after))
        query = query.order_by(*order).limit(limit + 1)
        async with self._db.read() as tx:
            lines = [_line(row) for row in await tx.execute(query)]
        last = lines[limit - 1] if len(lines) > limit else None
        more = f"{last.at_ms}{_BAR}{last.revision}{_BAR}{last.session}" if last else ""
        return Page(rows=tuple(lines[:limit]), next=more)

    @whole
    async def lines_of(self, site: str, sessions: Sequence[str]) -> dict[str, list[ChargeLine]]:
        table = schema.charge_line
        query = select(table).where(table.c.site == site, table.c.session.in_(sessions))
        found: dict[str, list[ChargeLine]] = {}
        async with self._db.read() as tx:
            for row in await tx.execute(query):
                found.setdefault(row.session, []).append(_line(row))
        return found

    @whole
    async def stray_lines(self, site: str, *, limit: int = 100) -> list[ChargeLine]:
        line, session = schema.charge_line, schema.session
        known = select(session.c.session).where(
            session.c.site == line.c.site, session.c.session == line.c.session
        )
        query = select(line).where(line.c.site == site, ~known.exists()).order_by(line.c.id)
        async with self._db.read() as tx:
            return [_line(row) for row in await tx.execute(query.limit(limit))]

    @whole
    async def closed_months(self, site: str) -> ClosedMonths:
        table = schema.closing
        query = select(table.c.month, table.c.seal).where(table.c.site == site).order_by(table.c.month)
        changed, unsealed, through = [], 0, ""
        async with self._db.read() as tx:
            closings = (await tx.execute(query)).all()
            for month, seal in closings:
                unsealed += not seal
                if seal and seal != await _seal(self._db, tx, site, through, month):
                    changed.append(month)
                through = month
            # A line of a month that nobody closed was put there by somebody else.
            line = schema.charge_line
            beyond = select(line.c.month).where(line.c.site == site, line.c.month > through).distinct()
            changed += sorted(await tx.scalars(beyond))
        return ClosedMonths(months=len(closings), unsealed=unsealed, changed=tuple(changed))

    @whole
    async def set_zone(self, site: str, zone: str) -> None:
        async with self._db.write() as tx:
            await tx.execute(update(schema.site).where(schema.site.c.id == site).values(zone=zone))


async def _lock(tx: AsyncConnection, site: str) -> None:
    """One at a time for a site: what is decided here rests on what it has read."""
    await tx.execute(select(schema.site.c.id).where(schema.site.c.id == site).with_for_update())


async def _closed_through(tx: AsyncConnection, site: str) -> str:
    table = schema.closing
    return await tx.scalar(select(func.max(table.c.month)).where(table.c.site == site)) or ""


async def _seal(database: Database, tx: AsyncConnection, site: str, after: str, month: str) -> str:
    """SHA-256 (hex) over every line of the months behind `after` up to `month`, as they stand."""
    table = schema.charge_line
    order = (database.bytewise(table.c.month), database.bytewise(table.c.id))
    query = select(table).where(table.c.site == site, order[0] > after, order[0] <= month)
    query = query.order_by(*order).limit(_STEP)
    over, last = sha256(), None
    while True:
        page = query if last is None else query.where(tuple_(*order) > (last.month, last.id))
        rows = (await tx.execute(page)).all()
        for row in rows:
            over.update(sealed(_line(row)))
        if len(rows) < _STEP:
            return over.hexdigest()
        last = rows[-1]


def sealed(line: ChargeLine) -> bytes:
    """A line as a seal is over it: its fields as one JSON list, and a newline."""
    return msgspec.json.encode([getattr(line, name) for name in _SEALED]) + b"\n"


async def facts_of(tx: AsyncConnection, site: str, sessions: Sequence[str]) -> dict[str, list[Fact]]:
    """The facts that these sessions are made from, as far as they are here in full."""
    table = schema.fact
    query = select(table.c.epoch, table.c.seq, table.c.record).where(
        table.c.site == site,
        table.c.session.in_(sessions),
        table.c.kind.in_(SESSION_KINDS),
        table.c.record.is_not(None),
    )
    found: dict[str, list[Fact]] = {session: [] for session in sessions}
    for row in await tx.execute(query):
        fact = facts.read(row.epoch, row.seq, row.record)
        session = getattr(fact.body, "session", None)
        if session in found:  # a newer box's kind is kept as bytes, and says nothing yet
            found[session].append(fact)
    return found


def _cursor(after: str) -> tuple[int, str, int]:
    at_ms, _, rest = after.partition(_BAR)
    revision, _, session = rest.partition(_BAR)
    if not (at_ms.isdecimal() and revision.isdecimal() and at_ms.isascii() and revision.isascii()):
        raise Refused(Code.BAD_REQUEST, "`after` is the `next` of the page before")
    return int(at_ms), session, int(revision)


def _line(row: Row[Any]) -> ChargeLine:
    values = dict(row._mapping)
    del values["site"], values["made_ms"]
    return ChargeLine(**values)
