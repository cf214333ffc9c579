"""Meter values: into the session that they name, else into the one on their connector, else nobody's.

This is the path of most messages, so it copies and looks through nothing that grows.
"""

from __future__ import annotations

from typing import Final

from common.domain import ConnectorState, MeterSample
from edge.core import connector, inputs, meter, sessions
from edge.core.orphans import record
from edge.core.state import EVSES_MAX, Draft, Session, SiteState, Station

_FLOWING: Final = frozenset({ConnectorState.CHARGING})
_ACKNOWLEDGED: Final = inputs.Acknowledged()
_HEARD: Final = inputs.Decision(reply=_ACKNOWLEDGED)


def measured(state: SiteState, given: inputs.MeterReported) -> inputs.Decision:
    """What a MeterValues (2.x: TransactionEvent Updated, MeterValues) comes to."""
    station = state.look(given.charger)
    session, cited = _session(station, given)
    if session is None:
        return _nobodys(station, given)
    groups = meter.taken(session.seen, given.samples)
    if not groups:
        return _HEARD
    named = session.transaction if cited else ""
    sampled = sessions.samples_of(given.charger, session, groups, named)
    place = station.places.get(session.evse)
    if place is None or place.observed is None or not (cited and _flows(given.samples)):
        return inputs.Decision(tuple(sampled), _ACKNOWLEDGED)
    draft = Draft()
    draft.facts += sampled
    connector.agree(draft, given.charger, session.evse, place, _FLOWING)
    return draft.decision(_ACKNOWLEDGED)


def _session(station: Station, given: inputs.MeterReported) -> tuple[Session | None, bool]:
    """The session that the values belong to, and whether the message named it.

    Connector 0 is the station's own meter and counts for nobody, unless it names a transaction (quirk 79).
    """
    here = station.open_on(given.evse) if given.evse != 0 else None
    transaction = given.transaction
    if transaction is None or not _is_id(transaction):
        return here, False
    if here is not None and here.transaction == transaction:
        return here, True
    named = sessions.named(station, transaction, given.recalled)
    return named, named is not None


def _is_id(transaction: str) -> bool:
    """Whether it can be an id: chargers that wait for ours send none, 0, −1 or less (quirk 55)."""
    return transaction not in ("", "0") and not transaction.startswith("-")


def _flows(samples: tuple[MeterSample, ...]) -> bool:
    return any(sample.power_w is not None and sample.power_w > 0 for sample in samples)


def asks_journal(station: Station, given: inputs.MeterReported) -> bool:
    """Whether the message names a transaction that memory does not have."""
    transaction = given.transaction
    return transaction is not None and _is_id(transaction) and _session(station, given)[0] is None


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
            "unknown_transaction" if _is_id(transaction) else "no_open_session",
            evse=evse,
            transaction=transaction,
        )
    draft.facts += sessions.unattached(given.charger, evse, given.connector, transaction, given.samples)
    return draft.decision(_ACKNOWLEDGED)
