"""Rotation: a box's own word that it goes on with another identity key. Pure.

    box      old and new key sign one statement ─▶ the chain of all its statements, public, kept for good
    cloud    verifies from the key that it holds, keeps it, and confirms once
    phone    finds the chain in the proof, verifies it from the key that it pinned, pins the last one

A statement is signed by the old key (whose right it is) and by the new one (that it is there). It names the
site and its own place in the chain, so it fits nowhere else. What a chain may be is judged in one function,
`opened`; `followed` is what somebody who pinned one of its keys may conclude. A cloud's signed placement
(`common.trust.succession`) outranks all of it.

    text       base64url of JSON [site, old key, new key, number, seconds since 1970, by old, by new]
    signature  purpose `plugside-rotation-v1` over site, old, new, number, seconds: a line each
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Annotated

import msgspec

from common.errors import Code, Refused, RemoteFault
from common.trust.keys import IdentityKey, Purpose, b64, fingerprint, lines, unb64, verify_identity

#: Statements in a box's chain: one a year for longer than a box lives. Each proof holds all, 8.3 KiB then.
ROTATIONS_MAX = 16
#: Characters of one statement: two keys, two signatures and a site's name come to 526.
ROTATION_CHARS_MAX = 1024
#: For so long after a cloud has confirmed it the old key is still heard there: a card that was put back to
#: the day before is not locked out.
OLD_KEPT_MS = 24 * 3_600_000

_Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]  # until the year 9999


class Rotation(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One statement."""

    site: str
    old: str  #: identity public key
    new: str
    number: _Number  #: its place in the chain, from 1
    at_s: _Seconds  #: site time
    by_old: str
    by_new: str

    @property
    def box(self) -> str:
        """The fingerprint of the new key."""
        return fingerprint(self.new)

    @property
    def former(self) -> str:
        """The fingerprint of the old key."""
        return fingerprint(self.old)


_decoder = msgspec.json.Decoder(Rotation)


def _message(site: str, old: str, new: str, number: int, at_s: int) -> bytes:
    return lines(site, old, new, str(number), str(at_s))


def rotate(old: IdentityKey, new: IdentityKey, *, site: str, number: int, at_ms: int) -> str:
    """The statement as it travels. number: one more than the chain's last, 1 for the first."""
    at_s = at_ms // 1000
    message = _message(site, old.public, new.public, number, at_s)
    by_old, by_new = (key.sign(Purpose.ROTATION, message) for key in (old, new))
    return b64(
        msgspec.json.encode(
            Rotation(site, old.public, new.public, number, at_s, by_old=by_old, by_new=by_new)
        )
    )


def kept(text: str) -> Rotation:
    """A statement that was verified before it was stored. Raises ValueError when it is none."""
    return _decoder.decode(unb64(text))


def _read(text: str) -> Rotation:
    """One statement whose both signatures are good. Raises RemoteFault(untrusted_peer)."""
    if len(text) > ROTATION_CHARS_MAX:
        raise _bad("longer than any statement")
    try:
        told = _decoder.decode(unb64(text))
        message = _message(told.site, told.old, told.new, told.number, told.at_s)
    except (ValueError, RecursionError, RemoteFault):
        raise _bad("it cannot be read") from None
    try:
        verify_identity(told.old, told.by_old, Purpose.ROTATION, message)
        verify_identity(told.new, told.by_new, Purpose.ROTATION, message)
    except Refused:
        raise _bad("not signed by both its keys") from None
    return told


def opened(told: Sequence[str], *, site: str = "") -> tuple[Rotation, ...]:
    """A box's chain, the first statement first, if it is one. site: whose it must be; empty = any one site's.

    One site, each statement by the key that the one before it made, numbers without a gap, no key twice, at
    most `ROTATIONS_MAX`. Raises RemoteFault(untrusted_peer).
    """
    if len(told) > ROTATIONS_MAX:
        raise _bad("more statements than a chain has")
    chain = tuple(map(_read, told))
    for before, after in pairwise(chain):
        if after.old != before.new or after.number != before.number + 1:
            raise _bad("its statements do not follow each other")
    if any(one.site != (site or chain[0].site) for one in chain):
        raise _bad("of another site")
    if chain and len({chain[0].old, *(one.new for one in chain)}) <= len(chain):
        raise _bad("it returns to a key that was given up")
    return chain


def followed(
    told: Sequence[str],
    *,
    pinned: str,
    key: str,
    site: str = "",
    after: int = 0,
    gone: Collection[str] = (),
) -> tuple[Rotation, ...]:
    """The chain, if it leads from the pinned key to the one that was proved just now.

    pinned: a fingerprint. key: the public key that has signed the proof. after: the highest number that was
    followed before. gone: fingerprints that were given up, by whatever word: none of them comes back so.
    Raises RemoteFault(untrusted_peer).
    """
    chain = opened(told, site=site)
    begins = next((at for at, one in enumerate(chain) if one.former == pinned), None)
    if begins is None:
        raise _bad("it does not begin at the key that was pinned")
    if chain[-1].new != key:
        raise _bad("it does not end at the key that was proved")
    if chain[begins].number <= after:
        raise _bad("an earlier statement is told again")
    if any(one.box in gone for one in chain[begins:]):
        raise _bad("it leads to a key that was given up")
    return chain


def _bad(why: str) -> RemoteFault:
    return RemoteFault(Code.UNTRUSTED_PEER, f"said to have another key now: {why}")
