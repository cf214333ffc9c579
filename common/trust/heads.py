"""Heads: where a site's chain is, under its box's signature. Pure.

A box signs the chain's value after the last fact of each batch that it sends, and in each receipt. The cloud
keeps heads (`cloud.store.heads`), so nobody who holds the box can rewrite what was synced and stay unseen:
two heads of one number with two chains, both signed by one box, are the proof. Protocol:
`RECEIPTS.md` beside this.
"""

from __future__ import annotations

from common.trust.keys import IdentityKey, Purpose, b64, lines, verify_identity


def head_message(site: str, epoch: str, seq: int, chain: bytes, at: str) -> bytes:
    """What is signed: the chain after fact `seq` of `epoch`, said at site time `at`."""
    return lines(site, epoch, str(seq), b64(chain), at)


def sign_head(identity: IdentityKey, site: str, epoch: str, seq: int, chain: bytes, at: str) -> str:
    """The box's signature of a head, base64url."""
    return identity.sign(Purpose.HEAD, head_message(site, epoch, seq, chain, at))


def check_head(public: str, signature: str, site: str, epoch: str, seq: int, chain: bytes, at: str) -> None:
    """Returns, or raises Refused(bad_signature); RemoteFault(protocol) for a field with a line break."""
    verify_identity(public, signature, Purpose.HEAD, head_message(site, epoch, seq, chain, at))
