"""The site's own certificate authority, for its chargers alone: OCPP's security profiles 2 and 3.

    two roots (P-256, and an RSA-2048 twin for old firmware), path length 0, of 20 years
      ├─ the box's certificates, one of each kind, with every name and address that chargers may dial
      └─ a charger's certificate, for a request that is provably its own (quirks 110, 111)

Of a request nothing is taken over but its key and its common name: what a certificate may be used for, and
whose it is, is this site's to say. It carries the charger's identity as a URI, so that a charger that gives
itself another one's serial number has nothing from it.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import Code, LocalFault, Refused
from common.keystore import Keystore
from common.ports import Clock
from edge.chargers.ports import Issued
from edge.chargers.proving import Certificate, names

Kind = Literal["ec", "rsa"]
KINDS: Final[tuple[Kind, ...]] = ("ec", "rsa")
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_DAY_MS: Final = 24 * 3_600_000
#: A charger outlives its installer's visit by many years, and a root that ends locks all of them out.
ROOT_LIFE_MS: Final = 20 * 365 * _DAY_MS
#: Of the box's and of chargers' certificates; renewed 30 days before their end.
LIFE_MS: Final = 365 * _DAY_MS
RENEW_BEFORE_MS: Final = 30 * _DAY_MS
#: Chargers' clocks are behind at times.
BEFORE_MS: Final = _DAY_MS
RSA_BITS: Final = 2048

#: OCPP 1.6 security, A00.FR.317 (quirk 108), and in front of the two without forward secrecy their twins with
#: it. Python's own choice lacks the last two, with which old firmware comes.
CIPHERS: Final = ":".join(
    (
        *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        *("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"),
        *("AES128-GCM-SHA256", "AES256-GCM-SHA384"),
    )
)


def charger_uri(site: str, charger: str) -> str:
    """Return the name by which a certificate says whose it is."""
    return f"urn:plugside:{quote(site, safe='')}:charger:{quote(charger, safe='')}"


class SiteCa:
    """`ports.CertificateAuthority`, and the TLS context of the port that chargers dial.

    site: its id; serial: a charger's serial number, as it told it, "" if it has not.
    """

    ready = True

    def __init__(
        self,
        store: Keystore,
        site: Callable[[], str],
        serial: Callable[[str], str],
        clock: Clock,
        issued: Callable[[str, str], None] = lambda _charger, _serial: None,
    ) -> None:
        """issued: told of each charger's certificate, by the serial number that `ssl` shows."""
        self._store, self._site, self._serial, self._clock = store, site, serial, clock
        self._issued = issued
        self._roots = {kind: self._root(kind) for kind in KINDS}
        self._served: tuple[tuple[str, ...], int] = ((), 0)

    # --- roots ---------------------------------------------------------------------------------------------

    def root(self, kind: str) -> str:
        """The root's certificate, as PEM."""
        return _pem(self._roots["rsa" if kind == "rsa" else "ec"][1])

    def _root(self, kind: Kind) -> tuple[_Key, x509.Certificate]:
        return _read(self._store.kept(_root_file(kind), lambda: self._new_root(kind)))

    def _new_root(self, kind: Kind) -> bytes:
        key = _new_key(kind)
        name = _name(self._site(), f"Plugside chargers {self._site()} {kind}")
        usage = _usage(key_cert_sign=True, crl_sign=True)
        extensions = [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]
        certificate = self._certificate(name, key.public_key(), name, key, ROOT_LIFE_MS, extensions)
        return _private_pem(key) + _pem(certificate).encode()

    # --- the box's own -------------------------------------------------------------------------------------

    def context(self, names: Iterable[str]) -> ssl.SSLContext:
        """The TLS context of the chargers' port, for a box that is dialled by these names and addresses.

        A charger's certificate is asked for, and must be this site's if it shows one; whether it has to is
        for its profile to say (`proving`).
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
        context.verify_mode = ssl.CERT_OPTIONAL
        self.prepare(names)
        self.load(context)
        return context

    def prepare(self, names: Iterable[str]) -> bool:
        """Make certificates for these names, where there are none that fit and last a while yet.

        Takes a small box a second, so it may be called from a thread. Returns whether `load` has something
        new to load.
        """
        wanted = tuple(dict.fromkeys(names))
        now_ms, renew_ms = self._clock.now_ms(), 2**62
        if self._served[0] == wanted and now_ms < self._served[1]:
            return False
        for kind in KINDS:
            file = _server_file(kind)
            known = self._store.kept(file, partial(self._server, kind, wanted))
            if not self._fits(known, kind, wanted):
                known = self._server(kind, wanted)
                self._store.put(file, known)
            renew_ms = min(renew_ms, _until_ms(_read(known)[1]) - RENEW_BEFORE_MS)
        self._served = (wanted, renew_ms)
        return True

    def load(self, context: ssl.SSLContext) -> None:
        """Put what `prepare` has made into a context. Connections that stand keep what they have."""
        context.load_verify_locations(cadata="".join(map(self.root, KINDS)))
        for kind in KINDS:
            context.load_cert_chain(self._store.folder / _server_file(kind))

    def _fits(self, pem: bytes, kind: Kind, names: tuple[str, ...]) -> bool:
        """Whether a certificate on disk is of our root, for these names, and lasts a while yet."""
        _, certificate = _read(pem)
        try:
            certificate.verify_directly_issued_by(self._roots[kind][1])
        except (ValueError, TypeError, InvalidSignature):
            return False
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        lasts = self._clock.now_ms() < _until_ms(certificate) - RENEW_BEFORE_MS
        return lasts and list(found) == [_alternative(name) for name in names]

    def _server(self, kind: Kind, names: tuple[str, ...]) -> bytes:
        key = _new_key(kind)
        root_key, root = self._roots[kind]
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True, key_encipherment=kind == "rsa"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (alternatives, False),
        ]
        subject = _name(self._site(), names[0][:64] if names else "plugside")
        certificate = self._certificate(
            subject, key.public_key(), root.subject, root_key, LIFE_MS, extensions
        )
        return _private_pem(key) + _pem(certificate).encode()

    # --- chargers' -----------------------------------------------------------------------------------------

    async def sign(self, charger: str, csr: str) -> Issued:
        """See `ports.CertificateAuthority`. Raises Refused with what is wrong with the request."""
        request = _request(csr)
        key = request.public_key()
        if not request.is_signature_valid:
            raise Refused(Code.BAD_SIGNATURE, "the request is not signed by its own key")
        if isinstance(key, rsa.RSAPublicKey):
            if key.key_size < RSA_BITS:
                raise Refused(Code.BAD_REQUEST, f"an RSA key of {key.key_size} bits is too short")
        elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
            raise Refused(Code.BAD_REQUEST, "the key is neither P-256 or better, nor RSA")
        common = _common_name(request.subject)
        if not self._may_be_called(charger, common):
            raise Refused(
                Code.BAD_REQUEST, f"it calls itself {common[:64]!r}, which is neither its id nor serial"
            )
        kind: Kind = "rsa" if isinstance(key, rsa.RSAPublicKey) else "ec"
        root_key, root = self._roots[kind]
        whose = x509.UniformResourceIdentifier(charger_uri(self._site(), charger))
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True, key_encipherment=kind == "rsa"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.SubjectAlternativeName([whose]), False),
        ]
        subject = _name(self._site(), common)
        signed = self._certificate(subject, key, root.subject, root_key, LIFE_MS, extensions)
        self._issued(charger, f"{signed.serial_number:X}")
        return Issued(_pem(signed), self._clock.now_ms() + LIFE_MS)

    def _may_be_called(self, charger: str, common: str) -> bool:
        return bool(common) and (common.casefold() == charger.casefold() or common == self._serial(charger))

    def owns(self, charger: str, certificate: Certificate) -> bool:
        """Whether a certificate, which one of the roots has signed, is this charger's."""
        organisation, common, uri = names(certificate)
        ours = organisation == _organisation(self._site()) and uri == charger_uri(self._site(), charger)
        return ours and self._may_be_called(charger, common)

    # --- for the box after this one ------------------------------------------------------------------------

    def keys(self) -> dict[str, str]:
        """The roots with their keys, to be sealed (`edge.recovery`)."""
        return {
            kind: (_private_pem(key) + _pem(root).encode()).decode()
            for kind, (key, root) in self._roots.items()
        }

    def take(self, found: Mapping[str, str]) -> None:
        """Go on with the roots of the box before: its chargers trust them. Raises ValueError."""
        read = {kind: _read(found[kind].encode()) for kind in KINDS if kind in found}
        for kind, root in read.items():
            self._store.put(_root_file(kind), found[kind].encode())
            self._roots[kind] = root
        self._served = ((), 0)

    # --- certificates --------------------------------------------------------------------------------------

    def _certificate(
        self,
        subject: x509.Name,
        key: Any,
        issuer: x509.Name,
        issuer_key: _Key,
        life_ms: int,
        extensions: Iterable[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        now_ms = self._clock.now_ms()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp((now_ms - BEFORE_MS) // 1000, UTC))
            .not_valid_after(datetime.fromtimestamp((now_ms + life_ms) // 1000, UTC))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())


def _root_file(kind: Kind) -> str:
    return f"charger-root-{kind}.pem"


def _server_file(kind: Kind) -> str:
    return f"charger-server-{kind}.pem"


def _organisation(site: str) -> str:
    return f"Plugside {site}"[:64]


def _name(site: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _organisation(site)),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _common_name(subject: x509.Name) -> str:
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(**used: bool) -> x509.KeyUsage:
    parts = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{part: used.get(part, False) for part in parts})


def _request(csr: str) -> x509.CertificateSigningRequest:
    """Read a request: PEM, or by an older whitepaper its DER in hex (quirk 110)."""
    text = csr.strip()
    try:
        if text.startswith("-----"):
            return x509.load_pem_x509_csr(text.encode())
        return x509.load_der_x509_csr(bytes.fromhex(text))
    except ValueError:
        raise Refused(Code.BAD_REQUEST, "the request is no PKCS#10, in PEM or hex") from None


def _new_key(kind: Kind) -> _Key:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def _private_pem(key: _Key) -> bytes:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none)


def _until_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _read(pem: bytes) -> tuple[_Key, x509.Certificate]:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as damaged:
        raise LocalFault(Code.FOLDER_UNUSABLE, f"a root of the chargers' authority: {damaged}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise LocalFault(Code.FOLDER_UNUSABLE, "a root of the chargers' authority has a foreign key")
    return key, certificate
