"""The box's identity key and how it came to it: its own rotations, each step on disk before the next.

    1  identity-next.pem      the new key, which nobody has heard of: a start removes it
    2  rotations.json         the statement by both keys: from here on the new key is the box's
    3  identity.pem           the new key in the old one's place, identity-next.pem gone: a start does it too

So whatever step is the last, the next start has a working identity: the old key before 2, the new one from
there. The old private key is not kept: what it signed stands, and its statement speaks for it
(`common.trust.rotation`).
"""

from __future__ import annotations

import logging

import msgspec

from common import trust
from common.errors import Code, LocalFault, Refused, RemoteFault
from common.keystore import Keystore, generate_identity
from common.trust.rotation import ROTATIONS_MAX, opened

log = logging.getLogger("plugside.trust")

_KEY, _NEXT, _DOCUMENT = "identity", "identity-next", "rotations"


class RotationsDocument(msgspec.Struct, kw_only=True):
    """The box's chain, on disk as rotations.json."""

    statements: tuple[str, ...] = ()
    confirmed: int = 0  #: the highest number whose key the cloud has named as the site's


class Identity:
    """See the module. `key` is the one that signs now."""

    def __init__(self, store: Keystore) -> None:
        """Ends what a crash left unfinished. Raises LocalFault(folder_unusable): no key fits the chain."""
        self._store = store
        self._document = store.load(_DOCUMENT, RotationsDocument) or RotationsDocument()
        try:
            self.chain = opened(self._document.statements)
        except RemoteFault as damaged:
            path = store.folder / f"{_DOCUMENT}.json"
            raise LocalFault(Code.FOLDER_UNUSABLE, f"{path}: {damaged.detail}") from None
        self.key = self._settled()

    def _settled(self) -> trust.IdentityKey:
        store = self._store
        last = self.chain[-1].new if self.chain else ""
        if store.has_key(_NEXT):
            following = store.identity(_NEXT)
            if following.public == last:
                store.put(f"{_KEY}.pem", following.to_pem())
            store.remove_key(_NEXT)
        key = store.identity(_KEY)
        if last not in ("", key.public):
            raise LocalFault(
                Code.FOLDER_UNUSABLE,
                f"{store.folder / _KEY}.pem is not the key that {_DOCUMENT}.json leads to",
                hint="Both belong to one copy of the keys folder: put that back whole.",
            )
        return key

    # --- what it is ----------------------------------------------------------------------------------------

    @property
    def statements(self) -> tuple[str, ...]:
        """The chain as it travels."""
        return self._document.statements

    @property
    def number(self) -> int:
        """How often the key was rotated."""
        return self.chain[-1].number if self.chain else 0

    @property
    def confirmed(self) -> bool:
        """Whether the cloud has named the key that signs now."""
        return self._document.confirmed >= self.number

    @property
    def origin(self) -> str:
        """The fingerprint of the box's first key: what its rights and lists are issued under, for good."""
        return self.chain[0].former if self.chain else self.key.fingerprint

    @property
    def names(self) -> tuple[str, ...]:
        """Every fingerprint that this box ever had, the present one first."""
        return (self.key.fingerprint, *(one.former for one in reversed(self.chain)))

    @property
    def host_names(self) -> tuple[str, ...]:
        """What it is called on the LAN: by its present key, and by those before it (`edge.discovery`)."""
        return tuple(f"plugside-{name[:8]}.local" for name in self.names)

    # --- what changes it -----------------------------------------------------------------------------------

    def rotate(self, site: str, now_ms: int) -> trust.Rotation:
        """Go on with a new key. Raises Refused(limit_reached), LocalFault: nothing has changed then."""
        if len(self.chain) >= ROTATIONS_MAX:
            raise Refused(
                Code.LIMIT_REACHED,
                f"a box's key is rotated {ROTATIONS_MAX} times at most",
                hint="Put up the box anew with an empty data folder, and pair it in this one's place.",
            )
        store, old = self._store, self.key
        store.remove_key(_NEXT)  # of an attempt that failed: nobody has heard of it
        new = generate_identity()
        store.put(f"{_NEXT}.pem", new.to_pem())
        statement = trust.rotate(old, new, site=site, number=self.number + 1, at_ms=now_ms)
        self._save(
            RotationsDocument(statements=(*self.statements, statement), confirmed=self._document.confirmed)
        )
        self.chain, self.key = opened(self.statements), new
        try:
            store.put(f"{_KEY}.pem", new.to_pem())
            store.remove_key(_NEXT)
        except LocalFault as unwritten:
            log.warning("the new key is the box's; the next start puts it into its place: %s", unwritten)
        return self.chain[-1]

    def confirm(self, box: str) -> bool:
        """The cloud has named the site's key. True if it is ours, and that is new."""
        if box != self.key.fingerprint or self.confirmed:
            return False
        self._save(RotationsDocument(statements=self.statements, confirmed=self.number))
        return True

    def belongs_to(self, site: str) -> None:
        """Statements about another site say nothing here: the box has taken another one's place since."""
        if self.chain and self.chain[0].site != site:
            self._save(RotationsDocument())
            self.chain = ()

    def _save(self, document: RotationsDocument) -> None:
        self._store.save(_DOCUMENT, document)
        self._document = document
