"""Caps at work: what each principal has had in a period, and the charge that reaches its cap (`common.caps`).

    start    judged against what was had; what is left of the energy goes along with the command
    charge   at the sample that reaches it the session is stopped, as by anybody's stop (`orders`)

What was had is counted from facts, for whoever holds the session, however it was begun; a session counts for
the period in which it started. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import commands, facts
from common.caps import PERIOD_MAX_MS, Caps, Used, left_wh, may_begin, period_start_ms
from common.commands import Name
from common.domain import Path, Role, from_iso, iso
from common.errors import Code, Refused
from common.policy import Claims
from common.ports import Ids
from edge.core import calls, identity, meter, orders
from edge.core.inputs import CommandReceived
from edge.core.state import CAPPED_MAX, Capped, Draft, Session, SiteState, Taken

#: Sessions remembered for one principal; the oldest go first. Thirty a day for a month.
TAKEN_MAX: Final = 1000
#: A stop that did not end the session is asked for again after so long, its own life.
AGAIN_MS: Final = commands.CLASSES[Name.STOP].ttl_ms
#: What stands for the signature of a stop that nobody signed.
FINGERPRINT: Final = "cap"


# --- counting ----------------------------------------------------------------------------------------------


def used(state: SiteState, principal: str, since_ms: int) -> Used:
    """What a principal has had since then; open charges count with what their registers show."""
    energy_wh, sessions = 0.0, 0
    for uid, taken in state.taken.get(principal, {}).items():
        if taken.at_ms >= since_ms:
            sessions += not taken.refused
            energy_wh += taken.energy_wh if taken.ended else _so_far(state, taken.charger, uid)
    return Used(energy_wh=energy_wh, sessions=sessions)


def _so_far(state: SiteState, charger: str, uid: str) -> float:
    session = state.look(charger).sessions.get(uid)
    return energy_of(session) if session is not None else 0.0


def energy_of(session: Session) -> float:
    """What an open session has taken, as far as it was told."""
    return meter.energy(session.meter_start_wh, None, session.registers).energy_wh or 0.0


def of(state: SiteState, principal: str, caps: Caps, now_ms: int) -> Used:
    """The same for the period that these caps are in."""
    return used(state, principal, period_start_ms(caps, now_ms))


def had(state: SiteState, principal: str, caps: Caps, now_ms: int) -> Used:
    """The same, with the starts that are on their way: two taps at two chargers would both be the last."""
    had = of(state, principal, caps, now_ms)
    going = sum(
        order.name == Name.START and order.principal == principal and order.state != "settled"
        for order in state.orders.values()
    )
    return msgspec.structs.replace(had, sessions=had.sessions + going)


# --- judging -----------------------------------------------------------------------------------------------


def judge(state: SiteState, given: CommandReceived, evse: int, now_ms: int) -> None:
    """Whether this start is within the caps. Raises Refused: limit_reached, not_permitted."""
    caps = given.claims.caps
    if caps is None:
        return
    may_begin(caps, given.target.charger, evse, had(state, given.claims.principal, caps, now_ms), now_ms)


def left(state: SiteState, given: CommandReceived, now_ms: int) -> int | None:
    """How much energy the charge that this start begins may take; None = as much as the car wants."""
    caps = given.claims.caps
    if caps is None or given.name is not Name.START:
        return None
    return left_wh(caps, of(state, given.claims.principal, caps, now_ms))


def judge_place(given: CommandReceived, evse: int) -> None:
    """Whether a connector may be kept for somebody with caps. Raises Refused(not_permitted)."""
    caps = given.claims.caps
    if caps is None or caps.connectors is None or f"{given.target.charger}/{evse}" in caps.connectors:
        return
    raise Refused(Code.NOT_PERMITTED, f"yours are {', '.join(caps.connectors) or 'none'}")


# --- a charge that reaches its cap -------------------------------------------------------------------------


def due(state: SiteState, draft: Draft, now_ms: int, ids: Ids) -> None:
    """Stop what has reached its cap."""
    for charger, station in state.stations.items():
        for session in station.sessions.values():
            if session.ended or not 0 < session.cap_due_ms <= now_ms:
                continue
            stop = facts.CommandAccepted(
                command=ids.uid(),
                principal=session.principal,
                role=Role.LOCAL,
                path=Path.LOCAL,
                name=Name.STOP.value,
                charger=charger,
                evse=session.evse,
                connector=session.connector,
                session=session.id,
                fingerprint=FINGERPRINT,
                expires_at=iso(now_ms + AGAIN_MS),
                args={"session": session.id},
                because="refused_tag" if session.authorization == "blocked" else "energy_cap",
            )
            draft.facts.append(stop)
            if station.online:
                calls.send(state, draft, orders.from_fact(stop, now_ms), now_ms)


def timers(state: SiteState, charger: str) -> list[int]:
    """When something of this charger's caps is due."""
    sessions = state.look(charger).sessions.values()
    return [session.cap_due_ms for session in sessions if session.cap_due_ms and not session.ended]


# --- whose caps are known ----------------------------------------------------------------------------------


def learnt(state: SiteState, claims: Claims) -> facts.AuthorizationChanged | None:
    """The fact that a grant brings other caps than were known of its principal; None: nothing new.

    For cards, which bring no grant along. Of two grants the one that was signed later counts.
    """
    known = state.caps.get(claims.principal)
    since_ms = 2 * claims.renew_after_ms - claims.expires_ms
    if claims.role is not Role.DRIVER or claims.grace:
        return None
    if known is None:
        news = claims.caps is not None
    else:
        news = claims.caps != known.caps and since_ms > known.since_ms
    if not news:
        return None
    return facts.AuthorizationChanged(
        principal=claims.principal, change="capped", caps=claims.caps, since=iso(max(0, since_ms))
    )


def changed(state: SiteState, body: facts.AuthorizationChanged, at_ms: int) -> None:
    """Apply: what a right is for. Who has lost theirs has no cards either (`authorization`)."""
    principal = body.principal
    if principal is None:
        return
    if body.change in ("forgotten", "revoked"):
        state.caps.pop(principal, None)
    elif body.change == "capped" or (body.change == "granted" and (body.caps or principal in state.caps)):
        state.caps.pop(principal, None)
        state.caps[principal] = Capped(body.caps, from_iso(body.since) if body.since else at_ms)
        if len(state.caps) > CAPPED_MAX:
            del state.caps[next(iter(state.caps))]


# --- applying ----------------------------------------------------------------------------------------------


def accepted(state: SiteState, body: facts.CommandAccepted, at_ms: int) -> None:
    """A start takes its cap along; a stop of ours is not asked for again at once."""
    station = state.station(body.charger)
    if body.cap_wh is not None:
        for minted in station.minted.values():
            if minted.command == body.command:
                minted.cap_wh = body.cap_wh
    session = station.sessions.get(body.session) if body.session and body.because else None
    if session is not None:
        session.cap_due_ms = at_ms + AGAIN_MS
        state.arm(session.cap_due_ms)


def began(state: SiteState, body: facts.SessionStarted | facts.SessionLearned, at_ms: int) -> None:
    """A session is somebody's."""
    station = state.station(body.charger)
    session = station.sessions.get(body.session)
    if session is None:
        return
    for minted in station.minted.values():
        if body.command is not None and minted.command == body.command:
            session.cap_wh = minted.cap_wh
    if body.cap_wh is not None:
        session.cap_wh = body.cap_wh
    _look(state, session, at_ms)
    if session.principal is not None:
        started_ms = identity.instant(session.started_at)
        known = state.taken.setdefault(session.principal, {})
        begun_ms = started_ms if started_ms and identity.believable(started_ms, at_ms) else at_ms
        taken = known.setdefault(session.id, Taken(charger=body.charger, at_ms=begun_ms))
        taken.refused = session.authorization == "blocked"
        _forget(state, session.principal, at_ms)


def sampled(state: SiteState, body: facts.MeterSampled, at_ms: int) -> None:
    """Energy flowed."""
    session = state.look(body.charger).sessions.get(body.session) if body.session else None
    if session is not None:
        _look(state, session, at_ms)


def _look(state: SiteState, session: Session, at_ms: int) -> None:
    if session.cap_wh is None or session.ended or session.cap_due_ms or session.nameless:
        return
    if energy_of(session) >= session.cap_wh or _used_up(state, session):
        session.cap_due_ms = at_ms
        state.arm(at_ms)


def _used_up(state: SiteState, session: Session) -> bool:
    """Whether its principal has had all that was agreed: two charges at once began with the same that was
    left, and take it together; and a later grant may say less than the charge began with."""
    principal = session.principal
    known = state.caps.get(principal) if principal is not None else None
    if principal is None or known is None or known.caps is None or known.caps.energy_wh is None:
        return False
    caps, all_of = known.caps, state.taken.get(principal, {})
    if session.id not in all_of:
        return False
    since_ms = period_start_ms(caps, all_of[session.id].at_ms)
    energy_wh = sum(
        taken.energy_wh if taken.ended else _so_far(state, taken.charger, uid)
        for uid, taken in all_of.items()
        if period_start_ms(caps, taken.at_ms) == since_ms
    )
    return energy_wh >= known.caps.energy_wh


def over(state: SiteState, body: facts.SessionEnded | facts.SessionRevised, at_ms: int) -> None:
    """What a session came to, in the end or by a later word; whose it was may be decided then, too."""
    if isinstance(body, facts.SessionRevised) and body.principal is not None:
        for principal, known in state.taken.items():
            if body.session in known and principal != body.principal:
                state.taken.setdefault(body.principal, {})[body.session] = known.pop(body.session)
                break
    taken = state.taken.get(body.principal, {}).get(body.session) if body.principal else None
    if taken is not None:
        taken.ended = True
        taken.energy_wh = body.energy_wh if body.energy_wh is not None else taken.energy_wh


def carried(state: SiteState, body: facts.AllowanceCarried, at_ms: int) -> None:
    """What another box has counted, by the rule of `began`."""
    known = state.taken.setdefault(body.principal, {})
    for charge in body.charges:
        told_ms, begun_ms = identity.instant(charge.told_at) or at_ms, identity.instant(charge.at)
        taken = Taken(
            charger=charge.charger,
            at_ms=begun_ms if begun_ms and identity.believable(begun_ms, told_ms) else told_ms,
            energy_wh=charge.energy_wh,
            ended=True,
            refused=charge.refused,
        )
        known.setdefault(charge.session, taken)
    _forget(state, body.principal, at_ms)


def _forget(state: SiteState, principal: str, at_ms: int) -> None:
    """What no period can reach any more."""
    known = state.taken[principal]
    for uid in [uid for uid, taken in known.items() if taken.at_ms < at_ms - PERIOD_MAX_MS - AGAIN_MS]:
        del known[uid]
    while len(known) > TAKEN_MAX:
        del known[next(iter(known))]
