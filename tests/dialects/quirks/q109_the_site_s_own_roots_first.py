"""A charger is given the site's roots before it dials with TLS, and finds there the name that it dialled.

source: https://github.com/lbbrhzn/ocpp/blob/a37fed39d852d393312d107cf915fea546df5088/docs/supported-devices.md
trace: built from the report
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

from tests.box.support import eventually
from tests.chargers.secured import Wallbox, secure_box


def show() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_show(Path(folder)))


async def _show(folder: Path) -> None:
    async with secure_box(folder / "box", ocpps_names="chargers.example") as box:
        await box.adopt("CP1")
        async with Wallbox(box, folder, refuses={"SecurityProfile"}) as charger:
            await eventually(lambda: box.site.gateway.state.boots("CP1") > 0, "its boot")
            await box.secure("CP1", 1, by_hand=True)
            charger.password, charger.profile = await box.password("CP1"), 1
            await charger._ws.close()  # type: ignore[union-attr]
            await charger.until(lambda: charger.dials == [0, 1])
            await eventually(lambda: box.site.gateway.state.look("CP1").security.profile == 1, "it came in")
            end = await box.secure("CP1", 2)
            assert end.outcome == "failed", "it says no to its profile, after it took the roots"
            calls = [action for action, _ in charger.told][-3:]
            assert calls == ["InstallCertificate", "InstallCertificate", "ChangeConfiguration"]
        # By its address or by a name of the installer's: both are in the certificate. By another: never.
        await box.secure("CP1", 2, by_hand=True)
        roots = "".join(charger.roots)
        for name in ("127.0.0.1", "chargers.example"):
            tls = box.trusting(roots=roots)
            assert await box.status("CP1", charger.password, tls=tls, server_hostname=name) == 101
        for wrong in ({"server_hostname": "elsewhere.example"}, {"tls": ssl.create_default_context()}):
            try:
                await box.status("CP1", charger.password, **{"tls": box.trusting(roots=roots), **wrong})
            except ssl.SSLCertVerificationError:
                continue
            raise AssertionError(wrong)
        # Whoever drops the line without a word is told apart, with what to do.
        await eventually(lambda: "tls_failed" in box.site.listener.refusals, "a handshake that failed")
