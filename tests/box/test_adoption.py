"""Adoption in the whole box: floods of strangers, ids that are typed first, and lines that will be copied."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from common import facts
from common.errors import Code, PlugsideError
from edge.chargers.admission import AdoptionQueue
from edge.cli.local import HANDLERS
from edge.cli.main import parser
from edge.site import Site
from tests.box.support import eventually
from tests.box.test_site import serving, settings


async def dial(site: Site, identity: str) -> int:
    """Dial once and leave; return the HTTP status."""
    try:
        async with connect(f"{site.ocpp_url}{identity}", subprotocols=[Subprotocol("ocpp1.6")], proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def typed(folder: Path, handler: str, *words: str, code: int = 0) -> None:
    args = parser().parse_args([*handler.split("_"), *words])
    args.json, args.socket = False, folder / "edge.sock"
    assert await HANDLERS[handler](args) == code


async def test_a_flood_of_strangers_keeps_the_sites_own_charger_from_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path, adopt="none"))
    async with serving(site):
        for number in range(AdoptionQueue.SIZE_MAX + 6):
            assert await dial(site, f"stranger-{number}") == 404
        assert await dial(site, "CP2") == 404
        await typed(tmp_path, "chargers_list")
        lines = capsys.readouterr().out.splitlines()
        offered = next(line for line in lines if "adopt" in line and line.endswith(" CP2"))
        words = shlex.split(offered)
        assert words[:3] == ["plugside-edge", "chargers", "adopt"]
        await typed(tmp_path, "chargers_adopt", *words[3:])
        told = capsys.readouterr().out.splitlines()
        assert told[0] == 'CP2 is adopted as "Bay 1".'
        assert "security profile 0" in told[1]
        assert await dial(site, "cp2") == 101
        assert site.gateway.state.view.chargers["CP2"].name == "Bay 1"


async def test_an_installer_types_the_ids_first_and_the_chargers_dial_as_they_like(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path, adopt="none"))
    async with serving(site):
        await typed(tmp_path, "chargers_adopt", "cp-7", "--name", "Bay 7")
        assert "not dialled in yet" in capsys.readouterr().out
        assert await dial(site, "CP-7") == 101
        await eventually(lambda: site.gateway.state.view.chargers["cp-7"].since != "", "its arrival")
        assert list(site.gateway.state.view.chargers) == ["cp-7"]
        with pytest.raises(PlugsideError, match=r"letters, digits") as refused:
            await typed(tmp_path, "chargers_adopt", "$(id)")
        assert refused.value.code is Code.BAD_CHARGER_ID


async def test_a_name_that_a_shell_would_expand_is_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path, adopt="none"))
    async with serving(site):
        assert await dial(site, "*a*") == 404
        await typed(tmp_path, "chargers_list")
        assert "adopt --name 'Bay 1' '*a*'" in capsys.readouterr().out


async def test_why_names_what_is_wrong_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path, adopt="none"))
    async with serving(site):
        await typed(tmp_path, "chargers_why")
        assert "nobody was turned away" in capsys.readouterr().out
        await typed(tmp_path, "chargers_adopt", "CP1", "--name", "Bay 1")
        await typed(tmp_path, "chargers_why", "cp1", code=1)
        assert "No connection has ever named this charger" in capsys.readouterr().out
        assert await dial(site, "CP2") == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await typed(tmp_path, "chargers_why", code=1)
        told = capsys.readouterr().out
        assert "127.0.0.1, 1×" in told
        assert "It speaks TLS to a port that does not" in told
        assert "ws:// in place of wss://" in told
        assert told.count("not one of this site's chargers yet") == 1
        url = f"{site.ocpp_url}CP1"
        async with connect(url, subprotocols=[Subprotocol("ocpp1.6")], proxy=None) as ws:
            boot = '[2,"1","BootNotification",{"chargePointVendor":"ACME","chargePointModel":"Duo"}]'
            for frame in (boot, '[2,"2","Authorize",{"idTag":"CAFE"}]'):
                await ws.send(frame)
                await ws.recv()
            await typed(tmp_path, "chargers_why", "CP1")
            await typed(tmp_path, "chargers_show", "CP1")
            await typed(tmp_path, "chargers_list")
            told = capsys.readouterr().out
            assert "CP1 at 127.0.0.1: It is connected" in told
            assert "ACME Duo" in told
            assert told.count("tag, 20") == 2
            assert "CAFE" not in told
        with pytest.raises(PlugsideError, match="adopt"):
            await typed(tmp_path, "chargers_show", "CP9")


async def test_a_start_that_is_no_time_is_unknown_in_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path))
    async with serving(site):
        started = facts.SessionStarted(
            session="s-1",
            charger="CP1",
            evse=1,
            transaction="1",
            principal="p-ann",
            started_at="noon, says the charger",
            received_at="2026-03-01T12:00:00.000Z",
        )
        site.gateway.note(started)
        await site.journal.probe()
        await typed(tmp_path, "ledger")
        row = capsys.readouterr().out.splitlines()[1]
        assert row.split()[:2] == ["unknown", "CP1"]
