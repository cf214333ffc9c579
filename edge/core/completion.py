"""The end of a 2.x session: final when every event of it was heard, provisional until then.

Used by `events` for every event, and by `engine` with the station's answers. An end that leaves numbers out
is flagged `incomplete` and not billable; the missing events make it final when they come. The station is
asked whether it still holds any (and, when it comes back, whether its open transactions go on), and again
while it says that it does; if it holds none, an operator decides (`needs_review`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from edge.core import identity, inputs, learning, meter, sessions
from edge.core.ending import End, ended
from edge.core.reports import TransactionEvent
from edge.core.requests import AskTransaction
from edge.core.sequence import Sequence
from edge.core.state import Draft, Session, SiteState, Station

#: A question about a transaction that could not leave by then is not worth asking any more.
ASK_LIFE_MS: Final = 60_000
#: What the requests' ids begin with; the session follows.
_PREFIX: Final = "events."


def close(
    state: SiteState,
    draft: Draft,
    given: TransactionEvent,
    session: Session,
    known: Sequence,
    registers: meter.Registers,
    now_ms: int,
) -> None:
    """End the session as far as it is known to be over: provisionally until every event was heard."""
    if not known.ended or (session.ended and not session.provisional):
        return
    ends = given.step == learning.ENDED
    if not ends and not known.whole:
        return  # still incomplete, and nothing said how it ended anew
    end = End(
        at=identity.canonical(given.at) if ends else session.ended_at,
        at_ms=identity.moment(given.at) if ends else identity.instant(session.ended_at),
        # what is in the session has its factor already
        meter_stop_wh=learning.end_wh(given) if ends else _unscaled(session),
        reason=given.reason if ends else "",
        stopped_by=given.tag_ref if ends and given.tag_ref not in (None, session.tag_ref) else None,
        flags=_flags(known),
        provisional=not known.whole,
    )
    ended(state, draft, given.charger, session, end, registers, now_ms)
    if not known.whole:
        _ask(draft, given.charger, session, now_ms)


def _unscaled(session: Session) -> float | None:
    stop_wh = session.meter_stop_wh
    return stop_wh if stop_wh is None or session.scale == 1.0 else stop_wh / session.scale


def _flags(known: Sequence) -> tuple[str, ...]:
    told = {
        "incomplete": not known.whole,
        "start_missing": not known.started,
        "uncounted": not known.counts,
        "event_conflict": known.conflicts > 0,
    }
    return tuple(flag for flag, holds in told.items() if holds)


# --- questions ---------------------------------------------------------------------------------------------


def _ask(draft: Draft, charger: str, session: Session, now_ms: int) -> None:
    draft.requests.append(
        inputs.Request(
            id=_PREFIX + session.id,
            charger=charger,
            action=AskTransaction(session.transaction),
            # not housekeeping: that waits for the end of every session, and this is about one
            priority=inputs.PRIORITY_START,
            expires_ms=now_ms + ASK_LIFE_MS,
        )
    )


def questions(state: SiteState, draft: Draft, now_ms: int) -> None:
    """Ask about sessions that were open when their charger came back, once, where that became due."""
    for charger, station in state.stations.items():
        if station.online and state.seen_ms < station.ready_ms <= now_ms:
            for session in _doubtful(station):
                _ask(draft, charger, session, now_ms)
        for session, due_ms in _again(state, station):
            if due_ms <= now_ms:
                _ask(draft, charger, session, now_ms)


def timers(state: SiteState, station: Station) -> list[int]:
    """When a question is due."""
    due = station.online and station.ready_ms > state.seen_ms and any(True for _ in _doubtful(station))
    return [*([station.ready_ms] if due else []), *(due_ms for _, due_ms in _again(state, station))]


def _again(state: SiteState, station: Station) -> list[tuple[Session, int]]:
    """Sessions with a gap that the station has not said to be all, and when it is asked about each anew."""
    if not station.online:
        return []
    due: list[tuple[Session, int]] = []
    for session in station.sessions.values():
        if session.gap_ms:
            times = [session.gap_ms + after_ms for after_ms in sessions.GAP_ASK_AFTER_MS]
            due += [(session, due_ms) for due_ms in times if due_ms > state.seen_ms][:1]
    return due


def _doubtful(station: Station) -> list[Session]:
    """Open sessions of which nothing was heard since the charger came."""
    return [
        session
        for session in station.sessions.values()
        if session.sequence is not None and not session.ended and session.heard_ms <= station.connected_ms
    ]


def answered(state: SiteState, given: inputs.CallEnded, now_ms: int) -> inputs.Decision:
    """What a station said of a transaction: that it goes on, or that nothing more of it will come."""
    if not given.request.startswith(_PREFIX) or given.answer != "accepted":
        return inputs.NOTHING
    session = state.look(given.charger).sessions.get(given.request.removeprefix(_PREFIX))
    if session is None or session.sequence is None or given.result.get("queued") is not False:
        return inputs.NOTHING
    draft = Draft()
    if not session.ended:
        if given.result.get("ongoing") is False:
            sessions.close_provisionally(state, draft, given.charger, session, "missing_stop", now_ms)
    elif session.gap_ms and session.sequence.ended:
        energy = meter.energy(session.meter_start_wh, session.meter_stop_wh, session.registers)
        flags = (*energy.flags, "incomplete", "events_lost", "needs_review")
        draft.facts.append(
            sessions.closing(
                given.charger,
                session,
                session.ended_at,
                now_ms,
                meter_stop_wh=session.meter_stop_wh,
                energy=msgspec.structs.replace(energy, flags=flags),
                reason="events_lost",
                provisional=True,
            )
        )
    return draft.decision()
