"""The recovery key: what a site's secrets are sealed to, so that a new box can have them and a cloud cannot.

    setup      the box shows a recovery key once, for a drawer, and keeps only its public half
    always     what a charger, a tag or the site's own authority hangs on is sealed to it; the cloud keeps it
    new box    whoever types the key there has the site's secrets back

The key is 160 random bits, written in groups that survive being read aloud. Sealing is ECIES over P-256: a
fresh key agrees with the public half, HKDF-SHA256 makes an AES-256-GCM key of it, and site and number are
under the tag, so that what was sealed for one site opens for no other. Pure: chance is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from common.errors import Code, Refused
from common.trust.keys import b64, lines, unb64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: 160 bits: 32 characters, and no search ends.
SECRET_BYTES = 20
#: Characters of the check behind the secret: one typing error in a million is not noticed.
_CHECK_CHARS = 4
_GROUP_CHARS = 4
#: Crockford's base32 without the letters that are taken for digits or for each other.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
#: The largest sealed blob: a thousand tags and a hundred chargers' secrets are half of it.
SEALED_BYTES_MAX = 256 * 1024

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_INFO = b"plugside-recovery-v1"
_TYPE_AGAIN = "Type it again as it was written down: nine groups of four."


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets sealed to a recovery key, as the cloud keeps them."""

    site: str
    number: int  #: rises with every change; the highest counts
    to: str  #: the recovery key's public half, base64url
    by: str  #: the fresh key's public half, base64url
    data: str  #: ciphertext and tag, base64url


_parts_decoder = msgspec.msgpack.Decoder(dict[str, bytes])


# --- the key as people hold it -----------------------------------------------------------------------------


def written(secret: bytes) -> str:
    """The key in groups of four, with a check at the end."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a recovery key has {SECRET_BYTES} bytes")
    text = _base32(int.from_bytes(secret), SECRET_BYTES * 8 // 5) + _check(secret)
    return "-".join(text[at : at + _GROUP_CHARS] for at in range(0, len(text), _GROUP_CHARS))


def read(text: str) -> bytes:
    """The secret of `written`, however it was typed. Raises Refused(bad_invite) when it is not one."""
    plain = "".join(c for c in text.upper().translate(_READ_AS) if c not in "- \t")
    if len(plain) != SECRET_BYTES * 8 // 5 + _CHECK_CHARS or not set(plain) <= set(_ALPHABET):
        raise Refused(Code.BAD_INVITE, "this is not a recovery key", hint=_TYPE_AGAIN)
    number = 0
    for character in plain[:-_CHECK_CHARS]:
        number = number * 32 + _ALPHABET.index(character)
    secret = number.to_bytes(SECRET_BYTES)
    if _check(secret) != plain[-_CHECK_CHARS:]:
        raise Refused(Code.BAD_INVITE, "a character of the recovery key is wrong", hint=_TYPE_AGAIN)
    return secret


def _base32(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _check(secret: bytes) -> str:
    digest = sha256(b"plugside-recovery-check|" + secret).digest()
    return _base32(int.from_bytes(digest[:4]) >> 12, _CHECK_CHARS)


# --- sealing -----------------------------------------------------------------------------------------------


def public_half(secret: bytes) -> str:
    """What the box keeps: enough to seal, and nothing to open with. base64url, uncompressed point."""
    return _public(_private(secret))


def seal(parts: Mapping[str, bytes], *, to: str, site: str, number: int, fresh: bytes) -> Sealed:
    """Seal named secrets. to: `public_half`. fresh: 32 unguessable bytes, never used twice."""
    ours = _private(fresh)
    by = _public(ours)
    key = _agreed(ours, to, to, by)
    plain = msgspec.msgpack.encode(dict(parts))
    data = _gcm(key).encrypt(bytes(12), plain, _bound(site, number, to))
    if len(data) > SEALED_BYTES_MAX:
        raise Refused(Code.TOO_LARGE, "there is more to recover than is kept for a site")
    return Sealed(site=site, number=number, to=to, by=by, data=b64(data))


def unseal(sealed: Sealed, secret: bytes) -> dict[str, bytes]:
    """The named secrets. Raises Refused(bad_invite) when the key is another one, or the blob is not whole."""
    from cryptography.exceptions import InvalidTag

    mine = _private(secret)
    if _public(mine) != sealed.to:
        raise Refused(
            Code.BAD_INVITE,
            "this is the recovery key of another site, or an earlier one",
            hint="Look for the key that this site's box showed when it was set up.",
        )
    try:
        key = _agreed(mine, sealed.by, sealed.to, sealed.by)
        plain = _gcm(key).decrypt(
            bytes(12), unb64(sealed.data), _bound(sealed.site, sealed.number, sealed.to)
        )
        return _parts_decoder.decode(plain)
    except (InvalidTag, ValueError, RecursionError):
        raise Refused(Code.BAD_INVITE, "what the cloud kept for this site is damaged") from None


def _bound(site: str, number: int, to: str) -> bytes:
    return lines(_INFO.decode(), site, str(number), to)


def _private(secret: bytes) -> EllipticCurvePrivateKey:
    """A P-256 key that follows from the secret alone."""
    from cryptography.hazmat.primitives.asymmetric import ec

    # 48 bytes for a number of 32: no remainder is likelier than another by anything that counts.
    wide = int.from_bytes(_derived(secret, _INFO + b"|key", 48))
    return ec.derive_private_key(wide % (_ORDER - 1) + 1, ec.SECP256R1())


def _public(private: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives import serialization

    return b64(
        private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    )


def _agreed(private: EllipticCurvePrivateKey, public: str, to: str, by: str) -> bytes:
    """The AES key that both halves come to. Raises ValueError when `public` is no point of the curve."""
    from cryptography.hazmat.primitives.asymmetric import ec

    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(public))
    shared = private.exchange(ec.ECDH(), point)
    return _derived(shared, lines(_INFO.decode(), to, by), 32)


def _derived(secret: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(secret)


def _gcm(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # The nonce may stand still: every key is agreed on with a fresh one and used once.
    return AESGCM(key)
