"""The envelope: a command's exact bytes, the key that signed them, and the signature, as one opaque string.

    base64url(payload) . base64url(public key) . base64url(signature)

The same string goes over the LAN or through the cloud, and each end opens it for itself (design §7). Pure.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from common import commands
from common.domain import Role
from common.errors import Code, Refused
from common.policy import Claims
from common.trust.keys import (
    POINT_BYTES,
    SIGNATURE_BYTES,
    IdentityKey,
    Purpose,
    b64,
    thumbprint,
    unb64,
    verify_identity,
)


def _b64_chars(size: int) -> int:
    return (size * 4 + 2) // 3


#: The longest envelope: looked at before anything is decoded.
ENVELOPE_CHARS_MAX = (
    _b64_chars(commands.COMMAND_BYTES_MAX) + _b64_chars(POINT_BYTES) + _b64_chars(SIGNATURE_BYTES) + 2
)


class OpenedCommand(msgspec.Struct, frozen=True):
    """A command that is really from the key that its claims name."""

    payload: bytes  #: the signed bytes
    command: commands.Command

    @property
    def fingerprint(self) -> str:
        """What tells a repeat of this command from other content under its id."""
        return fingerprint_of(self.payload)


def fingerprint_of(payload: bytes) -> str:
    """SHA-256 of a command's signed bytes, hex: the same whichever way, and however signed, it came."""
    return sha256(payload).hexdigest()


def seal(payload: bytes, key: IdentityKey) -> str:
    """Sign a command's bytes (`commands.encode`)."""
    return f"{b64(payload)}.{key.public}.{key.sign(Purpose.COMMAND, payload)}"


def open_envelope(envelope: str) -> tuple[bytes, str]:
    """The payload and the thumbprint of its signer. Raises Refused: bad_request, bad_signature."""
    if len(envelope) > ENVELOPE_CHARS_MAX:
        raise Refused(Code.BAD_REQUEST, f"a command is at most {commands.COMMAND_BYTES_MAX} bytes")
    try:
        encoded, public, signature = envelope.split(".")
        payload, signer = unb64(encoded), thumbprint(public)
    except ValueError:
        raise Refused(Code.BAD_SIGNATURE) from None
    verify_identity(public, signature, Purpose.COMMAND, payload)
    return payload, signer


def open_command(envelope: str, claims: Claims, *, command_id: str) -> OpenedCommand:
    """Open what a link or a tunnel brought, for the principal whose claims came with it.

    command_id: the id that the message repeats outside the envelope. Local presence sends the bare payload:
    the box's own socket is its signature. Raises Refused: bad_signature, bad_request, wrong_site.
    """
    if claims.role is Role.LOCAL:
        payload = envelope.encode(errors="surrogatepass")
    else:
        payload, signer = open_envelope(envelope)
        if signer != claims.key:
            raise Refused(Code.BAD_SIGNATURE, "signed by another key than the grant's")
    command = commands.decode(payload)
    if command.site != claims.site:
        raise Refused(Code.WRONG_SITE)
    if command.id != command_id:
        raise Refused(Code.BAD_REQUEST, "the command's id is not the one beside it")
    return OpenedCommand(payload, command)
