"""What a new box needs of tags: the secret behind references, and whose tag is whose (`edge.recovery`)."""

from __future__ import annotations

import msgspec

from common.facts import AuthorizationChanged
from edge.authority import Authority
from edge.gateway import Gateway
from edge.journal import people
from edge.journal.journal import Journal


class _Tag(msgspec.Struct, frozen=True, array_like=True):
    tag: str
    principal: str
    chargers: tuple[str, ...] | None


class _Tags(msgspec.Struct, frozen=True, kw_only=True):
    secret: str  #: with it the references in the ledger stay those of the same tags
    tags: tuple[_Tag, ...]


class TagPart:
    """`edge.recovery.Part`."""

    name = "tags"

    def __init__(self, authority: Authority, gateway: Gateway, journal: Journal) -> None:
        self._authority = authority
        self._gateway = gateway
        self._journal = journal

    def collect(self) -> bytes:
        return msgspec.json.encode(_Tags(secret=self._authority.document.tag_secret, tags=self._assigned()))

    def _assigned(self) -> tuple[_Tag, ...]:
        assigned = []
        for ref, known in sorted(self._gateway.state.tags.items()):
            row = self._journal.recall_tag(ref)
            if row is not None:
                assigned.append(_Tag(row.tag, known.principal, known.chargers))
        return tuple(assigned)

    async def restore(self, data: bytes) -> int:
        found = msgspec.json.decode(data, type=_Tags)
        here = self._assigned()
        # First what hung on the secret that goes: no reference of it would mean a tag any more.
        for tag in here:
            await self._withdraw(tag)
        self._authority.document.take_tag_secret(found.secret)
        # Whoever has assigned a tag at the new box meanwhile meant it.
        for tag in (*found.tags, *here):
            await self._assign(tag)
        return len(found.tags)

    async def _withdraw(self, tag: _Tag) -> None:
        ref = self._authority.document.tag_ref(tag.tag)
        body = AuthorizationChanged(principal=tag.principal, change="tag_removed", tag_ref=ref)
        await self._gateway.written(body)
        await self._journal.submit(lambda db: people.remove_tag(db, ref))

    async def _assign(self, tag: _Tag) -> None:
        ref = self._authority.document.tag_ref(tag.tag)
        await self._journal.submit(lambda db: people.put_tag(db, ref, tag.tag, tag.principal))
        body = AuthorizationChanged(
            principal=tag.principal, change="tag_assigned", tag_ref=ref, chargers=tag.chargers
        )
        await self._gateway.written(body)
