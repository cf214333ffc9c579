"""The hash chain over a site's facts (design §4): what makes loss, change and forking visible.

    inner   = H(salt, record bytes)
    chain_n = H(chain_{n-1}, seq, uid, inner)          before an epoch's first record: H(epoch)

A record that is thinned or erased leaves (seq, uid, inner) as a tombstone, so the chain stays checkable
while the content is gone; the salt goes with the content, so it cannot be guessed back. Pure.
"""

from __future__ import annotations

from hashlib import sha256

SALT_BYTES = 16  #: as long as the hash's collision strength needs; random, per record


def seed(epoch: str) -> bytes:
    """The chain before the first fact of an epoch."""
    return sha256(b"plugside-chain-v1|" + epoch.encode()).digest()


def inner_hash(salt: bytes, record: bytes) -> bytes:
    """What of a record enters the chain."""
    return sha256(salt + record).digest()


def link(previous: bytes, seq: int, uid: str, inner: bytes) -> bytes:
    """The chain after fact `seq`."""
    return sha256(previous + seq.to_bytes(8, "big") + uid.encode() + b"|" + inner).digest()
