"""The ledger part of the SQL store: links, batches, and what people read of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import codec, schema
from cloud.store.audit import whole_facts
from cloud.store.engine import Database, whole
from cloud.store.ingest import Ingest, read_mark, write_view
from cloud.store.rows import (
    FactRow,
    HelloNote,
    MeterConflict,
    MeterRow,
    Opened,
    Page,
    SessionRow,
    ViewCopy,
)
from cloud.store.times import with_true_times
from common import facts, sync
from common.asked import AUDIT_KINDS
from common.domain import EnergyMethod
from common.errors import Code, Refused, RemoteFault
from common.policy import Claims, is_staff
from common.sought import ALL, Sought

#: Rows of one answer that has no pages.
_STEP = 2000
#: Between the parts of a page's cursor; no time, uid or session uid holds one.
_BAR = "|"


class LedgerPart:
    """`cloud.store.ports.LedgerStore` on SQL."""

    _db: Database
    incarnation: str

    # --- the tunnel's side ---------------------------------------------------------------------------------

    @whole
    async def open_link(self, site: str, epoch: str, instance: str, note: HelloNote, now_ms: int) -> Opened:
        table = schema.site
        async with self._db.write() as tx:
            columns = (table.c.link_epoch, table.c.epoch, table.c.instance, table.c.hello)
            query = select(*columns).where(table.c.id == site)
            known = (await tx.execute(query.with_for_update())).first()
            if known is None:
                raise Refused(Code.UNKNOWN_SITE)
            if known.instance and known.instance != instance:
                raise RemoteFault(
                    Code.UNTRUSTED_PEER,
                    "this site's box runs on another data folder; this one is a copy",
                    hint="If the box was replaced, run `plugside-edge pair` on it and add its site again.",
                )
            before = codec.hello_in(known.hello)
            note = _after(before, note)
            mark = await read_mark(tx, site, epoch)
            superseded = mark is not None and epoch != known.epoch
            if superseded:  # the site's own epoch stays the one that it is
                note = msgspec.structs.replace(note, begins_after=before.begins_after)
            if mark is None:
                mark = sync.first_mark(epoch, note.begins_after)
                state = {"site": site, **msgspec.structs.asdict(mark)}
                await tx.execute(self._db.upsert(schema.sync_state), state)
            # A box that was welcomed on a later link than we know of: this database has gone back in time.
            restored = note.last_link > known.link_epoch
            link = max(known.link_epoch, note.last_link) + 1
            if restored:
                self.incarnation = await _begin_again(tx, self.incarnation, link)
            values = {
                "link_epoch": link,
                "epoch": known.epoch if superseded else epoch,
                "instance": instance,
                "hello": codec.to_json(note),
                "seen_ms": now_ms,
            }
            await tx.execute(update(table).where(table.c.id == site).values(**values))
        return Opened(link=link, mark=mark, superseded=superseded, restored=restored)

    @whole
    async def ingest(
        self, site: str, link: int, batch: sync.Batch, copy: ViewCopy | None, now_ms: int
    ) -> sync.Ack | sync.Nack:
        async with self._db.write() as tx:
            return await Ingest(self._db, tx, site, now_ms).apply(link, batch, copy)

    @whole
    async def keep_view(self, site: str, copy: ViewCopy) -> None:
        async with self._db.write() as tx:
            await write_view(self._db, tx, site, copy)

    @whole
    async def last_view(self, site: str) -> ViewCopy | None:
        table = schema.view
        async with self._db.read() as tx:
            row = (await tx.execute(select(table).where(table.c.site == site))).first()
        if row is None:
            return None
        return ViewCopy(epoch=row.epoch, seq=row.seq, at_ms=row.at_ms, view=row.view)

    # --- what people read ----------------------------------------------------------------------------------

    @whole
    async def sessions(
        self, claims: Claims, *, after: str = "", limit: int = 100, sought: Sought = ALL
    ) -> Page[SessionRow]:
        table = schema.session
        query = select(table).where(*_sessions_of(claims), *_sought(sought))
        if after:
            query = query.where(tuple_(table.c.first_at, table.c.session) < _cursor(after, 2))
        query = query.order_by(table.c.first_at.desc(), table.c.session.desc()).limit(limit + 1)
        async with self._db.read() as tx:
            rows = [codec.session_row(row) for row in await tx.execute(query)]
            rows = await with_true_times(tx, claims.site, rows)
        more = _BAR.join((rows[limit - 1].first_at, rows[limit - 1].session)) if len(rows) > limit else ""
        return Page(rows=tuple(rows[:limit]), next=more)

    @whole
    async def session(self, claims: Claims, session: str) -> SessionRow | None:
        table = schema.session
        query = select(table).where(*_sessions_of(claims), table.c.session == session)
        async with self._db.read() as tx:
            rows = [codec.session_row(row) for row in await tx.execute(query)]
            rows = await with_true_times(tx, claims.site, rows)
        return rows[0] if rows else None

    @whole
    async def samples(
        self, claims: Claims, session: str, *, after: str = "", limit: int = 100
    ) -> Page[MeterRow]:
        if await self.session(claims, session) is None:
            return Page(rows=())
        table = schema.meter
        query = select(table).where(table.c.site == claims.site, table.c.session == session)
        place = (table.c.at, table.c.context, table.c.location, table.c.part)
        if after:
            query = query.where(tuple_(*place) > _cursor(after, 4))
        query = query.order_by(*place).limit(limit + 1)
        async with self._db.read() as tx:
            rows = [codec.meter_row(row) for row in await tx.execute(query)]
        more = _BAR.join(rows[limit - 1].key[1:]) if len(rows) > limit else ""
        return Page(rows=tuple(rows[:limit]), next=more)

    @whole
    async def conflicts(self, site: str) -> list[MeterConflict]:
        table = schema.meter_conflict
        query = select(table).where(table.c.site == site).order_by(table.c.session, table.c.at, table.c.fact)
        async with self._db.read() as tx:
            return [codec.conflict_row(row) for row in await tx.execute(query.limit(_STEP))]

    @whole
    async def story(
        self, claims: Claims, session: str, *, after: str = "", limit: int = 100
    ) -> Page[FactRow]:
        if await self.session(claims, session) is None:
            return Page(rows=())
        table = schema.fact
        query = whole_facts().where(table.c.site == claims.site, table.c.session == session)
        query = query.where(table.c.kind != facts.MeterSampled.KIND)
        if after:
            query = query.where(tuple_(table.c.at, table.c.uid) > _cursor(after, 2))
        return await self._fact_page(query.order_by(table.c.at, table.c.uid), limit)

    @whole
    async def audit(
        self, claims: Claims, kinds: Sequence[str] = (), *, after: str = "", limit: int = 100
    ) -> Page[FactRow]:
        table = schema.fact
        query = whole_facts().where(table.c.site == claims.site, table.c.kind.in_(kinds or AUDIT_KINDS))
        if not is_staff(claims):
            query = query.where(table.c.principal == claims.principal)
        if after:
            query = query.where(tuple_(table.c.at, table.c.uid) < _cursor(after, 2))
        return await self._fact_page(query.order_by(table.c.at.desc(), table.c.uid.desc()), limit)

    @whole
    async def told_since(
        self, site: str, kinds: Sequence[str], *, since: str = "", after: str = "", limit: int = 2000
    ) -> Page[FactRow]:
        table = schema.fact
        query = whole_facts().where(table.c.site == site, table.c.kind.in_(kinds), table.c.at >= since)
        if after:
            query = query.where(tuple_(table.c.at, table.c.uid) > _cursor(after, 2))
        return await self._fact_page(query.order_by(table.c.at, table.c.uid), limit)

    async def _fact_page(self, query: Select[Any], limit: int) -> Page[FactRow]:
        async with self._db.read() as tx:
            found = (await tx.execute(query.limit(limit + 1))).all()
        rows = tuple(
            FactRow(uid=row.uid, epoch=row.epoch, seq=row.seq, record=msgspec.Raw(row.record))
            for row in found[:limit]
        )
        more = _BAR.join((found[limit - 1].at, found[limit - 1].uid)) if len(found) > limit else ""
        return Page(rows=rows, next=more)


def _after(before: HelloNote, note: HelloNote) -> HelloNote:
    """What a hello says, with the processes that came before this one. Raises RemoteFault(untrusted_peer)."""
    past = sync.boots_after(before.past_boots, before.boot_id, note.boot_id)
    return msgspec.structs.replace(note, past_boots=past)


async def _begin_again(tx: AsyncConnection, incarnation: str, link: int) -> str:
    """The name of this database's life from here on; boxes refill it from their journals."""
    name = f"{incarnation.partition('+')[0]}+{link}"
    table = schema.meta
    await tx.execute(update(table).where(table.c.key == "incarnation").values(value=name))
    return name


def _sessions_of(claims: Claims) -> list[ColumnElement[bool]]:
    """The sessions that these claims may see: all for staff, a driver's own for the driver."""
    table = schema.session
    mine = [table.c.site == claims.site]
    if not is_staff(claims):
        mine.append(table.c.principal == claims.principal)
    return mine


def _sought(wanted: Sought) -> list[ColumnElement[bool]]:
    """What narrows a page of sessions."""
    table = schema.session
    found: list[ColumnElement[bool]] = []
    if wanted.session is not None:
        found.append(table.c.session == wanted.session)
    if wanted.charger is not None:
        found.append(table.c.charger == wanted.charger)
    if wanted.principal is not None:
        found.append(table.c.principal == wanted.principal)
    if wanted.since is not None:
        found.append(table.c.started_at >= wanted.since)
    if wanted.until is not None:
        found.append(table.c.started_at < wanted.until)
    if wanted.flagged:
        found.append(may_want_a_look())
    return found


def may_want_a_look() -> ColumnElement[bool]:
    """Sessions in which `common.review.attention` can find something."""
    table = schema.session
    odd = or_(table.c.provisional, table.c.method == EnergyMethod.UNKNOWN.value)
    return or_(table.c.flags != "", and_(table.c.ended_at != "", odd))


def _cursor(after: str, parts: int) -> tuple[str, ...]:
    found = tuple(after.split(_BAR))
    if len(found) != parts:
        raise Refused(Code.BAD_REQUEST, "`after` is the `next` of the page before")
    return found
