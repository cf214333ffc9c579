"""Keys of the simulation: always the same ones, so that a seed is one history."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import trust
from common.domain import Role
from tests.sim.charger import T0

SITE = "sim"
BOX = trust.IdentityKey(derive_private_key(7, SECP256R1()))
PHONE = trust.IdentityKey(derive_private_key(11, SECP256R1()))
_ISSUER = trust.IssuerKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@cache
def issuer() -> trust.Issuer:
    """The one whose grants the box believes."""
    return trust.Issuer(id="sim", public=_ISSUER.public)


@cache
def grant() -> str:
    """The phone's right: an operator's, for longer than any history."""
    return trust.issue_grant(
        trust.Issuing(key=_ISSUER, issuer=issuer()),
        site=SITE,
        principal="p-op",
        role=Role.OPERATOR,
        key=PHONE.thumbprint,
        grant_id="g-op",
        now_ms=T0,
    )
