"""What a server session tells its shell to act on. Everything in an event has been checked. Pure."""

from __future__ import annotations

import msgspec

from common import commands, wire
from common.errors import Code
from common.policy import Claims


class Authenticated(msgspec.Struct, frozen=True):
    """The client proved its key and these rights, all it has now. To be answered with `wire.Welcome`."""

    claims: tuple[Claims, ...]


class Carried(msgspec.Struct, frozen=True):
    """Lists of withdrawn rights that an authenticated client brought. Not checked yet."""

    lists: tuple[str, ...]


class Followed(msgspec.Struct, frozen=True):
    """Follow exactly these sites, in place of any before. `since` names only sites among them."""

    sites: tuple[str, ...]  #: each one of the session's `claims`, judged just now
    since: dict[str, tuple[str, int]]


class CommandAsked(msgspec.Struct, frozen=True):
    """A command, truly signed by the key of `claims`. `message.grant` is the grant it rests on."""

    message: wire.SendCommand
    claims: Claims
    payload: bytes
    command: commands.Command


class QueryAsked(msgspec.Struct, frozen=True):
    message: wire.Query
    claims: Claims


class ManageAsked(msgspec.Struct, frozen=True):
    message: wire.Manage
    claims: Claims


class RedeemAsked(msgspec.Struct, frozen=True):
    """An invite, with proof that the key is there. To be answered with `wire.Granted` or a refusal."""

    message: wire.Redeem
    key: str  #: thumbprint of `message.key`


class RenewAsked(msgspec.Struct, frozen=True):
    """A grant to be renewed: genuine, of this link's key, not revoked, perhaps past its end."""

    message: wire.Renew
    claims: Claims


class Closed(msgspec.Struct, frozen=True):
    """The session is over; send what is left, then close."""

    code: Code
    detail: str = ""


Event = (
    Authenticated
    | Carried
    | Followed
    | CommandAsked
    | QueryAsked
    | ManageAsked
    | RedeemAsked
    | RenewAsked
    | Closed
)
