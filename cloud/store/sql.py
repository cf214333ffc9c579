"""The store on SQL: SQLite by default, PostgreSQL when it is outgrown. Puts its parts together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from cloud.store import schema
from cloud.store.accounts import AccountPart
from cloud.store.audit import AuditPart
from cloud.store.charges import ChargePart
from cloud.store.engine import Database, ping
from cloud.store.estate import EstatePart
from cloud.store.glance import GlancePart
from cloud.store.imports import ImportPart
from cloud.store.ledger import LedgerPart
from cloud.store.replay import replay
from cloud.store.withdrawals import WithdrawalPart
from cloud.store.work import WorkPart
from common.ports import Ids

INCARNATION = "incarnation"


class SqlStore(
    LedgerPart,
    ImportPart,
    EstatePart,
    AccountPart,
    WithdrawalPart,
    GlancePart,
    WorkPart,
    ChargePart,
    AuditPart,
):
    """`cloud.store.ports.Store`. Made by `open_store`."""

    def __init__(self, database: Database, incarnation: str) -> None:
        self._db = database
        self.incarnation = incarnation

    async def alive(self) -> None:
        await self._db.whole(ping(self._db))

    async def close(self) -> None:
        await self._db.close()


def sqlite_url(file: Path) -> str:
    """The URL of a database file."""
    return f"sqlite+aiosqlite:///{file}"


async def open_store(url: str, ids: Ids, now_ms: int = 0) -> SqlStore:
    """Open a database, bring schema and tables up to this build; a new one gets an incarnation."""
    database = Database(url)
    try:
        await database.open()
        incarnation = await _incarnation(database, ids)
        await replay(database, now_ms)
    except BaseException:
        await database.close()
        raise
    return SqlStore(database, incarnation)


async def _incarnation(database: Database, ids: Ids) -> str:
    table = schema.meta
    insert: Any = database.insert(table)
    async with database.write() as tx:
        await tx.execute(insert.on_conflict_do_nothing(), {"key": INCARNATION, "value": ids.uid()})
        value = await tx.scalar(select(table.c.value).where(table.c.key == INCARNATION))
    assert isinstance(value, str), "written in the same transaction"
    return value
