"""Administration of the cloud: sites, invites, reconciliation, forgetting. Asked over the app link.

The table says who may ask for what, with which arguments. Nothing here reaches a charger: that is a command.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from cloud.accounts import Accounts
from cloud.exports import Exports
from cloud.hub import Hub
from cloud.joining import Joining
from cloud.queries import Queries
from cloud.reconciliation import Ask, reconcile
from cloud.store.ports import Store
from cloud.store.rows import SiteRow
from common import desk, wire
from common.desk import (
    HOUR_MS,
    LOCAL_ONLY,
    STAFF,
    InviteArgs,
    Plain,
    PrincipalId,
    Request,
    may_invite,
)
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims

_SiteName = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class _SiteAdd(msgspec.Struct, forbid_unknown_fields=True):
    name: _SiteName
    code: Annotated[str, msgspec.Meta(max_length=2048)]
    replace: bool = False


class _OfSite(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""


class _Export(msgspec.Struct, forbid_unknown_fields=True):
    month: Annotated[str, msgspec.Meta(max_length=16)]
    site: str = ""


class _Zone(msgspec.Struct, forbid_unknown_fields=True):
    zone: Annotated[str, msgspec.Meta(max_length=64)]
    site: str = ""


class _Forget(msgspec.Struct, forbid_unknown_fields=True):
    principal: PrincipalId


class Management:
    """Answers `wire.Manage`."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        joining: Joining,
        hub: Hub,
        queries: Queries,
        exports: Exports,
        ask: Ask,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._joining = joining
        self._hub = hub
        self._queries = queries
        self._exports = exports
        self._ask = ask
        self._table = {
            "site_add": Request(_SiteAdd, LOCAL_ONLY, self._site_add),
            "invite": Request(InviteArgs, STAFF, self._invite),
            "reconcile": Request(_OfSite, STAFF, self._reconcile),
            "export": Request(_Export, STAFF, self._export),
            "site_zone": Request(_Zone, STAFF, self._site_zone),
            "token": Request(_OfSite, LOCAL_ONLY, self._token),
            "forget": Request(_Forget, LOCAL_ONLY, self._forget),
        }

    def offer(self, name: str, request: Request) -> None:
        """One more request, which another part answers."""
        self._table[name] = request

    async def answer(self, message: wire.Manage, claims: Claims) -> wire.Managed:
        """Carry one request out. Raises Refused: bad_request, not_permitted, unknown_site."""
        return await desk.answer(self._table, message, claims)

    async def _site(self, named: str, claims: Claims) -> SiteRow:
        """The site that is meant: for local presence the named one, for all others their own."""
        if claims.role is Role.LOCAL:
            return await self._queries.site(named or claims.site)
        row = await self._queries.site(claims.site)
        if named not in ("", row.id, row.name):
            raise Refused(Code.UNKNOWN_SITE, named)
        return row

    async def _site_add(self, args: _SiteAdd, claims: Claims) -> Plain:
        code = await self._joining.add_site(args.name, args.code, claims.principal, replace=args.replace)
        return {"name": args.name, "box": code.server, "expires_at": iso(code.expires_ms)}

    async def _invite(self, args: InviteArgs, claims: Claims) -> Plain:
        may_invite(claims, args.role, args.caps)
        if args.owner and (claims.role is not Role.LOCAL or args.role is not Role.OPERATOR):
            raise Refused(Code.NOT_PERMITTED, "an owner is an operator whom the cloud itself makes")
        site = await self._site(args.site, claims)
        made = await self._accounts.invite(
            site,
            args.role,
            name=args.name,
            chargers=args.chargers,
            caps=args.caps,
            owner=args.owner,
            life_ms=args.hours * HOUR_MS,
            actor=claims.principal,
        )
        view = await self._hub.view(site.id)
        here = {charger.id for charger in view.chargers.values() if charger.adopted} if view else set()
        # A charger may be put up after its driver is invited; a slip of the pen should be seen all the same.
        made["not_there_yet"] = [charger for charger in args.chargers or () if charger not in here]
        return made

    async def _reconcile(self, args: _OfSite, claims: Claims) -> Plain:
        site = await self._site(args.site, claims)
        told: Plain = msgspec.to_builtins(await reconcile(self._store, site, self._ask))
        return told

    async def _export(self, args: _Export, claims: Claims) -> Plain:
        site = await self._site(args.site, claims)
        told = await self._exports.export(site, args.month)
        if told["closed_now"]:
            await self._accounts.note("month_closed", site=site.id, actor=claims.principal, detail=args.month)
        return told

    async def _site_zone(self, args: _Zone, claims: Claims) -> Plain:
        site = await self._site(args.site, claims)
        told = await self._exports.set_zone(site, args.zone)
        await self._accounts.note("zone_set", site=site.id, actor=claims.principal, detail=args.zone)
        return told

    async def _token(self, args: _OfSite, claims: Claims) -> Plain:
        site = await self._site(args.site, claims)
        reader = Claims(site=site.id, principal=claims.principal, role=Role.OPERATOR)
        told: Plain = msgspec.to_builtins(await self._accounts.issue_token(reader))
        return told

    async def _forget(self, args: _Forget, claims: Claims) -> Plain:
        gone = await self._accounts.forget(args.principal, claims.principal)
        return {"principal": args.principal, "removed": gone}
