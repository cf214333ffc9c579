"""What a 2.x station tells of a session after it began: its place, whose it is, its true start.

Used by `events` for every event. Each thing is told once, in whichever event the station likes (quirk 99),
and is kept (`session_learned`); what was never told stays unknown, and no connector is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence as Many

import msgspec

from common import facts, progress
from common.domain import MeterSample
from edge.core import cards, identity, meter, opening, orders, scale
from edge.core.reports import TransactionEvent
from edge.core.state import EVSES_MAX, Draft, Minted, Session, SiteState, Station, connector_number

STARTED, ENDED = "started", "ended"


def minted(station: Station, given: TransactionEvent) -> tuple[str, Minted | None]:
    """The minted tag that the event stands for: by itself, or by the number of the start request."""
    if given.minted in station.minted:
        return given.minted, station.minted[given.minted]
    if given.remote_start is not None:
        for tag, known in station.minted.items():
            if identity.remote_start_id(tag) == given.remote_start:
                return tag, known
    return given.minted, None


def evse_of(station: Station, given: TransactionEvent) -> int:
    """Where the event says that it is; a station with one EVSE can only mean that one. 0: not known."""
    if given.evse is not None:
        return given.evse if 1 <= given.evse <= EVSES_MAX else 0
    known = [evse for evse in station.places if evse > 0]
    return known[0] if len(known) == 1 else 0


def connector_of(station: Station, given: TransactionEvent) -> int:
    if given.connector is not None:
        return connector_number(given.connector)
    place = station.places.get(evse_of(station, given))
    return place.connector if place is not None and place.connectors else 0


def more(state: SiteState, draft: Draft, given: TransactionEvent, session: Session, now_ms: int) -> Session:
    """What the event tells of its session that was not known: returned as the session is with it."""
    new: dict[str, object] = {}
    if given.evse is not None and session.evse != given.evse and 1 <= given.evse <= EVSES_MAX:
        new["evse"] = given.evse
        if not session.ended:
            opening.make_room(
                state, draft, given.charger, given.evse, identity.instant(session.started_at), now_ms
            )
    if given.connector is not None and session.connector != connector_number(given.connector):
        new["connector"] = connector_number(given.connector)
    new |= _claimed(state, given, session, now_ms)
    if given.step == STARTED and not (session.sequence and session.sequence.started):
        new["started_at"] = identity.canonical(given.at)
    told_wh = scale.value(begin_wh(given), session.scale)
    if session.meter_start_wh is None and told_wh is not None:
        new["meter_start_wh"] = told_wh
    if not new:
        return session
    session = msgspec.structs.replace(session, **new)
    draft.facts.append(
        msgspec.convert(
            {"session": session.id, "charger": given.charger, "principal": session.principal} | new,
            facts.SessionLearned,
        )
    )
    if isinstance(command := new.get("command"), str):
        orders.session_began(state, draft, command, session.id)
    return session


def _claimed(state: SiteState, given: TransactionEvent, session: Session, now_ms: int) -> dict[str, object]:
    """Whose the session is, if it was nobody's and the event says so. The first good tag stays."""
    if session.authorization == "accepted" or given.step == ENDED:
        return {}
    tag, known = minted(state.look(given.charger), given)
    if given.tag_ref is None and known is None:
        return {}
    evse, at_ms = session.evse or evse_of(state.look(given.charger), given), identity.moment(given.at)
    verdict = cards.judge(state, given.charger, evse, given.tag_ref, tag, at_ms, now_ms)
    found = {
        "cap_wh": verdict.cap_wh,
        "tag_ref": given.tag_ref,
        "principal": verdict.principal,
        "command": verdict.command,
        "authorization": verdict.status,
    }
    return {name: value for name, value in found.items() if value not in (None, getattr(session, name))}


def begin_wh(given: TransactionEvent) -> float | None:
    """The register at the start: the sample that says so, or a Started's own."""
    told_wh = _register(given.samples, "begin")
    return _register(given.samples) if told_wh is None and given.step == STARTED else told_wh


def end_wh(given: TransactionEvent) -> float | None:
    """The register at the end: the sample that says so, or an Ended's newest."""
    told_wh = _register(given.samples, "end")
    return _register(given.samples) if told_wh is None else told_wh


def _register(samples: Many[MeterSample], context: str = "") -> float | None:
    """The newest register of these samples on the car's side, of this context only if one is named."""
    fitting = [
        sample
        for sample in samples
        if sample.energy_wh is not None
        and sample.location in meter.IN_SESSION
        and context in ("", sample.context)
    ]
    return meter.finite(max(fitting, key=lambda s: s.at or "").energy_wh) if fitting else None


# --- applying ----------------------------------------------------------------------------------------------


def learned(state: SiteState, body: facts.SessionLearned, at_ms: int) -> None:
    """Apply what became known of a session."""
    station = state.station(body.charger)
    session = station.sessions.get(body.session)
    if session is None:
        return
    for name, value in progress.told(body).items():
        setattr(session, name, value)
    if body.command is not None:
        for known in station.minted.values():
            if known.command == body.command:
                known.session = session.id
    if body.evse is not None:
        for place in station.places.values():
            if place.session == session.id:
                place.session = None
        if not session.ended:
            place = station.place(body.evse)
            place.session, place.charging_ms = session.id, 0
            state.arm(at_ms)
