"""What ingest is held against: a FastAPI endpoint with a model as its parameter, rows by `executemany`.

    python -m tests.bench.ingest_model FOLDER DATABASE   (DATABASE: a PostgreSQL URL; "" = SQLite in FOLDER)

One table, one row a sample, upserted by its key; the answer comes after the commit. No chain, no check of a
hash, no record kept as it came, one row where the cloud writes two.
"""

# FastAPI reads the annotations of its endpoints, so they are not postponed here.

import asyncio
import socket
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import aiosqlite
import asyncpg
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench.processes import HOST, serve_until_told

COLUMNS = "uid, session, at, context, charger, energy_wh, power_w, current_a"
TABLE = (
    "CREATE TABLE sample (uid TEXT, session TEXT, at TEXT, context TEXT, charger TEXT,"
    " energy_wh REAL, power_w REAL, current_a TEXT, PRIMARY KEY (session, at, context))"
)
UPSERT = (
    " ON CONFLICT (session, at, context) DO UPDATE SET energy_wh = excluded.energy_wh,"
    " power_w = excluded.power_w, current_a = excluded.current_a"
)


class Sample(BaseModel):
    """One sample of a session."""

    uid: str
    session: str
    at: str
    context: str
    charger: str
    energy_wh: float | None = None
    power_w: float | None = None
    current_a: list[float] | None = None


class Batch(BaseModel):
    """What a box sends."""

    site: str
    samples: list[Sample]


Rows = Sequence[tuple[object, ...]]


class Store(Protocol):
    """Where rows go; `write` returns once they are committed."""

    async def write(self, rows: Rows) -> None: ...


class Sqlite:
    """SQLite with `synchronous=FULL`, as the cloud has it."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, file: Path) -> "Sqlite":
        db = await aiosqlite.connect(file)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            await db.execute(f"PRAGMA {pragma}")
        await db.execute(TABLE)
        return cls(db)

    async def write(self, rows: Rows) -> None:
        insert = f"INSERT INTO sample ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?){UPSERT}"
        async with self._turn:
            await self._db.executemany(insert, rows)
            await self._db.commit()


class Postgres:
    """PostgreSQL through asyncpg."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str) -> "Postgres":
        pool = await asyncpg.create_pool(
            url.replace("postgresql+asyncpg:", "postgresql:"), min_size=4, max_size=8
        )
        async with pool.acquire() as db:
            await db.execute(TABLE.replace("REAL", "DOUBLE PRECISION"))
        return cls(pool)

    async def write(self, rows: Rows) -> None:
        insert = f"INSERT INTO sample ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8){UPSERT}"
        async with self._pool.acquire() as db, db.transaction():
            await db.executemany(insert, rows)


def application(store: Store) -> FastAPI:
    """The endpoint, as FastAPI's tutorial has it."""
    app = FastAPI()

    @app.post("/sync")
    async def sync(batch: Batch) -> dict[str, int]:
        rows = [
            (
                *(sample.uid, sample.session, sample.at, sample.context, sample.charger),
                *(sample.energy_wh, sample.power_w, str(sample.current_a)),
            )
            for sample in batch.samples
        ]
        await store.write(rows)
        return {"acked": len(rows)}

    return app


async def main(folder: Path, database: str) -> None:
    store: Store
    store = await Postgres.open(database) if database else await Sqlite.open(folder / "model.db")
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        config = uvicorn.Config(application(store), log_level="error", access_log=False)
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn tells it no other way
                await asyncio.sleep(0.01)
            await serve_until_told(port=listener.getsockname()[1])
            server.should_exit = True


if __name__ == "__main__":
    assert sqlite3.sqlite_version_info >= (3, 24), "upserts"
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))
