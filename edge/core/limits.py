"""Limits: the lowest of all ranks goes to the charger, and is proven only when its effect was seen.

    installer's safety limit > operator's policy > driver's wish        (rank; the lowest number is in force)

What is wanted (`LimitWanted`) and what is at the charger (`LimitApplied`) are two things. Each *slot* is one
profile there, with an identity that never changes, so that a new one replaces the old:

    default   of a connector: for every charge, from before it begins; the safe one to leave behind (quirk 91)
    session   of the charge that runs: replaces the default for it, so it carries the lowest of all, too
    station   of the whole, where a model is known to keep it (quirk 85)

A slot is sent whenever what it should hold differs from what was asked for last, or the charger booted or
came back; a later one overtakes an earlier one, and answers to the earlier mean nothing. Without an answer it
is sent again, after ever longer pauses. A refusal is followed by the next way to say it (`limiting`,
quirk 86), then it is told. "Accepted" means that the charger will try: the limit is *proven* by the schedule
that it tells, by the current that it offers, or by a current that fell; a current above it proves the
contrary, whatever the charger said (quirk 90).

A limit of the whole charger is shared out evenly among its connectors, unless the charger keeps one of the
whole: two cars at the full limit each would be twice the fuse. No start leaves before the safety limit was
sent after a boot or a new connection, and answered, or found to be unanswered (`holds`).
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Final

import msgspec

from common.tuning import LimitApplied, LimitWanted
from edge.core.state import SiteState, Station
from edge.core.traits import Traits
from edge.core.tuning import Limits, Slot

#: Below this a car cannot charge (IEC 61851-1), so what a charger makes of it is its own (quirk 88).
MINIMUM_A: Final = 6.0
#: Above any connector; a typing error of an installer's.
MAXIMUM_A: Final = 1000.0
#: From a new connection on, before limits are sent again: a charger that boots says so within seconds, and
#: one loops on calls that come before (quirk 35).
CONNECT_GRACE_MS: Final = 10_000

_TENTH: Final = Decimal("0.1")
_RANKS: Final = ("installer", "operator", "driver")


class Want(msgspec.Struct, frozen=True):
    """What a slot should hold, and whose limit that is."""

    limit_a: float
    rank: str


# --- what should be at the charger -------------------------------------------------------------------------


def connectors(station: Station) -> list[int]:
    """The EVSEs that the charger has told of; [0] while it has told of none."""
    return sorted(evse for evse in station.places if evse > 0) or [0]


def slot_name(scope: str, evse: int) -> str:
    return f"{scope}:{evse}"


def desired(station: Station, limits: Limits, traits: Traits) -> dict[str, Want]:
    """Every slot that should hold a limit."""
    found: dict[str, Want] = {}
    for evse in connectors(station):
        base = base_limit(station, limits, traits, evse)
        if base is not None:
            found[slot_name("default", evse)] = base
        session = station.open_on(evse)
        if session is None or session.ended:
            continue
        own_a = limits.session_a.get(session.id)
        if own_a is None and session.id not in limits.held:
            continue
        both = [want for want in (base, Want(own_a, "driver") if own_a is not None else None) if want]
        if both:
            found[slot_name("session", evse)] = _rounded(min(both, key=_order), traits)
    if traits.station_limit and limits.safety_a is not None:
        found[slot_name("station", 0)] = _rounded(Want(limits.safety_a, "installer"), traits)
    return found


def base_limit(station: Station, limits: Limits, traits: Traits, evse: int) -> Want | None:
    """The lowest of the installer's and the operator's for a connector; a driver's comes on top of it."""
    wants = []
    share = 1 if traits.station_limit else len(connectors(station))
    if limits.safety_a is not None:
        wants.append(Want(limits.safety_a / share, "installer"))
    if 0 in limits.policy_a:
        wants.append(Want(limits.policy_a[0] / len(connectors(station)), "operator"))
    if evse and evse in limits.policy_a:
        wants.append(Want(limits.policy_a[evse], "operator"))
    return _rounded(min(wants, key=_order), traits) if wants else None


def _order(want: Want) -> tuple[float, int]:
    return want.limit_a, _RANKS.index(want.rank)


def _rounded(want: Want, traits: Traits) -> Want:
    """Down to what can be said: a tenth (OCPP 1.6 §7.8), or one of the charger's own steps (quirk 89)."""
    # In decimals: what was typed as 16.1 is 16.1, and nothing is ever rounded up.
    limit_a = float(Decimal(repr(want.limit_a)).quantize(_TENTH, ROUND_DOWN))
    fitting = [step for step in traits.steps_a if step <= limit_a]
    return Want(max(fitting) if fitting else limit_a, want.rank)


def holds(station: Station, limits: Limits | None = None) -> bool:
    """Whether a start has to wait: the safety limit is not at the charger yet, for all that we know."""
    limits = limits or station.tuning.limits
    if limits.safety_a is None:
        return False
    for name in desired(station, limits, station.tuning.traits):
        slot = limits.slots.get(name)
        if not name.startswith("session:") and (slot is None or slot.stale or slot.proof == "pending"):
            return True
    return False


# --- applying ----------------------------------------------------------------------------------------------


def wanted(state: SiteState, body: LimitWanted, at_ms: int) -> None:
    station = state.station(body.charger)
    wanted_in(station, station.tuning.limits, body)
    state.arm(at_ms)


def wanted_in(station: Station, limits: Limits, body: LimitWanted) -> None:
    """Bring `limits` up to a decision. A driver's is for the session that is open on the connector."""
    limits.revision = max(limits.revision, body.revision)
    if body.rank == "driver":
        session = station.open_on(body.evse)
        if session is not None and body.limit_a is not None:
            limits.session_a[session.id] = body.limit_a
        elif session is not None:
            limits.session_a.pop(session.id, None)
        return
    if body.rank == "installer":
        limits.safety_a = body.limit_a
    elif body.limit_a is None:
        limits.policy_a.pop(body.evse, None)
    else:
        limits.policy_a[body.evse] = body.limit_a
    for session in station.sessions.values():
        # A default is for charges that begin after it, so those that run get one of their own.
        reached = not session.ended and body.evse in (0, session.evse)
        if reached and session.id not in limits.held:
            limits.held.append(session.id)


def draws_above(state: SiteState, station: Station, body: LimitApplied) -> bool:
    """Whether more is drawn just now than this limit allows."""
    session = station.open_on(body.evse)
    shown = state.view.sessions.get(session.id) if session is not None else None
    drawn = max(shown.current_a) if shown is not None and shown.current_a else 0.0
    return body.limit_a is not None and drawn > body.limit_a * 1.1 + 1


def applied(state: SiteState, body: LimitApplied, at_ms: int) -> None:
    station = state.station(body.charger)
    above = body.proof == "pending" and draws_above(state, station, body)
    applied_to(station.tuning.limits, body, at_ms, above=above)
    state.arm(at_ms)


def applied_to(limits: Limits, body: LimitApplied, at_ms: int, *, above: bool = False) -> None:
    """Bring `limits` up to what became of a slot."""
    name = slot_name(body.scope, body.evse)
    slot = limits.slots.get(name)
    if slot is None:
        slot = limits.slots[name] = Slot(body.evse, body.scope)
    slot.limit_a, slot.rank, slot.proof = body.limit_a, body.rank, body.proof
    slot.attempt, slot.rung, slot.stale = body.attempt, body.rung, False
    if body.proof == "pending":
        limits.sent = max(limits.sent, body.attempt)
        slot.asked_ms, slot.above = at_ms, above
        return
    slot.proof_ms = at_ms
    slot.failures = slot.failures + 1 if body.proof == "unanswered" else 0
    if body.proof in ("accepted", "proven", "unproven"):
        slot.held_a = body.limit_a
    elif body.proof == "cleared":
        del limits.slots[name]


def stale(state: SiteState, station: Station, at_ms: int, *, booted: bool) -> None:
    """The charger booted or is here again: everything is sent once more, before any start."""
    limits = station.tuning.limits
    if not limits.used:
        return
    limits.ready_ms = at_ms if booted else at_ms + CONNECT_GRACE_MS
    for slot in limits.slots.values():
        slot.stale, slot.failures = True, 0
        if booted:
            slot.held_a = None
    state.arm(limits.ready_ms)


def session_over(state: SiteState, station: Station, evse: int, session: str, at_ms: int) -> None:
    """A session's profile ends with it."""
    limits = station.tuning.limits
    limits.session_a.pop(session, None)
    if session in limits.held:
        limits.held.remove(session)
    if station.open_on(evse) is None:
        limits.slots.pop(slot_name("session", evse), None)
    state.arm(at_ms)
