"""Who has a right here, and how one is taken away: requests of administration, and what follows from a list.

revoke   at the box, by whoever may have given the right: its own next list
people   everybody whose key is known here, with the name that the journal's table has
device   another one of whoever asks, by a code; the person stays one principal
release  by the owner, or by hand: the box belongs to no cloud and to nobody, and may be paired anew
a list   ours, or brought by tunnel or phone: links end, tags and invites go, a fact says so, all are told
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from common import trust
from common.desk import DEVICE_CODE_LIFE_MS, STAFF, WITH_KEYS, Plain, Request, RevokeArgs, may_revoke
from common.domain import Role, iso
from common.errors import Code, Refused, Unavailable
from common.facts import AuthorizationChanged, SecurityNoted
from common.policy import Claims
from edge.apps import Apps
from edge.authority import Authority
from edge.gateway import Gateway
from edge.journal import people
from edge.journal.journal import Journal

log = logging.getLogger("plugside.trust")


class _People(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""


class Rights:
    """See the module. `tell` is given every list that is new: the tunnel's."""

    def __init__(self, authority: Authority, gateway: Gateway, journal: Journal, apps: Apps) -> None:
        self._authority = authority
        self._gateway = gateway
        self._journal = journal
        self._apps = apps
        self.tell: Callable[[trust.RevocationList], None] = lambda _: None
        self.released: Callable[[], None] = lambda: None  #: the tunnel has nobody to go to
        authority.withdrawals.changed = self.changed
        self.requests = {
            "revoke": Request(RevokeArgs, STAFF, self._revoke),
            "people": Request(_People, STAFF, self._people),
            "device_add": Request(_People, WITH_KEYS, self._device_add),
            "release": Request(_People, frozenset({Role.LOCAL, Role.OPERATOR}), self._release),
        }

    # --- what follows from a list --------------------------------------------------------------------------

    def changed(self, one: trust.RevocationList) -> None:
        """A list is new, and on disk."""
        mine = one.issuer == self._authority.issuer_id
        who = "this box" if mine else f"issuer {one.issuer}"
        log.warning("list %d of %s: %d rights are withdrawn", one.number, who, len(one.entries))
        self._apps.rights_changed()
        detail = f"list {one.number} of {who}, {len(one.entries)} entries"
        with suppress(Unavailable):
            self._gateway.note(SecurityNoted(what="rights_withdrawn", detail=detail))
        self._follow(one)
        self.tell(one)

    def settle(self) -> None:
        """Once, at the start: what the lists on disk withdraw and the journal does not say. A list is kept
        before its facts are: a process that ended between the two left tags that were still good."""
        for one in self._authority.withdrawals.known:
            self._follow(one)

    def _follow(self, one: trust.RevocationList) -> None:
        gone = self._gone(one)
        for principal in gone:
            self._authority.invites.drop(principal)
        # The list stands on disk already; a journal that is short of room gets the facts at the next start.
        with suppress(Unavailable):
            for principal in gone:
                self._gateway.note(AuthorizationChanged(principal=principal, change="revoked"))

    def _gone(self, one: trust.RevocationList) -> list[str]:
        """Principals that are known here and have lost everything. Their devices are known no more."""
        dropped = self._authority.devices.drop(
            lambda device: (
                trust.entry_hash(trust.revoked_key(device.key)) in one.entries
                or trust.entry_hash(trust.revoked_principal(device.principal)) in one.entries
            )
        )
        known = {device.principal for device in dropped}
        known |= {tag.principal for tag in self._gateway.state.tags.values()}
        known |= {record.principal for record in self._authority.invites.records}
        return sorted(p for p in known if trust.entry_hash(trust.revoked_principal(p)) in one.entries)

    # --- requests ------------------------------------------------------------------------------------------

    async def _revoke(self, args: RevokeArgs, claims: Claims) -> Plain:
        entry, devices = args.entry(), self._authority.devices
        held = [device for device in devices if args.principal == device.principal or args.key == device.key]
        may_revoke(claims, [device.role for device in held])
        self._authority.withdrawals.revoke([entry])
        # Told once it is written down; the links have ended already.
        await self._journal.probe()
        own = self._authority.withdrawals.own
        assert own is not None
        return {
            "revoked": args.principal or args.key or args.grant,
            "devices": len(held),
            "number": own.number,
            "entries": len(own.entries),
        }

    async def _device_add(self, _: _People, claims: Claims) -> Plain:
        """A code by which whoever asks brings in another device of theirs; they stay one principal.

        A right of the cloud's goes on no longer by that: what the other device gets here ends with it, until
        the cloud, which hears of it, renews it.
        """
        if claims.grace:
            raise Refused(Code.GRANT_EXPIRED, "in its grace a right is not handed on")
        until_ms = self._apps.renewals.ends_ms(claims)
        text, _principal = self._authority.invite(
            claims.role, claims.chargers, DEVICE_CODE_LIFE_MS, claims.caps, claims.principal, until_ms
        )
        return {"invite": text, "principal": claims.principal, "life_s": DEVICE_CODE_LIFE_MS // 1000}

    async def _release(self, _: _People, claims: Claims) -> Plain:
        """Let the box go: from its cloud, and from everybody who was let in."""
        if claims.role is not Role.LOCAL and not claims.owner:
            raise Refused(Code.NOT_PERMITTED, "only the owner releases the box")
        was = self._authority.cloud_url
        await self._gateway.written(AuthorizationChanged(principal=claims.principal, change="released"))
        self._authority.release(claims.principal)
        self.released()
        log.warning("the box was released by %s; it belongs to nobody now", claims.principal)
        return {"released_from": was, "site": self._authority.site, "edge": self._authority.edge_id}

    async def _people(self, _: _People, __: Claims) -> Plain:
        rows = []
        for device in self._authority.devices:
            principal = device.principal
            name = await self._journal.submit(lambda db, p=principal: people.person_name(db, p))  # type: ignore[misc]
            rows.append(
                {
                    "principal": principal,
                    "name": name or "",
                    "role": device.role.value,
                    "chargers": list(device.chargers) if device.chargers is not None else None,
                    "key": device.key,
                    "device": device.label,
                    "seen_at": iso(device.seen_ms),
                    "made_here": device.issuer == self._authority.issuer_id,
                }
            )
        rows.sort(key=lambda row: str(row["seen_at"]), reverse=True)
        return {"people": rows, "lists": self._authority.withdrawals.numbers()}
