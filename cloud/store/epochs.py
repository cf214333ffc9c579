"""Epochs and the chain over each: what stands at a place, and where what stood there went (design §9).

A box that begins a new epoch tells again what it has. Such a record keeps its row here and gets its new
place; that it had another one is kept as a run, so that the chain of the earlier epoch can be followed for
ever: what the box had lost by then is in no other epoch, and no chain would miss it.

    1-a   places 1..900 went to 2-b, 1..900          told again
          places 901..940 are still here             lost with the box's card

All of it page by page: memory does not grow with the ledger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import schema
from cloud.store.engine import Database, whole
from cloud.store.heads import HeadRow, heads_between
from cloud.store.rows import Earlier
from common import chain

#: Places that one step of a walk reads.
STEP = 2000
#: Epochs through which one record is followed. Each is a box restored, replaced or copied; a site has few.
HOPS_MAX = 64


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Places of an epoch from `seq` on whose records have another place now."""

    epoch: str
    seq: int
    count: int
    to_epoch: str  #: empty: what left this epoch was not written down (it was before there were runs)
    to_seq: int


Place = tuple[str, bytes | None]


# --- writing -----------------------------------------------------------------------------------------------


async def note_moves(
    database: Database, tx: AsyncConnection, site: str, epoch: str, moves: Iterable[tuple[str, int, int]]
) -> None:
    """Keep what places records had that have one in `epoch` now. moves: (epoch, seq, seq in the new one)."""
    table = schema.moved
    for run in _runs_of(epoch, moves):
        before = (
            table.c.site == site,
            table.c.epoch == run.epoch,
            table.c.to_epoch == epoch,
            table.c.seq + table.c.count == run.seq,
            table.c.to_seq + table.c.count == run.to_seq,
        )
        longer = update(table).where(*before).values(count=table.c.count + run.count)
        if not (await tx.execute(longer)).rowcount:
            await tx.execute(database.upsert(table), {"site": site, **msgspec.structs.asdict(run)})


def _runs_of(to_epoch: str, moves: Iterable[tuple[str, int, int]]) -> list[Run]:
    runs: list[Run] = []
    for epoch, seq, to_seq in sorted(moves):
        last = runs[-1] if runs else None
        if last and (last.epoch, last.seq + last.count, last.to_seq + last.count) == (epoch, seq, to_seq):
            runs[-1] = msgspec.structs.replace(last, count=last.count + 1)
        else:
            runs.append(Run(epoch=epoch, seq=seq, count=1, to_epoch=to_epoch, to_seq=to_seq))
    return runs


# --- reading -----------------------------------------------------------------------------------------------


async def first_break(
    tx: AsyncConnection, site: str, epoch: str, after: int, hwm: int, end: bytes | None
) -> int:
    """Walk the chain over the places behind `after` up to `hwm`, through every head that the box signed.

    end: what it has to come to; None = nothing was kept. Returns the seq at which it stops to fit, or 0.
    """
    reached = chain.seed(epoch)
    heads: dict[int, HeadRow] = {}
    async for seq, uid, inner in _places(tx, site, epoch, after, hwm):
        if (seq - after) % STEP == 1:
            heads = await heads_between(tx, site, epoch, seq, seq + STEP - 1)
        if inner is None:
            return seq
        reached = chain.link(reached, seq, uid, inner)
        head = heads.get(seq)
        if head is not None and (head.chain != reached or not head.signed):
            return seq
    return hwm if end is not None and reached != end else 0


async def _places(
    tx: AsyncConnection, site: str, epoch: str, after: int, hwm: int
) -> AsyncIterator[tuple[int, str, bytes | None]]:
    """What stands, or stood, at each seq: a fact, or what lies aside. `inner` None: nothing, or a record
    whose content is another one than was hashed.
    """
    for first in range(after + 1, hwm + 1, STEP):
        last = min(first + STEP - 1, hwm)
        found = await _found(tx, site, epoch, first, last)
        for seq in range(first, last + 1):
            uid, inner = found.get(seq, ("", None))
            yield seq, uid, inner
            if inner is None:
                return


async def _found(
    tx: AsyncConnection, site: str, epoch: str, first: int, last: int, hops: int = HOPS_MAX
) -> dict[int, Place]:
    """The places of a range that are known, wherever their records are by now."""
    found: dict[int, Place] = {}
    fact, aside = schema.fact, schema.quarantine
    for table, more in ((fact, (fact.c.salt, fact.c.record)), (aside, ())):
        query = select(table.c.seq, table.c.uid, table.c.inner, *more).where(
            table.c.site == site, table.c.epoch == epoch, table.c.seq >= first, table.c.seq <= last
        )
        for row in await tx.execute(query):
            found[row.seq] = row.uid, row.inner if not more or _is_as_hashed(row) else None
    if len(found) > last - first or not hops:
        return found
    for run in await _runs(tx, site, epoch, first, last):
        begin, end = max(first, run.seq), min(last, run.seq + run.count - 1)
        if all(seq in found for seq in range(begin, end + 1)):
            continue
        shift = run.to_seq - run.seq
        there = await _found(tx, site, run.to_epoch, begin + shift, end + shift, hops - 1)
        for seq, place in there.items():
            found.setdefault(seq - shift, place)
    return found


async def _runs(tx: AsyncConnection, site: str, epoch: str, first: int, last: int) -> list[Run]:
    table = schema.moved
    query = select(table.c.epoch, table.c.seq, table.c.count, table.c.to_epoch, table.c.to_seq).where(
        table.c.site == site,
        table.c.epoch == epoch,
        table.c.seq <= last,
        table.c.seq + table.c.count > first,
    )
    return [Run(**row._mapping) for row in await tx.execute(query)]


def _is_as_hashed(row: Row[Any]) -> bool:
    return row.record is None or chain.inner_hash(row.salt, row.record) == row.inner


class EpochsPart:
    """What of `cloud.store.ports.AuditStore` looks at epochs that are over."""

    _db: Database

    @whole
    async def earlier_epochs(self, site: str) -> Earlier:
        state, known = schema.sync_state, schema.site
        query = (
            select(state.c.epoch, state.c.hwm, state.c.chain)
            .join(known, known.c.id == state.c.site)
            .where(state.c.site == site, state.c.epoch != known.c.epoch, state.c.hwm > 0)
            .order_by(state.c.epoch)
        )
        told = Earlier()
        async with self._db.read() as tx:
            for row in await tx.execute(query):
                begins, followed = await _begins(tx, site, row.epoch)
                if followed:
                    broken = await first_break(tx, site, row.epoch, begins - 1, row.hwm, row.chain)
                else:
                    broken = await _changed(tx, site, row.epoch, row.hwm)
                told = msgspec.structs.replace(
                    told,
                    epochs=told.epochs + 1,
                    records=told.records + row.hwm - begins + 1,
                    without_chain=told.without_chain + (not followed),
                    first_break=told.first_break or broken,
                    break_epoch=told.break_epoch or (row.epoch if broken else ""),
                )
        return told


async def _begins(tx: AsyncConnection, site: str, epoch: str) -> tuple[int, bool]:
    """The first place of an epoch of which anything is known; and whether what left it was written down."""
    lowest: list[int] = []
    for table in (schema.fact, schema.quarantine, schema.moved):
        query = select(func.min(table.c.seq)).where(table.c.site == site, table.c.epoch == epoch)
        seq = await tx.scalar(query)
        if seq is not None:
            lowest.append(seq)
    return max(1, min(lowest, default=1)), 0 not in lowest


async def _changed(tx: AsyncConnection, site: str, epoch: str, hwm: int) -> int:
    """The first record still in an epoch that is another one than was hashed; 0 = none."""
    for first in range(1, hwm + 1, STEP):
        found = await _found(tx, site, epoch, first, min(first + STEP - 1, hwm), hops=0)
        changed = [seq for seq, (_, inner) in found.items() if inner is None]
        if changed:
            return min(changed)
    return 0
