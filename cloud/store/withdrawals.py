"""The part of the SQL store about what is withdrawn: entries, and the newest list of each issuer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, select, update

from cloud.store import schema
from cloud.store.engine import Database, whole
from common.trust import revoked_key, revoked_principal


class WithdrawalPart:
    """What `cloud.store.ports.AccountStore` says of withdrawn rights, on SQL."""

    _db: Database

    @whole
    async def sites_of(self, principal: str) -> set[str]:
        found: set[str] = set()
        async with self._db.read() as tx:
            for table in (schema.device, schema.invite):
                found |= set(await tx.scalars(select(table.c.site).where(table.c.principal == principal)))
        return found

    @whole
    async def confirm(self, site: str, principal: str) -> int:
        table = schema.device
        waiting = (table.c.site == site) & (table.c.principal == principal) & table.c.pending.is_(True)
        async with self._db.write() as tx:
            done: Any = await tx.execute(update(table).where(waiting).values(pending=False))
        return int(done.rowcount)

    @whole
    async def withdraw(self, site: str, entries: Collection[str], now_ms: int, until_ms: int) -> None:
        device, table = schema.device, schema.withdrawn
        async with self._db.write() as tx:
            for entry in entries:
                row = {"entry": entry, "at_ms": now_ms, "site": site, "until_ms": until_ms}
                await tx.execute(self._db.upsert(table, keep=("at_ms",)), row)
            held = await tx.execute(select(device.c.key, device.c.principal).where(device.c.site == site))
            keys = [row.key for row in held if revoked_key(row.key) in entries]
            if keys:
                await tx.execute(delete(device).where(device.c.site == site, device.c.key.in_(keys)))
            for right in (device, schema.token, schema.invite):
                known = set(await tx.scalars(select(right.c.principal).where(right.c.site == site)))
                gone = [principal for principal in known if revoked_principal(principal) in entries]
                if gone:
                    await tx.execute(delete(right).where(right.c.site == site, right.c.principal.in_(gone)))

    @whole
    async def withdrawn(self, site: str, now_ms: int) -> dict[str, int]:
        table = schema.withdrawn
        query = select(table).where(table.c.site.in_((site, "")), table.c.until_ms > now_ms)
        async with self._db.read() as tx:
            return {row.entry: row.until_ms for row in await tx.execute(query)}

    @whole
    async def revoked(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        async with self._db.read() as tx:
            for row in await tx.execute(select(schema.withdrawn.c.site, schema.withdrawn.c.entry)):
                found.setdefault(row.site, set()).add(row.entry)
        return found

    @whole
    async def keep_withdrawal_list(self, site: str, issuer: str, number: int, text: str) -> None:
        table = schema.withdrawal
        row = {"site": site, "issuer": issuer, "number": number, "list": text}
        query = select(table.c.number).where(table.c.site == site, table.c.issuer == issuer)
        async with self._db.write() as tx:
            known = (await tx.execute(query)).scalar()
            if known is None or known < number:
                await tx.execute(self._db.upsert(table), row)

    @whole
    async def withdrawal_lists(self) -> list[str]:
        table = schema.withdrawal
        async with self._db.read() as tx:
            return list(await tx.scalars(select(table.c.list).order_by(table.c.site, table.c.issuer)))
