"""The end of a session as its charger tells it, whichever version's words it comes in.

`stops` ends for 1.6's StopTransaction, `completion` for a 2.x station's Ended event; what follows stands here
once: energy by the first way that holds, what is odd about the times, and the fact that says so. A session
that is over already is revised, unless what is said now is provisional, too.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import facts
from edge.core import identity, meter, orders, scale, sessions
from edge.core.state import Draft, Session, SiteState

REASON_CHARS_MAX: Final = 64


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What a charger says of a session's end. Registers as told, before any factor (`scale`)."""

    at: str  #: canonical
    at_ms: int | None
    meter_stop_wh: float | None
    reason: str = ""
    stopped_by: str | None = None
    flags: tuple[str, ...] = ()
    provisional: bool = False


def ended(
    state: SiteState,
    draft: Draft,
    charger: str,
    session: Session,
    end: End,
    registers: meter.Registers,
    now_ms: int,
) -> None:
    """Close an open session, or put the truth in a provisional close's place.

    `registers`: with all samples that came with the end.
    """
    meter_stop_wh = scale.value(meter.finite(end.meter_stop_wh), session.scale)
    energy = meter.energy(session.meter_start_wh, meter_stop_wh, registers)
    flags = (*energy.flags, *end.flags, *_time_flags(session, end.at_ms, now_ms, unsure=state.unsure))
    proposal = scale.proposal(charger, state.look(charger), session, registers)
    if proposal is not None:
        draft.facts.append(proposal)
    reason = end.reason[:REASON_CHARS_MAX]
    if session.ended and not end.provisional:
        draft.facts.append(
            facts.SessionRevised(
                session=session.id,
                charger=charger,
                principal=session.principal,
                revision=session.revision + 1,
                ended_at=end.at,
                meter_stop_wh=meter_stop_wh,
                energy_wh=energy.energy_wh,
                method=energy.method,
                obtained=energy.method.obtained,
                reason=reason,
                flags=flags,
            )
        )
        return
    draft.facts.append(
        sessions.closing(
            charger,
            session,
            end.at,
            now_ms,
            meter_stop_wh=meter_stop_wh,
            energy=msgspec.structs.replace(energy, flags=flags),
            reason=reason,
            provisional=end.provisional,
            stopped_by=end.stopped_by,
        )
    )
    orders.session_over(state, draft, charger, session.id, superseded=False)


def _time_flags(session: Session, ended_ms: int | None, now_ms: int, *, unsure: bool) -> tuple[str, ...]:
    flags = []
    started_ms = identity.instant(session.started_at)
    if not identity.believable(ended_ms, now_ms, unsure=unsure):
        flags.append("clock_invalid")
    # Starts are floored to the second.
    if ended_ms is not None and started_ms is not None and ended_ms < started_ms:
        flags.append("time_backwards")
    return tuple(flags)
