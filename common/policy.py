"""Who may see and do what: one pure answer for box and cloud, LAN and relay (design §7, §8).

`Claims` is what a verified grant says. The edge decides with these functions and nobody else's word; the
cloud uses the same ones to filter what it shows. No function here looks at how a message came.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import msgspec

from common import commands, facts
from common.caps import Caps
from common.commands import Name
from common.domain import CHARGER_ID_CHARS_MAX, Role, Target, is_charger_id
from common.errors import Code, Refused
from common.view import ChargerView, ConnectorView, View

_STAFF = frozenset({Role.OPERATOR, Role.INSTALLER, Role.LOCAL})


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The rights of one principal at one site. `chargers=None` = every charger of the site."""

    site: str
    principal: str
    role: Role
    chargers: tuple[str, ...] | None = None
    key: str = ""  #: thumbprint (RFC 7638) of the key the grant is bound to
    grant: str = ""  #: the grant's id
    issuer: str = ""
    expires_ms: int = 0
    renew_after_ms: int = 0
    grace: bool = False  #: past its own end, accepted because the cloud is away (design §10)
    owner: bool = False  #: an operator who may also release the box (design §10)
    caps: Caps | None = None  #: how much the right is for


def local_presence(site: str) -> Claims:
    """The principal of the box's own socket: whoever root let into its group."""
    return Claims(site=site, principal="local", role=Role.LOCAL, expires_ms=2**62)


def is_staff(claims: Claims) -> bool:
    """Whether these claims see the whole site."""
    return claims.role in _STAFF


def may_use(claims: Claims, charger: str) -> bool:
    """Whether the charger is one of theirs."""
    return claims.chargers is None or charger in claims.chargers


def visible(claims: Claims, body: facts.Body) -> bool:
    """Whether a fact is for these eyes. Whole facts are shown or dropped, never parts."""
    if is_staff(claims):
        return True
    if body.AUDIENCE is facts.Audience.OWNER:
        return getattr(body, "principal", None) == claims.principal
    charger = getattr(body, "charger", "")
    if isinstance(body, facts.ChargerSeen) and not body.adopted:
        return False
    return may_use(claims, charger)


def view_for(claims: Claims, view: View) -> View:
    """The part of a site that these claims may see; never shares a mutable object with `view`."""
    everything = is_staff(claims)
    sessions = {
        uid: msgspec.structs.replace(s)
        for uid, s in view.sessions.items()
        if everything or s.principal == claims.principal
    }
    return View(
        site=view.site,
        epoch=view.epoch,
        seq=view.seq,
        at=view.at,
        chargers={
            cid: _charger_for(charger, sessions)
            for cid, charger in view.chargers.items()
            if everything or (charger.adopted and may_use(claims, cid))
        },
        sessions=sessions,
        commands={
            cid: msgspec.structs.replace(c)
            for cid, c in view.commands.items()
            if everything or c.principal == claims.principal
        },
        taps=dict(view.taps) if everything else {},
        refused_tags={
            who: refused
            for who, refused in view.refused_tags.items()
            if everything or who == claims.principal
        },
    )


def _charger_for(charger: ChargerView, sessions: Mapping[str, object]) -> ChargerView:
    def place_for(place: ConnectorView) -> ConnectorView:
        if place.session in sessions:
            return msgspec.structs.replace(place)
        return msgspec.structs.replace(place, session=None, session_limit=None)

    return msgspec.structs.replace(
        charger,
        connectors={evse: place_for(place) for evse, place in charger.connectors.items()},
        wanted=copy.deepcopy(charger.wanted),
    )


def authorize(claims: Claims, name: Name, target: Target, args: commands.Args, view: View) -> None:
    """Whether these claims may ask for this effect here. Returns, or raises Refused with the reason.

    Only rights are judged: whether the connector is free or faulted is the core's business. What a driver
    may not use is answered as if it did not exist.
    """
    if claims.role not in commands.CLASSES[name].roles:
        raise Refused(Code.NOT_PERMITTED)
    charger = view.chargers.get(target.charger)
    if not may_use(claims, target.charger):
        raise Refused(Code.UNKNOWN_CHARGER, target.charger)
    if name is Name.ADOPT:
        # Who has dialled so far does not matter: an installer types the ids first, and strangers who flood
        # the queue of those that wait must not keep the site's own charger out.
        if charger is None and not is_charger_id(target.charger):
            raise Refused(Code.BAD_CHARGER_ID, ascii(target.charger[:CHARGER_ID_CHARS_MAX]))
        return
    if name in commands.OF_THE_SITE:
        return  # ledger and people outlive the chargers
    if charger is None:
        raise Refused(Code.UNKNOWN_CHARGER, target.charger)
    if not charger.adopted:
        raise Refused(Code.UNKNOWN_CHARGER, f"{target.charger} is waiting to be adopted")
    if isinstance(args, commands.Secure) and args.profile < charger.profile and claims.role is not Role.LOCAL:
        raise Refused(Code.NOT_PERMITTED, "a lower security profile takes somebody at the box")
    if isinstance(args, commands.Limit | commands.ClearLimit):
        _may_limit(claims, args)
    if is_staff(claims):
        return
    if isinstance(args, commands.Stop | commands.Limit | commands.ClearLimit):
        session = view.sessions.get(args.session)
        if session is None or session.charger != target.charger:
            raise Refused(Code.UNKNOWN_SESSION)
        if session.principal != claims.principal:
            raise Refused(Code.NOT_YOUR_SESSION)
    if isinstance(args, commands.Unlock):
        _may_unlock(claims, charger, target, view)


def _may_limit(claims: Claims, args: commands.Limit | commands.ClearLimit) -> None:
    # The order of ranks (design §8) is kept by the core; here is who may speak in which.
    if args.safety and claims.role not in (Role.INSTALLER, Role.LOCAL):
        raise Refused(Code.NOT_PERMITTED, "the safety limit is the installer's")
    if not is_staff(claims) and not args.session:
        raise Refused(Code.NOT_PERMITTED, "a driver limits a charge of their own")


def _may_unlock(claims: Claims, charger: ChargerView, target: Target, view: View) -> None:
    # Unlocking ends a session, so a driver may do it only where the open session, if any, is their own.
    evses = [target.evse] if target.evse is not None else list(charger.connectors)
    for evse in evses:
        place = charger.connectors.get(evse)
        session = view.sessions.get(place.session) if place and place.session else None
        if session is not None and session.principal != claims.principal:
            raise Refused(Code.NOT_YOUR_SESSION)
