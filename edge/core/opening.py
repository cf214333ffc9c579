"""The opening of a session, whichever way its charger reports one: who it is for, and what was open before.

`ledger` opens for 1.6's StartTransaction, `events` for a 2.x station's transaction events; both say what they
heard in a `Claim`, and the rules that follow stand here once.

**A session where one is open.** A connector has one session, so the earlier one is over. It was either the
same start with another time (same tag, same register, nothing charged, its id never used): then it is
*superseded* with 0 Wh and its id means the new session; or its stop was lost: then it is closed
provisionally, and the charger's own stop replaces that. A 2.x station may tell an older session late
(`history`): that one leaves the connector to whose it is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import facts
from common.domain import iso
from edge.core import authorization, cards, clocks, identity, orders, scale, sessions
from edge.core.state import Draft, Session, SiteState, Station

#: A session that began this long before its charger was adopted belongs to the charger's earlier life.
IMPORTED_MS: Final = 300_000


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says of the session that it begins, in comparable form."""

    evse: int  #: 0: not told
    connector: int = 1  #: 0: not told
    own: bool = False  #: the station named the transaction itself
    key: str
    started: str
    at_ms: int | None
    meter_start_wh: float | None
    weak: bool = False
    tag_ref: str | None = None
    minted: str = ""
    offline: bool = False


def began(
    state: SiteState,
    draft: Draft,
    charger: str,
    claim: Claim,
    *,
    session: str,
    transaction: str,
    flags: tuple[str, ...],
    now_ms: int,
) -> facts.SessionStarted:
    """Open a session, and end what was open on its connector."""
    station = state.look(charger)
    factor = station.tuning.traits.register_factor
    claim = msgspec.structs.replace(claim, meter_start_wh=scale.value(claim.meter_start_wh, factor))
    superseded, more = _make_room(state, draft, station, charger, claim, now_ms)
    verdict = cards.judge(state, charger, claim.evse, claim.tag_ref, claim.minted, claim.at_ms, now_ms)
    flags = (*more, *flags, *_flags(state, station, claim, verdict, superseded, now_ms))
    pending = claim.own and claim.tag_ref is None and verdict.command is None
    body = facts.SessionStarted(
        session=session,
        charger=charger,
        evse=claim.evse,
        connector=claim.connector,
        transaction=transaction,
        principal=verdict.principal,
        tag_ref=claim.tag_ref,
        command=verdict.command,
        started_at=claim.started,
        received_at=iso(now_ms),
        meter_start_wh=claim.meter_start_wh,
        authorization="pending" if pending else verdict.status,
        key=claim.key,
        weak=claim.weak,
        boot=state.boots(charger),
        clock_offset_ms=clocks.offset_ms(station),
        scale=factor,
        history=claim.own and _is_older(station.open_on(claim.evse), claim.at_ms),
        supersedes=superseded,
        cap_wh=verdict.cap_wh,
        flags=tuple(dict.fromkeys(flags)),
    )
    draft.facts.append(body)
    if "imported" not in flags:  # many chargers start without having asked
        draft.facts += authorization.told(state, charger, claim.tag_ref, verdict, now_ms)
    orders.session_began(state, draft, verdict.command, session)
    return body


def make_room(
    state: SiteState, draft: Draft, charger: str, evse: int, at_ms: int | None, now_ms: int
) -> Session | None:
    """End what is open on a connector whose next session began at `at_ms`; returns what was ended."""
    previous = state.look(charger).open_on(evse)
    if previous is not None:
        sessions.close_provisionally(state, draft, charger, previous, "missing_stop", now_ms, before_ms=at_ms)
    return previous


def _make_room(
    state: SiteState, draft: Draft, station: Station, charger: str, claim: Claim, now_ms: int
) -> tuple[str | None, tuple[str, ...]]:
    """End what is open on the connector. Returns the superseded session, and flags for the new one."""
    previous = station.open_on(claim.evse)
    if previous is None or (claim.own and _is_older(previous, claim.at_ms)):
        return None, ()
    # What was charged before the true start was told is in that one's register, and only there.
    if previous.nameless or (not claim.own and _restamped(previous, claim)):
        sessions.supersede(state, draft, charger, previous, now_ms)
        return previous.id, ()
    make_room(state, draft, charger, claim.evse, claim.at_ms, now_ms)
    # Both claim the same part of the register, or an older start comes after a newer one.
    odd = _overlap(previous, claim.meter_start_wh) or _is_older(previous, claim.at_ms)
    return None, ("needs_review",) if odd else ()


def _is_older(previous: Session | None, at_ms: int | None) -> bool:
    """Whether a start at `at_ms` is told late: what is open on the connector began after it."""
    previous_ms = identity.instant(previous.started_at) if previous is not None else None
    return previous_ms is not None and at_ms is not None and at_ms < previous_ms


def _overlap(previous: Session, meter_start_wh: float | None) -> bool:
    first_wh, last_wh = previous.meter_start_wh, previous.registers.last_wh
    if first_wh is None or last_wh is None or meter_start_wh is None:
        return False
    return first_wh <= meter_start_wh < last_wh


def _restamped(previous: Session, claim: Claim) -> bool:
    registers = previous.registers
    charged = registers.gained_wh > 0 or (
        registers.last_wh is not None
        and previous.meter_start_wh is not None
        and registers.last_wh > previous.meter_start_wh
    )
    return (
        previous.tag_ref == claim.tag_ref
        and previous.meter_start_wh == claim.meter_start_wh
        and not (charged or previous.cited or previous.available)
    )


def _flags(
    state: SiteState,
    station: Station,
    claim: Claim,
    verdict: authorization.Verdict,
    superseded: str | None,
    now_ms: int,
) -> tuple[str, ...]:
    flags = []
    if not identity.believable(claim.at_ms, now_ms, unsure=state.unsure):
        flags.append("clock_invalid")
    elif (
        claim.at_ms is not None
        and claim.at_ms - clocks.proven_offset_ms(station) < station.adopted_ms - IMPORTED_MS
    ):
        flags.append("imported")
    if claim.weak and station.frozen:
        flags.append("clock_frozen")
    intent = station.minted.get(claim.minted) if verdict.command else None
    if intent is not None and intent.session not in (None, superseded):
        flags.append("tag_reused")
    if claim.offline:
        flags.append("offline")
    flags += scale.flag(station.tuning.traits.register_factor)
    return tuple(flags)
