"""Group 34: heartbeats without end, a wrong subprotocol, answers to calls that were never made, one call id
for several calls. Others notice nothing, memory stays bounded, nothing is believed that was not asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from common.commands import Name
from common.domain import Target
from common.facts import (
    ChargerLost,
    ChargerSeen,
    CommandConfirmed,
    CommandSettled,
    OrphanRecorded,
    SessionStarted,
)
from tests.attacks.test_a30_second_connections import answered
from tests.attacks.test_a33_impossible_messages import booted, started
from tests.box.support import eventually
from tests.chargers.secured import secure_box
from tests.chargers.site import Charger

HEARTBEAT = '[2,"{}","Heartbeat",{{}}]'


async def test_a34_a_flood_of_heartbeats_harms_nobody_and_fills_nothing(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        for name in ("CP1", "CP2"):
            await box.adopt(name)
        async with box.dial("CP1") as honest, box.dial("CP2") as flooder:
            await booted(honest)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            facts = len(box.facts)

            async def flood() -> None:
                # It never reads: what is answered piles up at its end, and then nowhere.
                with contextlib.suppress(ConnectionClosed):
                    for number in range(5_000):
                        await flooder.ws.send(HEARTBEAT.format(number))

            flooding = asyncio.get_running_loop().create_task(flood())
            for _ in range(20):
                assert await honest.alive()
            (told,) = await box.app.query("health")
            assert told["rooms"]
            flooding.cancel()
            assert len(box.facts) - facts <= 20, "a heartbeat is no fact"
            # KiB: 5,000 frames are 150 KB; a copy of each in both directions would be noise beside this.
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
            assert await honest.alive()


async def test_a34_no_version_in_common_ends_the_line_and_changes_nothing(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as real:
            assert await real.alive()
            await eventually(lambda: len(box.of(ChargerSeen)) == 1, "the charger's arrival")
            async with box.dial("CP1", subprotocols=["ocpp9.9", "graphql-ws"]) as odd:
                assert odd.ws.subprotocol is None
                assert (await odd.closed())[0] == 1002
            assert await real.alive(), "and the charger's own connection stands"
            await box.site.journal.probe()
            assert (len(box.of(ChargerSeen)), box.of(ChargerLost)) == (1, [])
        assert "no_common_version" in box.site.listener.refusals


async def test_a34_an_answer_that_nobody_asked_for_is_believed_by_nobody(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as charger:
            await booted(charger)
            asked = asyncio.get_running_loop().create_task(_configured(box))
            call = await _call(charger, "ChangeConfiguration")
            for message in ("1", "", call[1] + "x", call[1][:-1], "-1", "' OR 1=1"):
                await charger.send(json.dumps([3, message, {"status": "Accepted"}]))
                await charger.send(json.dumps([4, message, "GenericError", "", {}]))
            assert await charger.alive()
            assert not box.of(CommandConfirmed), "its command waits for its own answer"
            await charger.send(json.dumps([3, call[1], {"status": "Rejected"}]))
            assert (await asked).outcome == "failed"
            # a second answer to the same call comes too late to change anything
            await charger.send(json.dumps([3, call[1], {"status": "Accepted"}]))
            assert await charger.alive()
            assert [body.outcome for body in box.of(CommandSettled)][-1] == "failed"
            about = next(one for one in box.site.listener.describe() if one["charger"] == "CP1")
            assert about["unmatched_answers"] == 13


async def _configured(box: Any) -> Any:
    wanted = {"key": "HeartbeatInterval", "value": "77"}
    return await box.app.command(Name.CONFIGURE, Target(charger="CP1"), wanted).settled()


async def _call(charger: Charger, action: str) -> Any:
    """The box's next call of this action; its others are answered as unknown."""
    async with asyncio.timeout(30):
        while True:
            frame = json.loads(await charger.ws.recv())
            if frame[0] == 2 and frame[2] == action:
                return frame
            if frame[0] == 2:
                await charger.send(json.dumps([4, frame[1], "NotImplemented", "", {}]))


async def test_a34_one_id_for_several_calls_is_several_calls(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as charger:
            await booted(charger)
            first = await started(charger, "7")
            # the very same message again is the same start, another one under its id is another
            assert await started(charger, "7") == first
            second = await started(charger, "7", meterStart=4000, timestamp="2026-01-01T12:10:00Z")
            assert second != first
            answer: Any = await answered(charger, "7", "Heartbeat", {})
            assert "currentTime" in answer[2]
            await eventually(lambda: len(box.of(SessionStarted)) == 2, "two sessions")
            assert not box.of(OrphanRecorded)


async def test_a34_frames_that_are_none_end_no_connection(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as charger:
            for frame in (
                "",
                "null",
                "[]",
                "[2]",
                "[9,9,9]",
                '{"a":1}',
                "[" * 5000,
                '[2,"1",{},{}]',
                "\x00",
                "[3,null,1]",
            ):
                await charger.send(frame)
            async with asyncio.timeout(30):
                while "currentTime" not in str(frame := await charger.call("Heartbeat", {}, "alive")):
                    assert frame is not None
