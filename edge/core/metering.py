"""Meter values: into the session that they name, else into the one on their connector, else nobody's.

This is the path of most messages, so it copies and looks through nothing that grows.
"""

from __future__ import annotations

from typing import Final

from common import facts
from common.domain import ConnectorState, MeterSample
from common.ports import Ids
from edge.core import connector, identity, inputs, meter, scale, sessions, sparse, unattributed
from edge.core.orphans import record
from edge.core.state import EVSES_MAX, Draft, Session, SiteState, Station

_FLOWING: Final = frozenset({ConnectorState.CHARGING})
_ACKNOWLEDGED: Final = inputs.Acknowledged()
_HEARD: Final = inputs.Decision(reply=_ACKNOWLEDGED)
_NOT_STORED: Final = inputs.Decision(reply=_ACKNOWLEDGED, unstored=1)


def measured(state: SiteState, given: inputs.MeterReported, now_ms: int, ids: Ids) -> inputs.Decision:
    """What a MeterValues (2.x: TransactionEvent Updated, MeterValues) comes to."""
    station = state.look(given.charger)
    session, cited = _session(station, given)
    if session is None:
        opened = unattributed.begun(state, station, given, now_ms, ids)
        if opened is not None:
            return _first(given, opened, now_ms)
        return _nobodys(station, given)
    groups = meter.taken(session.seen, scale.samples(given.samples, session.scale))
    if not groups:
        return _HEARD
    if given.sparse and sparse.says_little(
        session, station.places.get(session.evse), cited=cited, samples=given.samples
    ):
        return _NOT_STORED
    named = session.transaction if cited else ""
    sampled = sessions.samples_of(given.charger, session, groups, named)
    place = station.places.get(session.evse)
    if place is None or place.observed is None or not (cited and _flows(given.samples)):
        return inputs.Decision(tuple(sampled), _ACKNOWLEDGED)
    draft = Draft()
    draft.facts += sampled
    connector.agree(draft, given.charger, session.evse, place, _FLOWING)
    return draft.decision(_ACKNOWLEDGED)


def _first(given: inputs.MeterReported, opened: facts.SessionStarted, now_ms: int) -> inputs.Decision:
    """The values that open a session of their own are its first."""
    session = sessions.begun(opened, now_ms)
    groups = meter.taken({}, scale.samples(given.samples, session.scale))
    sampled = sessions.samples_of(given.charger, session, groups, session.transaction)
    return inputs.Decision((opened, *sampled), _ACKNOWLEDGED)


def _session(station: Station, given: inputs.MeterReported) -> tuple[Session | None, bool]:
    """The session that the values belong to, and whether the message named it.

    Connector 0 is the station's own meter and counts for nobody, unless it names a transaction (quirk 79).
    """
    here = station.open_on(given.evse) if given.evse != 0 else None
    transaction = given.transaction
    if transaction is None or not identity.is_transaction(transaction):
        return here, False
    if here is not None and here.transaction == transaction:
        return here, True
    named = sessions.named(station, transaction, given.recalled)
    return named, named is not None


def _flows(samples: tuple[MeterSample, ...]) -> bool:
    return any(sample.power_w is not None and sample.power_w > 0 for sample in samples)


def asks_journal(station: Station, given: inputs.MeterReported) -> bool:
    """Whether the message names a transaction that memory does not have."""
    transaction = given.transaction
    named = transaction is not None and identity.is_transaction(transaction)
    return named and _session(station, given)[0] is None


def _nobodys(station: Station, given: inputs.MeterReported) -> inputs.Decision:
    """The station's own meter, a connector without a session, or a transaction that nobody knows."""
    draft = Draft()
    transaction = given.transaction or ""
    evse = given.evse if 0 <= given.evse <= EVSES_MAX else 0
    if transaction and given.evse != 0:
        record(
            draft,
            station,
            given.charger,
            "meter",
            "unknown_transaction" if identity.is_transaction(transaction) else "no_open_session",
            evse=evse,
            transaction=transaction,
        )
    draft.facts += sessions.unattached(given.charger, evse, given.connector, transaction, given.samples)
    return draft.decision(_ACKNOWLEDGED)
