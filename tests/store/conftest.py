"""A fresh store for each test, on each database that it may stand on."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloud.store.sql import SqlStore, open_store, sqlite_url
from common.clock import SystemIds
from tests.needs import needs
from tests.store import postgres
from tests.store.box import Box


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Engine]:
    """One server for all tests of this process."""
    with postgres.engine() as engine:
        yield engine


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs("postgres"))])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "cloud.db")
    engine: postgres.Engine = request.getfixturevalue("postgresql")
    return engine.fresh()


@pytest.fixture
async def store(database: str) -> AsyncIterator[SqlStore]:
    opened = await open_store(database, SystemIds())
    yield opened
    await opened.close()


@pytest.fixture
async def box(store: SqlStore) -> Box:
    made = Box("site-1")
    await made.settle_in(store)
    return made
