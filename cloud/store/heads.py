"""Signed heads: what a box said its chain was, kept so that nobody can rewrite what was synced unseen.

A batch may carry the box's signature of the chain after it (`common.trust.heads`). It is checked against the
site's key and kept in the transaction that applies the batch: the newest of an epoch, and for good each one
whose batch brought a session's start, end or revision. So a session's records always have a head close by.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import schema
from cloud.store.engine import Database
from common import sync
from common.errors import Code, PlugsideError, RemoteFault
from common.trust import check_head

#: A record of one of these is worth a head of its own.
_KEPT = tuple(f'"kind":"{kind}"'.encode() for kind in sorted(sync.URGENT_KINDS))


class HeadRow(msgspec.Struct, frozen=True, kw_only=True):
    """One head, as it was signed."""

    site: str
    epoch: str
    seq: int
    chain: bytes
    at: str
    key: str
    signature: str
    kept: bool

    @property
    def signed(self) -> bool:
        """Whether the signature is its key's."""
        try:
            check_head(self.key, self.signature, self.site, self.epoch, self.seq, self.chain, self.at)
        except PlugsideError:
            return False
        return True


async def write_head(database: Database, tx: AsyncConnection, site: str, batch: sync.Batch) -> None:
    """Keep the head of a batch that leads to the chain it names; nothing for a batch without one.

    Raises RemoteFault(untrusted_peer) when it is not signed by the site's box: then nothing of the batch is
    applied either.
    """
    if not batch.signature:
        return
    table = schema.head
    of = schema.site.c
    keys = (await tx.execute(select(of.public, of.former).where(of.id == site))).first() or ("", "")
    row = HeadRow(
        site=site,
        epoch=batch.epoch,
        seq=batch.records[-1].seq,
        chain=batch.chain_end,
        at=batch.at,
        key=keys[0],
        signature=batch.signature,
        kept=any(kind in (record.record or b"") for record in batch.records for kind in _KEPT),
    )
    if not row.signed and keys[1]:
        # The tunnel's hello said whether the key before this one is still heard; here it is one of the box's.
        row = msgspec.structs.replace(row, key=keys[1])
    if not row.signed:
        raise RemoteFault(
            Code.UNTRUSTED_PEER, f"the head at {row.seq} of {row.epoch} is not signed by the box"
        )
    passed = delete(table).where(
        table.c.site == site, table.c.epoch == row.epoch, table.c.seq < row.seq, table.c.kept.is_(False)
    )
    await tx.execute(passed)
    await tx.execute(database.upsert(table), msgspec.structs.asdict(row))


async def heads_between(
    tx: AsyncConnection, site: str, epoch: str, first: int, last: int
) -> dict[int, HeadRow]:
    """The heads of an epoch in a range of seq, by seq."""
    table = schema.head
    query = select(table).where(
        table.c.site == site, table.c.epoch == epoch, table.c.seq >= first, table.c.seq <= last
    )
    return {row.seq: HeadRow(**_values(row)) for row in await tx.execute(query)}


async def count_heads(tx: AsyncConnection, site: str) -> int:
    """How many heads of a site are kept, of all epochs."""
    table = schema.head
    return await tx.scalar(select(func.count()).select_from(table).where(table.c.site == site)) or 0


def _values(row: Any) -> dict[str, Any]:
    return dict(row._mapping)
