"""Many sites at once, for whoever looks after them: which there are, which needs a person first (design §12).

    sites    those at which the asking key has a staff's right, worst first, in pages
    fleet    the same in three numbers
    access   the grant for one of them, for the same key: a link need not carry hundreds
    entrust  a person's right at one site, at others too: only who stands in front of the cloud gives that

What a site needs is `common.needs`' rule, on the views that the hub has and a few numbers from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from cloud.accounts import Accounts
from cloud.hub import Hub
from cloud.store.ports import Store
from cloud.store.rows import Matters, SiteRow
from common import needs, wire
from common.desk import LOCAL_ONLY, STAFF, Plain, PrincipalId, Request
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims, is_staff
from common.ports import Clock

#: Sites of one page.
PAGE_MAX = 500
#: For so long the numbers of a site's ledger are not counted again: they take a walk over its sessions.
COUNTED_MS = 15_000
_SEARCH_CHARS_MAX = 80
_SiteName = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class _Access(msgspec.Struct, forbid_unknown_fields=True):
    site: _SiteName


class _Entrust(msgspec.Struct, forbid_unknown_fields=True):
    """sites: by name or id; None = every site that there is now."""

    principal: PrincipalId
    sites: tuple[_SiteName, ...] | None = None


class Glance:
    """See the module. `queries` and `requests` are offered to those who answer them."""

    def __init__(self, store: Store, accounts: Accounts, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._hub = hub
        self._clock = clock
        self._counted: dict[str, tuple[int, Matters]] = {}  # site → when, what
        self.queries = {"sites": self._sites, "fleet": self._fleet}
        self.requests = {
            "access": Request(_Access, STAFF - {Role.LOCAL}, self._access),
            "entrust": Request(_Entrust, LOCAL_ONLY, self._entrust),
        }

    # --- reading -------------------------------------------------------------------------------------------

    async def _sites(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Sites, worst first; `search`: by name or id; `needing`: only those that need somebody."""
        search = query.args.get("search", "")
        if not isinstance(search, str) or len(search) > _SEARCH_CHARS_MAX:
            raise Refused(Code.BAD_REQUEST, f"search is a text of at most {_SEARCH_CHARS_MAX} characters")
        if not 1 <= query.limit <= PAGE_MAX:
            raise Refused(Code.BAD_REQUEST, f"a page has 1 to {PAGE_MAX} rows")
        first = _offset(query.after)
        rows = [row for row in await self._rows(claims) if needs.matches(row, search)]
        if query.args.get("needing", False) is True:
            rows = [row for row in rows if row["needs"]]
        rows.sort(key=needs.worst_first)
        page = rows[first : first + query.limit]
        for row in page:
            row["chargers"] = needs.counts(await self._hub.view(row["site"]))
        more = str(first + query.limit) if len(rows) > first + query.limit else ""
        return wire.Page(id=query.id, rows=tuple(page), next=more)

    async def _fleet(self, query: wire.Query, claims: Claims) -> wire.Page:
        """How many sites there are, are connected, need somebody."""
        rows = await self._rows(claims)
        told = {
            "sites": len(rows),
            "online": sum(row["online"] for row in rows),
            "needing": sum(bool(row["needs"]) for row in rows),
        }
        return wire.Page(id=query.id, rows=(told,))

    async def _rows(self, claims: Claims) -> list[Plain]:
        if not is_staff(claims):
            raise Refused(Code.NOT_PERMITTED)
        local = claims.role is Role.LOCAL
        sites = await (self._store.sites() if local else self._store.sites_run_by(claims.key))
        names = [site.id for site in sites]
        marks = await self._store.marks(names)
        matters = await self._matters(names)
        return [self._row(site, marks.get(site.id, 0), matters[site.id]) for site in sites]

    async def _matters(self, sites: Sequence[str]) -> dict[str, Matters]:
        """What waits in each site's ledger, counted lately."""
        now_ms = self._clock.mono_ms()
        old = [
            site
            for site in sites
            if site not in self._counted or now_ms - self._counted[site][0] > COUNTED_MS
        ]
        if old:
            found = await self._store.matters(old)
            self._counted |= {site: (now_ms, found.get(site, Matters())) for site in old}
        return {site: self._counted[site][1] for site in sites}

    def _row(self, site: SiteRow, mark: int, matters: Matters) -> Plain:
        online = bool(self._hub.link(site.id))
        view = self._hub.present(site.id)
        last = max(site.hello.last_seq, view.seq if view is not None and view.epoch == site.epoch else 0)
        backlog = max(0, last - mark)
        skew_ms = self._hub.skew_ms(site.id)
        return {
            "site": site.id,
            "name": site.name,
            "box": site.box,
            "online": online,
            "seen_at": iso(site.seen_ms) if site.seen_ms else "",
            "addresses": list(site.hello.addresses),
            "software": site.hello.software,
            "zone": site.zone,
            "epoch": site.epoch,
            "last_seq": last,
            "clock": site.hello.clock,
            "skew_ms": skew_ms,
            "backlog": backlog,
            "needs": needs.of_site(
                view,
                online=online,
                clock="",  # what it said at its hello may be settled since; the skew is seen from here
                skew_ms=skew_ms,
                backlog=backlog,
                flagged=matters.flagged,
                orphans=matters.orphans,
            ),
        }

    # --- rights --------------------------------------------------------------------------------------------

    async def _access(self, args: _Access, claims: Claims) -> Plain:
        """The grant of this key for a site. Another site's existence is nobody's business."""
        site = await self._store.site(args.site)
        device = await self._store.device(site.id, claims.key) if site is not None else None
        if site is None or device is None:
            raise Refused(Code.UNKNOWN_SITE, args.site)
        theirs = msgspec.structs.replace(claims, site=site.id, principal=device.principal)
        told: Plain = msgspec.to_builtins(await self._accounts.renew(theirs))
        return told

    async def _entrust(self, args: _Entrust, claims: Claims) -> Plain:
        there = {site.id: site for site in await self._store.sites()}
        wanted = list(there)
        if args.sites is not None:
            known = [await self._store.site(name) for name in args.sites]
            missing = [name for name, row in zip(args.sites, known, strict=True) if row is None]
            if missing:
                raise Refused(Code.UNKNOWN_SITE, missing[0])
            wanted = [row.id for row in known if row is not None]
        added = await self._store.entrust(args.principal, wanted, self._clock.now_ms())
        await self._accounts.note(
            "entrust", actor=claims.principal, detail=f"{args.principal}, rights added: {added}"
        )
        return {"principal": args.principal, "sites": len(wanted), "added": added}


def _offset(after: str) -> int:
    if not after:
        return 0
    if not (after.isascii() and after.isdigit()) or len(after) > 6:
        raise Refused(Code.BAD_REQUEST, "after is the `next` of the page before")
    return int(after)
