"""A fresh store for each test. A second database joins by another parameter here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud.store.sql import SqlStore, open_store, sqlite_url
from common.clock import SystemIds
from tests.store.box import Box


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    assert request.param == "sqlite"
    return sqlite_url(tmp_path / "cloud.db")


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
