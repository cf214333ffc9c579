"""The auditing part of the SQL store: what `cloud.reconciliation` walks through, page by page.

Orders are by code point, as a box's SQLite has them, whatever the collation of this database: two sides can
only be walked side by side in one order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Row, Select, case, func, select, tuple_

from cloud.store import codec, schema
from cloud.store.charges import facts_of
from cloud.store.engine import Database, whole
from cloud.store.epochs import EpochsPart, first_break
from cloud.store.heads import count_heads
from cloud.store.projection import SESSION_KINDS
from cloud.store.rows import ChainState, SessionRow
from common import facts
from common.doubles import place_order
from common.facts import Fact
from common.reconcile import LedgerRow

#: Rows that one step of a walk over a whole ledger reads.
_STEP = 2000
#: Records in quarantine that are named, the latest.
ASIDE_MAX = 20
_PLACE = ("charger", "evse", "connector", "started_at", "session")


class AuditPart(EpochsPart):
    """`cloud.store.ports.AuditStore` on SQL."""

    _db: Database

    @whole
    async def ledger(self, site: str) -> dict[str, LedgerRow]:
        table = schema.session
        async with self._db.read() as tx:
            rows = await tx.execute(select(table).where(table.c.site == site))
            return {row.session: _ledger_row(codec.session_row(row)) for row in rows}

    @whole
    async def ledger_after(
        self, site: str, after: str, *, up_to: str | None = None, limit: int = 500
    ) -> list[LedgerRow]:
        table = schema.session
        uid = self._db.bytewise(table.c.session)
        query = select(table).where(table.c.site == site, uid > after)
        if up_to is not None:
            query = query.where(uid <= up_to)
        async with self._db.read() as tx:
            rows = await tx.execute(query.order_by(uid).limit(limit))
            return [_ledger_row(codec.session_row(row)) for row in rows]

    @whole
    async def ledger_by_place(
        self, site: str, behind: LedgerRow | None, *, limit: int = 500
    ) -> list[LedgerRow]:
        table = schema.session
        texts = {"charger", "started_at", "session"}
        order = [self._db.bytewise(table.c[name]) if name in texts else table.c[name] for name in _PLACE]
        query = select(table).where(table.c.site == site)
        if behind is not None:
            query = query.where(tuple_(*order) > place_order(behind))
        async with self._db.read() as tx:
            rows = await tx.execute(query.order_by(*order).limit(limit))
            return [_ledger_row(codec.session_row(row)) for row in rows]

    @whole
    async def told(self, site: str, sessions: Sequence[str]) -> dict[str, list[Fact]]:
        async with self._db.read() as tx:
            return await facts_of(tx, site, sessions)

    @whole
    async def owners(self, site: str, sessions: Sequence[str]) -> dict[str, str | None]:
        table = schema.session
        query = select(table.c.session, table.c.principal).where(
            table.c.site == site, table.c.session.in_(sessions)
        )
        async with self._db.read() as tx:
            return {row.session: row.principal for row in await tx.execute(query)}

    @whole
    async def bygone(self, site: str, sessions: Sequence[str]) -> set[str]:
        fact, known = schema.fact, schema.site
        # A session that was carried over has a start in both epochs.
        here = func.sum(case((fact.c.epoch == known.c.epoch, 1), else_=0))
        query = (
            select(fact.c.session)
            .join(known, known.c.id == fact.c.site)
            .where(
                fact.c.site == site,
                fact.c.kind == facts.SessionStarted.KIND,
                fact.c.session.in_(sessions),
            )
            .group_by(fact.c.session)
            .having(here == 0)
        )
        async with self._db.read() as tx:
            return {session for session in await tx.scalars(query) if session is not None}

    @whole
    async def without_row(self, site: str, *, limit: int = 100) -> list[str]:
        fact, session = schema.fact, schema.session
        row = select(session.c.session).where(
            session.c.site == fact.c.site, session.c.session == fact.c.session
        )
        query = (
            select(fact.c.session)
            .where(
                fact.c.site == site,
                fact.c.kind.in_(SESSION_KINDS),
                fact.c.record.is_not(None),
                fact.c.session.is_not(None),
                ~row.exists(),
            )
            .distinct()
        )
        async with self._db.read() as tx:
            return [found for found in await tx.scalars(query.limit(limit)) if found is not None]

    async def session_facts(self, site: str) -> AsyncIterator[facts.Fact]:
        uid = ""
        while True:
            rows = await self._session_facts_after(site, uid)
            for row in rows:
                yield facts.read(row.epoch, row.seq, row.record)
            if len(rows) < _STEP:
                return
            uid = rows[-1].uid

    @whole
    async def _session_facts_after(self, site: str, uid: str) -> list[Row[Any]]:
        table = schema.fact
        query = whole_facts().where(table.c.site == site, table.c.kind.in_(SESSION_KINDS), table.c.uid > uid)
        async with self._db.read() as tx:
            return list(await tx.execute(query.order_by(table.c.uid).limit(_STEP)))

    @whole
    async def chain_state(self, site: str) -> ChainState:
        async with self._db.read() as tx:
            query = select(schema.site.c.epoch, schema.site.c.hello).where(schema.site.c.id == site)
            known = (await tx.execute(query)).one()
            state = schema.sync_state
            end = (
                await tx.execute(select(state).where(state.c.site == site, state.c.epoch == known.epoch))
            ).first()
            held = schema.quarantine
            count = select(func.count()).select_from(held).where(held.c.site == site)
            quarantined = await tx.scalar(count)
            latest = select(held.c.epoch, held.c.seq, held.c.reason).where(held.c.site == site)
            latest = latest.order_by(held.c.at_ms.desc(), held.c.seq).limit(ASIDE_MAX)
            aside = tuple(dict(row._mapping) for row in await tx.execute(latest))
            hello = codec.hello_in(known.hello)
            hwm = end.hwm if end else 0
            broken = await first_break(
                tx, site, known.epoch, hello.begins_after, hwm, end.chain if end else None
            )
            kept = await count_heads(tx, site)
        return ChainState(
            epoch=known.epoch,
            hwm=hwm,
            intact=not broken,
            first_break=broken,
            quarantined=quarantined or 0,
            aside=aside,
            heads=kept,
            last_seq=hello.last_seq,
        )


def whole_facts() -> Select[Any]:
    """The facts that are still told in full."""
    table = schema.fact
    query = select(table.c.uid, table.c.epoch, table.c.seq, table.c.at, table.c.record)
    return query.where(table.c.record.is_not(None))


def _ledger_row(row: SessionRow) -> LedgerRow:
    return LedgerRow(**{name: getattr(row, name) for name in LedgerRow.__struct_fields__})
