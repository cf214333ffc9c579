"""The end of a session, as its charger tells it: StopTransaction (2.x: TransactionEvent Ended).

The first stop is the billing truth. It closes the open session, or takes the place of a provisional close; an
identical one gets the stored reply, another one is kept as a conflict (quirk 58), one of no known transaction
as an orphan (quirk 56). Each is acknowledged. Energy comes from the registers (`meter`), never below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from common import facts
from common.domain import ConnectorState, MeterSample, iso
from edge.core import authorization, connector, identity, inputs, meter, orders, sessions
from edge.core.orphans import record
from edge.core.state import Draft, Session, SiteState, Station

REASON_CHARS_MAX: Final = 64

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
    session = sessions.named(station, given.transaction, given.recalled)
    if session is None:
        return _orphan_stop(station, given, key)
    if given.tag_ref is not None and given.tag_ref == session.tag_ref:
        status = session.authorization
    if session.ended and not session.provisional:
        return _stopped_again(station, given, session, inputs.StopReply(status, key, replay=True))
    groups = meter.taken(session.seen, given.samples)
    draft.facts += sessions.samples_of(given.charger, session, groups, session.transaction)
    _end(state, draft, session, given, groups, now_ms)
    connector.agree(draft, given.charger, session.evse, station.places.get(session.evse), _STOPPED)
    return draft.decision(inputs.StopReply(status, key))


def _stopped_again(
    station: Station,
    given: inputs.TransactionEnded,
    session: Session,
    replay: inputs.StopReply,
) -> inputs.Decision:
    """The first stop is the billing truth (quirk 58); another one with other values is kept beside it."""
    stop_wh = meter.finite(given.meter_stop_wh)
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


def _orphan_stop(station: Station, given: inputs.TransactionEnded, key: str) -> inputs.Decision:
    """A stop of no known transaction ends nothing (quirk 56), and is acknowledged (errata 3.18)."""
    draft = Draft()
    new = record(
        draft,
        station,
        given.charger,
        "stop",
        "unknown_transaction",
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
    now_ms: int,
) -> None:
    """The charger's own stop: closes an open session, or puts the truth in a provisional close's place."""
    meter_stop_wh = meter.finite(given.meter_stop_wh)
    ended_at = identity.canonical(given.ended)
    registers = msgspec.structs.replace(session.registers)
    for group in groups:
        meter.follow(registers, group)
    energy = meter.energy(session.meter_start_wh, meter_stop_wh, registers)
    flags = energy.flags + _time_flags(session, given.ended, now_ms)
    reason = given.reason[:REASON_CHARS_MAX]
    if session.ended:
        draft.facts.append(
            facts.SessionRevised(
                session=session.id,
                charger=given.charger,
                principal=session.principal,
                revision=session.revision + 1,
                ended_at=ended_at,
                meter_stop_wh=meter_stop_wh,
                energy_wh=energy.energy_wh,
                method=energy.method,
                reason=reason,
                flags=flags,
            )
        )
        return
    draft.facts.append(
        facts.SessionEnded(
            session=session.id,
            charger=given.charger,
            evse=session.evse,
            connector=session.connector,
            transaction=session.transaction,
            principal=session.principal,
            ended_at=ended_at,
            received_at=iso(now_ms),
            meter_stop_wh=meter_stop_wh,
            energy_wh=energy.energy_wh,
            method=energy.method,
            reason=reason,
            stopped_by=given.tag_ref if given.tag_ref != session.tag_ref else None,
            flags=flags,
        )
    )
    orders.session_over(state, draft, given.charger, session.id, superseded=False)


def _time_flags(session: Session, ended: inputs.Stamp, now_ms: int) -> tuple[str, ...]:
    flags = []
    ended_ms, started_ms = identity.moment(ended), identity.instant(session.started_at)
    if not identity.believable(ended_ms, now_ms):
        flags.append("clock_invalid")
    # Starts are floored to the second.
    if ended_ms is not None and started_ms is not None and ended_ms < started_ms:
        flags.append("time_backwards")
    return tuple(flags)
