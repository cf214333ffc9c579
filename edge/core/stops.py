"""The end of a session, as its charger tells it: StopTransaction (2.x: TransactionEvent Ended).

The first stop is the billing truth. It closes the open session, or takes the place of a provisional close; an
identical one gets the stored reply, another one is kept as a conflict (quirk 58), one of no known transaction
as an orphan (quirk 56). Each is acknowledged. Energy comes from the registers (`meter`), never below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from common.domain import ConnectorState, MeterSample
from edge.core import (
    authorization,
    clocks,
    connector,
    identity,
    inputs,
    meter,
    opening,
    scale,
    sessions,
)
from edge.core.ending import End, ended
from edge.core.orphans import record
from edge.core.state import Draft, Session, SiteState, Station

#: States of a connector that a stop speaks for.
_STOPPED: Final = frozenset({ConnectorState.FINISHING, ConnectorState.AVAILABLE})


def finished(state: SiteState, given: inputs.TransactionEnded, now_ms: int) -> inputs.Decision:
    """A transaction ended, or its end is reported again, or nobody knows it."""
    station = state.look(given.charger)
    draft = Draft()
    status = None
    if given.tag_ref is not None:
        status = authorization.judge(state, given.charger, given.tag_ref, "").status
    key = identity.stop_key(given.charger, given.transaction)
    session, reason, doubts = _whose(station, given)
    if session is None:
        return _orphan_stop(station, given, reason, key)
    if given.tag_ref is not None and given.tag_ref == session.tag_ref:
        status = session.authorization
    if session.ended and not session.provisional:
        return _stopped_again(station, given, session, inputs.StopReply(status, key, replay=True))
    groups = meter.taken(session.seen, scale.samples(given.samples, session.scale))
    draft.facts += sessions.samples_of(given.charger, session, groups, session.transaction)
    _end(state, draft, session, given, groups, doubts, now_ms)
    connector.agree(draft, given.charger, session.evse, station.places.get(session.evse), _STOPPED)
    return draft.decision(inputs.StopReply(status, key))


def _whose(station: Station, given: inputs.TransactionEnded) -> tuple[Session | None, str, tuple[str, ...]]:
    """The session that a stop ends, or why none; with flags where that is concluded and not told."""
    if not identity.is_transaction(given.transaction):
        # The charger never learnt the id (quirk 55). One session of its own can be meant, or nobody knows.
        fitting = [session for session in station.sessions.values() if _fits(session, given)]
        if len(fitting) == 1:
            return fitting[0], "", ("stop_without_id",)
        return None, "no_single_candidate" if fitting else "unknown_transaction", ()
    session = sessions.named(station, given.transaction, given.recalled)
    if session is not None and _foreign(station, session, given):
        return None, "foreign_transaction", ()
    return session, "unknown_transaction", ()


def _fits(session: Session, given: inputs.TransactionEnded) -> bool:
    """Whether a stop without an id may be this session's: open, its id never used, and nothing against it."""
    if session.ended or session.cited or session.nameless or session.sequence is not None:
        return False
    if given.tag_ref is not None and given.tag_ref != session.tag_ref:
        return False
    stop_wh = scale.value(meter.finite(given.meter_stop_wh), session.scale)
    least_wh = session.registers.last_wh if session.registers.last_wh is not None else session.meter_start_wh
    ended_ms, started_ms = identity.moment(given.ended), identity.instant(session.started_at)
    later = ended_ms is None or started_ms is None or ended_ms >= started_ms
    return later and (stop_wh is None or least_wh is None or stop_wh >= least_wh)


def _foreign(station: Station, session: Session, given: inputs.TransactionEnded) -> bool:
    """Whether an id that we gave out is another backend's here (quirk 39): its stop is older than the
    adoption, which the session is not, and its register is lower than where the session began."""
    ended_ms = clocks.ours(station, identity.moment(given.ended))
    started_ms = clocks.ours(station, identity.instant(session.started_at))
    if ended_ms is None or started_ms is None or ended_ms < identity.BELIEVED_FROM_MS:
        return False
    earliest_ms = station.adopted_ms - opening.IMPORTED_MS
    stop_wh = scale.value(meter.finite(given.meter_stop_wh), session.scale)
    lower = stop_wh is not None and session.meter_start_wh is not None and stop_wh < session.meter_start_wh
    return lower and ended_ms < earliest_ms <= started_ms


def _stopped_again(
    station: Station,
    given: inputs.TransactionEnded,
    session: Session,
    replay: inputs.StopReply,
) -> inputs.Decision:
    """The first stop is the billing truth (quirk 58); another one with other values is kept beside it."""
    stop_wh = scale.value(meter.finite(given.meter_stop_wh), session.scale)
    same_register = stop_wh is None or stop_wh == session.meter_stop_wh
    if same_register and identity.canonical(given.ended) == session.ended_at:
        return inputs.Decision(reply=replay)
    draft = Draft()
    new = record(
        draft,
        station,
        given.charger,
        "stop",
        "conflict",
        evse=session.evse,
        transaction=given.transaction,
        principal=session.principal,
        given=given,
    )
    if new:
        groups = meter.taken({}, given.samples)
        draft.facts += sessions.samples_of(given.charger, session, groups, session.transaction)
    return draft.decision(inputs.StopReply(replay.status))


def _orphan_stop(station: Station, given: inputs.TransactionEnded, reason: str, key: str) -> inputs.Decision:
    """A stop of no known transaction ends nothing (quirk 56), and is acknowledged (errata 3.18)."""
    draft = Draft()
    new = record(
        draft,
        station,
        given.charger,
        "stop",
        reason,
        transaction=given.transaction,
        given=given,
    )
    if new:
        draft.facts += sessions.unattached(given.charger, 0, 1, given.transaction, given.samples)
    return draft.decision(inputs.StopReply(None, key, replay=not new))


def _end(
    state: SiteState,
    draft: Draft,
    session: Session,
    given: inputs.TransactionEnded,
    groups: Sequence[tuple[MeterSample, ...]],
    doubts: tuple[str, ...],
    now_ms: int,
) -> None:
    """The charger's own stop."""
    registers = msgspec.structs.replace(session.registers)
    for group in groups:
        meter.follow(registers, group)
    end = End(
        at=identity.canonical(given.ended),
        at_ms=identity.moment(given.ended),
        meter_stop_wh=given.meter_stop_wh,
        reason=given.reason,
        stopped_by=given.tag_ref if given.tag_ref != session.tag_ref else None,
        flags=doubts,
    )
    ended(state, draft, given.charger, session, end, registers, now_ms)
