"""A 2.x connector's axes, folded into the one word that the machine of `connector` holds.

A 2.x station tells availability by connector and charging by transaction; a 1.6 charger tells one word. Plug,
availability, fault and phase stay apart in what is kept (`Place.connectors`, `Sequence.phase`,
`ConnectorChanged.plug`); this is where they become the word that a person reads and a start is judged by:

    faulted, unavailable ............ as reported, whatever the transaction does
    available, reserved ............. as reported: the last word counts, and never ends a session (quirk 45)
    occupied, a transaction open .... charging | suspended by either side | before energy flowed: preparing |
                                      after it did: finishing
    occupied, none open ............. finishing after a charge, else preparing

An EVSE serves one connector at a time, so it is what its busiest connector is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.domain import AXES, Availability, ConnectorState, Phase, Plug
from common.ports import Ids
from edge.core import connector, inputs
from edge.core.reports import AvailabilityReported
from edge.core.sequence import Sequence
from edge.core.state import EVSES_MAX, Place, SiteState

_A, _S = Availability, ConnectorState

#: Which connector an EVSE shows: the first of these that one of them is in.
_BUSIEST: Final = (_A.OCCUPIED, _A.RESERVED, _A.FAULTED, _A.AVAILABLE, _A.UNAVAILABLE)
_WORDS: Final = {
    _A.AVAILABLE: _S.AVAILABLE,
    _A.RESERVED: _S.RESERVED,
    _A.UNAVAILABLE: _S.UNAVAILABLE,
    _A.FAULTED: _S.FAULTED,
}
_FLOWING: Final = {
    Phase.CHARGING: _S.CHARGING,
    Phase.SUSPENDED_EV: _S.SUSPENDED_EV,
    Phase.SUSPENDED_EVSE: _S.SUSPENDED_EVSE,
}
#: States that outlast what a transaction says of itself.
_STANDING: Final = frozenset({_S.FAULTED, _S.UNAVAILABLE})


def reported(state: SiteState, given: AvailabilityReported, now_ms: int, ids: Ids) -> inputs.Decision:
    """A 2.x StatusNotification: the connector's own word is kept, its EVSE's state follows."""
    station = state.look(given.charger)
    place = station.places.get(given.evse) or Place()
    if given.evse == 0 or not 1 <= given.connector <= EVSES_MAX:
        connectors, shown, number = {}, given.availability, given.connector
    else:
        connectors = {**place.connectors, given.connector: given.availability}
        shown, number = _busiest(connectors)
    session = station.open_on(given.evse)
    known = session.sequence if session is not None else None
    return connector.reported(
        state,
        inputs.StatusReported(
            charger=given.charger,
            evse=given.evse if given.evse == 0 or connectors else -1,
            connector=number,
            state=_after_report(shown, known, place.state),
            plug=plug(known.phase) if known is not None and shown is not _A.AVAILABLE else None,
            reported_at=given.reported_at,
            connectors=connectors,
        ),
        now_ms,
        ids,
    )


def _busiest(connectors: Mapping[int, Availability]) -> tuple[Availability, int]:
    for wanted in _BUSIEST:
        for number, availability in connectors.items():
            if availability is wanted:
                return wanted, number
    return _A.UNKNOWN, next(iter(connectors))


def _after_report(shown: Availability, known: Sequence | None, held: ConnectorState) -> ConnectorState:
    if shown is not _A.OCCUPIED:
        return _WORDS.get(shown, _S.UNKNOWN)
    if known is not None:
        return of_phase(known.phase, charged=known.charged)
    charged = AXES[held].energised or held is _S.FINISHING
    return _S.FINISHING if charged else _S.PREPARING


def after_event(known: Sequence, held: ConnectorState, *, over: bool) -> ConnectorState:
    """The state of a connector whose transaction was just heard of; `over`: it ended."""
    if held in _STANDING:
        return held
    if over:
        return _S.AVAILABLE if known.phase is Phase.IDLE else _S.FINISHING
    return of_phase(known.phase, charged=known.charged)


def of_phase(phase: Phase | None, *, charged: bool) -> ConnectorState:
    """The state of a connector in a transaction."""
    if phase in _FLOWING:
        return _FLOWING[phase]
    return _S.FINISHING if charged else _S.PREPARING


def plug(phase: Phase | None) -> Plug | None:
    """Whether a cable is in, as far as a transaction's phase tells."""
    if phase is None:
        return None
    return Plug.OUT if phase is Phase.IDLE else Plug.IN
