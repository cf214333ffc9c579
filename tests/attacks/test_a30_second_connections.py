"""Group 30: a second connection of an identity, without and with its proof, while a transaction runs. Without
it the real charger stays; with it the newest is the charger, and the session is neither lost nor doubled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.facts import SessionEnded, SessionStarted
from tests.box.support import eventually
from tests.chargers.secured import SecureBox, secure_box
from tests.chargers.site import Charger

START = {"connectorId": 1, "idTag": "CARD1", "meterStart": 1000, "timestamp": "2025-06-15T12:00:00Z"}


async def begun(charger: Charger) -> int:
    await charger.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    await charger.call(
        "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
    )
    await charger.send(_call("s1", "StartTransaction", START))
    frame = await charger.recv()
    while frame[0] != 3 or frame[1] != "s1":  # the box's own calls come between
        frame = await charger.recv()
    return int(frame[2]["transactionId"])


def _call(message: str, action: str, payload: object) -> str:
    import json

    return json.dumps([2, message, action, payload])


async def answered(charger: Charger, message: str, action: str, payload: object) -> object:
    await charger.send(_call(message, action, payload))
    while (frame := await charger.recv())[1] != message:
        pass
    return frame


async def ends_once(box: SecureBox, charger: Charger, transaction: int) -> None:
    stop = {"transactionId": transaction, "meterStop": 3000, "timestamp": "2025-06-15T13:00:00Z"}
    assert (await answered(charger, "end", "StopTransaction", stop))[0] == 3  # type: ignore[index]
    await eventually(lambda: len(box.of(SessionEnded)) == 1, "the end")
    assert len(box.of(SessionStarted)) == 1
    assert box.of(SessionEnded)[0].energy_wh == 2000


async def test_a30_an_impostor_without_the_password_does_not_disturb_a_session(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1", profile=1)
        password = await box.password("CP1")
        async with box.dial("CP1", password) as charger:
            transaction = await begun(charger)
            for wrong in (None, "wrong", ""):
                for address in ("127.0.0.1", "127.0.0.9"):
                    assert await box.status("CP1", wrong, local_addr=(address, 0)) == 401
            await ends_once(box, charger, transaction)


async def test_a30_at_profile_0_whoever_comes_from_elsewhere_is_refused_while_the_charger_lives(
    tmp_path: Path,
) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial() as charger:
            transaction = await begun(charger)
            listening = asyncio.get_running_loop().create_task(charger.ws.wait_closed())
            assert await box.status("CP1", local_addr=("127.0.0.9", 0)) == 409
            assert not listening.done()
            listening.cancel()
            await ends_once(box, charger, transaction)
        assert "clone" in await box.why("CP1")


@pytest.mark.parametrize("profile", [0, 1])
async def test_a30_the_charger_itself_comes_again_and_its_session_goes_on(
    tmp_path: Path, profile: int
) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1", profile=profile)
        password = await box.password("CP1") if profile else None
        async with box.dial("CP1", password) as old:
            transaction = await begun(old)
            async with box.dial("CP1", password) as new:
                assert (await old.closed())[0] == 1008
                # A start that is told again, on the new line, is the same session.
                again = await answered(new, "s9", "StartTransaction", START)
                assert again[2]["transactionId"] == transaction  # type: ignore[index]
                await ends_once(box, new, transaction)
