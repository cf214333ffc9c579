"""The cloud's keys (design §10): who it is, and what it signs rights with.

identity   P-256: proves this cloud to apps; its fingerprint is what a phone pins
root       Ed25519: signs the set of online keys and nothing else. Belongs offline: copy keys/root.pem to a
           safe place and remove it here. `plugside-cloud keys` brings it what is to be signed, wherever it is
online-N   Ed25519: signs grants, for 90 days. Its successor is told a week before it signs: a box that does
           not reach its cloud for some days still believes what a phone brings
"""

from __future__ import annotations

import logging

import msgspec

from common import trust
from common.domain import iso
from common.errors import Code, LocalFault, Refused
from common.keystore import Keystore
from common.ports import Clock

log = logging.getLogger("plugside.keyring")

_DAY_MS = 24 * 3_600_000
#: Life of an online key: one that is copied unnoticed is worth something for a quarter of a year at most.
ONLINE_LIFE_MS = 90 * _DAY_MS
#: A successor is made so long before the end: time enough to fetch the root from where it is kept.
RENEW_BEFORE_MS = 30 * _DAY_MS
#: From being told to signing: as long as a driver's grant lives, so that nobody offline is worse off.
TOLD_BEFORE_MS = 7 * _DAY_MS
_DOCUMENT = "keyset"
_ROOT = "root"


class Document(msgspec.Struct, kw_only=True):
    """The key set in force, on disk as keyset.json."""

    root: str  #: the root's public key
    number: int
    signed: trust.SignedKeySet
    online: str  #: which file holds its newest key


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
        ends_ms = self._clock.now_ms() + ONLINE_LIFE_MS
        fresh = trust.OnlineKey(public=self._store.issuer("online-1").public, not_after_ms=ends_ms)
        return self._keep(root.public, trust.sign_key_set(root, 1, (fresh,)), 1)

    def _keep(self, root: str, signed: trust.SignedKeySet, number: int) -> Document:
        document = Document(root=root, number=number, signed=signed, online=f"online-{number}")
        self._store.save(_DOCUMENT, document)
        return document

    def _use(self) -> None:
        document = self._document
        self._set = trust.open_key_set(document.signed, document.root, at_least=document.number)
        if not self._store.has_key(document.online):
            raise LocalFault(
                Code.FOLDER_UNUSABLE,
                f"the online key {document.online}.pem is missing from {self._store.folder}",
                hint="Put it back from a backup: boxes believe no other key of this cloud.",
            )
        names = (f"online-{number}" for number in range(1, document.number + 1))
        held = (self._store.issuer(name) for name in names if self._store.has_key(name))
        self._held = {key.public: key for key in held}

    # --- signing rights ------------------------------------------------------------------------------------

    @property
    def issuing(self) -> trust.Issuing:
        """What signs grants now: the newest key whose time has come."""
        now_ms = self._clock.now_ms()
        mine = [key for key in self._set.keys if key.public in self._held]
        begun = [key for key in mine if key.from_ms <= now_ms]
        key = max(begun or mine, key=lambda key: key.from_ms)
        issuers = {issuer.public: issuer for issuer in self.issuers}
        return trust.Issuing(key=self._held[key.public], issuer=issuers[key.public])

    # --- the next key --------------------------------------------------------------------------------------

    def request(self, *, at_once: bool = False, drop_old: bool = False) -> trust.KeySet:
        """The next key set, for the root to sign. Asked again, it names the same new key.

        at_once: sign with it from the first moment; boxes that do not reach this cloud will not believe it
        until they do. drop_old: believe no earlier key any more, because one was copied.
        """
        now_ms = self._clock.now_ms()
        number = self._document.number + 1
        fresh = trust.OnlineKey(
            public=self._store.issuer(f"online-{number}").public,
            not_after_ms=now_ms + ONLINE_LIFE_MS,
            from_ms=now_ms if at_once or drop_old else now_ms + TOLD_BEFORE_MS,
        )
        kept = () if drop_old else tuple(key for key in self._set.keys if key.not_after_ms > now_ms)
        return trust.KeySet(root=self.root, number=number, keys=(fresh, *kept))

    def install(self, signed: trust.SignedKeySet) -> None:
        """Take the signed set into use.

        Raises RemoteFault(untrusted_peer) when our root has not signed it, Refused(bad_request) when it is
        not the one that was asked for.
        """
        number = self._document.number + 1
        keys = trust.open_key_set(signed, self.root, at_least=self._document.number)
        name = f"online-{number}"
        mine = self._store.issuer(name).public if self._store.has_key(name) else ""
        known = {mine, *(key.public for key in self._set.keys)}
        theirs = {key.public for key in keys.keys}
        if keys.number != number or mine not in theirs or not theirs <= known:
            raise Refused(
                Code.BAD_REQUEST,
                f"this is not the key set {number} that this cloud has asked for",
                hint="Begin again with `plugside-cloud keys request`.",
            )
        self._document = self._keep(self.root, signed, number)
        self._use()
        log.info("key set %d is in force until %s", number, iso(self.ends_ms))

    def renew(self) -> bool:
        """Make the next online key when this one nears its end and the root is here. True if it did."""
        if self._clock.now_ms() < self.ends_ms - RENEW_BEFORE_MS:
            return False
        if not self.root_is_here:
            log.error(
                "the online key ends at %s and the root key is not here: run `plugside-cloud keys rotate"
                " --root FILE`, or `keys request` and carry it to the root",
                iso(self.ends_ms),
            )
            return False
        wanted = self.request()
        self.install(trust.sign_key_set(self._store.issuer(_ROOT), wanted.number, wanted.keys))
        return True

    # --- what others are told ------------------------------------------------------------------------------

    @property
    def root(self) -> str:
        """The root's public key: what a box is enrolled with."""
        return self._document.root

    @property
    def root_is_here(self) -> bool:
        """Whether the root key still lies in the data folder, where it should not stay."""
        return self._store.has_key(_ROOT)

    @property
    def ends_ms(self) -> int:
        """When the newest online key ends."""
        return max(key.not_after_ms for key in self._set.keys)

    @property
    def keys(self) -> trust.KeySet:
        """The key set in force."""
        return self._set

    @property
    def signed(self) -> trust.SignedKeySet:
        """The same, as it travels."""
        return self._document.signed

    @property
    def statement(self) -> str:
        """The same, as the tunnel's welcome carries it."""
        return msgspec.json.encode(self._document.signed).decode()

    @property
    def issuers(self) -> tuple[trust.Issuer, ...]:
        """The issuers that the key set stands for."""
        return trust.cloud_issuers(self._set)
