"""The TLS port speaks TLS 1.2 and 1.3, by each of the four suites, with a P-256 and an RSA certificate.

source: https://github.com/SAP/e-mobility-charging-stations-simulator/blob/ee7899b867e9018de992d0266657eac2b7e6915b/docs/ocpp16/OCPP%201.6%20security%20whitepaper%20edition%203.md
trace: built from the report
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

from tests.chargers.secured import SecureBox, secure_box

#: A00.FR.317, by OpenSSL's names, and the key that each wants of the server.
SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "ec",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "ec",
    "AES128-GCM-SHA256": "rsa",
    "AES256-GCM-SHA384": "rsa",
}


def show() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_show(Path(folder)))


async def _show(folder: Path) -> None:
    async with secure_box(folder) as box:
        password = await _adopted(box)
        for suite, kind in SUITES.items():
            # Firmware of the one kind trusts the one root alone.
            tls = box.trusting(roots=box.site._side._ca.root(kind), maximum_version=ssl.TLSVersion.TLSv1_2)  # type: ignore[union-attr]
            tls.set_ciphers(suite)
            async with box.dial("CP1", password, tls=tls) as charger:
                used = charger.ws.transport.get_extra_info("cipher")
                assert used[:2] == (suite, "TLSv1.2"), used
                assert await charger.alive()
        async with box.dial("CP1", password, tls=box.trusting()) as charger:
            assert charger.ws.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        await _nothing_older(box, password)


async def _adopted(box: SecureBox) -> str:
    await box.adopt("CP1", profile=2)
    return await box.password("CP1")


async def _nothing_older(box: SecureBox, password: str) -> None:
    old = box.trusting()
    old.set_ciphers("ALL:@SECLEVEL=0")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        await box.status("CP1", password, tls=old)
    except (ssl.SSLError, ConnectionError):
        return
    raise AssertionError("TLS 1.1 was spoken")
