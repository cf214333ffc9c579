"""Group 33: somebody else's transaction, a meter that runs backwards, 10¹² Wh, the year 2099, markup in what
a charger calls itself, a formula in a tag. Every message is answered, none ends or inflates another session,
and none is anything but text where people read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.facts import OrphanRecorded, SessionEnded, SessionRevised, SessionStarted
from edge.cli.chargers import HANDLERS
from edge.cli.main import parser
from tests.attacks.test_a30_second_connections import answered
from tests.box.support import eventually
from tests.chargers.secured import SecureBox, secure_box
from tests.chargers.site import Charger

MARKUP = "<script>alert(1)</script>"
TERMINAL = "\x1b]0;owned\x07\x1b[2J"
FORMULA = "=HYPERLINK(0)"


async def booted(charger: Charger, **more: Any) -> None:
    boot = {"chargePointVendor": "V", "chargePointModel": "M", **more}
    await answered(charger, "boot", "BootNotification", boot)
    told = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
    await answered(charger, "status", "StatusNotification", told)


async def started(charger: Charger, message: str = "s", **more: Any) -> int:
    start = {
        "connectorId": 1,
        "idTag": "CARD1",
        "meterStart": 1000,
        "timestamp": "2026-01-01T12:00:00Z",
        **more,
    }
    frame: Any = await answered(charger, message, "StartTransaction", start)
    return int(frame[2]["transactionId"])


async def stopped(charger: Charger, transaction: int, **more: Any) -> Any:
    stop = {"transactionId": transaction, "meterStop": 2000, "timestamp": "2026-01-01T13:00:00Z", **more}
    return await answered(charger, f"e{transaction}{more}", "StopTransaction", stop)


async def test_a33_a_charger_ends_no_transaction_but_its_own(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        for name in ("CP1", "CP2"):
            await box.adopt(name)
        async with box.dial("CP1") as victim, box.dial("CP2") as rogue:
            await booted(victim)
            await booted(rogue)
            transaction = await started(victim)
            for number in (transaction, -1, 0, 2**31 - 1, 2**63):
                assert (await stopped(rogue, number))[0] == 3, "a stop is always answered"
            values = [{"timestamp": "2026-01-01T12:30:00Z", "sampledValue": [{"value": "999999"}]}]
            meter = {"connectorId": 1, "transactionId": transaction, "meterValue": values}
            assert (await answered(rogue, "m", "MeterValues", meter))[0] == 3  # type: ignore[index]
            await eventually(lambda: len(box.of(OrphanRecorded)) >= 5, "orphans")
            assert not box.of(SessionEnded)
            await stopped(victim, transaction)
            await eventually(lambda: len(box.of(SessionEnded)) == 1, "its own end")
            assert box.of(SessionEnded)[0].energy_wh == 1000
            assert {orphan.charger for orphan in box.of(OrphanRecorded)} == {"CP2"}


@pytest.mark.parametrize(
    ("start", "stop", "flag"),
    [
        ({}, {"meterStop": 12}, "meter_backwards"),
        ({}, {"meterStop": 10**12}, ""),
        ({}, {"meterStop": -5}, "meter_backwards"),
        ({}, {"timestamp": "2099-01-01T00:00:00Z"}, "clock_invalid"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, {}, ""),
        ({"timestamp": "0001-01-01T00:00:00Z"}, {}, "clock_invalid"),
        ({"meterStart": -(10**15)}, {}, ""),
    ],
    ids=["backwards", "1e12 Wh", "negative", "ends in 2099", "begins in 2099", "year 1", "far below 0"],
)
async def test_a33_what_cannot_be_is_flagged_and_never_billed_as_it_stands(
    tmp_path: Path, start: dict[str, Any], stop: dict[str, Any], flag: str
) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as charger:
            await booted(charger)
            await stopped(charger, await started(charger, **start), **stop)
            await eventually(lambda: len(box.of(SessionEnded)) == 1, "the end")
            ended = box.of(SessionEnded)[0]
            flags = (*box.of(SessionStarted)[0].flags, *ended.flags)
            assert flags, "somebody has to look at it"
            assert flag in flags or not flag
            assert ended.energy_wh is None or 0 <= ended.energy_wh <= 10**6
            assert not box.of(SessionRevised)
            # the next one is as good as ever
            transaction = await started(charger, "s2", timestamp="2026-01-02T12:00:00Z", meterStart=5000)
            await stopped(charger, transaction, meterStop=7000, timestamp="2026-01-02T13:00:00Z")
            await eventually(lambda: len(box.of(SessionEnded)) == 2, "the next end")
            assert box.of(SessionEnded)[1].energy_wh == 2000


async def typed(box: SecureBox, folder: Path, *words: str) -> None:
    args = parser().parse_args(["chargers", *words])
    args.data, args.json = folder, getattr(args, "json", False)
    await HANDLERS[f"chargers_{args.action}"](args)


async def test_a33_what_a_charger_calls_itself_is_text_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as charger:
            names = {
                "chargePointVendor": MARKUP[:20],
                "chargePointModel": TERMINAL,
                "firmwareVersion": TERMINAL,
            }
            await booted(charger, chargePointSerialNumber=TERMINAL + MARKUP, **names)
            told = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "info": TERMINAL}
            await answered(charger, "i", "StatusNotification", told)
            for words in (["list"], ["show", "CP1"], ["why"]):
                await typed(box, tmp_path, *words)
                out = capsys.readouterr().out
                assert not set(out) & {"\x1b", "\x07", "\x00"}
            await typed(box, tmp_path, "--json", "list")
            (row,) = json.loads(capsys.readouterr().out)
            assert row["vendor"] == MARKUP[:20], "for a program it stays what it was"


async def test_a33_no_tag_is_anywhere_as_it_came(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as charger:
            await booted(charger)
            for tag in (FORMULA, MARKUP[:20], "@SUM(1)", "\x00\x01CARD"):
                answer: Any = await answered(charger, tag, "Authorize", {"idTag": tag})
                assert answer[2]["idTagInfo"]["status"] == "Invalid"
            transaction = await started(charger, idTag=FORMULA)
            await stopped(charger, transaction, idTag=FORMULA)
            await eventually(lambda: len(box.of(SessionEnded)) == 1, "the end")
        records = b"".join(fact.record for fact in box.facts)
        for tag in (FORMULA, "@SUM(1)", MARKUP[:20]):
            assert tag.encode() not in records
        assert box.of(SessionStarted)[0].principal is None
