"""`plugside-cloud import` typed on files that are not as they should be: what it says, what it changes."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.cli import imports
from cloud.service import Cloud
from common.client.connection import Connection
from common.errors import Code, LocalFault
from tests.cloud.parts import FakeBox
from tests.cloud.test_bundles import exported, ledger
from tests.cloud.test_cli import Shell


@pytest.fixture
def shell(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cloud, capsys)


@pytest.fixture
async def box(cloud: Cloud) -> FakeBox:
    """A box that was taken in, has three sessions and no tunnel."""
    box = FakeBox(cloud.url)
    await box.join(cloud, "Cellar")
    for number in range(3):
        box.ledger.charge(f"s{number}", number * 1000, number * 1000 + 500)
    return box


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cellar.bundle"


def written(file: Path, data: bytes) -> str:
    file.write_bytes(data)
    return str(file)


async def refused(shell: Shell, file: Path, data: bytes) -> str:
    code, out, err = await shell("import", written(file, data))
    assert (code, out) == (2, "")
    assert "nothing of it was lost at the box" in err
    return err


async def test_a_gap_names_the_export_that_closes_it(
    cloud: Cloud, box: FakeBox, shell: Shell, file: Path
) -> None:
    err = await refused(shell, file, exported(box, after=3))
    assert "begins at record 4, and the cloud has them up to 0" in err
    assert "plugside-edge export --after 0 FILE" in err
    assert await ledger(cloud, box) == set()
    code, out, _ = await shell("import", written(file, exported(box)))
    assert code == 0
    assert "Cellar: 9 records in the file, 9 of them new here." in out
    assert "plugside-edge export --after 9 FILE" in out


async def test_another_history_is_told_to_begin_a_new_epoch(
    cloud: Cloud, box: FakeBox, shell: Shell, file: Path
) -> None:
    await shell("import", written(file, exported(box)))
    del box.ledger.journal.rows[3:]
    for number in range(4):
        box.ledger.charge(f"after-restore-{number}", 0, 1)
    err = await refused(shell, file, exported(box))
    assert "another history" in err
    assert "plugside-edge export --new-epoch FILE" in err
    assert await ledger(cloud, box) == {"s0", "s1", "s2"}
    old = exported(box)
    box.ledger.rotate()
    assert (await shell("import", written(file, exported(box))))[0] == 0
    assert "after-restore-3" in await ledger(cloud, box)
    err = await refused(shell, file, old)
    assert "which the box has left for 2-" in err
    assert "everything that this file holds is in the new one" in err
    assert "add --new-epoch" in err, "the way on where an older card was put back"


async def test_another_sites_file_is_refused_by_name(
    cloud: Cloud, box: FakeBox, shell: Shell, file: Path
) -> None:
    stranger = FakeBox(cloud.url)
    stranger.ledger.charge("x", 0, 1)
    code, _, err = await shell("import", written(file, exported(stranger)))
    assert code == 2
    assert "is it the right cloud for this file?" in err
    err = await refused(shell, file, exported(stranger, site=box.site))
    assert "another box made it" in err
    assert await ledger(cloud, box) == set()


async def test_poison_is_set_aside_by_number_and_a_kind_of_tomorrow_is_kept(
    cloud: Cloud, box: FakeBox, shell: Shell, file: Path
) -> None:
    box.ledger.write_record("poison", b"no record at all")
    record = msgspec.json.encode(
        {"uid": "new", "kind": "session_paused", "v": 3, "at": "", "clock": "synced", "body": {"x": 1}}
    )
    box.ledger.write_record("new", record)
    box.ledger.charge("behind", 90_000, 91_000)
    code, out, _ = await shell("import", written(file, exported(box)))
    assert "Cellar: 14 records in the file, 14 of them new here." in out
    assert "But 1 record could not be read and lies in quarantine: 10." in out
    assert 'plugside-cloud reconcile "Cellar"' in out
    assert code == 1, "a record that could not be read is nothing to pass over"
    assert "behind" in await ledger(cloud, box)
    code, out, _ = await shell("reconcile", "Cellar")
    assert code == 1
    assert "1 record could not be read and is in quarantine:" in out
    assert "  10 of 1-a: unreadable" in out


async def test_a_cloud_that_goes_away_meanwhile_is_no_matter(
    cloud: Cloud, box: FakeBox, shell: Shell, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = imports.connect

    class Dying:
        """The cloud's link, which ends after the head and the first part."""

        def __init__(self, link: Connection) -> None:
            self.link, self.left = link, 2

        async def manage(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
            self.left -= 1
            if self.left < 0:
                raise LocalFault(Code.NOT_RUNNING, "it went away")
            return await self.link.manage(name, args)

    @asynccontextmanager
    async def connect(args: argparse.Namespace) -> AsyncIterator[Dying]:
        async with real(args) as link:
            yield Dying(link)

    monkeypatch.setattr(imports, "connect", connect)
    code, _, err = await shell("import", written(file, exported(box, size=3)))
    assert code == 3
    assert "run the same again: what arrived is skipped" in err
    monkeypatch.setattr(imports, "connect", real)
    code, out, _ = await shell("import", str(file))
    assert (code, "9 records in the file, 6 of them new here" in out) == (0, True)
