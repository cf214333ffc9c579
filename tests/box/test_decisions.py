"""An operator decides, end to end: a flagged session and an orphan, the command line, the journal."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from common.errors import Code, Refused
from edge.cli.ledger import HANDLERS
from edge.cli.main import parser
from edge.site import Site
from tests.box.test_site import charger, serving, settings


async def call(link: ClientConnection, action: str, **payload: Any) -> Any:
    """One call of the charger; what the box answered."""
    call.number += 1  # type: ignore[attr-defined]
    message_id = str(call.number)  # type: ignore[attr-defined]
    await link.send(json.dumps([2, message_id, action, payload]))
    while True:
        frame = json.loads(await link.recv())
        if frame[0] == 3 and frame[1] == message_id:
            return frame[2]
        if frame[0] == 2:  # the box asks: it can do without an answer
            await link.send(json.dumps([4, frame[1], "NotSupported", "", {}]))


call.number = 0  # type: ignore[attr-defined]


async def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """`plugside-edge ledger …`, in this process."""
    args: argparse.Namespace = parser().parse_args(
        ["ledger", *words, "--json", "--socket", str(tmp_path / "edge.sock")]
    )
    capsys.readouterr()
    name = f"ledger_{args.action}" if args.action else "ledger"
    assert await HANDLERS[name](args) == 0
    return json.loads(capsys.readouterr().out)


async def test_what_is_flagged_is_listed_and_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path))
    async with serving(site), charger(site) as link:
        await call(link, "BootNotification", chargePointVendor="ACME", chargePointModel="X")
        started = await call(
            link,
            "StartTransaction",
            connectorId=1,
            idTag="CARD",
            meterStart=5000,
            timestamp="2026-01-01T10:00:00Z",
        )
        await call(
            link,
            "StopTransaction",
            transactionId=started["transactionId"],
            meterStop=4000,
            timestamp="2026-01-01T11:00:00Z",
        )
        await call(
            link, "StopTransaction", transactionId=424242, meterStop=9000, timestamp="2026-01-01T12:00:00Z"
        )
        (flagged,) = (await cli(tmp_path, capsys, "--flagged"))["sessions"]
        assert "meter_backwards" in flagged["attention"]
        (orphan,) = await cli(tmp_path, capsys, "orphans")
        assert (orphan["what"], orphan["transaction"], orphan["meter_wh"]) == ("stop", "424242", 9000.0)
        words = ("resolve", flagged["session"][:10], "set", "--kwh", "3.5", "--reason", "read at the meter")
        await cli(tmp_path, capsys, *words)
        await cli(tmp_path, capsys, "resolve", orphan["orphan"][:8], "dismiss", "--reason", "of another box")
        assert (await cli(tmp_path, capsys, "list", "--flagged"))["sessions"] == []
        assert await cli(tmp_path, capsys, "orphans") == []
        (decided,) = await cli(tmp_path, capsys, "orphans", "--all")
        assert (decided["decision"], decided["because"]) == ("dismissed", "of another box")
        (row,) = (await cli(tmp_path, capsys))["sessions"]
        assert (row["energy_wh"], row["method"], row["revision"]) == (3500.0, "stated", 1)
        with pytest.raises(Refused) as again:
            await cli(tmp_path, capsys, "resolve", orphan["orphan"], "dismiss", "--reason", "once more")
        assert again.value.code is Code.UNKNOWN_SESSION
    # After a restart the decision stands, and what left memory is found again.
    site = Site(settings(tmp_path))
    async with serving(site):
        words = ("resolve", row["session"], "accept", "--reason", "seen by two")
        await cli(tmp_path, capsys, *words)
        (row,) = (await cli(tmp_path, capsys))["sessions"]
        assert (row["energy_wh"], row["revision"]) == (3500.0, 2)
