"""Issuers: whose grants count, how far, and how a verifier comes to know it.

The cloud's root key stays in an offline file and signs a numbered *key set* of online keys; a box believes
the root it was enrolled with and no set older than the newest it has seen. A box also issues by itself, with
an Ed25519 key that its identity vouches for: for its own site only, and at most operators (design §8, §10).
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from common.domain import Role
from common.errors import Code, Refused, RemoteFault
from common.trust.keys import (
    IdentityKey,
    IssuerKey,
    Purpose,
    b64,
    fingerprint,
    is_issuer_key,
    lines,
    unb64,
    verify_identity,
    verify_issuer,
)

#: `not_after_ms` of a key that only revocation ends.
NEVER_MS = 2**62

_CLOUD_ROLES = frozenset({Role.DRIVER, Role.OPERATOR, Role.INSTALLER})
_BOX_ROLES = frozenset({Role.DRIVER, Role.OPERATOR})


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """One issuer key and how far its word goes."""

    id: str  #: `iss`: the cloud's root fingerprint, or the box's identity fingerprint
    public: str  #: Ed25519, base64url
    roles: frozenset[Role] = _CLOUD_ROLES
    site: str | None = None  #: its only site; None = any
    not_after_ms: int = NEVER_MS  #: signs nothing later than this
    owners: bool = True  #: may make an operator the owner

    @property
    def kid(self) -> str:
        """The key's id in a grant's header."""
        return fingerprint(self.public)


class TrustSet:
    """The issuers that a verifier believes, by key id and site. Immutable; a change is a new set.

    A box names its issuer's key without proof that it has it: so it may name another site's, or its cloud's.
    What it names says something at its own site alone, and never in place of who speaks for every site.
    """

    def __init__(self, issuers: Iterable[Issuer] = ()) -> None:
        self._by_kid: dict[str, dict[str | None, Issuer]] = {}
        for issuer in issuers:
            self._by_kid.setdefault(issuer.kid, {})[issuer.site] = issuer

    def issuer(self, kid: str, site: str | None = None) -> Issuer | None:
        """The issuer whose key has this id: of every site, else of this one, else of another (see `site`)."""
        known = self._by_kid.get(kid, {})
        return known.get(None) or known.get(site) or next(iter(known.values()), None)

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        return tuple(issuer for known in self._by_kid.values() for issuer in known.values())

    def extended(self, issuers: Iterable[Issuer]) -> TrustSet:
        """This set and more; a key id that is already here for the same site is replaced."""
        return TrustSet([*self.issuers, *issuers])


class OnlineKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One online signing key of a cloud."""

    public: str
    not_after_ms: int
    #: Its cloud signs with it from then on: boxes that are without their cloud for some days know it by then.
    from_ms: int = 0


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A cloud's online keys. `number` rises with every change and is never used twice."""

    root: str  #: the root's public key, base64url
    number: int
    keys: tuple[OnlineKey, ...]


class SignedKeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A key set as it travels and is stored: the exact bytes that the root signed."""

    body: str
    signature: str


_key_set_decoder = msgspec.json.Decoder(KeySet)


def sign_key_set(root: IssuerKey, number: int, keys: Iterable[OnlineKey]) -> SignedKeySet:
    """Sign a new set with the offline root."""
    body = msgspec.json.encode(KeySet(root=root.public, number=number, keys=tuple(keys)))
    return SignedKeySet(body=b64(body), signature=root.sign(Purpose.KEY_SET, body))


def open_key_set(signed: SignedKeySet, root: str, *, at_least: int = 0) -> KeySet:
    """Check a key set against the root that this installation trusts.

    root: its public key. at_least: the highest number seen so far; an older set is a rollback.
    Raises RemoteFault(untrusted_peer).
    """
    try:
        body = unb64(signed.body)
        verify_issuer(root, signed.signature, Purpose.KEY_SET, body)
        known = _key_set_decoder.decode(body)
    except (Refused, ValueError, RecursionError):
        raise RemoteFault(Code.UNTRUSTED_PEER, "the cloud's key set is not signed by its root") from None
    if known.root != root or not all(is_issuer_key(key.public) for key in known.keys):
        raise RemoteFault(Code.UNTRUSTED_PEER, "the cloud's key set is not sound")
    if known.number < at_least:
        detail = f"the cloud's key set {known.number} is older than {at_least}, which is known here"
        raise RemoteFault(Code.UNTRUSTED_PEER, detail)
    return known


def cloud_issuers(keys: KeySet) -> tuple[Issuer, ...]:
    """The issuers that a checked key set stands for: every site, every role, until each key's end."""
    root = fingerprint(keys.root)
    return tuple(Issuer(id=root, public=key.public, not_after_ms=key.not_after_ms) for key in keys.keys)


class Voucher(msgspec.Struct, frozen=True, kw_only=True):
    """A box's identity says which Ed25519 key issues its local grants."""

    box: str  #: identity public key
    issuer: str  #: Ed25519 public key
    site: str
    signature: str


def vouch(identity: IdentityKey, issuer: str, site: str) -> Voucher:
    """Sign that `issuer` (public key) speaks for this box at `site`."""
    message = lines(identity.public, issuer, site)
    signature = identity.sign(Purpose.ISSUER, message)
    return Voucher(box=identity.public, issuer=issuer, site=site, signature=signature)


def check_voucher(voucher: Voucher) -> Issuer:
    """The box's issuer, limited to its site, to drivers and operators. Raises Refused(bad_signature).

    Who the box is remains the caller's question: compare `fingerprint(voucher.box)` with what is expected.
    """
    try:
        message = lines(voucher.box, voucher.issuer, voucher.site)
        verify_identity(voucher.box, voucher.signature, Purpose.ISSUER, message)
        return box_issuer(fingerprint(voucher.box), voucher.issuer, voucher.site)
    except (ValueError, RemoteFault):
        raise Refused(Code.BAD_SIGNATURE, "the box's issuer key is not vouched for") from None


def box_issuer(box: str, issuer: str, site: str) -> Issuer:
    """What a box's own issuer may do: drivers and operators of its own site.

    box: identity fingerprint. issuer: Ed25519 public key (ValueError when it is none).
    """
    if not is_issuer_key(issuer):
        raise ValueError("not an Ed25519 public key")
    return Issuer(id=box, public=issuer, roles=_BOX_ROLES, site=site, owners=False)
