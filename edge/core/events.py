"""Transaction events of a 2.x station: one session for each transaction, whatever is lost, repeated or late.

    event ─▶ whose? ─▶ new, repeat or contradiction (`sequence`) ─▶ opens | tells more | samples | ends

The station names the transaction, and any event of it may be the first that reaches us, so any opens the
session; what an event leaves out was told before or will be (quirk 99): place, tag and start are *learned*
once and kept. Nothing is made up for them: a session whose EVSE was never told has none.

`learning` has what is told once, `completion` the end: final when all was heard, provisional until then.

**Live or history.** An event that was told offline, or that is older than its connector's last report by the
station's own clock, is history: it changes the session and not what the connector shows (quirk 100).
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import facts
from common.domain import ConnectorState, Phase
from common.ports import Ids
from edge.core import (
    authorization,
    axes,
    completion,
    connector,
    identity,
    inputs,
    learning,
    meter,
    opening,
    scale,
    sessions,
)
from edge.core.orphans import record
from edge.core.reports import TransactionEvent
from edge.core.sequence import Sequence, Verdict, judge, take
from edge.core.state import EVSES_MAX, Draft, Session, SiteState, Station

#: How an event of `facts.SessionEvent` stands that was not taken for what it said.
CONFLICT: Final = "conflict"

#: Open transactions of one station: two for each EVSE that one may have. A station that names ever new ones
#: and ends none loses the one that was silent the longest, provisionally.
OPEN_MAX: Final = 2 * EVSES_MAX

_FLOWING: Final = frozenset({Phase.CHARGING, Phase.SUSPENDED_EV, Phase.SUSPENDED_EVSE})
_encode = msgspec.json.Encoder().encode


# --- deciding ----------------------------------------------------------------------------------------------


def reported(state: SiteState, given: TransactionEvent, now_ms: int, ids: Ids) -> inputs.Decision:
    """An event of a transaction: taken once, acknowledged always."""
    station = state.look(given.charger)
    digest = _digest(given)
    session = sessions.named(station, given.transaction, given.recalled)
    again = session is not None and _is_another(session, given)
    draft = Draft()
    if session is None or again:
        if given.evse is not None and not 1 <= given.evse <= EVSES_MAX:
            return _unplaced(station, given, _reply(state, given, None, digest))
        session = _opened(state, draft, given, now_ms, reused=again)
        known = Sequence()
    else:
        if session.ended and not session.provisional and session.id not in station.sessions:
            return inputs.Decision(reply=_reply(state, given, session, digest, replay=True))
        known = _copy(session.sequence)
        verdict = judge(known, given.number, digest)
        if verdict is Verdict.REPEAT:
            return inputs.Decision(reply=_reply(state, given, session, digest, replay=True))
        if verdict is Verdict.CONFLICT:
            if given.step != learning.ENDED or session.ended:
                return _contradicted(state, draft, given, session, digest)
            known.conflicts += 1  # an end is an end, whatever its number
        session = learning.more(state, draft, given, session, now_ms)
    _happened(draft, known, given, session, digest)
    registers = _sampled(draft, given, session)
    completion.close(state, draft, given, session, known, registers, now_ms)
    _show(state, draft, given, session, known, now_ms, ids)
    return draft.decision(_reply(state, given, session, digest))


def _digest(given: TransactionEvent) -> str:
    # A replay may be marked as one, and the journal's answer is no part of what was told.
    told = msgspec.structs.replace(given, offline=False, recalled=None)
    return identity.event_digest(given.step, given.at, _encode(msgspec.to_builtins(told, str_keys=True)))


def _is_another(session: Session, given: TransactionEvent) -> bool:
    """Whether a station began another transaction under an ended one's id (quirk 98)."""
    if given.step != learning.STARTED or not session.ended:
        return False
    ended_ms, at_ms = identity.instant(session.ended_at), identity.moment(given.at)
    return ended_ms is not None and at_ms is not None and at_ms // 1000 > ended_ms // 1000


def _copy(known: Sequence | None) -> Sequence:
    known = known or Sequence()
    return msgspec.structs.replace(known, holes=list(known.holes), recent=dict(known.recent))


def _reply(
    state: SiteState, given: TransactionEvent, session: Session | None, digest: str, *, replay: bool = False
) -> inputs.StopReply:
    """The receipt. It judges the tag that the event named, if it named one; that is kept for a repeat."""
    if given.tag_ref is None:
        return inputs.StopReply(None)
    if session is not None and session.tag_ref == given.tag_ref:
        status = session.authorization
    else:
        tag = learning.minted(state.look(given.charger), given)[0]
        status = authorization.judge(state, given.charger, given.tag_ref, tag).status
    key = identity.event_key(given.charger, given.transaction, digest)
    return inputs.StopReply(status, key, replay=replay)


# --- the beginning, and what is learned afterwards ---------------------------------------------------------


def _opened(state: SiteState, draft: Draft, given: TransactionEvent, now_ms: int, *, reused: bool) -> Session:
    charger, own = given.charger, identity.transaction_id(given.transaction)
    still_open = [session for session in state.look(charger).sessions.values() if not session.ended]
    if len(still_open) >= OPEN_MAX:
        silent = min(still_open, key=lambda session: session.heard_ms)
        sessions.close_provisionally(state, draft, charger, silent, "too_many_open", now_ms)
    started = identity.canonical(given.at)
    content = (own, started) if reused else (own,)
    body = opening.began(
        state,
        draft,
        charger,
        opening.Claim(
            evse=learning.evse_of(state.look(charger), given),
            connector=learning.connector_of(state.look(charger), given),
            own=True,
            key=identity.transaction_key(charger, own),
            started=started,
            at_ms=identity.moment(given.at),
            meter_start_wh=learning.begin_wh(given),
            tag_ref=given.tag_ref,
            minted=learning.minted(state.look(charger), given)[0],
            offline=given.offline,
        ),
        session=identity.session_uid(state.view.site, charger, *content),
        transaction=own,
        flags=("transaction_reused", "needs_review") if reused else (),
        now_ms=now_ms,
    )
    return sessions.begun(body, now_ms)


# --- what an event brings ----------------------------------------------------------------------------------


def _happened(
    draft: Draft, known: Sequence, given: TransactionEvent, session: Session, digest: str, step: str = ""
) -> None:
    """Write the event down, and bring `known` up to it."""
    body = facts.SessionEvent(
        session=session.id,
        charger=given.charger,
        principal=session.principal,
        step=step or given.step,
        number=given.number,
        digest=digest,
        phase=given.phase,
        at=identity.canonical(given.at),
    )
    draft.facts.append(body)
    _follow(known, body)


def _sampled(draft: Draft, given: TransactionEvent, session: Session) -> meter.Registers:
    """Write the samples down; returns the registers as they are with them."""
    groups = meter.taken(session.seen, scale.samples(given.samples, session.scale))
    draft.facts += sessions.samples_of(given.charger, session, groups, session.transaction)
    registers: meter.Registers = msgspec.convert(msgspec.to_builtins(session.registers), meter.Registers)
    for group in groups:
        meter.follow(registers, group)
    return registers


def _contradicted(
    state: SiteState, draft: Draft, given: TransactionEvent, session: Session, digest: str
) -> inputs.Decision:
    """Another event under a number that was used: the first stands, this one is kept beside it."""
    station = state.look(given.charger)
    new = record(
        draft,
        station,
        given.charger,
        "event",
        "conflict",
        evse=session.evse,
        transaction=given.transaction,
        principal=session.principal,
        given=given,
    )
    if new:
        _happened(draft, _copy(session.sequence), given, session, digest, CONFLICT)
        evse, number = session.evse, session.connector
        draft.facts += sessions.unattached(given.charger, evse, number, given.transaction, given.samples)
    return draft.decision(_reply(state, given, session, digest))


def _unplaced(station: Station, given: TransactionEvent, reply: inputs.StopReply) -> inputs.Decision:
    draft = Draft()
    record(
        draft,
        station,
        given.charger,
        "event",
        "no such EVSE",
        transaction=given.transaction,
        given=given,
    )
    return draft.decision(inputs.StopReply(reply.status))


# --- what the connector shows ------------------------------------------------------------------------------


def _show(
    state: SiteState,
    draft: Draft,
    given: TransactionEvent,
    session: Session,
    known: Sequence,
    now_ms: int,
    ids: Ids,
) -> None:
    """Bring the connector up to what its transaction does, unless this is history."""
    station = state.look(given.charger)
    place = station.places.get(session.evse)
    here = place.session if place is not None else None
    told = known.phase is not None and (given.phase is not None or given.step == learning.ENDED)
    if not session.evse or given.offline or not told:
        return
    fresh = next((f for f in draft.facts if isinstance(f, facts.SessionStarted)), None)
    moved = any(isinstance(f, facts.SessionLearned) and f.evse for f in draft.facts)
    if here != session.id and not moved and (fresh is None or fresh.history):
        return
    at_ms = identity.moment(given.at)
    if place is not None and at_ms is not None and at_ms < place.told_ms:
        return
    held = place.state if place is not None else ConnectorState.UNKNOWN
    decided = connector.reported(
        state,
        inputs.StatusReported(
            charger=given.charger,
            evse=session.evse,
            connector=session.connector or (place.connector if place is not None else 1),
            state=axes.after_event(known, held, over=known.ended),
            plug=axes.plug(known.phase),
            error_code=place.error_code if place is not None else "",
            info=place.info if place is not None else "",
            reported_at=given.at.text,
        ),
        now_ms,
        ids,
    )
    draft.facts += decided.facts
    draft.requests += decided.requests
    draft.progress += decided.progress


# --- applying ----------------------------------------------------------------------------------------------


def happened(state: SiteState, body: facts.SessionEvent, at_ms: int) -> None:
    """Apply an event to its session."""
    station = state.station(body.charger)
    session = station.sessions.get(body.session)
    if session is None:
        return
    session.sequence = session.sequence or Sequence()
    _follow(session.sequence, body)
    session.heard_ms, session.cited = at_ms, True
    if session.closing_ms and not session.ended and body.step != CONFLICT:
        sessions.close_after(state, session, at_ms)
    state.arm(at_ms + sessions.SILENCE_MS)
    if station.ready_ms > at_ms:
        state.arm(station.ready_ms)


def _follow(known: Sequence, body: facts.SessionEvent) -> None:
    if body.step == CONFLICT:
        known.conflicts += 1
        return
    take(known, body.number, body.digest)
    known.started = known.started or body.step == learning.STARTED
    known.ended = known.ended or body.step == learning.ENDED
    if body.at >= known.newest_at:
        known.newest_at = body.at
        known.phase = body.phase or known.phase
    known.charged = known.charged or body.phase in _FLOWING
