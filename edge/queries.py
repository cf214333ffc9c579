"""Queries: what is not live (history, audit, health), answered from the journal by the same policy.

One place for the LAN, the local socket and the cloud's questions, so that each sees by the same rule.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from common import wire
from common.asked import AUDIT_KINDS
from common.caps import Caps, Used
from common.desk import allowance_row
from common.domain import Role
from common.errors import Code, Refused
from common.facts import Fact
from common.policy import Claims, is_staff, visible
from common.reconcile import ledger_page
from common.review import attention, orphan_row
from common.sought import sought
from edge.journal.history import ORDERS, PAGE_MAX, History
from edge.journal.rows import SessionRow
from edge.overview import place
from edge.receipts import Receipts

Plain = dict[str, Any]
Handler = Callable[[wire.Query, Claims], Awaitable[wire.Page]]
#: Kinds that one question may name; there are some thirty.
_KINDS_MAX = 64


class Queries:
    """Answers `wire.Query` for any transport. `health`, `chargers`, `dials` tell of the running process."""

    def __init__(
        self,
        history: History,
        health: Callable[[], Plain],
        chargers: Callable[[], Iterable[Plain]],
        dials: Callable[[], Iterable[Plain]] = tuple,
        *,
        receipts: Receipts | None = None,
        used: Callable[[str, Caps], tuple[Used, int]] | None = None,
    ) -> None:
        """used: what a principal has had in the period of these caps, and since when that runs."""
        self._history = history
        self._health = health
        self._chargers = chargers
        self._dials = dials
        self._receipts = receipts
        self._used = used
        self._table: dict[str, Handler] = {
            "sessions": self._sessions,
            "session": self._session,
            "meter": self._meter,
            "receipt": self._receipt,
            "allowance": self._allowance,
            "audit": self._audit,
            "ledger": self._ledger,
            "orphans": self._orphans,
            "counts": self._counts,
            "verify": self._verify,
            "health": self._health_page,
            "chargers": self._charger_page,
            "dials": self._dial_page,
        }

    def offer(self, handlers: Mapping[str, Handler]) -> None:
        """More questions, which another part answers."""
        self._table.update(handlers)

    async def answer(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One page. Raises Refused: bad_request (query, limit), not_permitted, unknown_session."""
        handler = self._table.get(query.what)
        if handler is None:
            raise Refused(Code.BAD_REQUEST, f"there is no query {query.what!r}")
        if not 1 <= query.limit <= PAGE_MAX:
            raise Refused(Code.BAD_REQUEST, f"a page has 1 to {PAGE_MAX} rows")
        return await handler(query, claims)

    async def _sessions(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Sessions, the latest first: one's own, or the site's for its staff, with names (`own`: their own,
        too). A page of those that are flagged may be short."""
        staff, wanted = is_staff(claims), sought(query.args)
        if not staff or query.args.get("own", False) is True:
            wanted = msgspec.structs.replace(wanted, principal=claims.principal)
        page = await self._history.sessions(wanted=wanted, before=_cursor(query), limit=query.limit)
        rows = [_session_row(row) for row in page.rows]
        if staff:
            names = await self._history.names({row.principal for row in page.rows if row.principal})
            rows = [row | _named(names, row["principal"]) for row in rows]
        return _page(query, [row for row in rows if row["attention"] or not wanted.flagged], page.next)

    async def _orphans(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What fits no session, the latest first; `all`: also what was decided on. A page may be short."""
        _staff(claims)
        everything = query.args.get("all", False) is True
        page = await self._history.orphans(before=_cursor(query), limit=query.limit)
        decided = {body.orphan: body for _, body in page.rows if body is not None}
        rows = [orphan_row(fact.body, fact.at, decided) for fact, _ in page.rows]
        return _page(query, [row for row in rows if everything or "decision" not in row], page.next)

    async def _session(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One session's whole story: its facts in order."""
        row = await self._own_session(query, claims)
        page = await self._history.session(row.session, after=_cursor(query) or 0, limit=query.limit)
        return _page(query, (_fact_row(f) for f in page.rows if visible(claims, f.body)), page.next)

    async def _meter(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One session's samples in order of arrival."""
        row = await self._own_session(query, claims)
        page = await self._history.series(row.session, after=_cursor(query) or 0, limit=query.limit)
        return _page(query, (msgspec.to_builtins(sample) for sample in page.rows), page.next)

    async def _receipt(self, query: wire.Query, claims: Claims) -> wire.Page:
        """One ended session's records under the box's signature."""
        row = await self._own_session(query, claims)
        if self._receipts is None:
            raise Refused(Code.BAD_REQUEST, "this box signs no receipts")
        if not row.ended:
            raise Refused(
                Code.BAD_REQUEST, "that charge is still going on", hint="Ask again when it has ended."
            )
        return _page(query, [msgspec.to_builtins(await self._receipts.make(row.session))], None)

    async def _allowance(self, query: wire.Query, claims: Claims) -> wire.Page:
        """How much the asker's right is for, and what of it is left. The cloud asks for others."""
        if claims.role is Role.LOCAL and "principal" in query.args:
            try:
                caps = msgspec.convert(query.args.get("caps"), Caps | None)
            except msgspec.ValidationError as wrong:
                raise Refused(Code.BAD_REQUEST, str(wrong)) from None
            principal = _text(query, "principal") or ""
            claims = msgspec.structs.replace(claims, principal=principal, caps=caps)
        used, since_ms = Used(), None
        if claims.caps is not None and self._used is not None:
            used, since_ms = self._used(claims.principal, claims.caps)
        return _page(query, [allowance_row(claims, used, since_ms)], None)

    async def _own_session(self, query: wire.Query, claims: Claims) -> SessionRow:
        row = await self._history.session_row(_text(query, "session") or "")
        # Somebody else's session is answered as if it did not exist.
        if row is None or not (is_staff(claims) or row.principal == claims.principal):
            raise Refused(Code.UNKNOWN_SESSION)
        return row

    async def _audit(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Facts in order, by kind if named; `latest`: who did what, the latest first, as at the cloud."""
        _staff(claims)
        kinds = query.args.get("kinds", [])
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise Refused(Code.BAD_REQUEST, "kinds is a list of names")
        if len(kinds) > _KINDS_MAX:
            raise Refused(Code.BAD_REQUEST, f"at most {_KINDS_MAX} kinds")
        if query.args.get("latest", False) is True:
            page = await self._history.latest(kinds or AUDIT_KINDS, before=_cursor(query), limit=query.limit)
            return _page(query, (_fact_row(fact) for fact in page.rows), page.next)
        page = await self._history.audit(kinds, after=_cursor(query) or 0, limit=query.limit)
        return _page(query, (_fact_row(fact) for fact in page.rows), page.next)

    async def _ledger(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What reconciliation compares: every session with what a bill would depend on.

        `order`: session (by uid) or place (charger, evse, connector, start), as two sides are walked through.
        """
        _staff(claims)
        order = _text(query, "order") or "session"
        if order not in ORDERS:
            raise Refused(Code.BAD_REQUEST, f"order is one of {', '.join(ORDERS)}")
        page = await self._history.ledger(order, after=query.after, limit=query.limit)
        return wire.Page(id=query.id, rows=ledger_page(page.rows), next=page.next or "")

    async def _counts(self, query: wire.Query, claims: Claims) -> wire.Page:
        """The ledger in numbers."""
        _staff(claims)
        return _page(query, [msgspec.to_builtins(await self._history.counts())], None)

    async def _verify(self, query: wire.Query, claims: Claims) -> wire.Page:
        """The whole journal looked through: chain, sums, registers. Takes seconds for each year."""
        if claims.role is not Role.LOCAL or self._receipts is None:
            raise Refused(Code.NOT_PERMITTED)
        return _page(query, [msgspec.to_builtins(await self._receipts.verify())], None)

    async def _health_page(self, query: wire.Query, claims: Claims) -> wire.Page:
        """How the box's parts are."""
        _staff(claims)
        return _page(query, [self._health()], None)

    async def _charger_page(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Every charger with its connection, and who waits to be adopted."""
        _staff(claims)
        return _page(query, self._chargers(), None)

    async def _dial_page(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Whom the chargers' door turned away, and why."""
        _staff(claims)
        return _page(query, self._dials(), None)


def _staff(claims: Claims) -> None:
    if not is_staff(claims):
        raise Refused(Code.NOT_PERMITTED)


def _text(query: wire.Query, name: str) -> str | None:
    value = query.args.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(Code.BAD_REQUEST, f"{name} is a text")
    return value


def _cursor(query: wire.Query) -> int | None:
    return place(query.after)


def _page(query: wire.Query, rows: Iterable[Any], following: int | None) -> wire.Page:
    return wire.Page(id=query.id, rows=tuple(rows), next="" if following is None else str(following))


def _session_row(row: SessionRow) -> Plain:
    found = attention(row.flags, row.method, ended=row.ended, provisional=row.provisional)
    told: Plain = msgspec.to_builtins(row) | {"state": row.state, "attention": found}
    for inner in ("key", "boot", "started_seq", "ended_seq", "last_seq", "tag_ref"):
        told.pop(inner, None)
    return told


def _named(names: Mapping[str, str], principal: str | None) -> Plain:
    return {"name": names[principal]} if principal is not None and principal in names else {}


def _fact_row(fact: Fact) -> Plain:
    return {
        "seq": fact.seq,
        "epoch": fact.epoch,
        "kind": fact.kind,
        "at": fact.at,
        "clock": fact.clock,
        "body": msgspec.to_builtins(fact.body),
    }
