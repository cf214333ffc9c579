"""Group 32: a request with a foreign name, asking to be an authority, with RSA-1024, not signed by its key; a
client certificate that has run out, is of another authority, or is none for clients."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from websockets.exceptions import InvalidMessage

from common.clock import SystemClock
from common.facts import CertificateChanged
from edge.chargers.siteca import SiteCa
from tests.box.support import FakeClock, eventually
from tests.chargers.secured import Key, SecureBox, key_pem, new_key, request, secure_box

CA = x509.BasicConstraints(ca=True, path_length=3)


def tampered(csr: str) -> str:
    """The same request with one byte of its signature changed."""
    lines = csr.strip().splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    return "\n".join([lines[0], base64.encodebytes(bytes(der)).decode().strip(), lines[-1]])


REQUESTS = {
    "a foreign name": (lambda: request(new_key(), "CP2"), "neither its id nor serial"),
    "no name": (lambda: request(new_key(), " "), "neither its id nor serial"),
    "the box's own name": (lambda: request(new_key(), "127.0.0.1"), "neither its id nor serial"),
    "RSA-1024": (lambda: request(new_key("rsa", 1024), "CP1"), "too short"),
    "a signature of nobody": (lambda: tampered(request(new_key(), "CP1")), ""),
    "no request": (
        lambda: "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----",
        "PKCS#10",
    ),
    "hex of nothing": (lambda: "00" * 40, "PKCS#10"),
}


async def test_a32_what_is_wrong_with_a_request_gets_no_certificate(tmp_path: Path) -> None:
    async with secure_box(tmp_path) as box:
        await box.adopt("CP1", profile=2)
        await box.adopt("CP2")
        async with box.dial("CP1", await box.password("CP1"), tls=box.trusting()) as charger:
            await charger.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
            for name, (make, why) in REQUESTS.items():
                answer = await charger.call("SignCertificate", {"csr": make()})
                assert answer[0] == 3, name
                await eventually(lambda: box.of(CertificateChanged)[-1].change != "asked", name)
                last = box.of(CertificateChanged)[-1]
                assert last.change == "failed", name
                assert why in last.detail, (name, last.detail)
            assert await charger.alive()
        assert {body.change for body in box.of(CertificateChanged)} == {"asked", "failed"}


@pytest.mark.parametrize("profile", [0, 1])
async def test_a32_whoever_could_be_it_without_tls_leaves_with_no_certificate_of_it(
    tmp_path: Path, profile: int
) -> None:
    async with secure_box(tmp_path) as box:
        await box.adopt("CP1", profile=profile)
        async with box.dial("CP1", await box.password("CP1")) as rogue:
            await rogue.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
            answer = await rogue.call("SignCertificate", {"csr": request(new_key(), "CP1")})
            assert answer[2] == {"status": "Rejected"}
            await eventually(lambda: bool(box.of(CertificateChanged)), "the refusal")
            assert {body.change for body in box.of(CertificateChanged)} == {"refused"}


async def test_a32_a_certificate_that_another_has_replaced_opens_nothing(tmp_path: Path) -> None:
    async with secure_box(tmp_path / "box") as box:
        await box.adopt("CP1", profile=3)
        ca = box.site._side._ca
        assert ca is not None
        files = []
        for number in range(2):
            key, file = new_key(), tmp_path / f"{number}.pem"
            file.write_text(key_pem(key) + (await ca.sign("CP1", request(key, "CP1"))).chain)
            files.append(file)
            if number == 0:
                assert await box.status("CP1", tls=box.trusting(file)) == 101
        # Until the charger has come in with the new one it may use the old one.
        old, new = files
        assert await box.status("CP1", tls=box.trusting(old)) == 101
        assert await box.status("CP1", tls=box.trusting(new)) == 101
        assert await box.status("CP1", tls=box.trusting(old)) == 403


async def test_a32_of_a_request_nothing_is_taken_over_but_key_and_name(tmp_path: Path) -> None:
    async with secure_box(tmp_path) as box:
        await box.adopt("CP1")
        ca = box.site._side._ca
        assert ca is not None
        wishes = (
            CA,
            x509.SubjectAlternativeName(
                [x509.DNSName("plugside.local"), x509.UniformResourceIdentifier("urn:x")]
            ),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
        )
        issued = await ca.sign("CP1", request(new_key(), "CP1", *wishes))
        made = x509.load_pem_x509_certificate(issued.chain.encode())
        told = made.extensions
        assert told.get_extension_for_class(x509.BasicConstraints).value.ca is False
        assert list(told.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
            ExtendedKeyUsageOID.CLIENT_AUTH
        ]
        uris = told.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [uri.value for uri in uris] == [f"urn:plugside:{box.site.authority.site}:charger:CP1"]
        assert told.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is False
        organisation = made.subject.rfc4514_string()
        assert "Maker" not in organisation
        root = x509.load_pem_x509_certificate(ca.root("ec").encode())
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
        assert made.not_valid_after_utc < datetime.now(UTC) + timedelta(days=366)  # noqa: TID251


def signed_by(issuer: str, key: Key, pem: str, subject_key: Key) -> str:
    """A certificate like `pem`, for another key, signed by this key: what a thief would make."""
    like = x509.load_pem_x509_certificate(pem.encode())
    builder = (
        x509.CertificateBuilder()
        .subject_name(like.subject)
        .issuer_name(x509.load_pem_x509_certificate(issuer.encode()).subject)
        .public_key(subject_key.public_key())
        .serial_number(7)
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
    )
    for extension in like.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def certificates(box: SecureBox, folder: Path) -> dict[str, Path]:
    """Certificates that must not open the door of CP1."""
    ca = box.site._side._ca
    assert ca is not None
    own = new_key()
    good = (await ca.sign("CP1", request(own, "CP1"))).chain
    later = SystemClock().now_ms() - 2 * 365 * 24 * 3_600_000
    past = SiteCa(box.site._store, lambda: box.site.authority.site, lambda _: "", FakeClock(later))
    old_key, thief = new_key(), new_key()
    server = (box.site._store.folder / "charger-server-ec.pem").read_text()
    made = {
        "expired": key_pem(old_key) + (await past.sign("CP1", request(old_key, "CP1"))).chain,
        "of another authority": key_pem(thief) + signed_by(ca.root("ec"), new_key(), good, thief),
        "signed by a charger's key": key_pem(thief) + signed_by(good, own, good, thief) + good,
        "signed by itself": key_pem(thief) + signed_by(good, thief, good, thief),
        "the box's own": server,
    }
    files = {}
    for name, pem in made.items():
        files[name] = folder / f"{name.replace(' ', '_')}.pem"
        files[name].write_text(pem)
    files["good"] = folder / "good.pem"
    files["good"].write_text(key_pem(own) + good)
    return files


def told(box: SecureBox) -> set[str]:
    return {str(dial.get("detail", "")) for dial in box.site.dials()}


async def opens(box: SecureBox, tls: ssl.SSLContext) -> bool:
    try:
        return await box.status("CP1", tls=tls) == 101
    except (ssl.SSLError, ConnectionError, InvalidMessage):  # broken off, at whichever flight
        return False


async def test_a32_no_other_certificate_opens_the_door(tmp_path: Path) -> None:
    async with secure_box(tmp_path / "box") as box:
        await box.adopt("CP1", profile=3)
        files = await certificates(box, tmp_path)
        good = files.pop("good")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name, file in files.items():
                assert not await opens(box, box.trusting(file, maximum_version=version)), name
                if name == "expired":  # the installer is told what is wrong
                    await eventually(lambda: "certificate has expired" in told(box), "the reason")
            assert await box.status("CP1", tls=box.trusting(maximum_version=version)) == 403, "none at all"
            assert await box.status("CP1", tls=box.trusting(good, maximum_version=version)) == 101
