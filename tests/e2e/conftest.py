"""Fixtures of the end-to-end tests: places in folders of their own, gone at the end.

A cloud takes seconds to start, so the tests that need nothing but one share it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.place import Place, place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box without a cloud: the cloud that it was told of does not answer."""
    async with place(tmp_path_factory.mktemp("p")) as here:
        yield here


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box and the cloud that has taken it in."""
    async with place(tmp_path_factory.mktemp("p"), cloud=True) as here:
        yield here
