"""Succession: a cloud's word that a site has another box now, for phones that pinned the one before. Pure.

A phone pins its box at pairing and takes no other for it, whoever says so, but for one voice: the cloud that
it pinned too. The statement is signed by that cloud's identity when the new box is taken in, and travels in
every welcome; a later one counts, an earlier one never again.
"""

from __future__ import annotations

import msgspec

from common.errors import Code, Refused, RemoteFault
from common.trust.keys import IdentityKey, Purpose, b64, fingerprint, lines, unb64, verify_identity


class Succession(msgspec.Struct, frozen=True, array_like=True):
    """What is signed, and by whom."""

    site: str
    box: str  #: identity fingerprint of the site's box from then on
    at_ms: int  #: the cloud's time
    by: str  #: the cloud's identity, public
    signature: str


_decoder = msgspec.json.Decoder(Succession)


def _message(site: str, box: str, at_ms: int) -> bytes:
    return lines(site, box, str(at_ms))


def succeed(cloud: IdentityKey, site: str, box: str, at_ms: int) -> str:
    """The statement as it travels, base64url."""
    signature = cloud.sign(Purpose.SUCCESSION, _message(site, box, at_ms))
    return b64(msgspec.json.encode(Succession(site, box, at_ms, cloud.public, signature)))


def open_succession(text: str, *, site: str, cloud: str) -> Succession:
    """The statement, if it is about this site and by the cloud whose fingerprint was pinned.

    Raises RemoteFault(untrusted_peer).
    """
    try:
        told = _decoder.decode(unb64(text))
        known = told.site == site and fingerprint(told.by) == cloud
        if known:
            verify_identity(
                told.by, told.signature, Purpose.SUCCESSION, _message(told.site, told.box, told.at_ms)
            )
    except (Refused, ValueError, RecursionError):
        known = False
    if not known:
        raise RemoteFault(
            Code.UNTRUSTED_PEER, "said to have another box, and not by the cloud that was pinned"
        )
    return told
