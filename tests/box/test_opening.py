"""The whole box over a journal that is damaged, of another site, or put back: what people see of it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from common import wire
from common.client.local import local
from common.commands import Name, Stop
from common.errors import LocalFault, PlugsideError
from common.facts import SecurityNoted
from common.policy import local_presence
from edge import outage
from edge.cli import copies
from edge.journal import inspection
from edge.journal.journal import Journal
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import Watcher, command, eventually, operator
from tests.journal.support import Disk


def settings(folder: Path) -> EdgeSettings:
    return EdgeSettings(data=folder, ocpp="127.0.0.1:0", lan="127.0.0.1:0", files="127.0.0.1:0", adopt="any")


@asynccontextmanager
async def running(folder: Path, disk: Disk | None = None) -> AsyncIterator[Site]:
    def opened(where: Path, **given: Any) -> Journal:
        return Journal.open(where, **given, **({"connection": disk.connection} if disk else {}))

    has_room = (lambda _: not disk.failing) if disk else outage.has_room
    site = Site(settings(folder), open_journal=opened, has_room=has_room)
    stop = asyncio.Event()
    await site.open()
    life = asyncio.get_running_loop().create_task(site.run(stop))
    try:
        yield site
    finally:
        stop.set()
        with contextlib.suppress(PlugsideError):
            await life
        await site.close()


def kinds(site: Site) -> list[str]:
    return [kind for (kind,) in site.journal._all("SELECT kind FROM fact ORDER BY seq", ())]


def noted(site: Site) -> list[str]:
    rows = site.journal._all("SELECT seq FROM fact WHERE kind = 'security_noted'", ())
    told = [site.journal.recall_fact(seq) for (seq,) in rows]
    return [fact.body.what for fact in told if fact is not None and isinstance(fact.body, SecurityNoted)]


async def test_a_damaged_journal_is_salvaged_told_and_run_on(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        await site.gateway.written(SecurityNoted(what="before"))
        epoch = site.journal.epoch
    db = sqlite3.connect(tmp_path / "journal.db")
    with db:
        db.execute("UPDATE fact SET salt = zeroblob(16) WHERE kind = 'security_noted'")
        db.execute("DELETE FROM meta WHERE name IN ('journal.goodbye', 'journal.verified')")
    db.close()
    async with running(tmp_path) as site:
        assert site.journal.epoch != epoch
        assert "journal_salvaged" in noted(site)
        async with local(settings(tmp_path).socket_path) as box:
            (health,) = await box.query("health")
        assert health["journal"]["damaged_sets"] == [str(tmp_path / "damaged" / "1")]
        assert health["journal"]["level"] == "fine"
    async with running(tmp_path) as site:
        assert noted(site).count("journal_salvaged") == 1, "told once"


@pytest.mark.parametrize("gone", ["removed", "emptied"])
async def test_a_journal_that_is_gone_is_told_with_the_copy_to_go_back_to(tmp_path: Path, gone: str) -> None:
    async with running(tmp_path) as site:
        await site.gateway.written(SecurityNoted(what="before"))
        copy, _ = await site.keeper.copy(tmp_path / "backups")
    if gone == "removed":
        (tmp_path / "journal.db").unlink()
    else:
        (tmp_path / "journal.db").write_bytes(b"")
    async with running(tmp_path) as site:
        assert noted(site) == ["journal_missing"]
        rows = site.journal._all("SELECT seq FROM fact WHERE kind = 'security_noted'", ())
        fact = site.journal.recall_fact(rows[0][0])
        assert fact is not None
        assert isinstance(fact.body, SecurityNoted)
        assert f"plugside-edge restore {copy}" in fact.body.detail
    async with running(tmp_path) as site:
        assert noted(site) == ["journal_missing"], "told once"


async def test_a_new_folder_misses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        assert noted(site) == []


async def test_without_its_keys_a_journal_is_refused_plainly(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    shutil.move(tmp_path / "keys", tmp_path / "keys.away")
    with pytest.raises(LocalFault) as caught:
        Site(settings(tmp_path))
    assert "keys in this folder are of" in caught.value.message
    assert "Put that site's keys folder back" in caught.value.hint
    shutil.rmtree(tmp_path / "keys")
    shutil.move(tmp_path / "keys.away", tmp_path / "keys")
    async with running(tmp_path):
        pass


async def test_backup_and_restore_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, place = tmp_path / "data", tmp_path / "place"
    async with running(data) as site:
        await site.gateway.written(SecurityNoted(what="kept"))
        given = argparse.Namespace(data=data, json=True, dir=place)
        assert await copies.backup(given) == 0
        copy = Path(json.loads(capsys.readouterr().out)["path"])
        assert copy.parent == place
        await site.gateway.written(SecurityNoted(what="after the copy"))
        wanted = argparse.Namespace(data=data, json=True, file=copy)
        with pytest.raises(LocalFault) as caught:
            await copies.restore(wanted)
        assert "Stop it first" in caught.value.hint
    assert await copies.restore(wanted) == 0
    aside = json.loads(capsys.readouterr().out)["aside"]
    assert aside == str(data / "damaged" / "1")
    assert inspection.damage(data / "damaged" / "1" / "journal.db") == ""
    async with running(data) as site:
        assert {"kept", "journal_restored"} <= set(noted(site))
        assert "after the copy" not in noted(site)
        assert site.journal.epoch.startswith("2-")
    assert inspection.damage(data / "journal.db") == ""


async def test_a_set_clock_is_a_fact(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        site.watch.look()
        site.clock._seen_ns -= 3600 * 10**9  # it was an hour earlier than now, just now
        site.watch.look()
        await site.journal.probe()
        assert kinds(site).count("clock_stepped") == 1


# --- looked through ---


async def test_a_running_box_notices_that_the_end_of_its_journal_was_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        for _ in range(3):
            site.gateway.note(SecurityNoted(what="noted"))
        await site.journal.probe()
        last = site.journal.committed_seq
        db = sqlite3.connect(site.journal.path)
        with db:
            db.execute("DELETE FROM fact WHERE seq = ?", (last,))
        db.close()
        asked = wire.Query(id="q", site=site.authority.site, what="verify", args={})
        (told,) = (await site.queries.answer(asked, local_presence(site.authority.site))).rows
        assert told["first_difference"].startswith(f"fact {last} is missing")
        assert not told["ok"]


# --- nothing can be written ---


class FullDisk(Disk):
    def commit(self) -> None:
        if self.failing:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[misc]
            raise full
        super().commit()


class Charger:
    """A bare 1.6 charger: one call at a time."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._count = socket, 0

    async def call(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        await self._socket.send(json.dumps([2, str(self._count), action, payload]))
        while True:
            message = json.loads(await self._socket.recv())
            if message[0] == 3 and message[1] == str(self._count):
                answer: dict[str, Any] = message[2]
                return answer


async def test_a_full_disk_503_apps_told_and_a_stop_gets_through(tmp_path: Path) -> None:
    disk = FullDisk()
    async with running(tmp_path, disk) as site:
        url = f"ws://127.0.0.1:{site.listener.port}/CP1"
        offer = [Subprotocol("ocpp1.6")]
        async with connect(url, subprotocols=offer, proxy=None) as socket:
            charger = Charger(socket)
            await charger.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
            await charger.call(
                "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
            )
            start = await charger.call(
                "StartTransaction",
                {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-11-20T10:00:00Z"},
            )
            disk.failing = True
            # Not an error and not an answer: the socket closes, and the charger keeps its message.
            with pytest.raises(ConnectionClosed):
                await charger.call(
                    "MeterValues",
                    {
                        "connectorId": 1,
                        "transactionId": start["transactionId"],
                        "meterValue": [
                            {"timestamp": "2026-11-20T10:01:00Z", "sampledValue": [{"value": "10"}]}
                        ],
                    },
                )
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, subprotocols=offer, proxy=None)
        assert refused.value.response.status_code == 503
        # The site stays: health answers, and commands are told why.
        async with local(settings(tmp_path).socket_path) as box:
            (health,) = await box.query("health")
            assert health["journal"]
            with pytest.raises(PlugsideError) as told:
                await box.manage("pair")
            assert told.value.code == "journal_unavailable"
        (session,) = site.gateway.state.view.sessions
        stop = command(
            site.clock.now_ms(),
            id="stop-1",
            name=Name.STOP,
            args=Stop(session),
            claims=operator(),
            site=site.authority.site,
        )
        with pytest.raises(PlugsideError) as told:
            site.gateway.command(stop, Watcher().progress)
        assert "passed on" in str(told.value)
        # The charger dials again: it is let in for its stop alone, and nothing else is answered.
        async with connect(url, subprotocols=offer, proxy=None) as socket:
            await socket.send(json.dumps([2, "b", "BootNotification", {"chargePointVendor": "V"}]))
            call = json.loads(await socket.recv())
            assert call[2] == "RemoteStopTransaction"
            assert call[3] == {"transactionId": start["transactionId"]}
            await socket.send(json.dumps([3, call[1], {"status": "Accepted"}]))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        with pytest.raises(InvalidStatus):
            await connect(url, subprotocols=offer, proxy=None)
        disk.failing = False  # somebody freed space: the process ends, and a start goes on from the journal
        await eventually(lambda: any(room.state == "failed" for room in site.supervisor.health()), "the end")
    async with running(tmp_path) as site:
        assert set(site.gateway.state.view.sessions) == {session}


async def test_any_other_failure_of_the_disk_ends_the_process(tmp_path: Path) -> None:
    disk = Disk()
    async with running(tmp_path, disk) as site:
        disk.fail()
        with contextlib.suppress(PlugsideError):
            await site.gateway.written(SecurityNoted(what="x"))
        await eventually(
            lambda: any(r.name == "gateway" and r.state == "failed" for r in site.supervisor.health()),
            "the end",
        )
