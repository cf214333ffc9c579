"""The session ledger's door: what StartTransaction comes to.

A session is opened here (a 2.x station's in `events`; `opening` has the rules of both), fed by `metering`,
closed by `stops`, remembered by `sessions`; nothing else opens or closes one. Every report is acknowledged,
whatever is wrong with it: it becomes part of a session, or an orphan that a person judges; nothing is guessed
and nothing is lost (quirks 50–66).

**Is this start a repeat?** (QUIRKS.md, "The deduplication rule".) K = charger, connector, casefolded tag,
meter start, start second. K is *strong* while the charger's clock can be believed; then the same K is the
same start for ever and gets the stored reply. With a *weak* K (clock never set, far ahead, standing still)
two real sessions may look alike, so the same K is a repeat only while the first is open and neither a Boot
nor an Available came since; otherwise it is a new session, flagged for review.
"""

from __future__ import annotations

from typing import Final

from common.domain import ConnectorState
from common.ports import Ids
from edge.core import connector, identity, inputs, meter, sessions
from edge.core.opening import Claim, began
from edge.core.orphans import record
from edge.core.state import EVSES_MAX, Draft, Session, SiteState, Station, connector_number

#: The bits of a transaction id that count; the eleven above them are random.
COUNTED_BITS: Final = 2**20 - 1

#: States of a connector that a start speaks for.
_STARTED: Final = frozenset(
    {ConnectorState.CHARGING, ConnectorState.SUSPENDED_EV, ConnectorState.SUSPENDED_EVSE}
)


def begun(state: SiteState, given: inputs.TransactionStarted, now_ms: int, ids: Ids) -> inputs.Decision:
    """A transaction began, or is reported again."""
    station = state.look(given.charger)
    evse = _evse(station, given.evse)
    claim = _claim(state, given, evse or 0, now_ms)
    if evse is None:
        return _unplaced(station, given, claim, ids)
    earlier = _same_key(station, given, claim)
    if earlier is not None and _is_replay(state, given.charger, claim, earlier):
        return _replayed(earlier)
    draft = Draft()
    transaction = _new_transaction(station, ids)
    body = began(
        state,
        draft,
        given.charger,
        claim,
        session=_uid(state, station, given, claim, ids),
        transaction=transaction,
        flags=() if earlier is None else ("needs_review",),
        now_ms=now_ms,
    )
    connector.agree(draft, given.charger, evse, station.places.get(evse), _STARTED)
    kept = _reply_key(claim.key, transaction, weak=claim.weak)
    return draft.decision(inputs.StartReply(transaction, body.authorization, kept))


def remembers(state: SiteState, given: inputs.TransactionStarted) -> bool:
    """Whether memory has a session with this start's key, so that the journal need not be asked."""
    key = start_key(state, given)
    return any(session.key == key for session in state.look(given.charger).sessions.values())


def start_key(state: SiteState, given: inputs.TransactionStarted) -> str:
    """The deduplication key of a start: what the journal is asked for."""
    station = state.look(given.charger)
    return _claim(state, given, _evse(station, given.evse) or 0, 0).key


def _evse(station: Station, told: int) -> int | None:
    """Where the session is, or None where only guessing would tell."""
    if 1 <= told <= EVSES_MAX:
        return told
    # A charger with one connector can only mean that one.
    known = [evse for evse in station.places if evse > 0]
    return (known or [1])[0] if told == 0 and len(known) <= 1 else None


def _claim(state: SiteState, given: inputs.TransactionStarted, evse: int, now_ms: int) -> Claim:
    station = state.look(given.charger)
    started = identity.canonical(given.started)
    at_ms = identity.moment(given.started)
    meter_start_wh = meter.finite(given.meter_start_wh)
    return Claim(
        evse=evse,
        connector=connector_number(given.connector),
        key=identity.start_key(given.charger, evse, given.tag_ref, meter_start_wh, started),
        started=started,
        at_ms=at_ms,
        meter_start_wh=meter_start_wh,
        weak=station.frozen or not identity.believable(at_ms, now_ms, unsure=state.unsure),
        tag_ref=given.tag_ref,
        minted=given.minted,
        offline=given.offline,
    )


def _same_key(station: Station, given: inputs.TransactionStarted, claim: Claim) -> Session | None:
    for session in reversed(station.sessions.values()):
        if session.key == claim.key or _carried(session, claim):
            return session
    return sessions.revived(given.recalled) if given.recalled is not None else None


def _carried(session: Session, claim: Claim) -> bool:
    """Whether this start is the one that the box before us heard: its keys knew tags by another secret."""
    told = (claim.evse, claim.started, claim.meter_start_wh)
    return session.carried and told == (session.evse, session.started_at, session.meter_start_wh)


def _is_replay(state: SiteState, charger: str, claim: Claim, earlier: Session) -> bool:
    if not (claim.weak or earlier.weak):
        return True
    return not (earlier.ended or earlier.available or earlier.boot != state.boots(charger))


def _replayed(earlier: Session) -> inputs.Decision:
    kept = _reply_key(earlier.key, earlier.transaction, weak=earlier.weak)
    reply = inputs.StartReply(earlier.transaction, earlier.authorization, kept, replay=True)
    return inputs.Decision(reply=reply)


def _reply_key(key: str, transaction: str, *, weak: bool) -> str:
    # Sessions with weak keys may share one; each has its own reply.
    return f"{key}~{transaction}" if weak else key


def _uid(state: SiteState, station: Station, given: inputs.TransactionStarted, claim: Claim, ids: Ids) -> str:
    """Named by content, so that a box installed anew names it the same; salted where content cannot tell."""
    site, charger = state.view.site, given.charger
    content = identity.session_content(claim.evse, claim.started, claim.meter_start_wh)
    uid = identity.session_uid(site, charger, *content)
    taken = uid in station.sessions or (given.recalled is not None and given.recalled.session == uid)
    if claim.weak or taken:
        uid = identity.session_uid(site, charger, *content, salt=ids.uid())
    return uid


def _new_transaction(station: Station, ids: Ids) -> str:
    """A fresh id for 1.6, whatever the authorization (quirk 51): random, and never one that was given before.

    Memory does not hold a charger's whole past, so the low bits count on from the last id: two ids of a
    charger differ for the first 2^20 sessions, whatever the random bits above them are.
    """
    number = ids.transaction()
    if station.last_transaction:
        number = (number & ~COUNTED_BITS) | ((station.last_transaction + 1) & COUNTED_BITS)
    used = {session.transaction for session in station.sessions.values()}
    while number == 0 or str(number) in used:
        number = (number & ~COUNTED_BITS) | ((number + 1) & COUNTED_BITS)
    return str(number)


def _unplaced(station: Station, given: inputs.TransactionStarted, claim: Claim, ids: Ids) -> inputs.Decision:
    """A start on a connector that cannot be: an orphan, answered like any start."""
    draft = Draft()
    new = record(draft, station, given.charger, "start", "no such connector", given=given)
    transaction = _new_transaction(station, ids)
    reply = inputs.StartReply(transaction, "invalid", claim.key, replay=not new)
    return draft.decision(reply)
