"""Group 5: certificates that a page may not pin, each served by the box's own listener, in real browsers.

Wrong, expired, not valid yet, valid for too long, without extensions, RSA; and the sound one, which opens.
What is asked here of Chromium and Firefox is what the box's calendar rests on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from playwright.async_api import Page

from common.clock import SystemClock
from common.keystore import CERTIFICATE_LIFE_MS, WINDOW_MS, YEAR_AHEAD, Keystore
from common.link import Link
from edge.webtransport.door import listen_webtransport
from tests.applink.transports import threshold
from tests.attacks.stand import Stand
from tests.browsers.firefox import firefox
from tests.browsers.pages import APP, PageServer
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="session")

DIAL = """async ([url, pins]) => {
  try { const link = await dial(url, pins); link.transport.close(); return "open"; }
  catch (error) { return "refused"; }
}"""

Make = Callable[..., tuple[Path, str]]


def made(
    folder: Path,
    *,
    begins_days: float = -1,
    lives_days: float = 13,
    kind: str = "p256",
    extension: bool = True,
) -> tuple[Path, str]:
    """A self-signed certificate with its key, and its hash."""
    key: Any = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "p256"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box.local")])
    begins = datetime.fromtimestamp(SystemClock().now_ms() // 1000, UTC) + timedelta(days=begins_days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=lives_days))
    )
    if extension:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("box.local")]), critical=False
        )
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{certificate.serial_number}.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file, sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


CERTIFICATES: dict[str, tuple[dict[str, Any], str]] = {
    "sound": ({}, "open"),
    "as long as may be": ({"begins_days": -0.01, "lives_days": 13.5}, "open"),
    "expired": ({"begins_days": -13.5, "lives_days": 13}, "refused"),
    "not valid yet": ({"begins_days": 1}, "refused"),
    "of 15 days": ({"lives_days": 15}, "refused"),
    "without any extension": ({"extension": False}, "refused"),
    "RSA": ({"kind": "rsa"}, "refused"),
}


@asynccontextmanager
async def serving(pem: Path, certificate_hash: str) -> AsyncIterator[str]:
    """The box's listener for pages with this certificate; its URL."""

    async def hold(link: Link) -> None:
        while await link.receive() is not None:
            pass

    async with asyncio.TaskGroup() as tasks:
        listener = await listen_webtransport(
            "127.0.0.1",
            0,
            hold,
            pem=pem,
            certificate_hash=certificate_hash,
            allowed=APP.__eq__,
            spawn=lambda name, work: tasks.create_task(work, name=name),
            threshold=threshold(),
        )
        try:
            yield f"https://127.0.0.1:{listener.port}/v1/link"
        finally:
            await listener.close()


@needs("chromium")
@pytest.mark.parametrize("name", CERTIFICATES)
async def test_chromium(page: Page, tmp_path: Path, name: str) -> None:
    made_like, expected = CERTIFICATES[name]
    pem, pin = made(tmp_path, **made_like)
    async with serving(pem, pin) as url:
        assert await page.evaluate(DIAL, [url, [pin]]) == expected


@needs("chromium")
@pytest.mark.parametrize("pins", [[], ["00" * 32], ["11" * 32, "22" * 32]], ids=["none", "another", "others"])
async def test_a_pin_of_another_certificate_opens_nothing(
    page: Page, tmp_path: Path, pins: list[str]
) -> None:
    pem, pin = made(tmp_path)
    async with serving(pem, pin) as url:
        assert await page.evaluate(DIAL, [url, pins]) == "refused"
        assert await page.evaluate(DIAL, [url, [*pins, pin]]) == "open"


@needs("firefox-esr")
async def test_firefox(pages: PageServer, tmp_path: Path) -> None:
    async with firefox(pages, tmp_path) as page:
        await page.goto(APP)
        told = {}
        for name, (made_like, _) in CERTIFICATES.items():
            pem, pin = made(tmp_path, **made_like)
            async with serving(pem, pin) as url:
                told[name] = await page.evaluate(f"({DIAL})({json.dumps([url, [pin]])})")
        async with serving(*made(tmp_path)) as url:
            told["wrong"] = await page.evaluate(f"({DIAL})({json.dumps([url, ['00' * 32]])})")
    # Firefox does not ask for an extension; the box always has one, for Chromium's sake.
    told.pop("without any extension")
    expected = {name: result for name, (_, result) in CERTIFICATES.items() if name in told}
    assert told == {**expected, "wrong": "refused"}


@needs("chromium")
async def test_a_page_pins_a_year_of_certificates_and_the_box_stands_for_each(
    here: Stand, page: Page, tmp_path: Path
) -> None:
    store = Keystore(tmp_path / "keys")
    year = store.lan_certificates(SystemClock().now_ms(), "box.local", ahead=YEAR_AHEAD)
    async with serving(year.current.pem, year.current.hash) as url:
        assert await page.evaluate(DIAL, [url, list(reversed(year.hashes))]) == "open"
    authority = here.site.authority
    while len(authority.certificates) < 6:  # noqa: ASYNC110 - made beside the running box
        await asyncio.sleep(0.05)
    given = [here.link_url, list(reversed(authority.certificates)), authority.edge_id]
    prove = "async ([url, pins, box]) => (await prove(await dial(url, pins), box, pins)).proof.certificates"
    proved = await page.evaluate(prove, given)
    assert proved[: len(given[1])] == list(reversed(given[1]))


async def test_the_boxs_own_calendar_keeps_to_these_rules() -> None:
    assert timedelta(milliseconds=CERTIFICATE_LIFE_MS) < timedelta(days=14)
    assert 2 * WINDOW_MS < CERTIFICATE_LIFE_MS
