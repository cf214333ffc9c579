"""Administration of the cloud: sites, invites, reconciliation, forgetting. Asked over the app link.

The table says who may ask for what, with which arguments. Nothing here reaches a charger: that is a command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec

from cloud.accounts import Accounts
from cloud.hub import Hub
from cloud.queries import Queries
from cloud.reconciliation import Ask, reconcile
from cloud.store.ports import Store
from cloud.store.rows import SiteRow
from common import wire
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims
from common.trust.invites import INVITE_LIFE_MS

_Name = Annotated[str, msgspec.Meta(max_length=80)]
_SiteName = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_Charger = Annotated[str, msgspec.Meta(min_length=1, max_length=48)]
_Principal = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_HOUR_MS = 3_600_000


class _SiteAdd(msgspec.Struct, forbid_unknown_fields=True):
    name: _SiteName
    code: Annotated[str, msgspec.Meta(max_length=2048)]


class _Invite(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""
    role: Role = Role.DRIVER
    chargers: tuple[_Charger, ...] | None = None
    name: _Name = ""
    hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 30)] = INVITE_LIFE_MS // _HOUR_MS


class _OfSite(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""


class _Forget(msgspec.Struct, forbid_unknown_fields=True):
    principal: _Principal


Plain = dict[str, Any]
_LOCAL = frozenset({Role.LOCAL})
_STAFF = frozenset({Role.LOCAL, Role.INSTALLER, Role.OPERATOR})
#: Whom each role may invite: nobody makes somebody mightier than themselves.
_MAY_INVITE = {
    Role.LOCAL: {Role.DRIVER, Role.OPERATOR},
    Role.INSTALLER: {Role.DRIVER, Role.OPERATOR},
    Role.OPERATOR: {Role.DRIVER},
}


class Management:
    """Answers `wire.Manage`."""

    def __init__(self, store: Store, accounts: Accounts, hub: Hub, queries: Queries, ask: Ask) -> None:
        self._store = store
        self._accounts = accounts
        self._hub = hub
        self._queries = queries
        self._ask = ask
        self._table: dict[str, tuple[type, frozenset[Role], Callable[[Any, Claims], Awaitable[Plain]]]] = {
            "site_add": (_SiteAdd, _LOCAL, self._site_add),
            "invite": (_Invite, _STAFF, self._invite),
            "reconcile": (_OfSite, _STAFF, self._reconcile),
            "token": (_OfSite, _LOCAL, self._token),
            "forget": (_Forget, _LOCAL, self._forget),
        }

    async def answer(self, message: wire.Manage, claims: Claims) -> wire.Managed:
        """Carry one request out. Raises Refused: bad_request, not_permitted, unknown_site."""
        known = self._table.get(message.name)
        if known is None:
            raise Refused(Code.BAD_REQUEST, f"there is no {message.name!r} here")
        shape, roles, handler = known
        if claims.role not in roles:
            raise Refused(Code.NOT_PERMITTED)
        try:
            args: Any = msgspec.convert(message.args, shape)
        except msgspec.ValidationError as wrong:
            raise Refused(Code.BAD_REQUEST, str(wrong)) from None
        return wire.Managed(id=message.id, result=await handler(args, claims))

    async def _site(self, named: str, claims: Claims) -> SiteRow:
        """The site that is meant: for local presence the named one, for all others their own."""
        if claims.role is Role.LOCAL:
            return await self._queries.site(named or claims.site)
        row = await self._queries.site(claims.site)
        if named not in ("", row.id, row.name):
            raise Refused(Code.UNKNOWN_SITE, named)
        return row

    async def _site_add(self, args: _SiteAdd, claims: Claims) -> Plain:
        code = await self._accounts.add_site(args.name, args.code, claims.principal)
        return {"name": args.name, "box": code.server, "expires_at": iso(code.expires_ms)}

    async def _invite(self, args: _Invite, claims: Claims) -> Plain:
        if args.role not in _MAY_INVITE[claims.role]:
            raise Refused(Code.NOT_PERMITTED, f"you may not invite an {args.role.value}")
        site = await self._site(args.site, claims)
        made = await self._accounts.invite(
            site,
            args.role,
            name=args.name,
            chargers=args.chargers,
            life_ms=args.hours * _HOUR_MS,
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

    async def _token(self, args: _OfSite, claims: Claims) -> Plain:
        site = await self._site(args.site, claims)
        reader = Claims(site=site.id, principal=claims.principal, role=Role.OPERATOR)
        told: Plain = msgspec.to_builtins(await self._accounts.issue_token(reader))
        return told

    async def _forget(self, args: _Forget, claims: Claims) -> Plain:
        gone = await self._accounts.forget(args.principal, claims.principal)
        return {"principal": args.principal, "removed": gone}
