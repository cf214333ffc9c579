"""The connector's state machine: strict, and still at the charger's word within 30 seconds.

Theory, in one paragraph. OCPP 1.6 §4.9 allows 53 steps between its nine states and is silent about 19. A
charger may leave short states out (MinimumStatusDuration), and after an outage it sends only the present
one, so a step that is not allowed means a *missed report*, rarely a broken charger. Believing it at once
would make every lost message a wrong picture; refusing it for good would freeze one. So such a report is
**held**: the state stays, what was observed is kept beside it (`observed`), the charger is asked again, and
the first of these ends it:

    the same report again ............................. RESYNC, confirmed
    a transaction message that agrees with it ......... RESYNC, confirmed
    a report that does follow from the held state ..... applied, the observation is dropped
    another one that does not follow .................. replaces the observation; the clock runs on
    30 s ............................................. RESYNC, marked unconfirmed
    a new connection or a Boot ........................ UNKNOWN; the next report is adopted as it is

At most one observation is held and every path ends within 30 s of the first refused report, so the picture
converges. Order is that of arrival; the charger's time is kept, never used to discard (quirk 44). A status
never opens, closes or prices a session; it may only start timers (`sessions`). Connector 0 is the station
itself, with three states of its own, and nothing is derived from it.

Sources: OCPP 1.6 edition 2 §4.9, errata sheet 3.19–3.22; quirks 43–49. Labels are the specification's (the
letter is the row, the number the column); Z is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from common import facts
from common.domain import AXES, Availability, ConnectorState, iso
from common.ports import Ids
from edge.core import asking, identity, inputs, orders
from edge.core.orphans import record
from edge.core.state import EVSES_MAX, Draft, Place, SiteState, Station, connector_number

_S = ConnectorState

#: held state → reported state → label: the steps that OCPP 1.6 allows.
TABLE: Final[Mapping[ConnectorState, Mapping[ConnectorState, str]]] = {
    _S.AVAILABLE: {
        _S.PREPARING: "A2",
        _S.CHARGING: "A3",
        _S.SUSPENDED_EV: "A4",
        _S.SUSPENDED_EVSE: "A5",
        _S.RESERVED: "A7",
        _S.UNAVAILABLE: "A8",
        _S.FAULTED: "A9",
    },
    _S.PREPARING: {
        _S.AVAILABLE: "B1",
        _S.CHARGING: "B3",
        _S.SUSPENDED_EV: "B4",
        _S.SUSPENDED_EVSE: "B5",
        _S.FINISHING: "B6",
        _S.FAULTED: "B9",
    },
    _S.CHARGING: {
        _S.AVAILABLE: "C1",
        _S.SUSPENDED_EV: "C4",
        _S.SUSPENDED_EVSE: "C5",
        _S.FINISHING: "C6",
        _S.UNAVAILABLE: "C8",
        _S.FAULTED: "C9",
    },
    _S.SUSPENDED_EV: {
        _S.AVAILABLE: "D1",
        _S.CHARGING: "D3",
        _S.SUSPENDED_EVSE: "D5",
        _S.FINISHING: "D6",
        _S.UNAVAILABLE: "D8",
        _S.FAULTED: "D9",
    },
    _S.SUSPENDED_EVSE: {
        _S.AVAILABLE: "E1",
        _S.CHARGING: "E3",
        _S.SUSPENDED_EV: "E4",
        _S.FINISHING: "E6",
        _S.UNAVAILABLE: "E8",
        _S.FAULTED: "E9",
    },
    _S.FINISHING: {_S.AVAILABLE: "F1", _S.PREPARING: "F2", _S.UNAVAILABLE: "F8", _S.FAULTED: "F9"},
    _S.RESERVED: {_S.AVAILABLE: "G1", _S.PREPARING: "G2", _S.UNAVAILABLE: "G8", _S.FAULTED: "G9"},
    _S.UNAVAILABLE: {
        _S.AVAILABLE: "H1",
        _S.PREPARING: "H2",
        _S.CHARGING: "H3",
        _S.SUSPENDED_EV: "H4",
        _S.SUSPENDED_EVSE: "H5",
        _S.FAULTED: "H9",
    },
    _S.FAULTED: {
        _S.AVAILABLE: "I1",
        _S.PREPARING: "I2",
        _S.CHARGING: "I3",
        _S.SUSPENDED_EV: "I4",
        _S.SUSPENDED_EVSE: "I5",
        _S.FINISHING: "I6",
        _S.RESERVED: "I7",
        _S.UNAVAILABLE: "I8",
    },
}

#: Connector 0: only these three, and any step between them.
STATION_TABLE: Final[Mapping[ConnectorState, Mapping[ConnectorState, str]]] = {
    _S.AVAILABLE: {_S.UNAVAILABLE: "Z8", _S.FAULTED: "Z9"},
    _S.UNAVAILABLE: {_S.AVAILABLE: "Z1", _S.FAULTED: "Z9"},
    _S.FAULTED: {_S.AVAILABLE: "Z1", _S.UNAVAILABLE: "Z8"},
}

#: A held report is believed after this long on a live connection.
RESYNC_MS: Final = 30_000
#: After the first question, at once, the charger is asked again after these times.
ASK_AGAIN_MS: Final = (2_000, 5_000, 10_000)
#: Charging without a session for so long is told to the operator (quirk 54). Statuses come before queued
#: transactions after an outage, and a queue takes its time.
UNATTRIBUTED_MS: Final = 300_000

_ERROR_CHARS, _INFO_CHARS, _TIME_CHARS = 64, 255, 64
_ACKNOWLEDGED = inputs.Acknowledged()


# --- deciding ----------------------------------------------------------------------------------------------


def reported(state: SiteState, given: inputs.StatusReported, now_ms: int, ids: Ids) -> inputs.Decision:
    """A StatusNotification: a step, a repeat, or a report to be held."""
    draft = Draft()
    station = state.look(given.charger)
    if not 0 <= given.evse <= EVSES_MAX or given.state is _S.UNKNOWN:
        record(draft, station, given.charger, "unreadable", "status: no such connector or state", given=given)
        return draft.decision(_ACKNOWLEDGED)
    place = station.places.get(given.evse) or Place()
    step = _judged(given, place)
    if step is None:
        return draft.decision(_ACKNOWLEDGED)
    draft.facts.append(step)
    if step.observed is None:
        orders.availability_seen(state, draft, given.charger, given.evse, step.state)
    elif place.observed is None and given.evse != 0 and asking.worth_asking_again(station):
        asking.ask(station, draft, given.charger, given.evse, now_ms, ids)
    return draft.decision(_ACKNOWLEDGED)


def _judged(given: inputs.StatusReported, place: Place) -> facts.ConnectorChanged | None:
    """What a report does to the machine; None for a repeat that brings nothing new."""
    table = STATION_TABLE if given.evse == 0 else TABLE
    if given.state not in table:  # outside connector 0's three: kept on record, never applied
        told_before = place.observed is given.state
        return None if told_before else _told(given, place.state, "refused", observed=given.state)
    if place.state is _S.UNKNOWN:
        return _told(given, given.state, "init")
    if given.state is place.state:
        nothing_new = place.observed is None and _details(given) == (place.error_code, place.info)
        nothing_new = nothing_new and given.connectors in ({}, place.connectors)
        return None if nothing_new else _told(given, given.state, "report")
    if given.state in table[place.state]:
        return _told(given, given.state, "report")
    if given.state is place.observed:
        return _told(given, given.state, "resync")
    return _told(given, place.state, "refused", observed=given.state)


def agree(
    draft: Draft, charger: str, evse: int, place: Place | None, states: Collection[ConnectorState]
) -> None:
    """A transaction message speaks for these states: a held report of one of them is confirmed."""
    if place is not None and place.observed in states:
        draft.facts.append(_resynced(charger, evse, place))


def new_epoch(draft: Draft, charger: str, station: Station) -> None:
    """A new connection or a Boot: what was known is now only the last known state."""
    for evse, place in station.places.items():
        if place.state is not _S.UNKNOWN and evse != 0:
            draft.facts.append(
                facts.ConnectorChanged(
                    charger=charger,
                    evse=evse,
                    connector=place.connector,
                    state=place.state,
                    plug=AXES[place.state].plug,
                    via="epoch",
                    error_code=place.error_code,
                    info=place.info,
                )
            )


def due(state: SiteState, draft: Draft, now_ms: int) -> None:
    """Held reports that have waited long enough, and charging that belongs to nobody."""
    for charger, station in state.stations.items():
        if not station.online:
            continue
        for evse, place in station.places.items():
            if place.suspect_ms and now_ms >= place.suspect_ms + RESYNC_MS:
                draft.facts.append(_resynced(charger, evse, place, unconfirmed=True))
            if _unattributed(place) and now_ms >= place.charging_ms + UNATTRIBUTED_MS:
                since = f"charging since {iso(place.charging_ms)} without a session"
                record(draft, station, charger, "start", "unattributed_charging", evse=evse, raw=since)
                draft.facts.append(_unattributed_told(charger, evse, place))


def questions(state: SiteState, draft: Draft, now_ms: int, ids: Ids) -> None:
    """Ask again, once for all connectors, where a question became due in (seen, now]."""
    for charger, station in state.stations.items():
        if any(state.seen_ms < at <= now_ms for at in _asking(station)):
            asking.ask(station, draft, charger, None, now_ms, ids)


def timers(state: SiteState, station: Station) -> list[int]:
    """When something of this charger's connectors is due."""
    if not station.online:
        return []
    times = [at for at in _asking(station) if at > state.seen_ms]
    for place in station.places.values():
        if place.suspect_ms:
            times.append(place.suspect_ms + RESYNC_MS)
        if _unattributed(place):
            times.append(place.charging_ms + UNATTRIBUTED_MS)
    return times


def _asking(station: Station) -> list[int]:
    if not station.online:
        return []
    times = [station.ask_ms] if station.ask_ms else []
    for place in station.places.values():
        if place.suspect_ms and asking.worth_asking_again(station):
            times += [place.suspect_ms + after for after in ASK_AGAIN_MS]
    return times


def _unattributed(place: Place) -> bool:
    return place.charging_ms > 0 and place.session is None and not place.unattributed


def _unattributed_told(charger: str, evse: int, place: Place) -> facts.ConnectorChanged:
    return facts.ConnectorChanged(
        charger=charger,
        evse=evse,
        connector=place.connector,
        state=place.state,
        plug=AXES[place.state].plug,
        observed=place.observed,
        error_code=place.error_code,
        info=place.info,
        unattributed=True,
    )


def _details(given: inputs.StatusReported) -> tuple[str, str]:
    return given.error_code[:_ERROR_CHARS], given.info[:_INFO_CHARS]


def _told(
    given: inputs.StatusReported, state: ConnectorState, via: str, *, observed: ConnectorState | None = None
) -> facts.ConnectorChanged:
    error_code, info = _details(given)
    return facts.ConnectorChanged(
        charger=given.charger,
        evse=given.evse,
        connector=connector_number(given.connector),
        state=state,
        plug=given.plug or AXES[state].plug,
        via=via,
        connectors=given.connectors,
        observed=observed,
        error_code=error_code,
        info=info,
        reported_at=given.reported_at[:_TIME_CHARS],
    )


def _resynced(charger: str, evse: int, place: Place, *, unconfirmed: bool = False) -> facts.ConnectorChanged:
    assert place.observed is not None
    return facts.ConnectorChanged(
        charger=charger,
        evse=evse,
        connector=place.connector,
        state=place.observed,
        plug=AXES[place.observed].plug,
        via="resync",
        unconfirmed=unconfirmed,
        error_code=place.error_code,
        info=place.info,
    )


# --- applying ----------------------------------------------------------------------------------------------


def changed(state: SiteState, body: facts.ConnectorChanged, at_ms: int) -> bool:
    """Bring the machine up to a fact. Returns whether the held state is another one now."""
    station = state.station(body.charger)
    place = station.place(body.evse)
    place.connector = body.connector
    place.error_code, place.info = body.error_code, body.info
    place.connectors = dict(body.connectors) or place.connectors
    if body.via == "epoch":
        forget(place)
        return False
    stepped = place.state is not body.state
    place.state, place.observed = body.state, body.observed
    place.unattributed = body.unattributed or (place.unattributed and not stepped)
    place.told_ms = identity.instant(body.reported_at) or place.told_ms
    if body.evse == 0:
        return False
    if body.observed is None:
        place.suspect_ms = 0
    else:
        place.suspect_ms = place.suspect_ms or at_ms
        state.arm(at_ms + ASK_AGAIN_MS[0])
    station.ask_ms = 0
    if body.state is not _S.CHARGING:
        place.charging_ms = 0
    elif stepped and place.session is None:
        place.charging_ms = at_ms
        state.arm(at_ms + UNATTRIBUTED_MS)
    return stepped


def forget(place: Place) -> None:
    """The connection or the charger's own memory is gone: its next report is adopted as it is."""
    place.state, place.observed = _S.UNKNOWN, None
    place.suspect_ms = place.charging_ms = place.told_ms = 0
    place.unattributed = False
    place.connectors = dict.fromkeys(place.connectors, Availability.UNKNOWN)
