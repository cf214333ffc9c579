"""The cloud's keys (design §10): who it is, and what it signs rights with.

identity   P-256: proves this cloud to apps; its fingerprint is what a phone pins
root       Ed25519: signs the set of online keys and nothing else. Belongs offline: copy keys/root.pem to a
           safe place and remove it here; it is needed again when the online key nears its end
online-N   Ed25519: signs grants, for 90 days; its successor overlaps it
"""

from __future__ import annotations

import logging

import msgspec

from common import trust
from common.domain import iso
from common.errors import Code, LocalFault
from common.keystore import Keystore
from common.ports import Clock

log = logging.getLogger("plugside.keyring")

_DAY_MS = 24 * 3_600_000
#: Life of an online key: one that is copied unnoticed is worth something for a quarter of a year at most.
ONLINE_LIFE_MS = 90 * _DAY_MS
#: A successor is made so long before the end: time enough to fetch the root from where it is kept.
RENEW_BEFORE_MS = 30 * _DAY_MS
_DOCUMENT = "keyset"
_ROOT = "root"


class Document(msgspec.Struct, kw_only=True):
    """The key set in force, on disk as keyset.json."""

    root: str  #: the root's public key
    number: int
    signed: trust.SignedKeySet
    online: str  #: which file holds the online key


class Keyring:
    """See the module."""

    def __init__(self, store: Keystore, clock: Clock) -> None:
        """Makes all keys at the first start. Raises LocalFault when a key that is needed is gone."""
        self._store = store
        self._clock = clock
        self.identity = store.identity("identity")
        self._document = store.load(_DOCUMENT, Document) or self._first()
        self._use()
        self.renew()

    def _first(self) -> Document:
        root = self._store.issuer(_ROOT)
        log.warning(
            "made this cloud's root key, %s: copy it to a safe place offline, then remove it from here",
            self._store.folder / f"{_ROOT}.pem",
        )
        return self._sign(root, 1, ())

    def _sign(self, root: trust.IssuerKey, number: int, kept: tuple[trust.OnlineKey, ...]) -> Document:
        name = f"online-{number}"
        fresh = trust.OnlineKey(
            public=self._store.issuer(name).public, not_after_ms=self._clock.now_ms() + ONLINE_LIFE_MS
        )
        signed = trust.sign_key_set(root, number, (fresh, *kept))
        document = Document(root=root.public, number=number, signed=signed, online=name)
        self._store.save(_DOCUMENT, document)
        return document

    def _use(self) -> None:
        document = self._document
        self._set = trust.open_key_set(document.signed, document.root, at_least=document.number)
        if not (self._store.folder / f"{document.online}.pem").exists():
            raise LocalFault(
                Code.FOLDER_UNUSABLE,
                f"the online key {document.online}.pem is missing from {self._store.folder}",
                hint="Put it back from a backup: boxes believe no other key of this cloud.",
            )
        key = self._store.issuer(document.online)
        issuers = {issuer.public: issuer for issuer in trust.cloud_issuers(self._set)}
        self.issuing = trust.Issuing(key=key, issuer=issuers[key.public])

    def renew(self) -> bool:
        """Make the next online key when this one nears its end and the root is here. True if it did."""
        now_ms = self._clock.now_ms()
        if now_ms < self.issuing.issuer.not_after_ms - RENEW_BEFORE_MS:
            return False
        if not self.root_is_here:
            log.error(
                "the online key ends at %s and the root key is not here: put root.pem into %s and restart",
                iso(self.issuing.issuer.not_after_ms),
                self._store.folder,
            )
            return False
        kept = tuple(key for key in self._set.keys if key.not_after_ms > now_ms)
        self._document = self._sign(self._store.issuer(_ROOT), self._document.number + 1, kept)
        self._use()
        return True

    @property
    def root(self) -> str:
        """The root's public key: what a box is enrolled with."""
        return self._document.root

    @property
    def root_is_here(self) -> bool:
        """Whether the root key still lies in the data folder, where it should not stay."""
        return (self._store.folder / f"{_ROOT}.pem").exists()

    @property
    def signed(self) -> trust.SignedKeySet:
        """The key set in force, as it travels."""
        return self._document.signed

    @property
    def statement(self) -> str:
        """The key set as the tunnel's welcome carries it."""
        return msgspec.json.encode(self._document.signed).decode()

    @property
    def issuers(self) -> tuple[trust.Issuer, ...]:
        """The issuers that the key set stands for."""
        return trust.cloud_issuers(self._set)
