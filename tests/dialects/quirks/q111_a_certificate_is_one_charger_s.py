"""Profile 3: a certificate of this site, the charger's own, named as its id or as the serial it boots with.

source: https://github.com/SAP/e-mobility-charging-stations-simulator/blob/ee7899b867e9018de992d0266657eac2b7e6915b/docs/ocpp16/OCPP%201.6%20security%20whitepaper%20edition%203.md
trace: built from the report
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from common.facts import SecurityNoted
from tests.box.support import eventually
from tests.chargers.secured import SecureBox, key_pem, new_key, request, secure_box


def show() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_show(Path(folder)))


async def _show(folder: Path) -> None:
    async with secure_box(folder / "box") as box:
        for charger in ("CP1", "CP2"):
            await box.adopt(charger)
            async with box.dial(charger) as line:
                await line.call("BootNotification", _boot(f"SN-{charger}"))
            await box.secure(charger, 3, by_hand=True)
        own = dict[str, Path]()
        for name in ("CP1", "SN-CP1"):
            file = own[name] = await _certificate(box, folder, "CP1", name)
            async with box.dial("CP1", tls=box.trusting(file)) as line:
                answer = await line.call("BootNotification", _boot("SN-CP1"))
                assert answer[2]["status"] == "Accepted"
            assert await box.status("CP2", tls=box.trusting(file)) == 403, "another charger's"
        assert "wrong_certificate" in await box.why("CP2")
        assert await box.status("CP1", tls=box.trusting(own["CP1"])) == 403, "another one has replaced it"
        # Named by its serial, and booting with another one: it is not that charger, and is not let go on.
        async with box.dial("CP1", tls=box.trusting(own["SN-CP1"])) as line:
            await line.send('[2,"b","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]')
            assert (await line.closed())[0] == 1008
        await eventually(lambda: box.of(SecurityNoted)[-1].what == "wrong_serial", "the note")


async def _certificate(box: SecureBox, folder: Path, charger: str, name: str) -> Path:
    ca, key = box.site._side._ca, new_key()
    assert ca is not None
    file = folder / f"{name}.pem"
    file.write_text(key_pem(key) + (await ca.sign(charger, request(key, name))).chain)
    return file


def _boot(serial: str) -> dict[str, str]:
    return {"chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": serial}
