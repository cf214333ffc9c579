"""From the first schema with data in it to the present one: what was there is there, what is new works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from cloud.store.engine import Database
from cloud.store.migrate import SCRIPTS
from cloud.store.sql import SqlStore, open_store, sqlite_url
from common.clock import SystemIds
from tests.store.box import T0_MS, Box, staff
from tests.store.test_charges import bill, close, lines

#: What the first schema knew, by table.
_FIRST = {
    "site": "id, name, box, public, issuer, instance, link_epoch, epoch, hello, seen_ms, added_ms",
    "sync_state": "site, epoch, hwm, chain",
    "fact": "site, uid, epoch, seq, kind, v, at, principal, charger, session, salt, inner, record",
    "session": "site, session, first_at, charger, evse, connector, transaction_id, principal, tag_ref,"
    ' command, "authorization", started_at, received_at, ended_at, meter_start_wh, meter_stop_wh,'
    " energy_wh, method, obtained, reason, stopped_by, provisional, revision, flags",
    "meter": "site, session, at, context, late, sample",
}


async def database_of(url: str, version: str, content: dict[str, list[dict[str, Any]]]) -> None:
    """A database as the build with this version left it."""
    opened = Database(url)

    def make(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(SCRIPTS))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        for table, rows in content.items():
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)  # one of them is a word of SQL
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)

    async with opened.writer.begin() as connection:
        await connection.run_sync(make)
    await opened.close()


async def first_rows(store: SqlStore, table: str, columns: str) -> list[dict[str, Any]]:
    async with store._db.read() as tx:
        return [dict(row._mapping) for row in await tx.execute(text(f"SELECT {columns} FROM {table}"))]


async def test_from_the_first_schema_with_data(tmp_path: Path) -> None:
    """What a first build would have stored, taken from a present one by the columns that it knew."""
    present = await open_store(sqlite_url(tmp_path / "present.db"), SystemIds())
    box = Box("site-1")
    await box.settle_in(present)
    box.charge("s1", 1000, 5000)
    await box.drain(present)
    content = {table: await first_rows(present, table, names) for table, names in _FIRST.items()}
    told = (await present.sessions(staff("site-1"))).rows, (await present.samples(staff("site-1"), "s1")).rows
    await present.close()

    url = sqlite_url(tmp_path / "old.db")
    await database_of(url, "0001", content)
    store = await open_store(url, SystemIds())
    now = (await store.sessions(staff("site-1"))).rows, (await store.samples(staff("site-1"), "s1")).rows
    assert now == told
    site = await store.site("site-1")
    assert site is not None
    assert site.zone == "UTC"
    assert (await store.chain_state("site-1")).intact
    # The box goes on where it was, and what was here before it is billed.
    box.charge("s2", 5000, 6000)
    await box.connect(store)
    await box.drain(store)
    await bill(store, box)
    await close(store, box, "2026-03")
    assert [line.session for line in await lines(store, box, "2026-03")] == ["s1", "s2"]
    await store.close()


async def test_a_version_that_cannot_be_applied_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Half of a schema would be worse than an old one: everything missing is one transaction."""
    url = sqlite_url(tmp_path / "old.db")
    site = dict.fromkeys(_FIRST["site"].split(", "), "x") | {
        "link_epoch": 1,
        "seen_ms": T0_MS,
        "added_ms": T0_MS,
    }
    await database_of(url, "0001", {"site": [site]})
    opened = Database(url)
    async with opened.writer.begin() as connection:
        await connection.execute(text("CREATE TABLE closing (in_the_way TEXT)"))
    await opened.close()
    with pytest.raises(SQLAlchemyError, match="closing"):
        await open_store(url, SystemIds())
    again = Database(url)
    async with again.reader.connect() as connection:
        version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        tables = await connection.scalar(
            text("SELECT count(*) FROM sqlite_master WHERE name = 'charge_line'")
        )
    await again.close()
    assert (version, tables) == ("0001", 0)
