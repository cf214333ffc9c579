"""The people of a site at the cloud: who may do what there, and who is invited. Names are told to its staff.

    people           drivers, operators and open invites, each with their chargers and tags
    invite_withdraw  an invite that has brought nobody in yet brings nobody in any more

Rights come from the devices that the cloud knows; tags from what the box has told of them.
"""

from __future__ import annotations

import msgspec

from cloud.accounts import Accounts
from cloud.store.ports import Store
from common import facts, roster, wire
from common.desk import STAFF, Plain, PrincipalId, Request
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims, is_staff
from common.ports import Clock

#: Facts about rights that are gone through, in pages: a site has some for each person in its life.
FACTS_MAX = 20_000
_STEP = 500


class _Withdraw(msgspec.Struct, forbid_unknown_fields=True):
    principal: PrincipalId


class People:
    """See the module."""

    def __init__(self, store: Store, accounts: Accounts, clock: Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self.queries = {"people": self._people}
        self.requests = {"invite_withdraw": Request(_Withdraw, STAFF, self._withdraw)}

    async def _people(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Everybody who may use the site, by name; it has tens of people, so this has one page."""
        if not is_staff(claims):
            raise Refused(Code.NOT_PERMITTED)
        site = await self._meant(claims)
        tagged = await self._tagged(site)
        known = roster.Roster()
        for device in await self._store.devices(site):
            person = known.person(device.principal)
            person.role, person.chargers = device.role.value, device.chargers
            person.devices.add(device.key)
            person.waiting = device.pending
            person.since = person.since or (iso(device.added_ms) if device.added_ms else "")
        for person in tagged.people.values():
            if person.tags:
                known.person(person.principal).tags = person.tags
        invites = await self._store.open_invites(site, self._clock.now_ms())
        names = await self._store.names(known.people.keys() | {invite.principal for invite in invites})
        return wire.Page(id=query.id, rows=roster.rows(known.people.values(), invites, names))

    async def _meant(self, claims: Claims) -> str:
        """The site's id; who is at the cloud itself may name it by its name."""
        row = await self._store.site(claims.site) if claims.role is Role.LOCAL else None
        return row.id if row is not None else claims.site

    async def _tagged(self, site: str) -> roster.Roster:
        found, after = roster.Roster(), ""
        for _ in range(FACTS_MAX // _STEP):
            page = await self._store.told_since(
                site, (facts.AuthorizationChanged.KIND,), after=after, limit=_STEP
            )
            found.take(facts.read(row.epoch, row.seq, bytes(row.record)) for row in page.rows)
            after = page.next
            if not after:
                break
        return found

    async def _withdraw(self, args: _Withdraw, claims: Claims) -> Plain:
        site = await self._meant(claims)
        if not await self._store.withdraw_invite(site, args.principal):
            raise Refused(Code.BAD_INVITE, "there is no open invite for them")
        await self._accounts.note(
            "invite_withdrawn", site=site, actor=claims.principal, detail=args.principal
        )
        return {"principal": args.principal}
