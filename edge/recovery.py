"""A box's secrets for the box after it (`common.trust.recovery`): sealed here, kept by the cloud, opened
there.

    setup     the first `pair` makes the recovery key, shows it once and keeps its public half
    always    while the tunnel stands, what has changed is sealed and sent; nobody has to remember to say so
    new box   the welcome brings what the box before it had sealed; the key, typed here, opens it

What is worth sealing is a `Part` of whoever keeps it: tags, passwords of chargers, the site's own authority.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Protocol

import msgspec

from common import sync
from common.desk import LOCAL_ONLY, Plain, Request
from common.domain import iso
from common.errors import Code, Refused
from common.facts import AuthorizationChanged, Fact
from common.keystore import Keystore
from common.policy import Claims
from common.ports import Clock, Ids
from common.trust import recovery

#: How often is looked whether something has changed that no fact tells of.
LOOK_EVERY_S = 60.0
_DOCUMENT, _INHERITED = "recovery", "inherited"


class Part(Protocol):
    """Secrets of one kind. What `restore` reads was written by `collect`, perhaps of an earlier version."""

    name: str

    def collect(self) -> bytes:
        """All of them. The same bytes as long as nothing has changed."""

    async def restore(self, data: bytes) -> int:
        """Take them over; how many. Raises ValueError when they are unreadable."""


class Document(msgspec.Struct, kw_only=True):
    """What the box keeps of its recovery key, on disk as recovery.json."""

    public: str
    made_ms: int
    number: int = 0  #: of what was sealed last
    digest: str = ""  #: of what is in it


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Recovery:
    """See the module."""

    def __init__(self, store: Keystore, site: Callable[[], str], clock: Clock, ids: Ids) -> None:
        self.parts: list[Part] = []
        self._store = store
        self._site = site
        self._clock = clock
        self._ids = ids
        self._document = store.load(_DOCUMENT, Document)
        self._blob: recovery.Sealed | None = None  #: what was sealed last, in this process
        self._changed = asyncio.Event()
        self._kept = 0  #: the highest number that the cloud has named
        self.requests = {
            "recovery": Request(_Nothing, LOCAL_ONLY, self._told),
            "recovery_new": Request(_Nothing, LOCAL_ONLY, self._new),
            "recovery_restore": Request(_Key, LOCAL_ONLY, self._restore),
        }

    # --- the key -------------------------------------------------------------------------------------------

    def first(self) -> str:
        """The recovery key as people write it down, if there was none yet; else nothing: it is shown once."""
        return "" if self._document is not None else self._make()

    def _make(self) -> str:
        secret = self._ids.token(recovery.SECRET_BYTES)
        number = self._document.number if self._document is not None else 0
        self._keep(Document(public=recovery.public_half(secret), made_ms=self._clock.now_ms(), number=number))
        return recovery.written(secret)

    def _keep(self, document: Document) -> None:
        self._store.save(_DOCUMENT, document)
        self._document = document

    def committed(self, fact: Fact) -> None:
        """Fed by the bus: rights that change are sealed at once."""
        if fact.kind == AuthorizationChanged.KIND:
            self._changed.set()

    # --- sealing -------------------------------------------------------------------------------------------

    def welcomed(self, welcome: sync.TunnelWelcome) -> None:
        """The cloud has said what it keeps, and what a box before this one has left."""
        self._kept = welcome.sealed_number
        mine = self._document.public if self._document is not None else ""
        others = [blob for blob in welcome.sealed if blob.to != mine and blob.site == self._site()]
        if others:
            self._store.save(_INHERITED, others)

    def due(self) -> recovery.Sealed | None:
        """What the cloud should have and has not; None if it has everything, or there is no recovery key."""
        document = self._document
        if document is None:
            return None
        parts = {part.name: part.collect() for part in self.parts}
        digest = sha256(msgspec.msgpack.encode([self._site(), document.public, parts])).hexdigest()
        if digest == document.digest and document.number <= self._kept:
            return None
        if self._blob is None or digest != document.digest or self._blob.number < self._kept:
            number = max(document.number, self._kept) + 1
            self._blob = recovery.seal(
                parts, to=document.public, site=self._site(), number=number, fresh=self._ids.token(32)
            )
            # On disk before it leaves: no number is used for two contents.
            self._keep(msgspec.structs.replace(document, number=number, digest=digest))
        return self._blob

    async def next(self) -> recovery.Sealed:
        """Wait for something that is due; it counts as kept from then on, until a welcome says otherwise."""
        while (blob := self.due()) is None:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._changed.wait()
        self._kept = blob.number
        return blob

    # --- requests ------------------------------------------------------------------------------------------

    async def _told(self, _: _Nothing, __: Claims) -> Plain:
        document = self._document
        waiting = self._store.load(_INHERITED, list[recovery.Sealed]) or []
        return {
            "made_at": iso(document.made_ms) if document is not None else None,
            "kept": bool(document is not None and document.digest and document.number <= self._kept),
            "holds": [part.name for part in self.parts],
            "waiting": len(waiting),
        }

    async def _new(self, _: _Nothing, __: Claims) -> Plain:
        self._changed.set()
        return {"recovery_key": self._make(), "site": self._site()}

    async def _restore(self, args: _Key, _: Claims) -> Plain:
        waiting = self._store.load(_INHERITED, list[recovery.Sealed]) or []
        if not waiting:
            raise Refused(
                Code.BAD_REQUEST,
                "no box before this one has left anything here",
                hint="Take this box in with `plugside-cloud site add NAME CODE --replace` first.",
            )
        secret = recovery.read(args.key)
        public = recovery.public_half(secret)
        sealed = next((blob for blob in waiting if blob.to == public), waiting[0])
        found = recovery.unseal(sealed, secret)
        restored = {}
        for part in self.parts:
            if part.name in found:
                try:
                    restored[part.name] = await part.restore(found[part.name])
                except ValueError as unreadable:
                    raise Refused(Code.BAD_REQUEST, f"what was kept of {part.name}: {unreadable}") from None
        # The drawer holds one key: it goes on to be this site's.
        document = self._document
        number = max(sealed.number, self._kept, document.number if document is not None else 0)
        self._keep(Document(public=public, made_ms=self._clock.now_ms(), number=number))
        self._store.remove(_INHERITED)
        self._changed.set()
        return {"restored": restored}
