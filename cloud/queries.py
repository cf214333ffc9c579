"""Queries: what is not live, answered from the store by the same policy as at the box, in the same shapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from cloud.exports import Exports
from cloud.hub import Hub
from cloud.store.ports import Store
from cloud.store.rows import FactRow, MeterRow, Page, SessionRow, SiteRow
from common import facts, review, wire
from common.asked import ANSWERS, AUDIT_KINDS, command_rows
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims, is_staff, visible
from common.sought import ALL, Sought, sought

Plain = dict[str, Any]
Handler = Callable[[wire.Query, Claims], Awaitable[wire.Page]]
#: Rows of one page.
PAGE_MAX = 500
_NOT_TOLD = ("tag_ref", "stopped_by")


class Queries:
    """Answers `wire.Query`. `health` tells of the running process; `ask` a site's box what only it knows."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        exports: Exports,
        health: Callable[[], Plain],
        ask: Callable[..., Awaitable[list[Any]]],
    ) -> None:
        self._store = store
        self._exports = exports
        self._ask = ask
        self._hub = hub
        self._health = health
        self._table: dict[str, Handler] = {
            "sessions": self._sessions,
            "session": self._session,
            "meter": self._meter,
            "receipt": self._receipt,
            "allowance": self._allowance,
            "audit": self._audit,
            "orphans": self._orphans,
            "charge_lines": self._charge_lines,
            "commands": self._commands,
            "chargers": self._of_box,
            "dials": self._of_box,
            "devices": self._devices,
            "acts": self._acts,
            "health": self._tell_health,
        }

    def offer(self, handlers: Mapping[str, Handler]) -> None:
        """More questions, which another part answers."""
        self._table.update(handlers)

    async def answer(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One page. Raises Refused: bad_request (no such query), not_permitted, unknown_session."""
        handler = self._table.get(query.what)
        if handler is None:
            raise Refused(Code.BAD_REQUEST, f"there is no query {query.what!r}")
        if claims.role is Role.LOCAL and claims.site:
            claims = msgspec.structs.replace(claims, site=(await self.site(claims.site)).id)
        return await handler(query, claims)

    async def _allowance(self, query: wire.Query, claims: Claims) -> wire.Page:
        """How much the asker's right is for, and what of it is left: the box counts."""
        caps = msgspec.to_builtins(claims.caps)
        rows = await self._ask(claims.site, "allowance", principal=claims.principal, caps=caps)
        return _page(query, rows)

    async def site(self, name_or_id: str) -> SiteRow:
        """A site by its name or id. Raises Refused(unknown_site)."""
        row = await self._store.site(name_or_id) if name_or_id else None
        if row is None:
            raise Refused(Code.UNKNOWN_SITE, name_or_id or "name one")
        return row

    async def sessions(self, claims: Claims, *, after: str, limit: int, wanted: Sought = ALL) -> Page[Plain]:
        """Sessions as people see them, newest first; with names for staff, who gave them.

        A page of those that are flagged may be short.
        """
        page = await self._store.sessions(claims, after=after, limit=limit, sought=wanted)
        if wanted.flagged:
            page = Page(rows=tuple(row for row in page.rows if _attention(row)), next=page.next)
        names: dict[str, str] = {}
        if is_staff(claims):
            names = await self._store.names({row.principal for row in page.rows if row.principal})
        return Page(rows=tuple(session_row(row, names) for row in page.rows), next=page.next)

    async def _sessions(self, query: wire.Query, claims: Claims) -> wire.Page:
        wanted = sought(query.args)
        if query.args.get("own", False) is True:
            wanted = msgspec.structs.replace(wanted, principal=claims.principal)
        page = await self.sessions(claims, after=query.after, limit=query.limit, wanted=wanted)
        return wire.Page(id=query.id, rows=page.rows, next=page.next)

    async def _session(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One session's whole story: its facts in order."""
        session = await self._own(query, claims)
        page = await self._store.story(claims, session, after=query.after, limit=query.limit)
        return _page(query, [_fact_row(row, claims) for row in page.rows], page.next)

    async def _meter(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One session's samples, oldest first."""
        session = await self._own(query, claims)
        page = await self._store.samples(claims, session, after=query.after, limit=query.limit)
        return _page(query, [_meter_row(row) for row in page.rows], page.next)

    async def _receipt(self, query: wire.Query, claims: Claims) -> wire.Page:
        """A session's receipt, which only its box can sign. Raises Unavailable(site_offline) without it."""
        session = await self._own(query, claims)
        return _page(query, await self._ask(claims.site, "receipt", session=session))

    async def _own(self, query: wire.Query, claims: Claims) -> str:
        session = query.args.get("session")
        if not isinstance(session, str):
            raise Refused(Code.BAD_REQUEST, "session is a text")
        if await self._store.session(claims, session) is None:
            raise Refused(Code.UNKNOWN_SESSION)
        return session

    async def _audit(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Who did what, newest first; of some kinds, if they are named."""
        _staff(claims)
        kinds = query.args.get("kinds", [])
        if not isinstance(kinds, list) or not all(kind in AUDIT_KINDS for kind in kinds):
            raise Refused(Code.BAD_REQUEST, "kinds is a list of names of what the audit holds")
        page = await self._store.audit(claims, kinds, after=query.after, limit=query.limit)
        return _page(query, [_fact_row(row, claims) for row in page.rows], page.next)

    async def _charge_lines(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What is billed for a closed month: all of it for staff, a driver's own lines for the driver."""
        if not 1 <= query.limit <= PAGE_MAX:
            raise Refused(Code.BAD_REQUEST, f"a page has 1 to {PAGE_MAX} rows")
        month = query.args.get("month")
        if not isinstance(month, str):
            raise Refused(Code.BAD_REQUEST, "month is a text")
        page = await self._exports.lines(claims, month, after=query.after, limit=query.limit)
        return wire.Page(id=query.id, rows=page.rows, next=page.next)

    async def _orphans(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What fits no session, the latest first; `all`: also what was decided on. A page may be short."""
        _staff(claims)
        page, told, later = await self._with_later(
            query, claims, (facts.OrphanRecorded.KIND,), (facts.OrphanResolved.KIND,)
        )
        decided = {
            fact.body.orphan: fact.body for fact in later if isinstance(fact.body, facts.OrphanResolved)
        }
        rows = [review.orphan_row(fact.body, fact.at, decided) for fact in told]
        everything = query.args.get("all", False) is True
        return _page(query, [row for row in rows if everything or "decision" not in row], page.next)

    async def _commands(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What people asked of the chargers and what became of it, the latest first."""
        _staff(claims)
        page, told, later = await self._with_later(query, claims, (facts.CommandAccepted.KIND,), ANSWERS)
        rows = command_rows(told, later)
        names = await self._store.names({row["principal"] for row in rows if row["principal"]})
        return _page(query, [row | {"person": names.get(row["principal"], "")} for row in rows], page.next)

    async def _with_later(
        self, query: wire.Query, claims: Claims, kinds: Sequence[str], answers: Sequence[str]
    ) -> tuple[Page[FactRow], list[facts.Fact], list[facts.Fact]]:
        """A page of facts, the latest first, and those from the earliest of them on that answer them."""
        page = await self._store.audit(claims, kinds, after=query.after, limit=query.limit)
        told = [facts.read(row.epoch, row.seq, bytes(row.record)) for row in page.rows]
        if not told:
            return page, [], []
        # An answer is younger than what it is about.
        later = await self._store.told_since(claims.site, answers, since=told[-1].at)
        return page, told, [facts.read(row.epoch, row.seq, bytes(row.record)) for row in later.rows]

    async def _of_box(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What only the site's box knows now. Raises Unavailable(site_offline) without it."""
        _staff(claims)
        return _page(query, await self._ask(claims.site, query.what))

    async def _devices(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Keys with rights at the site, and whose they are."""
        _staff(claims)
        rows = await self._store.devices(claims.site)
        names = await self._store.names({row.principal for row in rows})
        told: list[Plain] = [
            msgspec.to_builtins(row) | {"name": names.get(row.principal, ""), "added_at": iso(row.added_ms)}
            for row in rows
        ]
        return _page(query, told)

    async def _acts(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What this cloud did, newest first: at a site for its staff, all of it at its own socket."""
        _staff(claims)
        page = await self._store.acts(site=claims.site, after=query.after, limit=query.limit)
        return _page(
            query, [msgspec.to_builtins(row) | {"at": iso(row.at_ms)} for row in page.rows], page.next
        )

    async def _tell_health(self, query: wire.Query, claims: Claims) -> wire.Page:
        _local(claims)
        return _page(query, [self._health()])


def session_row(row: SessionRow, names: dict[str, str]) -> Plain:
    """A session as people and programs see it: every field, whether it is known or not."""
    told: Plain = msgspec.structs.asdict(row)
    for inner in _NOT_TOLD:
        del told[inner]
    told["method"] = row.method.value
    told["flags"] = list(row.flags)
    told["ended"] = bool(row.ended_at)
    told["state"] = _state(row)
    told["attention"] = _attention(row)
    if row.principal in names:
        told["name"] = names[row.principal]
    return told


def _attention(row: SessionRow) -> list[str]:
    ended = bool(row.ended_at)
    return review.attention(row.flags, row.method, ended=ended, provisional=row.provisional)


def _state(row: SessionRow) -> str:
    """open | provisional | ended | revised."""
    if not row.ended_at:
        return "open"
    if row.provisional:
        return "provisional"
    return "revised" if row.revision else "ended"


def _fact_row(row: FactRow, claims: Claims) -> Plain | None:
    fact = facts.read(row.epoch, row.seq, bytes(row.record))
    if not visible(claims, fact.body):
        return None
    return {
        "seq": fact.seq,
        "epoch": fact.epoch,
        "kind": fact.kind,
        "at": fact.at,
        "clock": fact.clock,
        "body": msgspec.to_builtins(fact.body),
    }


def _meter_row(row: MeterRow) -> Plain:
    told: Plain = msgspec.to_builtins(row)
    return told


def _page(query: wire.Query, rows: list[Any], following: str = "") -> wire.Page:
    return wire.Page(id=query.id, rows=tuple(row for row in rows if row is not None), next=following)


def _staff(claims: Claims) -> None:
    if not is_staff(claims):
        raise Refused(Code.NOT_PERMITTED)


def _local(claims: Claims) -> None:
    if claims.role is not Role.LOCAL:
        raise Refused(Code.NOT_PERMITTED)
