"""The keystore: private keys, certificates and small documents in a folder of this user alone.

Every file is 0600 in a 0700 folder, written whole or not at all, and refused when others could read it: a key
that others may have read is not a key. Keys are made here, where chance is; what they are for is in
`common.trust`. Box, cloud and client each have one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.errors import Code, LocalFault
from common.trust import IdentityKey, IssuerKey

T = TypeVar("T")

FOLDER_MODE = 0o700
FILE_MODE = 0o600
#: The largest file that is read: a site's lists of withdrawn rights, 100,000 entries each, come to that.
FILE_BYTES_MAX = 8 * 1024 * 1024

_DAY_MS = 24 * 3_600_000
#: A certificate for browsers that pin its hash may be valid for at most 14 days (WebTransport, "custom
#: certificate requirements"); half a day is left for clocks.
CERTIFICATE_LIFE_MS = 27 * _DAY_MS // 2
#: A new one begins every so often, on a calendar that needs no memory: any box computes the same windows.
WINDOW_MS = 6 * _DAY_MS
#: Served only from a day after its begin, for phones whose clock is behind.
SETTLE_MS = _DAY_MS
#: Windows whose certificates are made before their turn: a year, so that a phone that was here once finds the
#: box a year later without having heard of it in between.
YEAR_AHEAD = 60
#: Files of certificates that are kept, those that have run out included: a clock that was wrong for an hour
#: must not cost what phones have pinned. A year ahead of one time, a year ahead of another, and some.
_CERTIFICATES_KEPT = 3 * YEAR_AHEAD


def generate_identity() -> IdentityKey:
    """A new P-256 identity."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return IdentityKey(ec.generate_private_key(ec.SECP256R1()))


def generate_issuer() -> IssuerKey:
    """A new Ed25519 issuer (or cloud root)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return IssuerKey(Ed25519PrivateKey.generate())


class LanCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """One self-signed certificate. `pem` holds its private key too."""

    pem: Path
    hash: str  #: SHA-256 of the DER, hex
    not_before_ms: int
    not_after_ms: int


class LanCertificates(msgspec.Struct, frozen=True, kw_only=True):
    """What a LAN listener serves now, and what it will."""

    current: LanCertificate
    hashes: tuple[str, ...]  #: of the current one and those to come, for a proof's certificate list
    renew_at_ms: int  #: ask again then

    def serves(self, now_ms: int) -> bool:
        """Whether this is still the one to serve, the clock having gone on or having been set."""
        return self.renew_at_ms - WINDOW_MS <= now_ms < self.renew_at_ms


class Keystore:
    """A folder of secrets. Opening it checks the folder; each file is checked when it is read."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder if there is none. Raises LocalFault(folder_unusable) when others can look in."""
        self.folder = folder
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            found = folder.stat()
        except OSError as unusable:
            raise _unusable(folder, unusable) from None
        _private(folder, found, "700")

    # --- keys ----------------------------------------------------------------------------------------------

    def identity(self, name: str = "identity") -> IdentityKey:
        """The P-256 identity of this installation, made at the first call."""
        return IdentityKey.from_pem(self._kept(f"{name}.pem", lambda: generate_identity().to_pem()))

    def issuer(self, name: str = "issuer") -> IssuerKey:
        """An Ed25519 issuer key, made at the first call."""
        return IssuerKey.from_pem(self._kept(f"{name}.pem", lambda: generate_issuer().to_pem()))

    def has_key(self, name: str) -> bool:
        """Whether a key of this name has been made and is still here."""
        return (self.folder / f"{name}.pem").exists()

    def remove_key(self, name: str) -> None:
        """Forget a key, if there is one of this name; gone from the folder when this returns."""
        path = self.folder / f"{name}.pem"
        try:
            path.unlink(missing_ok=True)
            self._sync_folder()
        except OSError as unusable:
            raise _unusable(path, unusable) from None

    def kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The file `name`, made at the first call; several calls at once get the same."""
        return self._kept(name, make)

    def put(self, name: str, content: bytes) -> None:
        """Write the file `name`, in the place of what was there; on disk, whole, when this returns."""
        self._write(name, content)

    def _kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        known = self._read(name)
        if known is None:
            # Two processes may come here at once; the one whose file is there first has made the key.
            self._write(name, make(), replace=False)
            known = self._read(name)
            assert known is not None, "it has just been written"
        return known

    # --- documents -----------------------------------------------------------------------------------------

    def load(self, name: str, shape: type[T]) -> T | None:
        """The JSON document `name`, or None when there is none. Raises LocalFault when it is damaged."""
        text = self._read(f"{name}.json")
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=shape)
        except (ValueError, RecursionError) as damaged:
            path = self.folder / f"{name}.json"
            raise LocalFault(Code.FOLDER_UNUSABLE, f"{path} cannot be read: {damaged}") from None

    def save(self, name: str, document: Any) -> None:
        """Write the JSON document `name`; on disk, whole, when this returns."""
        self._write(f"{name}.json", msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")

    def remove(self, name: str) -> None:
        """Remove the JSON document `name`, if there is one."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    # --- certificates --------------------------------------------------------------------------------------

    def lan_certificates(
        self,
        now_ms: int,
        dns_name: str,
        addresses: Iterable[str] = (),
        *,
        ahead: int = 1,
        at_once: int | None = None,
    ) -> LanCertificates:
        """The listener's certificates for this time: the one to serve, and `ahead` more, made beforehand.

        dns_name, addresses: for the SAN of those that are made now; one that is there is kept as it is,
        because phones have its hash. at_once: so many are made if they are not there (else all); of those
        behind them only what is there is named. Of those that have run out the oldest are removed, once
        there are many.
        """
        window = (now_ms - SETTLE_MS) // WINDOW_MS
        subject_alternatives = tuple(addresses)
        certificates: list[LanCertificate] = []
        for number in range(window, window + ahead + 1):
            missing = not (self.folder / _certificate_file(number)).exists()
            if at_once is not None and len(certificates) >= at_once and missing:
                break  # phones are told an unbroken row
            certificates.append(self._certificate(number, dns_name, subject_alternatives))
        self._remove_old_certificates(now_ms)
        return LanCertificates(
            current=certificates[0],
            hashes=tuple(certificate.hash for certificate in certificates),
            renew_at_ms=(window + 1) * WINDOW_MS + SETTLE_MS,
        )

    def _remove_old_certificates(self, now_ms: int) -> None:
        numbers = [file.stem.removeprefix("lan-") for file in self.folder.glob("lan-*.pem")]
        windows = sorted(int(number) for number in numbers if number.isdigit())
        for window in windows[:-_CERTIFICATES_KEPT]:
            if window * WINDOW_MS + CERTIFICATE_LIFE_MS < now_ms:
                (self.folder / _certificate_file(window)).unlink(missing_ok=True)

    def _certificate(self, window: int, dns_name: str, addresses: tuple[str, ...]) -> LanCertificate:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        not_before_ms = window * WINDOW_MS
        not_after_ms = not_before_ms + CERTIFICATE_LIFE_MS
        name = _certificate_file(window)
        pem = self._kept(name, lambda: _self_signed(dns_name, addresses, not_before_ms, not_after_ms))
        try:
            der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        except ValueError as damaged:
            detail = f"{self.folder / name} cannot be read: {damaged}"
            raise LocalFault(Code.FOLDER_UNUSABLE, detail) from None
        return LanCertificate(
            pem=self.folder / name,
            hash=sha256(der).hexdigest(),
            not_before_ms=not_before_ms,
            not_after_ms=not_after_ms,
        )

    # --- files ---------------------------------------------------------------------------------------------

    def _read(self, name: str) -> bytes | None:
        path = self.folder / name
        try:
            # A link could lead to a file that others control.
            opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as unusable:
            raise _unusable(path, unusable) from None
        with os.fdopen(opened, "rb") as file:
            found = os.fstat(opened)
            _private(path, found, "600")
            content = file.read(FILE_BYTES_MAX + 1)
        if not stat.S_ISREG(found.st_mode) or len(content) > FILE_BYTES_MAX:
            raise LocalFault(Code.FOLDER_UNUSABLE, f"{path} is not a file of ours")
        return content

    def _write(self, name: str, content: bytes, *, replace: bool = True) -> None:
        """Write a whole file: beside its place, synced, then moved there, then the folder synced."""
        path = self.folder / name
        beside = self.folder / f".{name}.{os.getpid()}.tmp"
        try:
            beside.unlink(missing_ok=True)
            opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(opened, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(opened)
            if replace:
                beside.replace(path)
            else:
                with suppress(FileExistsError):
                    path.hardlink_to(beside)
                beside.unlink()
            self._sync_folder()
        except OSError as unusable:
            beside.unlink(missing_ok=True)
            raise _unusable(path, unusable) from None

    def _sync_folder(self) -> None:
        opened = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _certificate_file(window: int) -> str:
    return f"lan-{window}.pem"


def _unusable(path: Path, reason: OSError) -> LocalFault:
    return LocalFault(Code.FOLDER_UNUSABLE, f"{path}: {reason.strerror or reason}")


def _private(path: Path, found: os.stat_result, mode: str) -> None:
    """Raises LocalFault unless the file or folder is this user's (or root's) and closed to all others."""
    if found.st_uid not in {os.geteuid(), 0}:
        raise LocalFault(Code.FOLDER_UNUSABLE, f"{path} belongs to another user")
    if found.st_mode & 0o077:
        raise LocalFault(
            Code.FOLDER_UNUSABLE,
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"Find out who may have read it, then run `chmod {mode} {path}`, or make new keys.",
        )


def _self_signed(dns_name: str, addresses: tuple[str, ...], not_before_ms: int, not_after_ms: int) -> bytes:
    """Private key and certificate in one PEM. P-256, and always with a SAN: without any extension Chromium
    refuses a certificate that is pinned by hash."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_name)])
    alternatives: list[x509.GeneralName] = [x509.DNSName(dns_name)]
    alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(not_before_ms // 1000, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after_ms // 1000, UTC))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
