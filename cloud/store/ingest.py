"""Applies one batch of records in one transaction (design §9): everything of it, once, or nothing.

    lock the site ─▶ fence ─▶ check against the mark ─▶ write what is new ─▶ move the mark ─▶ commit ─▶ ack

Poison (a record that can never be read or written) goes to quarantine in the same transaction, so one bad
record never holds up the rest. Kinds of a newer box are stored raw. Whatever else goes wrong, the transaction
is gone and no ack is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import codec, schema
from cloud.store.engine import Database, is_values_fault
from cloud.store.epochs import note_moves
from cloud.store.heads import write_head
from cloud.store.projection import device_of, merged, meter_rows, session_after, session_of
from cloud.store.rows import DeviceRow, MeterConflict, ViewCopy
from common import facts, sync
from common.errors import Code, Refused
from common.trust import revoked_key, revoked_principal

#: What a record can be to blame for; whether it is, `is_values_fault` says. Trouble of the database is not.
RECORDS_FAULT = (StatementError, OverflowError, UnicodeEncodeError)


class Item(msgspec.Struct, frozen=True):
    """A new record and the fact in it; None for a tombstone."""

    record: sync.Record
    fact: facts.Fact | None


class Ingest:
    """One batch on its way into one open transaction."""

    def __init__(self, database: Database, tx: AsyncConnection, site: str, now_ms: int) -> None:
        self._db = database
        self._tx = tx
        self._site = site
        self._now_ms = now_ms
        self._poisoned: list[sync.Poison] = []

    async def apply(self, link: int, batch: sync.Batch, copy: ViewCopy | None) -> sync.Ack | sync.Nack:
        """Judge and write; the caller commits. Raises Refused(shutting_down) on an overtaken link."""
        mark = await self._locked_mark(link, batch.epoch)
        reached = await self.take(mark, batch)
        if isinstance(reached, sync.Decline):
            return sync.nack(link, batch.epoch, reached)
        if copy is not None:
            await write_view(self._db, self._tx, self._site, copy)
        seen = update(schema.site).where(schema.site.c.id == self._site).values(seen_ms=self._now_ms)
        await self._tx.execute(seen)
        return sync.ack(link, reached, quarantined=self.quarantined)

    async def take(self, mark: sync.Mark, batch: sync.Batch) -> sync.Mark | sync.Decline:
        """Judge and write what is new after `mark`, which is locked; the mark that is reached."""
        verdict = sync.check(mark, batch)
        if isinstance(verdict, sync.Decline):
            return verdict
        if isinstance(verdict, sync.Apply):
            await self._write(batch.epoch, verdict.records)
            await self.quarantine(batch.epoch, self._poisoned)
            state = {"site": self._site, **msgspec.structs.asdict(verdict.mark)}
            await self._tx.execute(self._db.upsert(schema.sync_state), state)
            await write_head(self._db, self._tx, self._site, batch)
        return verdict.mark

    @property
    def quarantined(self) -> tuple[int, ...]:
        """The records that were put aside."""
        return tuple(poison.record.seq for poison in self._poisoned)

    async def _locked_mark(self, link: int, epoch: str) -> sync.Mark:
        site = schema.site
        fence = select(site.c.link_epoch).where(site.c.id == self._site).with_for_update()
        if (await self._tx.scalar(fence)) != link:
            raise Refused(Code.SHUTTING_DOWN, "this site has connected again since")
        return await read_mark(self._tx, self._site, epoch) or sync.first_mark(epoch)

    async def _write(self, epoch: str, records: Sequence[sync.Record]) -> None:
        items = [item for record in records if (item := self._opened(epoch, record))]
        fresh = await self._unknown(epoch, items)
        if not fresh:
            return
        try:
            async with self._tx.begin_nested():
                await self._write_items(epoch, fresh)
        except RECORDS_FAULT as fault:
            if not is_values_fault(fault):
                raise
            for item in fresh:
                await self._write_one(epoch, item)

    async def _write_one(self, epoch: str, item: Item) -> None:
        """After the whole failed: find out which record it was, each in its own savepoint."""
        try:
            async with self._tx.begin_nested():
                await self._write_items(epoch, [item])
        except RECORDS_FAULT as fault:
            if not is_values_fault(fault):
                raise
            reason = getattr(fault, "orig", None) or fault
            self._poisoned.append(sync.Poison(item.record, f"the database does not take it: {reason}"))

    def _opened(self, epoch: str, record: sync.Record) -> Item | None:
        opened = sync.open_record(epoch, record)
        if isinstance(opened, sync.Poison):
            self._poisoned.append(opened)
            return None
        return Item(record, opened)

    async def _unknown(self, epoch: str, items: Sequence[Item]) -> list[Item]:
        """What is not here yet, under whatever epoch; what is here only moves to its new place."""
        fact = schema.fact
        uids = [item.record.uid for item in items]
        query = select(fact.c.uid, fact.c.inner, fact.c.record.is_(None), fact.c.epoch, fact.c.seq).where(
            fact.c.site == self._site, fact.c.uid.in_(uids)
        )
        places: dict[str, tuple[str, int]] = {}
        known: dict[str, tuple[bytes, bool]] = {}
        for uid, there, without, of, at in await self._tx.execute(query):
            known[uid], places[uid] = (there, without), (of, at)
        fresh: dict[str, Item] = {}
        moved: list[dict[str, Any]] = []
        left: list[tuple[str, int, int]] = []
        for item in items:
            record = item.record
            before = fresh.get(record.uid)
            inner, empty = known.get(record.uid, (before.record.inner if before else None, False))
            if inner is None:
                fresh[record.uid] = item
            elif inner != record.inner:
                self._poisoned.append(sync.Poison(record, "its uid stands for other content"))
            elif empty and item.fact is not None:
                fresh[record.uid] = item  # a tombstone that is told in full after all
            else:
                moved.append({"b_uid": record.uid, "epoch": epoch, "seq": record.seq})
            if record.uid in places and inner == record.inner and places[record.uid][0] != epoch:
                left.append((*places.pop(record.uid), record.seq))
        if moved:
            move = update(fact).where(fact.c.site == self._site, fact.c.uid == bindparam("b_uid"))
            await self._tx.execute(move.values(epoch=bindparam("epoch"), seq=bindparam("seq")), moved)
        await note_moves(self._db, self._tx, self._site, epoch, left)
        return list(fresh.values())

    async def _write_items(self, epoch: str, items: Sequence[Item]) -> None:
        values = [codec.fact_values(self._site, epoch, item.record, item.fact) for item in items]
        await self._db.upsert_rows(self._tx, schema.fact, values)
        await self.project([item.fact for item in items if item.fact is not None])

    async def project(self, told: Sequence[facts.Fact]) -> None:
        """Bring the tables that people read up to these facts."""
        await self._write_sessions([fact for fact in told if session_of(fact)])
        await self._write_samples(told)
        for fact in told:
            device = device_of(self._site, fact, self._now_ms)
            if device is not None and not await self._withdrawn(device):
                insert: Any = self._db.insert(schema.device)
                await self._tx.execute(insert.on_conflict_do_nothing(), codec.device_values(device))

    async def _withdrawn(self, device: DeviceRow) -> bool:
        """Whether this right was taken away before: a record that is sent again does not bring it back."""
        table = schema.withdrawn
        entries = (revoked_key(device.key), revoked_principal(device.principal))
        query = select(table.c.entry).where(table.c.site.in_((self._site, "")), table.c.entry.in_(entries))
        return (await self._tx.execute(query)).first() is not None

    async def _write_sessions(self, told: Sequence[facts.Fact]) -> None:
        if not told:
            return
        table = schema.session
        uids = {session_of(fact) for fact in told}
        query = select(table).where(table.c.site == self._site, table.c.session.in_(uids))
        rows = {row.session: codec.session_row(row) for row in await self._tx.execute(query)}
        for fact in told:
            uid = session_of(fact)
            assert uid is not None
            rows[uid] = session_after(rows.get(uid), fact)
        values = [codec.session_values(self._site, row) for row in rows.values()]
        await self._db.upsert_rows(self._tx, table, values)

    async def _write_samples(self, told: Sequence[facts.Fact]) -> None:
        """Upserts by moment and place: a repeat changes nothing, a contradiction is kept aside."""
        fresh = [(fact.uid, row) for fact in told for row in meter_rows(fact)]
        if not fresh:
            return
        table = schema.meter
        # A window is a range on the primary key; naming each sample would cost more than it saves.
        query = select(table).where(
            table.c.site == self._site,
            table.c.session.in_({row.session for _, row in fresh}),
            table.c.at.between(min(row.at for _, row in fresh), max(row.at for _, row in fresh)),
        )
        before = {row.key: row for row in map(codec.meter_row, await self._tx.execute(query))}
        rows = dict(before)
        conflicts: list[dict[str, Any]] = []
        for uid, row in fresh:
            known = rows.get(row.key)
            if known is None:
                rows[row.key] = row
                continue
            rows[row.key], conflict = merged(known, row)
            if conflict:
                conflicts.append(codec.conflict_values(self._site, MeterConflict(fact=uid, row=row)))
        changed = [row for key, row in sorted(rows.items()) if before.get(key) != row]
        if changed:
            values = [codec.meter_values(self._site, row) for row in changed]
            await self._db.upsert_rows(self._tx, table, values)
        if conflicts:
            await self._tx.execute(self._db.upsert(schema.meter_conflict), conflicts)

    async def quarantine(self, epoch: str, poisoned: Sequence[sync.Poison]) -> None:
        """Put records aside, each with the reason why it can never be read."""
        if not poisoned:
            return
        rows = [
            {
                "site": self._site,
                "epoch": epoch,
                "seq": poison.record.seq,
                "uid": poison.record.uid,
                "reason": poison.reason[:500],
                "salt": poison.record.salt,
                "inner": poison.record.inner,
                "raw": poison.record.record or b"",
                "at_ms": self._now_ms,
            }
            for poison in poisoned
        ]
        await self._tx.execute(self._db.upsert(schema.quarantine), rows)


async def read_mark(tx: AsyncConnection, site: str, epoch: str) -> sync.Mark | None:
    """The stored mark of an epoch, locked for this transaction."""
    state = schema.sync_state
    query = select(state.c.hwm, state.c.chain).where(state.c.site == site, state.c.epoch == epoch)
    found = (await tx.execute(query.with_for_update())).first()
    return None if found is None else sync.Mark(epoch, found.hwm, found.chain)


async def write_view(database: Database, tx: AsyncConnection, site: str, copy: ViewCopy) -> None:
    """Remember a site's state, unless a newer one is known already."""
    table = schema.view
    statement: Any = database.insert(table)
    values = {"site": site, **msgspec.structs.asdict(copy)}
    fresh = {name: statement.excluded[name] for name in ("epoch", "seq", "at_ms", "view")}
    newer = table.c.at_ms <= statement.excluded.at_ms
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["site"], set_=fresh, where=newer), values
    )
