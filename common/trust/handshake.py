"""The handshake's exact bytes: what server and client sign when an app link opens (design §6).

Both ends build the same `Transcript` from what they sent and saw. It holds both nonces (no replay), what the
client offered (no downgrade), the server's identity and certificate list, and the certificate that the
transport really uses (no relay by a twin: the twin cannot have the true box sign the twin's certificate).
Text lines joined by a line feed, so that any language writes them alike. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from common.domain import Path
from common.trust.keys import lines, unb64

NONCE_BYTES = 32
#: Certificate hashes in a proof: a year of windows of six days.
CERTIFICATES_MAX = 64


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What both ends agree has happened on this link so far."""

    offered: tuple[int, ...]  #: protocol versions the client offered
    version: int  #: the one the server chose
    client_nonce: str
    server_nonce: str
    server: str  #: fingerprint of the server's identity key
    path: Path
    certificates: tuple[str, ...]  #: SHA-256 of the certificates the server serves now and next, hex
    binding: str  #: SHA-256 of the certificate in use, hex; empty where the transport has none of its own

    def _fields(self) -> tuple[str, ...]:
        return (
            ",".join(map(str, self.offered)),
            str(self.version),
            self.client_nonce,
            self.server_nonce,
            self.server,
            self.path.value,
            ",".join(self.certificates),
            self.binding,
        )

    def proof(self, time: str, clock: str) -> bytes:
        """What the server signs (`Purpose.SERVER_PROOF`), its time and clock state included."""
        return lines(*self._fields(), time, clock)

    def auth(self, key: str, grants: Iterable[str]) -> bytes:
        """What the client signs (`Purpose.CLIENT_AUTH`): its key's thumbprint and the grants it shows."""
        return lines(*self._fields(), key, *(_digest(grant) for grant in grants))

    def redeem(self, key: str, secret: str) -> bytes:
        """What the client signs (`Purpose.CLIENT_REDEEM`): its key's thumbprint and the invite's secret."""
        return lines(*self._fields(), key, _digest(secret))


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def is_nonce(text: str) -> bool:
    """Whether this is a nonce: 32 bytes, base64url."""
    try:
        return len(unb64(text)) == NONCE_BYTES
    except ValueError:
        return False


def is_hash(text: str) -> bool:
    """Whether this is a SHA-256, lower-case hex."""
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)
