"""`plugside-edge run` on a journal that is not as it should be: refused with what to do, or salvaged.

The daemon is a process of its own, ended by kill -9 before its folder is spoilt. What it had acknowledged is
still there when it refuses, and what a fault has left of it when it goes on.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from common.errors import Code
from tests.e2e.chargers import now, wire
from tests.e2e.place import Place, place, typed
from tests.needs import find_tool, needs

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAG = "BADBADBA"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def charged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box with one charge in its ledger, killed."""
    async with place(tmp_path_factory.mktemp("j")) as here:
        await here.adopt("CP1")
        await here.tag(TAG, "p-ann")
        async with wire(here.url, "CP1") as charger:
            await charger.boot()
            start = {"connectorId": 1, "idTag": TAG, "meterStart": 100, "timestamp": now()}
            begun = await charger.call("StartTransaction", start)
            stop = {"transactionId": begun["transactionId"], "meterStop": 2600, "timestamp": now()}
            await charger.call("StopTransaction", stop)
        await here.box.kill()
        yield here


def copied(charged: Place, folder: Path) -> Path:
    """The killed box's folder, to spoil."""
    return Path(shutil.copytree(charged.stage.edge_data, folder / "edge"))


def records(folder: Path) -> list[tuple[int, bytes]]:
    """What the journal holds, and so what the box had acknowledged."""
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        return list(db.execute("SELECT seq, record FROM fact ORDER BY seq"))


def given(folder: Path) -> tuple[str, ...]:
    where = ("--data", str(folder), "--socket", str(folder.parent / "s"), "--json", "run")
    return (*where, "--ocpp", "127.0.0.1:0", "--lan", "127.0.0.1:0")


def _newer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "journal.db")) as db, db:
        db.execute("PRAGMA user_version = 999")
        db.execute("UPDATE meta SET value = 999 WHERE name = 'journal.opens_with'")


def _anothers(folder: Path) -> None:
    """The keys of a box of another site, over the journal of this one."""
    shutil.rmtree(folder / "keys")
    shutil.copytree(folder.parent / "other" / "keys", folder / "keys")


@pytest.mark.parametrize(
    ("spoil", "says", "do"),
    [
        (_newer, "newer version", "Install that version"),
        (_anothers, "are of", "Put that site's keys folder back"),
    ],
    ids=["of a newer version", "of another site"],
)
async def test_one_that_is_not_ours_to_open_is_refused_and_left_alone(
    charged: Place,
    tmp_path_factory: pytest.TempPathFactory,
    spoil: Callable[[Path], None],
    says: str,
    do: str,
) -> None:
    above = tmp_path_factory.mktemp("n")
    if spoil is _anothers:
        async with place(above / "p") as other:
            shutil.copytree(other.stage.edge_data, above / "other")
    folder = copied(charged, above)
    spoil(folder)
    before = records(folder)
    refused = await typed("edge.cli.main", *given(folder))
    assert refused.error["code"] == Code.FOLDER_UNUSABLE
    assert says in refused.error["message"]
    assert do in refused.error["hint"]
    assert records(folder) == before != []


@needs("unshare")
async def test_one_that_cannot_be_written_is_refused(
    charged: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On a file system that is mounted read-only, as a card that is worn out becomes."""
    folder = copied(charged, tmp_path_factory.mktemp("r"))
    before = records(folder)
    tool = find_tool("unshare")
    assert tool is not None
    mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    refused = await typed(
        "edge.cli.main", *given(folder), under=(tool, "-m", "sh", "-c", mounted, str(folder))
    )
    if "unshare failed" in refused.err or "permission denied" in refused.err:
        pytest.skip(f"needs the right to mount: {refused.err.strip()}")
    assert refused.error["code"] == Code.FOLDER_UNUSABLE
    assert refused.error["hint"]
    assert records(folder) == before != []


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flipped(file: Path) -> None:
    """One bit, in the record of the session's end."""
    with closing(sqlite3.connect(file)) as db:
        ((record,),) = db.execute("SELECT record FROM fact WHERE kind = 'session_ended'").fetchall()
    bytes_ = bytearray(file.read_bytes())
    bytes_[bytes_.index(record) + len(record) // 2] ^= 1
    file.write_bytes(bytes_)


@pytest.mark.parametrize(
    ("spoil", "at_most"),
    [(_cut, 1000), (_flipped, 1)],  # what is behind the cut; the one that the bit is in
    ids=["cut in half", "with a flipped bit"],
)
async def test_a_damaged_one_is_set_aside_salvaged_and_told(
    charged: Place, tmp_path_factory: pytest.TempPathFactory, spoil: Callable[[Path], None], at_most: int
) -> None:
    async with place(tmp_path_factory.mktemp("d")) as here:
        await here.box.stop()
        shutil.rmtree(here.stage.edge_data)
        shutil.copytree(charged.stage.edge_data, here.stage.edge_data)
        journal = here.stage.edge_data / "journal.db"
        with closing(sqlite3.connect(journal)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        spoil(journal)
        await here.box.start()
        (aside,) = (await here.health())["journal"]["damaged_sets"]
        assert (Path(aside) / "journal.db").stat().st_size
        told = [row["body"] for row in await here.asked("audit") if row["kind"] == "security_noted"]
        assert "journal_salvaged" in [body["what"] for body in told]
        verified = await here.edge("ledger", "verify")
        assert verified.code == 0, str(verified)
        await here.box.stop()
        saved = {record for _, record in records(here.stage.edge_data)}
        missing = [record for _, record in records(charged.stage.edge_data) if record not in saved]
        assert len(missing) <= at_most
