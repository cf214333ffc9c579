"""Renewal at the box: who may speak for a right that has run out, or will (design §8, §10).

    made here     by the box, while its key is known and nothing is withdrawn
    the cloud's   by the cloud, asked through the tunnel: the phone may have no other way to it
    silent cloud  nobody signs in its place. What was made here and taken over goes on as it was made; a
                  driver has the offline grace, staff has what they have

A box adds nothing: no role, charger or cap beyond the right that it made, no day beyond a right of the cloud
that it handed on to another device (`edge.devices`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from common import sync, wire
from common.errors import Code, Refused, RemoteFault, Unavailable, error, from_wire
from common.policy import Claims
from common.ports import Clock, Ids
from edge.authority import Authority
from edge.devices import Made

#: Renewals that may wait for the cloud.
WAITING_MAX = 64
#: How long one may take: the phone's handshake has 5 s in all.
ANSWER_S = 4.0


class Renewals:
    """See the module. The tunnel calls `begin`, `told` and `end`."""

    def __init__(self, authority: Authority, clock: Clock, ids: Ids) -> None:
        self._authority = authority
        self._clock = clock
        self._ids = ids
        self._say: Callable[[sync.TunnelMessage], None] | None = None
        self._waiting: dict[str, asyncio.Future[str]] = {}

    # --- the tunnel ----------------------------------------------------------------------------------------

    def begin(self, say: Callable[[sync.TunnelMessage], None], *, renews: bool) -> None:
        """The tunnel stands. renews: its cloud takes such questions."""
        self._say = say if renews else None

    def end(self) -> None:
        """It has ended."""
        self._say = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_silent())

    def told(self, message: sync.Renewed) -> None:
        """The cloud has answered."""
        waiting = self._waiting.get(message.ref)
        if waiting is None or waiting.done():
            return
        if message.refusal is not None:
            no = message.refusal
            waiting.set_exception(from_wire(no.code, no.message, no.hint))
        else:
            waiting.set_result(message.grant)

    # --- who asks ------------------------------------------------------------------------------------------

    async def renew(self, grant: str, claims: Claims) -> wire.Granted:
        """A fresh grant in place of this genuine one, whose key is there.

        Raises Refused: revoked; Unavailable: cloud_unreachable, busy; what the cloud has refused.
        """
        if self._made_here(claims):
            return self.of_ours(claims)
        if self._say is None:
            raise _silent()
        fresh = await self._ask(grant)
        told = self._authority.claims_of(fresh, self._clock.now_ms())
        if (told.key, told.principal) != (claims.key, claims.principal):
            raise RemoteFault(Code.PROTOCOL, "the cloud renewed another grant")
        return self._authority.handed_on(fresh, told)

    def of_ours(self, claims: Claims) -> wire.Granted:
        """A fresh grant of a right that was made here. Raises Refused: revoked, grant_expired."""
        device = self._authority.devices.get(claims.key)
        if device is None or device.principal != claims.principal:
            raise Refused(Code.REVOKED, "this device is not known here any more")
        right = device.made or _right_of(claims)
        return self._authority.grant(claims.principal, right, claims.key, device.until_ms)

    def ends_ms(self, claims: Claims) -> int:
        """By when a right that is handed on from these claims has ended; 0 = it is the box's own to renew."""
        if claims.issuer != self._authority.issuer_id:
            return claims.expires_ms
        device = self._authority.devices.get(claims.key)
        return device.until_ms if device is not None else claims.expires_ms

    def _made_here(self, claims: Claims) -> bool:
        """Whether it is for the box to renew this: a grant of its own, or, while the cloud is silent, one of
        the cloud's for the very right that was made here."""
        silent = self._say is None
        device = self._authority.devices.get(claims.key)
        handed_on = device is not None and device.until_ms > 0
        if claims.issuer == self._authority.issuer_id:
            return silent or not handed_on
        made = device.made if silent and device is not None and not handed_on else None
        return made is not None and _timeless(_right_of(claims)) == _timeless(made)

    async def _ask(self, grant: str) -> str:
        assert self._say is not None
        if len(self._waiting) >= WAITING_MAX:
            raise error(Code.BUSY)
        ref = self._ids.uid()
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[ref] = waiting
        try:
            self._say(sync.Renew(ref=ref, grant=grant))
            async with asyncio.timeout(ANSWER_S):
                fresh = await waiting
        except TimeoutError:
            raise _silent() from None
        finally:
            del self._waiting[ref]
        return fresh


def _right_of(claims: Claims) -> Made:
    return Made(role=claims.role, chargers=claims.chargers, caps=claims.caps)


def _timeless(right: Made) -> Made:
    """The right as it was agreed, whatever the clock at the site says to UTC today."""
    caps = right.caps and msgspec.structs.replace(right.caps, offset_min=0)
    return msgspec.structs.replace(right, caps=caps)


def _silent() -> Unavailable:
    return Unavailable(
        Code.CLOUD_UNREACHABLE,
        "it alone renews this right",
        hint="Go online once with this device; a driver's right counts here for a week more.",
    )
