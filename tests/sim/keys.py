"""Keys of the simulation: always the same ones, so that a seed is one history. And the folder of a card in
which a box keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import trust
from common.caps import Caps
from common.domain import Role
from common.keystore import Keystore
from edge.authority import TrustDocument
from edge.sitefile import SiteDocument
from tests.sim.charger import T0

SITE = "sim"
BOX = trust.IdentityKey(derive_private_key(7, SECP256R1()))


def _issuer_key(seed: int) -> trust.IssuerKey:
    return trust.IssuerKey(Ed25519PrivateKey.from_private_bytes(bytes(range(seed, seed + 32))))


_ROOT, _ONLINE, BOX_ISSUER = _issuer_key(0), _issuer_key(1), _issuer_key(2)


class Person(NamedTuple):
    """Who has a phone here."""

    principal: str
    role: Role
    key: trust.IdentityKey


OPERATOR = Person("p-op", Role.OPERATOR, trust.IdentityKey(derive_private_key(11, SECP256R1())))
#: Whose right ends, and is withdrawn: a driver's, or somebody's who helps out.
GUEST = Person("p-guest", Role.DRIVER, trust.IdentityKey(derive_private_key(13, SECP256R1())))
HELPER = Person("p-guest", Role.OPERATOR, GUEST.key)
#: The guest's other device; and whose card is good, who has no phone here.
TABLET = Person("p-guest", Role.DRIVER, trust.IdentityKey(derive_private_key(17, SECP256R1())))
CARDHOLDER = Person("p-tag", Role.DRIVER, trust.IdentityKey(derive_private_key(19, SECP256R1())))


@cache
def _key_set() -> trust.SignedKeySet:
    return trust.sign_key_set(
        _ROOT, 1, [trust.OnlineKey(public=_ONLINE.public, not_after_ms=T0 + 400 * 24 * 3_600_000)]
    )


@cache
def issuing() -> trust.Issuing:
    """The cloud's side: whose grants and lists the box believes."""
    keys = trust.open_key_set(_key_set(), _ROOT.public)
    return trust.Issuing(key=_ONLINE, issuer=trust.cloud_issuers(keys)[0])


@cache
def trusted_by_cloud() -> trust.TrustSet:
    """Whom the cloud believes: itself, and the box about its own site."""
    return trust.TrustSet([issuing().issuer, trust.box_issuer(BOX.fingerprint, BOX_ISSUER.public, SITE)])


@cache
def first_files() -> dict[str, bytes]:
    """What lies in the folder of a box that its cloud has taken in."""
    site = SiteDocument(site=SITE, instance="card", name="Sim", tag_secret="5a" * 32)
    cloud = TrustDocument(url="https://sim", root=_ROOT.public, keys=_key_set(), number=1, cloud="sim")
    return {"site.json": msgspec.json.encode(site), "cloud.json": msgspec.json.encode(cloud)}


class CardKeys(Keystore):
    """The folder, in memory: `files` are on the card as soon as they are written."""

    def __init__(self, files: dict[str, bytes], written: Callable[[], None]) -> None:
        self.folder = Path("keys")
        self._files, self._written = files, written

    def identity(self, name: str = "identity") -> trust.IdentityKey:
        return BOX

    def issuer(self, name: str = "issuer") -> trust.IssuerKey:
        return BOX_ISSUER

    def has_key(self, name: str) -> bool:
        return name in {"identity", "issuer"}

    def _read(self, name: str) -> bytes | None:
        return self._files.get(name)

    def _write(self, name: str, content: bytes, *, replace: bool = True) -> None:
        if replace or name not in self._files:
            self._files[name] = content
            self._written()


def grant(
    person: Person, grant_id: str, now_ms: int, lifetime_ms: int | None = None, caps: Caps | None = None
) -> str:
    """A right of the cloud's making."""
    return trust.issue_grant(
        issuing(),
        site=SITE,
        principal=person.principal,
        role=person.role,
        key=person.key.thumbprint,
        grant_id=grant_id,
        now_ms=now_ms,
        lifetime_ms=lifetime_ms,
        caps=caps,
    )


class _Said(msgspec.Struct):
    exp: int
    lim: Caps | None = None


@cache
def _said(token: str) -> _Said:
    return msgspec.json.decode(trust.unb64(token.split(".")[1]), type=_Said)


def grant_ends_ms(token: str) -> int:
    """When a grant ends by its own words."""
    return _said(token).exp * 1000


def grant_caps(token: str) -> Caps | None:
    """How much it is for."""
    return _said(token).lim
