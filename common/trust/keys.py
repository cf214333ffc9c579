"""Keys: what an identity or an issuer is on the wire, how it signs, and how that is checked.

Two kinds, and they never mix. *Identity* keys (phone, box, cloud) are P-256, the one curve that WebCrypto,
Secure Enclave, StrongBox and TPM2 share; a signature is the raw 64 bytes r‖s that WebCrypto gives. *Issuer*
keys (cloud root, online keys, a box's own issuer) are Ed25519. Every signature covers a purpose before its
message, so that one made for one place is worthless in another.

Public keys and signatures travel as base64url without padding, and only in that one spelling. Pure: making
keys needs chance and lives in `common.keystore`.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from common.errors import Code, LocalFault, Refused, RemoteFault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: An uncompressed P-256 point: 0x04, X, Y (SEC 1 §2.3.3).
POINT_BYTES = 65
SIGNATURE_BYTES = 64
#: Characters of a fingerprint: 160 bits of SHA-256, beyond any second preimage, and short enough to print.
FINGERPRINT_CHARS = 32


class Purpose(StrEnum):
    """What a signature is for. It stands before the message, with a bar between."""

    COMMAND = "plugside-command-v1"
    CLIENT_AUTH = "plugside-client-auth-v1"
    CLIENT_REDEEM = "plugside-client-redeem-v1"
    SERVER_PROOF = "plugside-server-proof-v1"
    ENROL = "plugside-enrol-v1"
    TUNNEL = "plugside-tunnel-v1"
    ISSUER = "plugside-issuer-v1"
    KEY_SET = "plugside-key-set-v1"
    REVOCATIONS = "plugside-revocations-v1"
    BUNDLE = "plugside-bundle-v1"
    HEAD = "plugside-head-v1"
    RECEIPT = "plugside-receipt-v1"
    SUCCESSION = "plugside-succession-v1"
    ROTATION = "plugside-rotation-v1"
    TOKEN = "plugside-token-v1"  # noqa: S105 - a purpose, not a secret


def b64(data: bytes) -> str:
    """base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Read `b64`'s spelling and no other: no padding, no foreign character, no stray bits. ValueError if not.

    One spelling only, so that a flipped character is never the same value in other clothes.
    """
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as wrong:
        raise ValueError(f"not base64url: {wrong}") from None
    if b64(data) != text:
        raise ValueError("not base64url in its one spelling")
    return data


def fingerprint(public: str) -> str:
    """A key's name: box id, cloud id, issuer key id. Lower-case base32 of SHA-256 over the key's bytes.

    `public`: base64url. Raises ValueError when it is not.
    """
    digest = sha256(unb64(public)).digest()
    return base64.b32encode(digest).decode().lower()[:FINGERPRINT_CHARS]


def thumbprint(public: str) -> str:
    """The JWK thumbprint (RFC 7638) of a P-256 public key: what `cnf.jkt` of a grant names.

    Raises ValueError when `public` is not an uncompressed point.
    """
    point = unb64(public)
    if len(point) != POINT_BYTES or point[0] != 4:
        raise ValueError("not an uncompressed P-256 point")
    x, y = b64(point[1:33]), b64(point[33:])
    # RFC 7638 §3.2: the required members only, in this order, without white space.
    return b64(sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest())


def lines(*fields: str) -> bytes:
    """Fields as the message of a signature: one a line. Raises RemoteFault(protocol) on a field with one."""
    if any("\n" in field for field in fields):
        raise RemoteFault(Code.PROTOCOL, "a signed field holds a line break")
    return "\n".join(fields).encode(errors="surrogatepass")


def _covered(purpose: Purpose, message: bytes) -> bytes:
    return purpose.encode() + b"|" + message


class IdentityKey:
    """A P-256 private key: who a phone, a box or a cloud is."""

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        from cryptography.hazmat.primitives import serialization

        if private.curve.name != "secp256r1":
            raise LocalFault(Code.BAD_SETTINGS, f"an identity key is P-256, not {private.curve.name}")
        self._private = private
        point = private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.public = b64(point)
        self.fingerprint = fingerprint(self.public)
        self.thumbprint = thumbprint(self.public)

    def sign(self, purpose: Purpose, message: bytes) -> str:
        """The raw signature r‖s over purpose and message, base64url."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        signed = self._private.sign(_covered(purpose, message), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(signed)
        return b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def to_pem(self) -> bytes:
        """PKCS#8 PEM, not encrypted: the file's mode is its protection."""
        return _to_pem(self._private)

    @classmethod
    def from_pem(cls, pem: bytes) -> IdentityKey:
        """Read `to_pem`. Raises LocalFault(bad_settings) when it is not a P-256 private key."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

        private = _from_pem(pem)
        if not isinstance(private, EllipticCurvePrivateKey):
            raise LocalFault(Code.BAD_SETTINGS, "this file does not hold a P-256 private key")
        return cls(private)


class IssuerKey:
    """An Ed25519 private key that signs rights: cloud root, online key or a box's own issuer."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        self.public = b64(private.public_key().public_bytes_raw())
        self.kid = fingerprint(self.public)

    def sign(self, purpose: Purpose, message: bytes) -> str:
        """The signature over purpose and message, base64url."""
        return b64(self.private.sign(_covered(purpose, message)))

    def to_pem(self) -> bytes:
        """PKCS#8 PEM, not encrypted: the file's mode is its protection."""
        return _to_pem(self.private)

    @classmethod
    def from_pem(cls, pem: bytes) -> IssuerKey:
        """Read `to_pem`. Raises LocalFault(bad_settings) when it is not an Ed25519 private key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = _from_pem(pem)
        if not isinstance(private, Ed25519PrivateKey):
            raise LocalFault(Code.BAD_SETTINGS, "this file does not hold an Ed25519 private key")
        return cls(private)


def _to_pem(private: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _from_pem(pem: bytes) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as unreadable:
        raise LocalFault(Code.BAD_SETTINGS, f"this file does not hold a private key: {unreadable}") from None


# A phone's key comes with every command it sends; decoding a point costs as much as half a verification.
@lru_cache(maxsize=512)
def _p256(public: str) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    point = unb64(public)
    if len(point) != POINT_BYTES or point[0] != 4:
        raise ValueError("not an uncompressed P-256 point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


@lru_cache(maxsize=64)
def ed25519_public(public: str) -> Ed25519PublicKey:
    """The key object of an issuer's public key. Raises ValueError when it is not one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(unb64(public))


def is_issuer_key(public: str) -> bool:
    """Whether this is an Ed25519 public key."""
    try:
        ed25519_public(public)
    except ValueError:
        return False
    return True


def _halves(signature: str) -> tuple[int, int]:
    raw = unb64(signature)
    if len(raw) != SIGNATURE_BYTES:
        raise ValueError("a signature is 64 bytes")
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")


def verify_identity(public: str, signature: str, purpose: Purpose, message: bytes) -> None:
    """Check an identity's signature. Returns, or raises Refused(bad_signature), whatever was wrong.

    Both s and n−s verify: hardware does not normalise s, and nothing of ours takes a signature for an id.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    try:
        r, s = _halves(signature)
        der = utils.encode_dss_signature(r, s)
        _p256(public).verify(der, _covered(purpose, message), ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        raise Refused(Code.BAD_SIGNATURE) from None


def verify_issuer(public: str, signature: str, purpose: Purpose, message: bytes) -> None:
    """Check an issuer key's signature. Returns, or raises Refused(bad_signature), whatever was wrong."""
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519_public(public).verify(unb64(signature), _covered(purpose, message))
    except (ValueError, InvalidSignature):
        raise Refused(Code.BAD_SIGNATURE) from None
