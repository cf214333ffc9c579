"""The work part of the SQL store: commands on their way, tokens, and what this cloud did."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, select, tuple_, update

from cloud.store import codec, schema
from cloud.store.engine import Database, whole
from cloud.store.rows import ActRow, CommandRow, Page, TokenRow
from common.errors import Code, Refused

#: The order of a command's states; a late message never takes one back.
STATES = ("asked", "relayed", "accepted", "confirmed", "settled", "refused")


class WorkPart:
    """`cloud.store.ports.WorkStore` on SQL."""

    _db: Database

    @whole
    async def ask_command(self, row: CommandRow) -> CommandRow:
        table = schema.command
        insert: Any = self._db.insert(table)
        async with self._db.write() as tx:
            await tx.execute(insert.on_conflict_do_nothing(), msgspec.structs.asdict(row))
            query = select(table).where(table.c.site == row.site, table.c.id == row.id)
            return codec.command_row((await tx.execute(query)).one())

    @whole
    async def command(self, site: str, command: str) -> CommandRow | None:
        table = schema.command
        query = select(table).where(table.c.site == site, table.c.id == command)
        async with self._db.read() as tx:
            row = (await tx.execute(query)).first()
        return None if row is None else codec.command_row(row)

    @whole
    async def step_command(self, row: CommandRow, state: str, answer: str) -> None:
        table = schema.command
        earlier = STATES[: STATES.index(state)]
        step = update(table).where(
            table.c.site == row.site,
            table.c.id == row.id,
            table.c.fingerprint == row.fingerprint,
            table.c.state.in_(earlier),
        )
        async with self._db.write() as tx:
            await tx.execute(step.values(state=state, answer=answer))

    @whole
    async def add_token(self, row: TokenRow, now_ms: int) -> None:
        table = schema.token
        async with self._db.write() as tx:
            await tx.execute(delete(table).where(table.c.expires_ms <= now_ms))
            await tx.execute(self._db.insert(table), codec.token_values(row))

    @whole
    async def token(self, hash_: str, now_ms: int) -> TokenRow | None:
        table = schema.token
        query = select(table).where(table.c.hash == hash_, table.c.expires_ms > now_ms)
        async with self._db.read() as tx:
            row = (await tx.execute(query)).first()
        return None if row is None else codec.token_row(row)

    @whole
    async def note(self, row: ActRow) -> None:
        async with self._db.write() as tx:
            await tx.execute(self._db.insert(schema.act), msgspec.structs.asdict(row))

    @whole
    async def acts(self, *, site: str = "", after: str = "", limit: int = 100) -> Page[ActRow]:
        table = schema.act
        query = select(table)
        if site:
            query = query.where(table.c.site == site)
        if after:
            at_ms, _, uid = after.partition("|")
            if not at_ms.isdigit():
                raise Refused(Code.BAD_REQUEST, "`after` is the `next` of the page before")
            query = query.where(tuple_(table.c.at_ms, table.c.id) < (int(at_ms), uid))
        query = query.order_by(table.c.at_ms.desc(), table.c.id.desc()).limit(limit + 1)
        async with self._db.read() as tx:
            rows = [ActRow(**row._mapping) for row in await tx.execute(query)]
        more = f"{rows[limit - 1].at_ms}|{rows[limit - 1].id}" if len(rows) > limit else ""
        return Page(rows=tuple(rows[:limit]), next=more)
