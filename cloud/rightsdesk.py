"""Who has a right at a site, and how one is taken away: requests of administration at the cloud.

people   everybody whose key is known at a site, with the name that the table for names has
confirm  the owner's word for an operator whom a box has made
device   another one of whoever asks, by a code; the person stays one principal
revoke   by whoever may have given the right; box, phones and every replica of it are told at once
"""

from __future__ import annotations

import msgspec

from cloud.accounts import Accounts
from cloud.store.ports import Store
from cloud.store.rows import SiteRow
from common.desk import (
    DEVICE_CODE_LIFE_MS,
    STAFF,
    WITH_KEYS,
    Plain,
    PrincipalId,
    Request,
    RevokeArgs,
    may_revoke,
)
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims


class _OfSite(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""


class _Confirm(msgspec.Struct, forbid_unknown_fields=True):
    principal: PrincipalId
    site: str = ""


class RightsDesk:
    """Answers the requests of the module; `cloud.management` offers them."""

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts
        self.requests = {
            "people": Request(_OfSite, STAFF, self._people),
            "revoke": Request(RevokeArgs, STAFF, self._revoke),
            "confirm": Request(_Confirm, STAFF, self._confirm),
            "device_add": Request(_OfSite, WITH_KEYS, self._device_add),
        }

    async def site(self, named: str, claims: Claims) -> SiteRow:
        """The site that is meant: for local presence the named one, for all others their own."""
        row = await self._store.site((named or claims.site) if claims.role is Role.LOCAL else claims.site)
        if row is None or (claims.role is not Role.LOCAL and named not in ("", row.id, row.name)):
            raise Refused(Code.UNKNOWN_SITE, named)
        return row

    async def _people(self, args: _OfSite, claims: Claims) -> Plain:
        site = await self.site(args.site, claims)
        devices = await self._store.devices(site.id)
        names = await self._store.names({device.principal for device in devices})
        rows = [
            {
                "principal": device.principal,
                "name": names.get(device.principal, ""),
                "role": "owner" if device.owner else device.role.value,
                "chargers": list(device.chargers) if device.chargers is not None else None,
                "caps": msgspec.to_builtins(device.caps) if device.caps is not None else None,
                "key": device.key,
                "device": device.label,
                "added_at": iso(device.added_ms),
                "made_at": device.source,
                "pending": device.pending,
            }
            for device in devices
        ]
        return {"people": rows, "lists": self._accounts.withdrawals.numbers(site.id)}

    async def _device_add(self, args: _OfSite, claims: Claims) -> Plain:
        """A code by which whoever asks brings in another device of theirs; they stay one principal."""
        site = await self.site(args.site, claims)
        made = await self._accounts.invite(
            site,
            claims.role,
            name="",
            chargers=claims.chargers,
            life_ms=DEVICE_CODE_LIFE_MS,
            actor=claims.principal,
            caps=claims.caps,
            owner=claims.owner,
            principal=claims.principal,
        )
        return {
            "invite": made["invite"],
            "principal": claims.principal,
            "life_s": DEVICE_CODE_LIFE_MS // 1000,
        }

    async def _confirm(self, args: _Confirm, claims: Claims) -> Plain:
        """The owner's word for an operator whom the box has made."""
        site = await self.site(args.site, claims)
        if claims.role is not Role.LOCAL and not claims.owner:
            raise Refused(Code.NOT_PERMITTED, "only the owner takes operators of the box over")
        confirmed = await self._store.confirm(site.id, args.principal)
        await self._accounts.note("confirmed", site=site.id, actor=claims.principal, detail=args.principal)
        return {"principal": args.principal, "confirmed": confirmed}

    async def _revoke(self, args: RevokeArgs, claims: Claims) -> Plain:
        site, entry = await self.site(args.site, claims), args.entry()
        held = [
            device
            for device in await self._store.devices(site.id)
            if args.principal == device.principal or args.key == device.key
        ]
        may_revoke(claims, [device.role for device in held])
        one = await self._accounts.withdrawals.withdraw(site.id, {entry})
        await self._accounts.note("revoked", site=site.id, actor=claims.principal, detail=entry)
        told = self._accounts.box_hears(site.id)
        return {
            "revoked": args.principal or args.key or args.grant,
            "devices": len(held),
            "number": one.number,
            "entries": len(one.entries),
            "box_told": told,
        }
