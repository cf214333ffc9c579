"""Boxes that join: an operator types the code that a box shows, and the box asks to be taken in (design §10).

    typed with --replace   the box takes the place of that site's box
    typed without          a new site, or the same box again: nobody's place is taken, whatever the box claims

Only the operator's word puts one box in another one's place. A box that was refused asks again while it shows
its code, so the same code typed with --replace brings it in.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cloud.accounts import Accounts
from cloud.boxkeys import taken_in
from cloud.store.ports import Store
from cloud.store.rows import PairingRow, SiteRow
from common import trust, wire
from common.domain import Role, iso
from common.errors import Code, Refused, Unavailable
from common.policy import Claims
from common.ports import Clock

log = logging.getLogger("plugside.accounts")

PAIR_AGAIN = "Run `plugside-edge pair` on the box and copy its code whole."
#: Boxes that were refused and are remembered for whoever waits for them: one for each code that was typed.
_REFUSED_MAX = 64


class Joining:
    """See the module."""

    def __init__(self, store: Store, accounts: Accounts, clock: Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._refused: dict[str, Refused] = {}  # by the box
        self.box_replaced: Callable[[str], None] = lambda _: None  #: told of a site that has another box

    async def add_site(self, name: str, code: str, actor: str, *, replace: bool = False) -> trust.BoxCode:
        """Wait for the box that shows this code; with `replace` it takes the place of the site's own box.

        Raises Refused: bad_invite, bad_request (the site has another box), unknown_site.
        """
        try:
            pairing = trust.BoxCode.from_text(code)
        except Refused as unreadable:
            raise Refused(Code.BAD_INVITE, unreadable.detail, hint=PAIR_AGAIN) from None
        if self._clock.now_ms() >= pairing.expires_ms:
            raise Refused(
                Code.BAD_INVITE,
                f"the code ran out at {iso(pairing.expires_ms)}",
                hint=PAIR_AGAIN,
            )
        known = await self._store.site(name)
        if replace and known is None:
            raise Refused(Code.UNKNOWN_SITE, name, hint="`plugside-cloud site list` shows the sites.")
        if known is not None and not replace and known.box != pairing.server:
            raise _taken(known, " If it is a site of its own, choose another name.")
        replaced = known if replace else None
        row = PairingRow(
            pair=pairing.pair,
            code=code,
            name=replaced.name if replaced else name,
            expires_ms=pairing.expires_ms,
            replaces=replaced.id if replaced else "",
        )
        await self._store.add_pairing(row, self._clock.now_ms())
        self._refused.pop(pairing.server, None)
        what = "site_replace" if replaced else "site_add"
        await self._accounts.note(what, site=row.replaces, actor=actor, detail=f"box {pairing.server}")
        return pairing

    async def enrol(self, request: trust.EnrolRequest) -> trust.EnrolAnswer | None:
        """Take in the box that has the code. None: no operator has typed that code (yet).

        Raises Refused: bad_invite, bad_signature, bad_request (name or site belongs to another).
        """
        now_ms = self._clock.now_ms()
        pairing = await self._store.pairing(request.pair, now_ms)
        if pairing is None:
            return None
        code = trust.BoxCode.from_text(pairing.code)
        box = trust.check_enrolment(request, code, now_ms)
        try:
            await self._take_in(box, pairing, now_ms)
        except Refused as refused:
            await self._remember(box, refused)
            raise
        keyring = self._accounts.keyring
        bundle = trust.TrustBundle(
            site=pairing.replaces or box.site,
            root=keyring.root,
            keys=keyring.signed,
            url=self._accounts.url,
            cloud=keyring.identity.fingerprint,
            name=pairing.name,
            replaces=bool(pairing.replaces),
        )
        return trust.answer_enrolment(bundle, request, code.secret)

    async def _take_in(self, box: trust.EnrolledBox, pairing: PairingRow, now_ms: int) -> None:
        site = pairing.replaces or box.site
        known = await self._store.site(site)
        if known is not None and known.id != site:
            known = None  # only called like this one
        another = known is None or known.box != box.box
        if known is not None and another and not pairing.replaces:
            raise _taken(known)
        row = SiteRow(
            id=site,
            name=pairing.name,
            box=box.box,
            public=box.public,
            issuer=box.issuer.public,
            added_ms=now_ms,
        )
        row = taken_in(known, row, self._accounts.identity, now_ms)
        if not await self._store.put_site(row, held=known.public if known else ""):
            raise Unavailable(Code.BUSY, "the site got another box or key at this moment")
        await self._accounts.open()
        if another:
            # Who had the site takes it back neither by the link that it has, nor by a code it once showed.
            await self._store.spend_pairings(pairing)
            self.box_replaced(site)
            await self._accounts.note("site_joined", site=site, detail=f"box {box.box}")
            log.info("box %s is site %s (%s)", box.box, site, pairing.name)
        self._refused.pop(box.box, None)

    async def _remember(self, box: trust.EnrolledBox, why: Refused) -> None:
        """For the operator who waits for this box, and once among our acts however often it asks."""
        if box.box in self._refused:
            return
        while len(self._refused) >= _REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        self._refused[box.box] = why
        log.warning("box %s was not taken in: %s", box.box, why)
        await self._accounts.note("site_refused", site=box.site, detail=f"box {box.box}: {why.detail}")

    @property
    def queries(self) -> Mapping[str, Callable[[wire.Query, Claims], Awaitable[wire.Page]]]:
        """What it answers, by name."""
        return {"joining": self._joining}

    async def _joining(self, query: wire.Query, claims: Claims) -> wire.Page:
        """Why this box was refused, if it was since its code was typed: for who types codes."""
        if claims.role is not Role.LOCAL:
            raise Refused(Code.NOT_PERMITTED)
        why = self._refused.get(str(query.args.get("box", "")))
        rows: list[Any] = (
            [] if why is None else [{"code": why.code, "message": why.message, "hint": why.hint}]
        )
        return wire.Page(id=query.id, rows=tuple(rows))


def _taken(known: SiteRow, otherwise: str = "") -> Refused:
    """Said alike to the operator and to the box that shows the code."""
    return Refused(
        Code.BAD_REQUEST,
        f'the site "{known.name}" has another box',
        hint="If this box is to take its place, the cloud's operator types:"
        f' plugside-cloud site add "{known.name}" CODE --replace.{otherwise}',
    )
