"""Opens the database: engines, pragmas, transactions. The only file that knows which database it is.

Every operation runs in a task of its own (`whole`): a caller that is cancelled goes, the transaction ends as
it would have. Cancelling inside the driver would leave its thread with a transaction that nobody knows of.

SQLite has one writing connection, which also checkpoints (its WAL-reset bug, 3.7.0 to 3.51.2, needs two that
write or checkpoint), and readers that cannot write. PostgreSQL needs one pool.

`write()` and `read()` are transactions; inside them the SQL is the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from operator import itemgetter
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, event, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cloud.store.migrate import upgrade
from common.errors import Code, LocalFault, Unavailable

T = TypeVar("T")
P = ParamSpec("P")

#: How long a transaction waits for a connection. Longer than the slowest batch; then the store is `busy`.
WAIT_S = 10.0
READERS = 4
#: What to do about a database that cannot be used. PostgreSQL's driver is the operator's to install.
_HINT = (
    "Leave --database out: the data folder then holds a SQLite file. PostgreSQL is"
    " postgresql+asyncpg://USER@HOST/NAME, with asyncpg installed."
)

#: synchronous=FULL: the ack of a batch promises the disk. wal_autocheckpoint on the writer only.
_SQLITE_WRITER = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF")
_SQLITE_READER = ("query_only=ON", "trusted_schema=OFF", "wal_autocheckpoint=0")


class Database:
    """Engines of one database. `writer` and `reader` are the same for a server database."""

    def __init__(self, url: str) -> None:
        """Raises LocalFault(bad_settings) for a database that we do not speak to."""
        known = _known(url)
        self._told = known.render_as_string(hide_password=True)
        self._running: set[asyncio.Task[Any]] = set()
        self._bulk: dict[str, tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {}
        self.is_sqlite = known.get_backend_name() == "sqlite"
        try:
            if self.is_sqlite:
                self.writer = _sqlite_engine(url, _SQLITE_WRITER, size=1, begin="BEGIN IMMEDIATE")
                self.reader = _sqlite_engine(url, _SQLITE_READER, size=READERS, begin="BEGIN")
            else:
                self.writer = self.reader = create_async_engine(url, pool_timeout=WAIT_S)
        except (SQLAlchemyError, ImportError) as unusable:  # no such driver, or one that is not for asyncio
            raise self._refused(unusable) from None

    async def open(self) -> None:
        """Bring the schema up to date. Raises LocalFault(bad_settings): the database cannot be reached."""
        connection = self.writer.connect()
        try:
            await connection.start()
        except (SQLAlchemyError, OSError) as failed:
            raise self._refused(failed) from None
        try:
            await connection.run_sync(upgrade)
            await connection.commit()
        finally:
            await connection.close()

    def _refused(self, why: Exception) -> LocalFault:
        told = str(getattr(why, "orig", None) or why).partition("\n")[0]
        return LocalFault(Code.BAD_SETTINGS, f"--database {self._told}: {told}", hint=_HINT)

    async def close(self) -> None:
        """Close every connection, once what is under way has ended; the last one of SQLite checkpoints."""
        while self._running:
            await asyncio.wait(self._running)
        await self.reader.dispose()
        if self.writer is not self.reader:
            await self.writer.dispose()

    async def whole(self, operation: Coroutine[Any, Any, T]) -> T:
        """Run an operation to its end, whatever becomes of the caller."""
        task = asyncio.create_task(operation)  # noqa: TID251 - kept below, awaited by `close`
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller; where that has gone, there is nobody to tell

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One writing transaction: committed at the end of the block, gone if the block raises."""
        with _as_errors("write"):
            async with self.writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One reading transaction: everything in it is of one moment."""
        with _as_errors("be read"):
            async with self.reader.connect() as connection:
                yield connection

    def bytewise(self, column: Column[str]) -> ColumnElement[str]:
        """A text column in the order of its code points, whatever this database's collation is."""
        return column.collate("BINARY" if self.is_sqlite else "C")

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that can be given `on_conflict_do_…`; both databases spell it alike."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def upsert_rows(self, tx: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """`upsert` of many rows, as the driver takes them: a fifth of what a row costs through the toolkit.

        rows: every column of the table, in the driver's own types (text, numbers, bytes, None); no two of
        one primary key.
        """
        known = self._bulk.get(table.name)
        if known is None:
            known = self._bulk[table.name] = self._many(table)
        statement, values = known
        told = [values(row) for row in rows]
        # SQLite's driver takes rows one after the other, PostgreSQL's would answer for each: so there they
        # are one statement, a list for each column.
        await tx.exec_driver_sql(
            statement, told if self.is_sqlite else tuple(map(list, zip(*told, strict=True)))
        )

    def _many(self, table: Table) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
        """The statement behind `upsert_rows`, and what it takes of a row."""
        names = [column.name for column in table.columns]
        dialect = self.writer.dialect
        if self.is_sqlite:
            made = self.upsert(table).compile(dialect=dialect, column_keys=names)
            return str(made), itemgetter(*made.positiontup)
        types = [column.type.compile(dialect) for column in table.columns]
        lists = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types, 1))
        told = self.upsert(table, given=select(text(f"* FROM unnest({lists})")))
        return str(told.compile(dialect=dialect)), itemgetter(*names)

    def upsert(self, table: Table, *, keep: Sequence[str] = (), given: Select[Any] | None = None) -> Any:
        """Insert, or overwrite the row of the same primary key, except for the columns in `keep`.

        given: a query that gives the rows, every column of the table in its order.
        """
        statement: Any = self.insert(table)
        if given is not None:
            statement = statement.from_select([column.name for column in table.columns], given)
        keys = {column.name for column in table.primary_key}
        changed = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if column.name not in keys and column.name not in keep
        }
        return statement.on_conflict_do_update(index_elements=sorted(keys), set_=changed)


@contextmanager
def _as_errors(what: str) -> Iterator[None]:
    """Trouble that passes as Unavailable(busy): no free connection, or a database that cannot do it now."""
    try:
        yield
    except PoolTimeout:
        raise Unavailable(Code.BUSY, "the database is busy") from None
    except DBAPIError as trouble:
        if not _passes(trouble):
            raise
        raise Unavailable(Code.BUSY, f"the database cannot {what}: {trouble.orig}") from trouble


def is_values_fault(fault: BaseException) -> bool:
    """Whether a statement failed for the values in it: then it fails again however often it is tried.

    Everything else (a deadlock, a timeout, a lock, a disk, a connection) is the database's own: it passes.
    """
    if isinstance(fault, OverflowError | UnicodeEncodeError):
        return True
    if not isinstance(fault, DBAPIError):
        return isinstance(fault, StatementError)  # a value that the toolkit cannot even bind
    # asyncpg's errors reach us without a class of their own: SQLSTATE 22 is data, 23 is a constraint.
    state = getattr(fault.orig, "sqlstate", None)
    if state:
        return str(state)[:2] in ("22", "23")
    return isinstance(fault, DataError | IntegrityError)


def _passes(fault: DBAPIError) -> bool:
    """Whether it is worth trying again: not for values, nor for SQL of ours that is wrong."""
    return not (is_values_fault(fault) or isinstance(fault, ProgrammingError))


def _known(url: str) -> URL:
    """Read a database's URL. Raises LocalFault(bad_settings) for one that is none, or of another database."""
    try:
        known = make_url(url)
    except ArgumentError:
        raise LocalFault(Code.BAD_SETTINGS, "--database is no URL of a database", hint=_HINT) from None
    if known.get_backend_name() not in ("sqlite", "postgresql"):
        told = f"--database {known.drivername}: only SQLite and PostgreSQL are known here"
        raise LocalFault(Code.BAD_SETTINGS, told, hint=_HINT)
    file = Path(known.database or "")
    # Looked at here: the driver's thread would outlive the failure by a moment, and tell of it itself.
    if known.get_backend_name() == "sqlite" and not (
        file.parent.is_dir() and os.access(file.parent, os.W_OK | os.X_OK)
    ):
        told = f"--database {known.drivername}: no file can be written in {file.parent}"
        raise LocalFault(Code.BAD_SETTINGS, told, hint=_HINT)
    return known


def _sqlite_engine(url: str, pragmas: tuple[str, ...], *, size: int, begin: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=WAIT_S)

    # The driver would open transactions by itself, too late and without IMMEDIATE; so we open them.
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


async def ping(database: Database) -> None:
    """One round trip to the database and back."""
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))


class OnDatabase(Protocol):
    """A part of the store."""

    _db: Database


S = TypeVar("S", bound=OnDatabase)


def whole(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """A method of the store that ends as it would have, whatever becomes of its caller."""

    @wraps(method)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._db.whole(method(self, *args, **kwargs))

    return run
