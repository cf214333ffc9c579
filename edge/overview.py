"""What an operator's app asks of the box beside the ledger: the site at a glance, its people, its commands.

    sites            this one site, in the row that the cloud tells of each of its own; `fleet` in numbers
    people           drivers, operators and open invites, each with their chargers and tags
    commands         what was asked of the chargers and what became of it
    reconcile        the box's ledger against its own facts: what there is to compare without a cloud
    invite_withdraw  an invite that has brought nobody in yet brings nobody in any more

The cloud answers the same names in the same shapes (`cloud.glance`, `cloud.roster`): one screen serves both.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from common import facts, needs, roster, wire
from common.asked import ANSWERS, command_rows
from common.desk import STAFF, Plain, PrincipalId, Request
from common.domain import iso
from common.errors import Code, Refused
from common.policy import Claims, is_staff
from edge.journal.history import PAGE_MAX
from edge.receipts import Receipts

if TYPE_CHECKING:
    from edge.site import Site

#: What this box runs, as it and its cloud tell it to operators.
SOFTWARE = f"plugside-edge {version('plugside')}"
#: Facts about rights that are gone through, in pages: a site has some for each person in its life.
FACTS_MAX = 20_000


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""


class _Withdraw(msgspec.Struct, forbid_unknown_fields=True):
    principal: PrincipalId


class Overview:
    """See the module. `queries` and `requests` are offered to those who answer them."""

    def __init__(self, site: Site, receipts: Receipts) -> None:
        self._site = site
        self._receipts = receipts
        self._looking = False
        self.queries = {
            "sites": self._sites,
            "fleet": self._fleet,
            "people": self._people,
            "commands": self._commands,
        }
        self.requests = {
            "reconcile": Request(_Nothing, STAFF, self._reconcile),
            "invite_withdraw": Request(_Withdraw, STAFF, self._withdraw),
        }

    # --- the site ------------------------------------------------------------------------------------------

    async def _sites(self, query: wire.Query, claims: Claims) -> wire.Page:
        _staff(claims)
        return wire.Page(id=query.id, rows=(await self._row(),))

    async def _fleet(self, query: wire.Query, claims: Claims) -> wire.Page:
        _staff(claims)
        needing = bool((await self._row())["needs"])
        return wire.Page(id=query.id, rows=({"sites": 1, "online": 1, "needing": int(needing)},))

    async def _row(self) -> Plain:
        site = self._site
        authority, view, clock = site.authority, site.gateway.state.view, site.clock.quality
        flagged, orphans = await self._site.history.matters()
        backlog = site.uplink.cursor.backlog if site.uplink is not None else 0
        return {
            "site": authority.site,
            "name": authority.name,
            "box": authority.edge_id,
            "online": True,
            "seen_at": iso(site.clock.now_ms()),
            "addresses": list(authority.addresses),
            "software": SOFTWARE,
            "zone": "",
            "epoch": view.epoch,
            "last_seq": view.seq,
            "clock": clock,
            "skew_ms": 0,
            "backlog": backlog,
            "needs": needs.of_site(
                view, online=True, clock=clock, backlog=backlog, flagged=flagged, orphans=orphans
            ),
            "chargers": needs.counts(view),
        }

    # --- its people ----------------------------------------------------------------------------------------

    async def _people(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Everybody who joined here, by name; a site has tens of people, so this has one page."""
        _staff(claims)
        known, after = roster.Roster(), 0
        for _ in range(FACTS_MAX // PAGE_MAX):
            page = await self._site.history.audit(
                (facts.AuthorizationChanged.KIND,), after=after, limit=PAGE_MAX
            )
            known.take(page.rows)
            if page.next is None:
                break
            after = page.next
        invites = self._site.authority.invites.open
        names = await self._site.history.names(known.people.keys() | {invite.principal for invite in invites})
        return wire.Page(id=query.id, rows=roster.rows(known.people.values(), invites, names))

    async def _withdraw(self, args: _Withdraw, claims: Claims) -> Plain:  # noqa: ARG002
        if not self._site.authority.invites.withdraw(args.principal):
            raise Refused(Code.BAD_INVITE, "there is no open invite for them")
        return {"principal": args.principal}

    # --- its commands, its ledger --------------------------------------------------------------------------

    async def _commands(self, query: wire.Query, claims: Claims) -> wire.Page:
        """What people asked of the chargers and what became of it, the latest first."""
        _staff(claims)
        page = await self._site.history.latest(
            (facts.CommandAccepted.KIND,), before=place(query.after), limit=query.limit
        )
        asked = [fact.body.command for fact in page.rows if isinstance(fact.body, facts.CommandAccepted)]
        rows = command_rows(page.rows, await self._site.history.about(asked, ANSWERS))
        names = await self._site.history.names({row["principal"] for row in rows if row["principal"]})
        told = tuple(row | {"person": names.get(row["principal"], "")} for row in rows)
        return wire.Page(id=query.id, rows=told, next="" if page.next is None else str(page.next))

    async def _reconcile(self, args: _Nothing, claims: Claims) -> Plain:  # noqa: ARG002
        """The report that the cloud's `reconcile` gives, of what the box alone can compare.

        Raises Refused(busy): somebody is having it looked through; it takes seconds for each year.
        """
        if self._looking:
            raise Refused(Code.BUSY, "the ledger is being looked through for somebody else")
        self._looking = True
        try:
            found = await self._receipts.verify()
        finally:
            self._looking = False
        told: Plain = msgspec.to_builtins(found)
        return {
            "site": self._site.authority.site,
            "name": self._site.authority.name,
            "ok": found.ok,
            "sessions": found.sessions,
            "lost": found.lost,
            "doubled": found.doubled,
            "differing": found.differing,
            "first_difference": told["findings"][0] if found.findings else None,
            "findings": told["findings"],
            "chain_intact": found.chain.intact,
            "quarantined": 0,
            "compared": {
                "with": "the box's facts",
                "statement": "The box's ledger, compared with the facts that it has written down.",
                "chain": told["chain"],
            },
        }


def place(after: str) -> int | None:
    """The seq that a page's `next` names. Raises Refused(bad_request)."""
    if not after:
        return None
    if not (after.isascii() and after.isdigit()) or len(after) > 18:
        raise Refused(Code.BAD_REQUEST, "after is the `next` of the page before")
    return int(after)


def _staff(claims: Claims) -> None:
    if not is_staff(claims):
        raise Refused(Code.NOT_PERMITTED)
