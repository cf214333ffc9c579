"""A running cloud and a joined box, in a folder whose path is short enough for a socket."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cloud.service import Cloud
from tests.cloud.parts import FakeBox, running


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="pc-") as name:
        yield Path(name)


@pytest.fixture
async def cloud(folder: Path) -> AsyncIterator[Cloud]:
    async with running(folder) as started:
        yield started


@pytest.fixture
async def box(cloud: Cloud) -> FakeBox:
    """A box that has joined as "Home" and is not connected."""
    made = FakeBox(cloud.url)
    await made.join(cloud)
    return made
