"""The glance part of the SQL store: many sites at once, and who may look after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, select, update

from cloud.store import codec, schema
from cloud.store.engine import Database, whole
from cloud.store.ledger import may_want_a_look
from cloud.store.rows import DeviceRow, Matters, SiteRow
from common import facts, review
from common.domain import EnergyMethod, Role
from common.errors import Code, Refused
from common.trust import InviteRecord

_STAFF = (Role.OPERATOR.value, Role.INSTALLER.value)


class GlancePart:
    """`cloud.store.ports.GlanceStore` on SQL."""

    _db: Database

    @whole
    async def sites_run_by(self, key: str) -> list[SiteRow]:
        table, right = schema.site, schema.device
        query = select(table).join(right, right.c.site == table.c.id)
        query = query.where(right.c.key == key, *_runs(right)).order_by(table.c.name)
        async with self._db.read() as tx:
            return [codec.site_row(row) for row in await tx.execute(query)]

    @whole
    async def marks(self, sites: Sequence[str]) -> dict[str, int]:
        state, table = schema.sync_state, schema.site
        query = select(state.c.site, state.c.hwm).join(
            table, (table.c.id == state.c.site) & (table.c.epoch == state.c.epoch)
        )
        async with self._db.read() as tx:
            rows = (await tx.execute(query.where(state.c.site.in_(sites)))).all()
        return {row.site: row.hwm for row in rows}

    @whole
    async def matters(self, sites: Sequence[str]) -> dict[str, Matters]:
        async with self._db.read() as tx:
            flagged = await _flagged(tx, sites)
            told = await _count(tx, sites, facts.OrphanRecorded.KIND)
            decided = await _count(tx, sites, facts.OrphanResolved.KIND)
        orphans = {site: max(0, count - decided.get(site, 0)) for site, count in told.items()}
        found = {
            site: Matters(flagged=flagged.get(site, 0), orphans=orphans.get(site, 0))
            for site in flagged.keys() | orphans.keys()
        }
        return {site: matters for site, matters in found.items() if matters != Matters()}

    @whole
    async def entrust(self, principal: str, sites: Sequence[str], now_ms: int) -> int:
        table = schema.device
        async with self._db.write() as tx:
            query = select(table).where(table.c.principal == principal, *_runs(table))
            known = [codec.device_row(row) for row in await tx.execute(query)]
            if not known:
                raise Refused(Code.BAD_REQUEST, f"no operator is known here as {principal[:64]}")
            there = {(row.site, row.key) for row in known}
            rights = {row.key: row.role for row in known}
            added = [
                DeviceRow(site=site, key=key, principal=principal, role=role, added_ms=now_ms)
                for site in sites
                for key, role in rights.items()
                if (site, key) not in there
            ]
            # A key that came to a site by another invite has its right there already, whatever it is.
            insert: Any = self._db.insert(table)
            for row in added:
                await tx.execute(insert.on_conflict_do_nothing(), codec.device_values(row))
        return len(added)

    @whole
    async def open_invites(self, site: str, now_ms: int) -> list[InviteRecord]:
        table = schema.invite
        query = select(table).where(_open(site), table.c.expires_ms > now_ms)
        query = query.order_by(table.c.expires_ms, table.c.hash)
        async with self._db.read() as tx:
            return [codec.invite_row(row) for row in await tx.execute(query)]

    @whole
    async def withdraw_invite(self, site: str, principal: str) -> bool:
        table = schema.invite
        theirs = _open(site) & (table.c.principal == principal)
        async with self._db.write() as tx:
            result: Any = await tx.execute(update(table).where(theirs).values(spent=True, expires_ms=0))
        return bool(result.rowcount)


def _runs(right: Table) -> tuple[ColumnElement[bool], ...]:
    """Rights of staff that count: one that a box made waits for the owner's word."""
    return right.c.role.in_(_STAFF), right.c.pending.is_(False)


def _open(site: str) -> ColumnElement[bool]:
    """A site's invites that have brought nobody in yet."""
    table = schema.invite
    return and_(table.c.site == site, table.c.redeemed_by.is_(None), table.c.spent.is_(False))


async def _flagged(tx: Any, sites: Sequence[str]) -> dict[str, int]:
    """Sessions that want a look, by site. What looks alike is judged once, whatever its number."""
    table = schema.session
    alike = (table.c.flags, table.c.method, table.c.ended_at != "", table.c.provisional)
    query = select(table.c.site, *alike, func.count()).where(table.c.site.in_(sites), may_want_a_look())
    found: dict[str, int] = {}
    for site, flags, method, ended, provisional, count in await tx.execute(
        query.group_by(table.c.site, *alike)
    ):
        if review.attention(
            flags.split(), EnergyMethod(method), ended=bool(ended), provisional=bool(provisional)
        ):
            found[site] = found.get(site, 0) + count
    return found


async def _count(tx: Any, sites: Sequence[str], kind: str) -> dict[str, int]:
    table = schema.fact
    query = select(table.c.site, func.count()).where(table.c.site.in_(sites), table.c.kind == kind)
    return {row[0]: row[1] for row in await tx.execute(query.group_by(table.c.site))}
