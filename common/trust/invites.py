"""Invites: a one-time secret, carried by a person, that brings a new key in (design §10).

Whoever mints an invite keeps only a hash of it and is the only one who can redeem it. The first key that
redeems it owns it; that key may ask again, for its answer may have been lost, until its grant was used once.
Pure.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

import msgspec

from common.caps import Caps
from common.domain import Role
from common.errors import Code, Refused
from common.trust.keys import b64, unb64

#: 128 bits: not to be guessed, so no limit on tries is needed for its safety. There is none, since a wrong
#: secret names no code: a count could only void codes of others, for anybody who reaches the port.
SECRET_BYTES = 16
#: How long an invite may wait, unless its maker says otherwise: a day to open a message.
INVITE_LIFE_MS = 24 * 3_600_000
PREFIX = "plugside1_"
#: Invites of one person that are kept at once, the latest: anybody with a key asks for codes for themselves.
OF_ONE_MAX = 4
#: Devices of one person: the one that came first makes room. So nobody pushes out those of others.
DEVICES_OF_ONE_MAX = 16
#: The longest invite text: what a QR of 40 modules a side version holds with room to spare.
TEXT_CHARS_MAX = 2048


class _Ticket(msgspec.Struct, frozen=True, array_like=True):
    """How an invite or a pairing code is written: a JSON array, in base64url."""

    secret: str
    server: str
    expires_s: int
    urls: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


_ticket_decoder = msgspec.json.Decoder(_Ticket)


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """What a new driver or operator is handed: the secret, who made it, and where to find them."""

    secret: str  #: 128 bits, base64url
    server: str  #: identity fingerprint of the box or cloud that made it, and alone redeems it
    expires_ms: int
    urls: tuple[str, ...] = ()  #: the cloud's app link, when a cloud made it
    addresses: tuple[str, ...] = ()  #: host:port on the LAN, when a box made it
    certificates: tuple[str, ...] = ()  #: the box's certificate hashes, for browsers to pin

    def to_text(self, prefix: str = PREFIX) -> str:
        """One line for a QR, a link's fragment or a terminal."""
        ticket = _Ticket(
            self.secret, self.server, self.expires_ms // 1000, self.urls, self.addresses, self.certificates
        )
        return prefix + b64(msgspec.json.encode(ticket))

    @classmethod
    def from_text(cls, text: str, prefix: str = PREFIX) -> Invite:
        """Read `to_text`. Raises Refused(bad_invite) with what is wrong with the text."""
        text = text.strip()
        if not text.startswith(prefix):
            raise Refused(Code.BAD_INVITE, f"it starts with {prefix}")
        cut = Refused(Code.BAD_INVITE, "copy it whole, from the first character to the last")
        if len(text) > TEXT_CHARS_MAX:
            raise cut
        try:
            ticket = _ticket_decoder.decode(unb64(text.removeprefix(prefix)))
            secret = unb64(ticket.secret)
        except (ValueError, RecursionError):
            raise cut from None
        if len(secret) != SECRET_BYTES:
            raise cut
        return cls(
            secret=ticket.secret,
            server=ticket.server,
            expires_ms=ticket.expires_s * 1000,
            urls=ticket.urls,
            addresses=ticket.addresses,
            certificates=ticket.certificates,
        )


class InviteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the maker of an invite stores. Holds no secret and no name."""

    hash: str  #: `invite_hash`, the record's key
    site: str
    role: Role
    principal: str  #: the pseudonym that will hold the grant
    expires_ms: int
    chargers: tuple[str, ...] | None = None
    redeemed_by: str | None = None  #: thumbprint of the key that it brought in
    spent: bool = False  #: that key has authenticated with its grant: the invite's work is done
    caps: Caps | None = None  #: how much the right will be for
    owner: bool = False  #: an operator who may also release the box


def invite_hash(secret: str) -> str:
    """What is stored of a secret, hex."""
    return sha256(b"plugside-invite-v1|" + secret.encode(errors="surrogatepass")).hexdigest()


def mint_invite(
    secret: bytes,
    *,
    server: str,
    site: str,
    role: Role,
    principal: str,
    now_ms: int,
    life_ms: int = INVITE_LIFE_MS,
    chargers: tuple[str, ...] | None = None,
    urls: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
    certificates: tuple[str, ...] = (),
    caps: Caps | None = None,
    owner: bool = False,
) -> tuple[Invite, InviteRecord]:
    """Make an invite and what to store of it. `secret`: 16 unguessable bytes."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"an invite's secret is {SECRET_BYTES} bytes")
    # In whole seconds, as the text carries it: maker and bearer then agree about the end.
    expires_ms = (now_ms + life_ms) // 1000 * 1000
    invite = Invite(
        secret=b64(secret),
        server=server,
        expires_ms=expires_ms,
        urls=urls,
        addresses=addresses,
        certificates=certificates,
    )
    record = InviteRecord(
        hash=invite_hash(invite.secret),
        site=site,
        role=role,
        principal=principal,
        expires_ms=expires_ms,
        chargers=chargers,
        caps=caps,
        owner=owner,
    )
    return invite, record


def redeem(record: InviteRecord, secret: str, key: str, now_ms: int) -> InviteRecord:
    """The record once `key` (thumbprint) has redeemed it; store it before the grant goes out.

    The same key may redeem again until the invite is spent. Raises Refused(bad_invite), for a wrong secret,
    another key, a spent invite and one past its end alike: a guesser learns nothing from it.
    """
    # Both judged in full, and by hash, so that no time tells how near a guess was.
    right = compare_digest(record.hash, invite_hash(secret))
    owned = record.redeemed_by is None or compare_digest(record.redeemed_by.encode(), key.encode())
    if not (right and owned) or record.spent or now_ms >= record.expires_ms:
        raise Refused(Code.BAD_INVITE)
    return msgspec.structs.replace(record, redeemed_by=key)


def spend(record: InviteRecord) -> InviteRecord:
    """The record once its key has authenticated with the grant it brought: good for nothing any more."""
    return msgspec.structs.replace(record, spent=True)
