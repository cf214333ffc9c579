"""The whole box in this process: what ends it, what it tells the service manager, what is let go of."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from common import facts
from common.client.connection import Connection
from common.client.local import local
from common.errors import Code, LocalFault, PlugsideError, Unavailable
from edge.journal.journal import Journal
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import eventually
from tests.journal.support import Disk, table

STATUS = '{"connectorId":1,"errorCode":"NoError","status":"Available"}'


def settings(folder: Path, **changed: Any) -> EdgeSettings:
    given = {"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": folder, "adopt": "any"}
    return EdgeSettings.load(given | changed)


def on(disk: Disk) -> Callable[..., Journal]:
    """A journal over a disk that a test controls."""
    return partial(Journal.open, connection=disk.connection)


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[asyncio.Task[None]]:
    """A site that runs; the task is its `run`."""
    stop = asyncio.Event()
    try:
        await site.open()
        run = asyncio.get_running_loop().create_task(site.run(stop))
        try:
            yield run
        finally:
            stop.set()
            await asyncio.wait({run})
    finally:
        await site.close()


@asynccontextmanager
async def charger(site: Site) -> AsyncIterator[ClientConnection]:
    async with connect(f"{site.ocpp_url}CP1", subprotocols=[Subprotocol("ocpp1.6")]) as link:
        yield link


async def test_a_second_site_on_a_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with serving(Site(settings(tmp_path))):
        with pytest.raises(LocalFault) as refused:
            Site(settings(tmp_path))
        assert refused.value.code is Code.FOLDER_IN_USE
        assert refused.value.detail


async def test_a_journal_that_cannot_commit_ends_the_process_and_nobody_is_answered(tmp_path: Path) -> None:
    disk = Disk()
    site = Site(settings(tmp_path), open_journal=on(disk))
    async with serving(site) as run:
        async with charger(site) as link, local(tmp_path / "edge.sock") as app:
            disk.fail()
            await link.send(f'[2,"1","StatusNotification",{STATUS}]')
            with pytest.raises(ConnectionClosed):
                await link.recv()
            with pytest.raises(InvalidStatus) as upgrade:
                async with charger(site):
                    pass
            assert upgrade.value.response.status_code == 503
            with pytest.raises(PlugsideError) as told:
                await ask_on(app)
            assert told.value.code is Code.JOURNAL_UNAVAILABLE
        with pytest.raises(Unavailable) as ended:
            await run
        assert ended.value.code is Code.JOURNAL_UNAVAILABLE


async def ask_on(app: Connection) -> None:
    """Ask until the link is cut."""
    while True:
        await app.query("health")


async def test_the_service_manager_hears_ready_watchdog_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        loop = asyncio.get_running_loop()
        async with serving(Site(settings(tmp_path / "data"))):
            heard = [await loop.sock_recv(manager, 100) for _ in range(3)]
            assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        assert b"STOPPING=1" in heard_by(manager)


def heard_by(manager: socket.socket) -> list[bytes]:
    """What has come since the last look."""
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(manager.recv(100))
    return heard


async def test_a_stalled_disk_starves_the_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        loop = asyncio.get_running_loop()
        site = Site(settings(tmp_path / "data"), open_journal=on(disk))
        async with serving(site):
            while await loop.sock_recv(manager, 100) != b"WATCHDOG=1":
                pass
            disk.stall()
            site.gateway.note(facts.SecurityNoted(what="anything"))
            await eventually(disk.stalled.is_set, "the disk to be asked")
            # The last one may have been on its way, and then comes none; else there is one each 10 ms.
            quiet = 0
            for _ in range(50):
                await asyncio.sleep(0.03)
                quiet = 0 if heard_by(manager) else quiet + 1
                if quiet == 3:
                    break
            assert quiet == 3, "the watchdog is still fed"
            disk.go.set()
            assert await loop.sock_recv(manager, 100) == b"WATCHDOG=1"


@pytest.mark.parametrize("taken", ["ocpp", "lan"])
async def test_a_port_in_use_is_named_and_everything_is_let_go(tmp_path: Path, taken: str) -> None:
    before = set(threading.enumerate())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        site = Site(settings(tmp_path, **{taken: f"127.0.0.1:{other.getsockname()[1]}"}))
        with pytest.raises((LocalFault, OSError)):
            await site.open()
        await site.close()
    await eventually(lambda: set(threading.enumerate()) <= before, "the threads to end")
    async with serving(Site(settings(tmp_path))):
        pass


async def test_a_site_that_never_opened_is_closed(tmp_path: Path) -> None:
    await Site(settings(tmp_path)).close()
    Site(settings(tmp_path)).journal.close()


async def test_time_never_goes_back_behind_what_was_written(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    site.clock.raise_floor(site.clock.now_ms() + 86_400_000)
    async with serving(site):
        written = site.clock.now_ms()
        site.gateway.note(facts.SecurityNoted(what="anything"))
    later = Site(settings(tmp_path))
    try:
        assert later.clock.now_ms() >= written
        assert later.clock.quality == "floor"
    finally:
        await later.close()


async def test_a_stop_writes_what_waits_and_a_snapshot(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    async with serving(site), charger(site) as link:
        await link.send(f'[2,"1","StatusNotification",{STATUS}]')
        await link.recv()
    journal = Journal.open(tmp_path, ids=site.ids)
    try:
        snapshot, after = journal.recover()
        assert snapshot is not None
        assert snapshot[0] == journal.last_seq
        assert not list(after)
    finally:
        journal.close()
    assert "charger_lost" in {kind for (kind,) in table(tmp_path / "journal.db", "SELECT kind FROM fact")}


async def test_a_folder_of_another_site_is_refused(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    async with serving(site):
        site.gateway.note(facts.SecurityNoted(what="anything"))
    for key in (tmp_path / "keys").iterdir():
        key.unlink()
    with pytest.raises(LocalFault) as refused:
        Site(settings(tmp_path))
    assert refused.value.code is Code.FOLDER_UNUSABLE


async def test_a_lan_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        site = Site(settings(tmp_path, lan=f"127.0.0.1:{port}"))
        try:
            with pytest.raises(LocalFault) as refused:
                await site.open()
        finally:
            await site.close()
    assert refused.value.code is Code.BAD_SETTINGS
    assert str(port) in refused.value.message
    assert "--lan" in refused.value.hint


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalFault) as refused:
        Site(settings(tmp_path / "file" / "data"))
    assert refused.value.code is Code.FOLDER_UNUSABLE
    assert "data" in refused.value.message


async def test_a_stop_that_was_asked_for_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="plugside.site"):
        async with serving(Site(settings(tmp_path))):
            pass
    assert "stopping, as asked" in caplog.text
