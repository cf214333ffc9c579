"""Raw tags: seen at chargers, typed by operators, sent to chargers for their local lists. Facts hold their
references.

A tag that nobody has is remembered when the core told of it ("tag just tapped"), so that an operator can give
it to somebody by its reference, on site or through the cloud, without ever having its text. What nobody took
is erased after a week, or when later ones have pushed it out.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec

from common.desk import STAFF, ChargerId, Plain, PrincipalId, Request
from common.domain import iso
from common.errors import Code, Refused
from common.facts import AuthorizationChanged, Fact
from common.policy import Claims
from common.ports import Clock
from edge.authority import Authority
from edge.gateway import Gateway
from edge.journal import people
from edge.journal.journal import Journal

log = logging.getLogger("plugside.tags")

#: Tags shown lately that may yet turn out to be nobody's: a moment's work for the core.
SEEN_MAX = 256
#: How long an unassigned tag's text is kept: until the operator who was told of it has had a weekend.
KEPT_MS = 7 * 24 * 3_600_000
#: OCPP 1.6 idTag: 20 characters; some chargers send 22 (quirk 65), 2.x allows 36.
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=36, pattern=r"\S")]


class _Tagged(msgspec.Struct, forbid_unknown_fields=True):
    tag: _Tag
    principal: PrincipalId
    chargers: tuple[ChargerId, ...] | None = None


class _Untagged(msgspec.Struct, forbid_unknown_fields=True):
    tag: _Tag


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Tags:
    """See the module. `ref` and `raw` are for dialects; `committed` is fed by the bus."""

    def __init__(
        self,
        authority: Authority,
        gateway: Gateway,
        journal: Journal,
        clock: Clock,
        spawn: Callable[[str, Coroutine[Any, Any, None]], object],
    ) -> None:
        self._authority = authority
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._spawn = spawn
        self._seen: OrderedDict[str, str] = OrderedDict()
        self.requests = {
            "tag_assign": Request(_Tagged, STAFF, self._assign),
            "tag_remove": Request(_Untagged, STAFF, self._remove),
            "tags": Request(_Nothing, STAFF, self._list),
        }

    # --- for dialects --------------------------------------------------------------------------------------

    def ref(self, tag: str) -> str:
        """A tag's reference. Remembers the tag for a moment."""
        made = self._authority.document.tag_ref(tag)
        self._seen[made] = tag
        self._seen.move_to_end(made)
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return made

    def raw(self, ref: str) -> str | None:
        """The tag behind a reference, for the charger that is to know it."""
        row = self._journal.recall_tag(ref)
        return row.tag if row is not None else None

    # --- what the core decided -----------------------------------------------------------------------------

    def committed(self, fact: Fact) -> None:
        """Bring the table of raw tags up to a fact."""
        body = fact.body
        if not isinstance(body, AuthorizationChanged) or not body.tag_ref:
            return
        tag = self._seen.get(body.tag_ref)
        if body.change in ("unknown_tag", "tag_assigned"):
            self._spawn("tag", self._keep(body.tag_ref, tag, body.principal))
        elif body.change == "tag_removed":
            self._spawn("tag", self._forget(body.tag_ref))

    async def _keep(self, ref: str, tag: str | None, principal: str | None) -> None:
        row = self._journal.recall_tag(ref)
        text = row.tag if row is not None else tag
        if text is not None:
            await self._journal.submit(lambda db: people.put_tag(db, ref, text, principal))
        if principal is None:
            late_ms = self._clock.now_ms() - KEPT_MS
            told = [ref for ref, at_ms in self._gateway.state.unknown_tags.items() if at_ms > late_ms]
            await self._journal.submit(lambda db: people.keep_unassigned(db, told))

    async def _forget(self, ref: str) -> None:
        await self._journal.submit(lambda db: people.remove_tag(db, ref))

    # --- requests ------------------------------------------------------------------------------------------

    async def _assign(self, args: _Tagged, _: Claims) -> Plain:
        ref = self._authority.document.tag_ref(args.tag)
        await self._journal.submit(lambda db: people.put_tag(db, ref, args.tag, args.principal))
        await self._gateway.written(
            AuthorizationChanged(
                principal=args.principal, change="tag_assigned", tag_ref=ref, chargers=args.chargers
            )
        )
        return {"tag_ref": ref, "principal": args.principal}

    async def _remove(self, args: _Untagged, _: Claims) -> Plain:
        ref = self._authority.document.tag_ref(args.tag)
        known = self._journal.recall_tag(ref)
        if known is None:
            raise Refused(
                Code.BAD_REQUEST,
                "that tag is not known here",
                hint="`plugside-edge tags list` shows how each known one ends.",
            )
        # The fact first: a tag without a row is unknown, a row without the right is only a leftover.
        body = AuthorizationChanged(principal=known.principal, change="tag_removed", tag_ref=ref)
        await self._gateway.written(body)
        await self._forget(ref)
        return {"tag_ref": ref}

    async def _list(self, _: _Nothing, __: Claims) -> Plain:
        """Whose tags are whose, and which were tapped and are nobody's. Of a raw tag the end is told."""
        state = self._gateway.state
        assigned = [
            {
                "tag_ref": ref,
                "tag": self._end_of(ref),
                "principal": tag.principal,
                "chargers": None if tag.chargers is None else list(tag.chargers),
            }
            for ref, tag in state.tags.items()
        ]
        tapped = [
            {"tag_ref": ref, "tag": self._end_of(ref), "charger": tap.charger, "at": tap.at}
            for ref, tap in reversed(state.view.taps.items())
        ]
        lists = [
            {
                "charger": charger,
                "answer": station.tuning.listing.answer,
                "entries": station.tuning.listing.entries,
            }
            for charger, station in state.stations.items()
            if station.tuning.listing.answer
        ]
        return {
            "assigned": assigned,
            "tapped": tapped,
            "policy": state.offline_policy or "none",
            "revision": state.offline_revision,
            "lists": lists,
            "at": iso(self._clock.now_ms()),
        }

    def _end_of(self, ref: str) -> str:
        raw = self.raw(ref)
        return f"…{raw[-4:]}" if raw is not None and len(raw) > 4 else "…"
