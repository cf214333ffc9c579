"""The core's front: `decide` what follows from an input, `apply` what is true, `deadline` of what comes next.

    input ──▶ decide ──▶ facts ──▶ apply ──▶ state          (and requests, a reply, a command's progress)

`decide` reads the state and never changes it; `apply` knows the fact only, never the input. So the journal's
facts, or a snapshot and the facts after it, rebuild the state exactly. All is synchronous and pure: time and
ids are arguments. No input from a charger makes anything here raise.

For each input the gateway calls `needs_recall` (and attaches what the journal knows), `decide`, `apply` for
each fact in order, `advance`; and it feeds a Tick when `deadline` is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from common import facts, view
from common.domain import from_iso
from common.ports import Ids
from edge.core import (
    allowance,
    asking,
    authorization,
    axes,
    backwards,
    cards,
    certificates,
    completion,
    configuration,
    connector,
    events,
    identity,
    inputs,
    intents,
    learning,
    ledger,
    limit_orders,
    limiting,
    listing,
    metering,
    orders,
    orphans,
    quiet,
    reports,
    reserving,
    resolving,
    scale,
    securing,
    sessions,
    station,
    stops,
    transfers,
    tuned,
)
from edge.core.agenda import Agenda
from edge.core.inputs import Decision, Input
from edge.core.state import NEVER, Draft, SiteState

__all__ = [
    "SiteState",
    "advance",
    "apply",
    "deadline",
    "decide",
    "decode_state",
    "encode_state",
    "needs_recall",
    "recall_key",
]


# --- deciding ----------------------------------------------------------------------------------------------


def decide(state: SiteState, given: Input, now_ms: int, ids: Ids) -> Decision:
    """What follows from an input at site time `now_ms`. Never changes `state`; refusals are decisions too."""
    decision = _DECIDERS[type(given)](state, given, now_ms, ids)
    ended = reserving.follows(state, decision.facts, now_ms) if decision.facts else ()
    if ended:
        decision = msgspec.structs.replace(decision, facts=(*decision.facts, *ended))
    if now_ms >= state.agenda.next_ms:
        # Questions to chargers leave no fact, so whatever comes first after their time carries them.
        asked = station.questions(state, now_ms, ids).requests
        if asked:
            decision = msgspec.structs.replace(decision, requests=(*decision.requests, *asked))
    return decision


def _unreadable(state: SiteState, given: inputs.Unreadable, now_ms: int, ids: Ids) -> Decision:
    draft = Draft()
    reason = f"{given.what}: {given.reason}"
    known = state.look(given.charger)
    orphans.record(draft, known, given.charger, "unreadable", reason, raw=given.raw)
    return draft.decision(inputs.Acknowledged())


def _ticked(state: SiteState, given: Input, now_ms: int, ids: Ids) -> Decision:
    draft = Draft()
    connector.due(state, draft, now_ms)
    sessions.due(state, draft, now_ms)
    orders.due(state, draft, now_ms, draft.settled())
    limit_orders.due(state, draft, now_ms)
    reserving.due(state, draft, now_ms)
    allowance.due(state, draft, now_ms, ids)
    return draft.decision()


def _measured(state: SiteState, given: inputs.MeterReported, now_ms: int, ids: Ids) -> Decision:
    return tuned.measured(state, given, metering.measured(state, given, now_ms, ids), now_ms)


def _call_ended(state: SiteState, given: inputs.CallEnded, now_ms: int, ids: Ids) -> Decision:
    if given.context is not None:
        return tuned.call_ended(state, given, now_ms, ids)
    if given.command is not None:
        return orders.answered(state, given, now_ms)
    own_questions = (
        asking.answered(state, given),
        certificates.delivered(given),
        completion.answered(state, given, now_ms),
        quiet.answered(state, given),
    )
    for own in own_questions:
        if own is not inputs.NOTHING:
            return securing.has_certificate(state, own, given.charger)
    return inputs.NOTHING


def _certificate_made(state: SiteState, given: inputs.CertificateMade, now_ms: int, ids: Ids) -> Decision:
    made = certificates.made(state, given, now_ms, ids)
    return securing.has_certificate(state, made, given.charger)


_DECIDERS: Final[dict[type[Input], Callable[[SiteState, Any, int, Ids], Decision]]] = {
    inputs.MeterReported: _measured,
    inputs.StatusReported: connector.reported,
    reports.TransactionEvent: events.reported,
    reports.AvailabilityReported: axes.reported,
    inputs.AuthorizeAsked: lambda state, given, now, _ids: cards.asked(state, given, now),
    inputs.TransactionStarted: ledger.begun,
    inputs.TransactionEnded: lambda state, given, now, _ids: stops.finished(state, given, now),
    inputs.CommandReceived: lambda state, given, now, _ids: intents.received(state, given, now),
    inputs.CallEnded: _call_ended,
    inputs.ProgressReported: lambda state, given, _now, _ids: transfers.progressed(state, given),
    inputs.FileArrived: lambda state, given, _now, _ids: transfers.arrived(state, given),
    inputs.FileTaken: lambda state, given, _now, _ids: transfers.taken(state, given),
    inputs.CertificateAsked: lambda state, given, now, _ids: certificates.asked(state, given, now),
    inputs.CertificateMade: _certificate_made,
    inputs.StationConnected: lambda state, given, now, _ids: station.connected(state, given, now),
    inputs.StationDisconnected: lambda state, given, _now, _ids: station.disconnected(state, given),
    inputs.StationWaiting: lambda state, given, now, _ids: station.waiting(state, given, now),
    inputs.Booted: lambda state, given, _now, _ids: station.booted(state, given),
    inputs.Unreadable: _unreadable,
    inputs.Note: lambda state, given, now, _ids: station.noted(state, given, now),
    inputs.Started: lambda state, given, _now, _ids: station.restarted(state, given),
    inputs.Tick: _ticked,
}


# --- what memory does not have -----------------------------------------------------------------------------


def needs_recall(state: SiteState, given: Input) -> bool:
    """Whether the journal should be asked before `decide`, because memory cannot know. Cheap when not."""
    match given:
        case inputs.MeterReported():
            return given.recalled is None and metering.asks_journal(state.look(given.charger), given)
        case inputs.CommandReceived():
            return given.recalled is None and given.id not in state.orders
        case inputs.TransactionStarted():
            return given.recalled is None and not ledger.remembers(state, given)
        case inputs.TransactionEnded() | reports.TransactionEvent():
            known = sessions.by_transaction(state.look(given.charger), given.transaction)
            return given.recalled is None and known is None
    return False


def recall_key(state: SiteState, given: Input) -> str:
    """What to ask the journal by: a start's deduplication key, else the transaction or command id."""
    match given:
        case inputs.TransactionStarted():
            return ledger.start_key(state, given)
        case inputs.TransactionEnded() | inputs.MeterReported() | reports.TransactionEvent():
            return identity.transaction_id(given.transaction or "")
        case inputs.CommandReceived():
            return given.id
    return ""


# --- applying ----------------------------------------------------------------------------------------------


def apply(state: SiteState, fact: facts.Fact) -> SiteState:
    """Bring the state up to a fact, in place. Depends on the fact alone; unknown kinds move the view only."""
    view.apply(state.view, fact)
    state.unsure = fact.clock == "floor"
    applier = _APPLIERS.get(type(fact.body))
    if applier is not None:
        applier(state, fact.body, from_iso(fact.at))
        if state.armed_ms < NEVER:
            _arm(state, fact.body)
    return state


def _arm(state: SiteState, body: facts.Body) -> None:
    """Put down what a fact has armed, under its charger. One of the whole site concerns them all."""
    at_ms, state.armed_ms = state.armed_ms, NEVER
    charger = getattr(body, "charger", "")
    for each in (charger,) if charger else tuple(state.stations):
        state.agenda.sooner(each, at_ms)


def _changed(state: SiteState, body: facts.ConnectorChanged, at_ms: int) -> None:
    stepped = connector.changed(state, body, at_ms)
    reserving.shown(state.station(body.charger), body.evse, body.state)
    sessions.connector_stepped(state, body, stepped, at_ms)
    tuned.look_again(state, body.charger, at_ms)


def _began(state: SiteState, body: facts.SessionStarted, at_ms: int) -> None:
    sessions.started(state, body, at_ms)
    allowance.began(state, body, at_ms)


def _sampled(state: SiteState, body: facts.MeterSampled, at_ms: int) -> None:
    sessions.sampled(state, body, at_ms)
    allowance.sampled(state, body, at_ms)


def _ordered(state: SiteState, body: facts.CommandAccepted, at_ms: int) -> None:
    orders.accepted(state, body, at_ms)
    allowance.accepted(state, body, at_ms)


def _revised(state: SiteState, body: facts.SessionRevised, at_ms: int) -> None:
    sessions.revised(state, body, at_ms)
    allowance.over(state, body, at_ms)


def _ended(state: SiteState, body: facts.SessionEnded, at_ms: int) -> None:
    sessions.ended(state, body, at_ms)
    allowance.over(state, body, at_ms)
    transfers.calm(state, body.charger, at_ms)
    tuned.session_ended(state, body, at_ms)


def _learned(state: SiteState, body: facts.SessionLearned, at_ms: int) -> None:
    learning.learned(state, body, at_ms)
    allowance.began(state, body, at_ms)
    state.arm(at_ms)  # a session that has its connector now has its timers, too


def _rights_changed(state: SiteState, body: facts.AuthorizationChanged, at_ms: int) -> None:
    authorization.changed(state, body, at_ms)
    allowance.changed(state, body, at_ms)


def _seen(state: SiteState, body: facts.ChargerSeen, at_ms: int) -> None:
    station.seen(state, body, at_ms)
    tuned.seen(state, body, at_ms)


def _booted(state: SiteState, body: facts.ChargerBooted, at_ms: int) -> None:
    station.started_anew(state, body, at_ms)
    tuned.started_anew(state, body, at_ms)


_APPLIERS: Final[dict[type[facts.Body], Callable[[SiteState, Any, int], None]]] = {
    facts.MeterSampled: _sampled,
    facts.ConnectorChanged: _changed,
    facts.SessionStarted: _began,
    facts.SessionEvent: events.happened,
    facts.SessionLearned: _learned,
    facts.SessionEnded: _ended,
    facts.SessionRevised: _revised,
    facts.OrphanRecorded: orphans.recorded,
    facts.OrphanResolved: resolving.resolved,
    facts.MeterDoubted: scale.told,
    facts.CommandAccepted: _ordered,
    facts.CommandSent: orders.sent,
    facts.CommandConfirmed: orders.confirmed,
    facts.CommandSettled: orders.settled,
    facts.AuthorizationChanged: _rights_changed,
    facts.AllowanceCarried: allowance.carried,
    facts.ChargerSeen: _seen,
    facts.ChargerAdopted: station.adopted,
    facts.ChargerBooted: _booted,
    facts.ChargerLost: station.lost,
    facts.FirmwareChanged: transfers.firmware_changed,
    facts.UploadChanged: transfers.upload_changed,
    facts.CapabilityLearned: transfers.learned,
    facts.CertificateChanged: certificates.changed,
    facts.ChargerSecured: securing.secured,
    facts.ClockStepped: backwards.stepped,
    **tuned.APPLIERS,
}


# --- time --------------------------------------------------------------------------------------------------


def advance(state: SiteState, now_ms: int) -> None:
    """Time was looked at: to be called after each decision and its facts."""
    state.seen_ms = max(state.seen_ms, now_ms)
    if now_ms >= state.agenda.next_ms:
        for charger in state.agenda.take(now_ms):
            state.agenda.put(charger, next_due(state, charger))


def deadline(state: SiteState) -> int | None:
    """When a Tick is wanted next, in site time; None = nothing is pending. Never late, sometimes early."""
    next_ms = state.agenda.next_ms
    return next_ms if next_ms < NEVER else None


def next_due(state: SiteState, charger: str) -> int:
    """The exact next instant at which something of a charger is due; `NEVER` if nothing is."""
    known = state.stations.get(charger)
    if known is None:
        return NEVER
    return min(
        (
            *connector.timers(state, known),
            *sessions.timers(known),
            *completion.timers(state, known),
            *orders.timers(state, charger),
            *configuration.timers(state, known),
            *listing.timers(state, known),
            *reserving.timers(known),
            *limiting.timers(known),
            *quiet.timers(state, known),
            *certificates.timers(state, known),
            *allowance.timers(state, charger),
        ),
        default=NEVER,
    )


# --- snapshots ---------------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SiteState)


def encode_state(state: SiteState) -> bytes:
    """The state as bytes, for a snapshot. Equal states give equal bytes."""
    return _encoder.encode(msgspec.structs.replace(state, agenda=Agenda()))


def decode_state(encoded: bytes) -> SiteState:
    """The state behind `encode_state`. Raises msgspec.DecodeError when the bytes are not one."""
    state = _decoder.decode(encoded)
    for charger in state.stations:
        state.agenda.put(charger, next_due(state, charger))
    return state
