"""A charger comes, boots, goes, waits to be let in; and what shells note down.

An *epoch* of a charger begins with each new connection and each Boot: what its connectors were is then only
the last known state, and its next status is adopted as it is (quirk 43). A charger that reconnects without a
Boot need not report anything (quirk 36), so it is asked once.
"""

from __future__ import annotations

from typing import Final

from common import facts, view
from common.domain import from_iso
from common.ports import Ids
from edge.core import (
    certificates,
    completion,
    configuration,
    connector,
    inputs,
    listing,
    orders,
    quiet,
    securing,
    sessions,
    transfers,
    tuned,
)
from edge.core.state import Draft, SiteState, Station

#: After a connection without Boot or status: ask for statuses, and send again what may wait. Chargers that
#: boot do so within seconds, and one loops on calls that come before (quirk 35).
CONNECT_GRACE_MS: Final = 5_000
#: After a Boot the charger reports by itself; one that has not by then is asked.
BOOT_GRACE_MS: Final = 30_000
#: Chargers that wait to be adopted: more than an installer puts up in a day.
WAITING_MAX: Final = 64
#: One that still dials is told again so often, and only one that has not for so long may lose its place.
WAITING_AGAIN_MS: Final = 600_000
#: Names, addresses and versions of a charger, for people to read.
TEXT_CHARS_MAX: Final = 128


# --- deciding ----------------------------------------------------------------------------------------------


def connected(state: SiteState, given: inputs.StationConnected, now_ms: int) -> inputs.Decision:
    """An adopted charger is here. The newest connection of an identity is the charger."""
    draft = Draft()
    station = state.look(given.charger)
    draft.facts.append(
        facts.ChargerSeen(
            charger=given.charger,
            protocol=given.protocol[:TEXT_CHARS_MAX],
            address=given.address[:TEXT_CHARS_MAX],
            each=given.each,
        )
    )
    connector.new_epoch(draft, given.charger, station)
    orders.back_online(state, draft, given.charger, now_ms)
    securing.came_in(state, draft, given)
    return draft.decision()


def disconnected(state: SiteState, given: inputs.StationDisconnected) -> inputs.Decision:
    """The charger's current connection ended."""
    if not state.look(given.charger).online:
        return inputs.NOTHING
    return inputs.Decision(facts=(_lost(given.charger, given.reason),))


def waiting(state: SiteState, given: inputs.StationWaiting, now_ms: int) -> inputs.Decision:
    """A stranger dialled. It is kept in a queue for the installer; a full queue keeps who still dials.

    The queue is a hint only: staff may adopt whom they name, whether it waits here or not.
    """
    charger = view.spelling(state.view, given.charger)
    shown = state.view.chargers.get(charger)
    if shown is not None and shown.adopted:
        return inputs.NOTHING
    draft = Draft()
    known_ms = state.look(charger).waiting_ms
    if known_ms and now_ms < known_ms + WAITING_AGAIN_MS:
        return inputs.NOTHING
    if not known_ms:
        queue = {c: s.waiting_ms for c, s in state.stations.items() if s.waiting_ms}
        if len(queue) >= WAITING_MAX:
            longest = min(queue, key=queue.__getitem__)
            if now_ms < queue[longest] + WAITING_AGAIN_MS:
                return inputs.NOTHING
            draft.facts.append(facts.ChargerAdopted(charger=longest, removed=True))
    draft.facts.append(
        facts.ChargerSeen(
            charger=charger,
            protocol=given.protocol[:TEXT_CHARS_MAX],
            address=given.address[:TEXT_CHARS_MAX],
            adopted=False,
        )
    )
    return draft.decision()


def booted(state: SiteState, given: inputs.Booted) -> inputs.Decision:
    """The charger started anew. An adopted charger is always accepted (quirk 38)."""
    draft = Draft()
    tuned.booted(draft, state.look(given.charger), given)
    draft.facts.append(
        facts.ChargerBooted(
            charger=given.charger,
            vendor=given.vendor[:TEXT_CHARS_MAX],
            model=given.model[:TEXT_CHARS_MAX],
            serial=given.serial[:TEXT_CHARS_MAX],
            firmware=given.firmware[:TEXT_CHARS_MAX],
        )
    )
    connector.new_epoch(draft, given.charger, state.look(given.charger))
    orders.booted(state, draft, given.charger)
    transfers.booted(state, draft, given)
    return draft.decision(inputs.BootReply())


def noted(state: SiteState, given: inputs.Note, now_ms: int) -> inputs.Decision:
    """A shell's own fact. A charger that is let go leaves nothing open behind."""
    draft = Draft()
    body = given.body
    if isinstance(body, facts.ChargerAdopted) and body.removed:
        station = state.look(body.charger)
        for session in station.sessions.values():
            if not session.ended:
                sessions.close_provisionally(state, draft, body.charger, session, "charger_removed", now_ms)
        orders.let_go(state, draft, body.charger, draft.settled())
    draft.facts.append(body)
    return draft.decision()


def restarted(state: SiteState, given: inputs.Started) -> inputs.Decision:
    """The process came up: no charger is connected yet, whatever the facts said last."""
    lost = [_lost(charger, "restart") for charger, station in state.stations.items() if station.online]
    return inputs.Decision(facts=(*lost, *configuration.told(state, given.settings)))


def questions(state: SiteState, now_ms: int, ids: Ids) -> Draft:
    """What should be asked of chargers again by now."""
    draft = Draft()
    connector.questions(state, draft, now_ms, ids)
    quiet.questions(state, draft, now_ms, ids)
    configuration.due(state, draft, now_ms, ids)
    listing.due(state, draft, now_ms, ids)
    completion.questions(state, draft, now_ms)
    certificates.due(state, draft, now_ms, ids)
    return draft


def _lost(charger: str, reason: str) -> facts.ChargerLost:
    return facts.ChargerLost(charger=charger, reason=reason[:TEXT_CHARS_MAX])


# --- applying ----------------------------------------------------------------------------------------------


def seen(state: SiteState, body: facts.ChargerSeen, at_ms: int) -> None:
    station = state.station(body.charger)
    if not body.adopted:
        station.waiting_ms = at_ms
        return
    station.waiting_ms = 0
    station.adopted_ms = station.adopted_ms or at_ms
    station.connected_ms = at_ms
    station.each = body.each
    station.ask_ms = station.ready_ms = at_ms + CONNECT_GRACE_MS
    state.arm(station.ask_ms)
    sessions.contact(state, station, at_ms)


def adopted(state: SiteState, body: facts.ChargerAdopted, at_ms: int) -> None:
    if body.removed:
        state.stations.pop(body.charger, None)
        return
    station = state.station(body.charger)
    station.adopted_ms = station.adopted_ms or (from_iso(body.since) if body.since else at_ms)
    station.waiting_ms = 0


def started_anew(state: SiteState, body: facts.ChargerBooted, at_ms: int) -> None:
    station = state.station(body.charger)
    transfers.started_anew(station, body)
    if not station.online:
        return
    station.ask_ms = at_ms + BOOT_GRACE_MS
    station.ready_ms = at_ms
    state.arm(at_ms)


def lost(state: SiteState, body: facts.ChargerLost, at_ms: int) -> None:
    station: Station = state.station(body.charger)
    station.connected_ms = station.ask_ms = 0
    for place in station.places.values():
        connector.forget(place)
    sessions.contact(state, station, at_ms)
