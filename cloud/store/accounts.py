"""The accounts part of the SQL store: sites, invites, devices, names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import codec, schema
from cloud.store.engine import Database, whole
from cloud.store.rows import DeviceRow, PairingRow, SiteRow
from common.errors import Code, Refused
from common.trust import InviteRecord
from common.trust.invites import DEVICES_OF_ONE_MAX, OF_ONE_MAX

#: Columns of a site that its box's key is in.
_OF_THE_BOX = ("box", "public", "succession", "rotations", "former", "former_until_ms", "retired")
_RIGHTS = (schema.device, schema.token, schema.invite)


class AccountPart:
    """`cloud.store.ports.AccountStore` on SQL."""

    _db: Database

    # --- sites ---------------------------------------------------------------------------------------------

    @whole
    async def add_pairing(self, row: PairingRow, now_ms: int) -> None:
        table = schema.pairing
        async with self._db.write() as tx:
            await tx.execute(delete(table).where(table.c.expires_ms <= now_ms))
            await tx.execute(self._db.upsert(table), msgspec.structs.asdict(row))

    @whole
    async def pairing(self, pair: str, now_ms: int) -> PairingRow | None:
        table = schema.pairing
        query = select(table).where(table.c.pair == pair, table.c.expires_ms > now_ms)
        async with self._db.read() as tx:
            row = (await tx.execute(query)).first()
        return None if row is None else PairingRow(**row._mapping)

    @whole
    async def spend_pairings(self, but: PairingRow) -> None:
        table = schema.pairing
        async with self._db.write() as tx:
            await tx.execute(delete(table).where(table.c.name == but.name, table.c.pair != but.pair))

    @whole
    async def put_site(self, row: SiteRow, *, held: str = "") -> bool:
        # What belongs to the ledger stays: another box takes up where the site's records are.
        keep = ("link_epoch", "epoch", "added_ms", "seen_ms", "hello", "zone")
        try:
            async with self._db.write() as tx:
                values = codec.site_values(row)
                if held:
                    changed = {name: value for name, value in values.items() if name not in keep}
                    return await _changed(tx, row.id, held, changed)
                new = self._db.insert(schema.site).on_conflict_do_nothing(index_elements=["id"])
                done: Any = await tx.execute(new, values)
                return bool(done.rowcount)
        except IntegrityError:
            raise Refused(
                Code.BAD_REQUEST, f"another site is called {row.name}", hint="Choose another name."
            ) from None

    @whole
    async def rotate_box(self, row: SiteRow, *, held: str) -> bool:
        values = codec.site_values(row)
        changed = {name: values[name] for name in _OF_THE_BOX}
        async with self._db.write() as tx:
            return await _changed(tx, row.id, held, changed)

    @whole
    async def site(self, name_or_id: str) -> SiteRow | None:
        table = schema.site
        query = select(table).where(or_(table.c.id == name_or_id, table.c.name == name_or_id))
        async with self._db.read() as tx:
            rows = [codec.site_row(row) for row in await tx.execute(query)]
        # A site may be called like another one's id; the id is what nobody chose.
        return next((row for row in rows if row.id == name_or_id), rows[0] if rows else None)

    @whole
    async def sites(self) -> list[SiteRow]:
        async with self._db.read() as tx:
            rows = await tx.execute(select(schema.site).order_by(schema.site.c.name))
            return [codec.site_row(row) for row in rows]

    # --- rights --------------------------------------------------------------------------------------------

    @whole
    async def add_invite(self, record: InviteRecord, name: str) -> None:
        async with self._db.write() as tx:
            await tx.execute(self._db.insert(schema.invite), codec.invite_values(record))
            await _keep_latest(tx, schema.invite, schema.invite.c.hash, record, OF_ONE_MAX)
            if name:
                row = {"principal": record.principal, "name": name}
                await tx.execute(self._db.upsert(schema.name), row)

    @whole
    async def redeem(
        self, hash_: str, change: Callable[[InviteRecord], InviteRecord], now_ms: int, label: str = ""
    ) -> InviteRecord:
        table = schema.invite
        async with self._db.write() as tx:
            query = select(table).where(table.c.hash == hash_)
            row = (await tx.execute(query.with_for_update())).first()
            if row is None:
                raise Refused(Code.BAD_INVITE)
            record = change(codec.invite_row(row))
            assert record.redeemed_by is not None, "a change that returns has redeemed"
            changed = {"redeemed_by": record.redeemed_by, "spent": record.spent}
            await tx.execute(update(table).where(table.c.hash == hash_).values(**changed))
            device = DeviceRow(
                site=record.site,
                key=record.redeemed_by,
                principal=record.principal,
                role=record.role,
                chargers=record.chargers,
                added_ms=now_ms,
                caps=record.caps,
                owner=record.owner,
                label=label,
            )
            await tx.execute(self._db.upsert(schema.device), codec.device_values(device))
            await _keep_latest(tx, schema.device, schema.device.c.key, record, DEVICES_OF_ONE_MAX)
        return record

    @whole
    async def spend_invites(self, site: str, key: str) -> None:
        table = schema.invite
        unspent = (table.c.site == site) & (table.c.redeemed_by == key) & table.c.spent.is_(False)
        async with self._db.read() as tx:
            if (await tx.execute(select(table.c.hash).where(unspent))).first() is None:
                return
        async with self._db.write() as tx:
            await tx.execute(update(table).where(unspent).values(spent=True))

    @whole
    async def device(self, site: str, key: str) -> DeviceRow | None:
        table = schema.device
        query = select(table).where(table.c.site == site, table.c.key == key)
        async with self._db.read() as tx:
            row = (await tx.execute(query)).first()
        return None if row is None else codec.device_row(row)

    @whole
    async def devices(self, site: str) -> list[DeviceRow]:
        table = schema.device
        query = select(table).where(table.c.site == site).order_by(table.c.added_ms, table.c.key)
        async with self._db.read() as tx:
            return [codec.device_row(row) for row in await tx.execute(query)]

    @whole
    async def names(self, principals: Iterable[str]) -> dict[str, str]:
        table = schema.name
        query = select(table.c.principal, table.c.name).where(table.c.principal.in_(set(principals)))
        async with self._db.read() as tx:
            return {row.principal: row.name for row in await tx.execute(query)}

    @whole
    async def forget(self, principal: str) -> int:
        gone = 0
        async with self._db.write() as tx:
            for table in (schema.name, *_RIGHTS):
                result: Any = await tx.execute(delete(table).where(table.c.principal == principal))
                gone += result.rowcount
        return gone


async def _keep_latest(
    tx: AsyncConnection, table: Table, key: ColumnElement[str], record: InviteRecord, most: int
) -> None:
    """Of the rows of this one's principal at its site, the latest: what one person has here is bounded."""
    theirs = (table.c.site == record.site) & (table.c.principal == record.principal)
    latest = table.c.expires_ms if "expires_ms" in table.c else table.c.added_ms
    # As many as there may be more than that, which is one; no statement names more than it can hold.
    over = select(key).where(theirs).order_by(latest.desc(), key).offset(most).limit(most)
    gone = (await tx.scalars(over)).all()
    if gone:
        await tx.execute(delete(table).where(theirs, key.in_(gone)))


async def _changed(tx: AsyncConnection, site: str, held: str, changed: Mapping[str, Any]) -> bool:
    """Change a site that still has this public key; False if it has not."""
    table = schema.site
    where = (table.c.id == site) & (table.c.public == held)
    done: Any = await tx.execute(update(table).where(where).values(**changed))
    return bool(done.rowcount)
