"""Administration of the box: pairing, invites, tags, forgetting. Asked over the app link, never repeated.

Commands to chargers go through the commander; what is here concerns people and the box itself. Names and raw
tags are put into the journal's two tables for them, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

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
from common.domain import iso
from common.errors import Code, Refused, Unavailable
from common.facts import AuthorizationChanged
from common.policy import Claims
from common.ports import Clock
from edge.authority import Authority
from edge.filing import Filing
from edge.gateway import Gateway
from edge.journal import backups, inspection, people
from edge.journal.journal import Journal
from edge.recovery import Recovery


class _Pair(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Forget(msgspec.Struct, forbid_unknown_fields=True):
    principal: PrincipalId


_OWNER_HINT = "`plugside-cloud invite SITE --role owner` makes one."


class Management:
    """Answers `wire.Manage`. The table says who may ask for what, with which arguments."""

    def __init__(
        self, authority: Authority, gateway: Gateway, journal: Journal, clock: Clock, filing: Filing
    ) -> None:
        self._authority = authority
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._recovery_key: Callable[[], str] = lambda: ""
        self._table = {
            "pair": Request(_Pair, LOCAL_ONLY, self._pair),
            "invite": Request(InviteArgs, STAFF, self._invite),
            "forget": Request(_Forget, STAFF, self._forget),
            **filing.table,
        }

    def keep(self, recovery: Recovery) -> None:
        """What the recovery key is about, which the first pairing shows."""
        self._recovery_key = recovery.first
        self._table.update(recovery.requests)

    def offer(self, name: str, request: Request) -> None:
        """One more request, which another part answers."""
        self._table[name] = request

    async def answer(self, message: wire.Manage, claims: Claims) -> wire.Managed:
        """Carry one request out. Raises Refused: bad_request, not_permitted; Unavailable."""
        if not self._gateway.accepting:
            raise Unavailable(Code.JOURNAL_UNAVAILABLE)
        return await desk.answer(self._table, message, claims)

    async def _pair(self, args: _Pair, claims: Claims) -> Plain:  # noqa: ARG002
        if self._authority.cloud_url:
            raise Refused(
                Code.NOT_PERMITTED,
                f"this box belongs to {self._authority.cloud_url} already",
                hint="To take it away from there: `plugside-edge release` (its owner: `plugside release`).",
            )
        code = self._authority.pair()
        return {
            "code": code.to_text(),
            "expires_at": iso(code.expires_ms),
            "edge": self._authority.edge_id,
            "site": self._authority.site,
            "addresses": list(code.addresses),
            "asks": self._authority.asks,
            "recovery_key": self._recovery_key(),
        }

    async def _invite(self, args: InviteArgs, claims: Claims) -> Plain:
        may_invite(claims, args.role, args.caps)
        if args.owner:
            raise Refused(Code.NOT_PERMITTED, "an owner is made at the cloud", hint=_OWNER_HINT)
        if args.site not in ("", self._authority.site, self._authority.name):
            raise Refused(Code.UNKNOWN_SITE, args.site)
        for charger in args.chargers or ():
            entry = self._gateway.state.view.chargers.get(charger)
            if entry is None or not entry.adopted:
                raise Refused(Code.UNKNOWN_CHARGER, charger)
        life_ms = args.hours * HOUR_MS
        text, principal = self._authority.invite(args.role, args.chargers, life_ms, args.caps)
        if args.name:
            await self._journal.submit(lambda db: people.name_person(db, principal, args.name))
        return {
            "invite": text,
            "principal": principal,
            "role": args.role.value,
            "chargers": list(args.chargers) if args.chargers is not None else None,
            "expires_at": iso(self._clock.now_ms() + life_ms),
        }

    async def _forget(self, args: _Forget, claims: Claims) -> Plain:  # noqa: ARG002
        # The fact first: from then on no tag of theirs opens a session, whatever happens to the files.
        await self._note(AuthorizationChanged(principal=args.principal, change="forgotten"))
        known = await self._journal.forget(args.principal)
        # Copies hold what the journal held; a damaged set cannot be gone through, so it is named.
        folder = self._journal.path.parent
        left = await asyncio.to_thread(backups.forget, folder / backups.FOLDER, args.principal)
        return {
            "principal": args.principal,
            "known": known,
            "left_in": [*left, *inspection.damaged_sets(folder), *inspection.replaced_sets(folder)],
        }

    async def _note(self, body: AuthorizationChanged) -> None:
        await self._gateway.written(body)
