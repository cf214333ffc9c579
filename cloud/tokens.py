"""Bearer tokens: how one is asked for, what it is, and what is kept of it. They read, and nothing else."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from common.trust.keys import lines

#: A bearer token reads for so long; a device asks for the next one with its key.
TOKEN_LIFE_MS = 15 * 60_000
#: How far the time in a token request may be from ours: a device's clock, and no later replay.
TOKEN_SKEW_MS = 2 * 60_000
TOKEN_PREFIX = "plugsideread1_"  # noqa: S105 - what a token begins with


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A device asks for a token to read with."""

    grant: str
    key: str  #: the device's public key, uncompressed P-256 point, base64url
    at: str  #: when it was signed, ISO 8601
    signature: str  #: over `token_message`


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token: reads one site with the rights of one principal, for a quarter of an hour."""

    token: str
    site: str
    role: str
    expires_at: str


def token_message(cloud: str, at: str, grant: str) -> bytes:
    """What a device signs (`Purpose.TOKEN`). cloud: the fingerprint that it pinned."""
    return lines(cloud, at, sha256(grant.encode(errors="surrogatepass")).hexdigest())


def token_hash(token: str) -> str:
    """What is kept of a token, hex."""
    return sha256(b"plugside-token-v1|" + token.encode(errors="surrogatepass")).hexdigest()
