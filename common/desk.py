"""The desk: requests of administration (`wire.Manage`) judged by one table, at the box and at the cloud.

A table entry says what arguments a request has, which roles may make it, and who carries it out; what is not
in the table, not permitted or not well-formed is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Any

import msgspec

from common import wire
from common.caps import Caps, Used, left_wh
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims
from common.trust import revoked_grant, revoked_key, revoked_principal
from common.trust.invites import INVITE_LIFE_MS

Plain = dict[str, Any]
Handler = Callable[[Any, Claims], Awaitable[Plain]]

HOUR_MS = 3_600_000
PersonName = Annotated[str, msgspec.Meta(max_length=80)]
ChargerId = Annotated[str, msgspec.Meta(min_length=1, max_length=48)]
PrincipalId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
#: Who may be asked to act for the whole installation: only who stands in front of it.
LOCAL_ONLY = frozenset({Role.LOCAL})
STAFF = frozenset({Role.LOCAL, Role.INSTALLER, Role.OPERATOR})
#: Whom each role may invite: nobody makes somebody mightier than themselves.
MAY_INVITE = {
    Role.LOCAL: {Role.DRIVER, Role.OPERATOR},
    Role.INSTALLER: {Role.DRIVER, Role.OPERATOR},
    Role.OPERATOR: {Role.DRIVER},
}


#: A code for a further device is typed at once, by the same person.
DEVICE_CODE_LIFE_MS = 15 * 60_000
#: Who has a key, and may bring in another one of theirs.
WITH_KEYS = frozenset({Role.DRIVER, Role.OPERATOR})


#: An invite that nobody has redeemed in a month was forgotten.
INVITE_HOURS_MAX = 24 * 30


class InviteArgs(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whom to invite. `site`: at the cloud, which has several; the box has one."""

    site: str = ""
    role: Role = Role.DRIVER
    chargers: tuple[ChargerId, ...] | None = None
    name: PersonName = ""
    caps: Caps | None = None
    owner: bool = False  #: an operator who may also release the box; made at the cloud alone
    hours: Annotated[int, msgspec.Meta(ge=1, le=INVITE_HOURS_MAX)] = INVITE_LIFE_MS // HOUR_MS


class Request(msgspec.Struct, frozen=True):
    """One entry of the table."""

    shape: type
    roles: frozenset[Role]
    handler: Handler


async def answer(table: Mapping[str, Request], message: wire.Manage, claims: Claims) -> wire.Managed:
    """Carry one request out. Raises Refused: bad_request, not_permitted, or what its handler refuses."""
    known = table.get(message.name)
    if known is None:
        raise Refused(Code.BAD_REQUEST, f"there is no {message.name!r} here")
    if claims.role not in known.roles:
        raise Refused(Code.NOT_PERMITTED)
    try:
        args: Any = msgspec.convert(message.args, known.shape)
    except msgspec.ValidationError as wrong:
        raise Refused(Code.BAD_REQUEST, str(wrong)) from None
    return wire.Managed(id=message.id, result=await known.handler(args, claims))


class RevokeArgs(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to take away: everything of a person, one device of theirs, or a single grant."""

    site: str = ""
    principal: PrincipalId | None = None
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    grant: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None

    def entry(self) -> str:
        """The revocation entry. Raises Refused(bad_request) unless exactly one thing is named."""
        if sum(value is not None for value in (self.principal, self.key, self.grant)) != 1:
            raise Refused(Code.BAD_REQUEST, "name one: a person, a device's key or a grant")
        if self.principal is not None:
            return revoked_principal(self.principal)
        return revoked_key(self.key) if self.key is not None else revoked_grant(self.grant or "")


def _may_make(claims: Claims) -> set[Role]:
    return {Role.DRIVER, Role.OPERATOR} if claims.owner else MAY_INVITE[claims.role]


def allowance_row(claims: Claims, used: Used, since_ms: int | None) -> Plain:
    """What is left of a right, as the query `allowance` tells it."""
    caps = claims.caps
    return {
        "principal": claims.principal,
        "caps": msgspec.to_builtins(caps) if caps is not None else None,
        "since": iso(since_ms) if since_ms is not None else None,
        "energy_wh": used.energy_wh,
        "sessions": used.sessions,
        "left_wh": left_wh(caps, used) if caps is not None else None,
    }


def may_revoke(claims: Claims, roles: Collection[Role]) -> None:
    """Raises Refused(not_permitted) when these claims could not have given what they would take away.

    roles: of the devices that it concerns; none = nobody knows whose it is.
    """
    if claims.role is Role.LOCAL or claims.owner:
        return
    if not roles or not set(roles) <= _may_make(claims):
        raise Refused(Code.NOT_PERMITTED, "only who may have given a right may take it away")


def may_invite(claims: Claims, role: Role, caps: Caps | None = None) -> None:
    """Raises Refused(not_permitted) when these claims may not make somebody a `role`."""
    if caps is not None and role is not Role.DRIVER:
        raise Refused(Code.BAD_REQUEST, "caps are for drivers")
    places = caps.connectors or () if caps is not None else ()
    if not all(place.rpartition("/")[0] and place.rpartition("/")[2].isdecimal() for place in places):
        # Else it would be an invite to nothing, which its driver finds out in the rain.
        raise Refused(Code.BAD_REQUEST, "a connector is told as CP1/2: its charger and its number")
    if role not in _may_make(claims):
        raise Refused(Code.NOT_PERMITTED, f"you may not invite an {role.value}")
