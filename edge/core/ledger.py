"""The session ledger's door: what StartTransaction (2.x: TransactionEvent Started) comes to.

A session is opened here, fed by `metering`, closed by `stops`, remembered by `sessions`; nothing else opens
or closes one. Every report is acknowledged, whatever is wrong with it: it becomes part of a session, or an
orphan that a person judges; nothing is guessed and nothing is lost (quirks 50–66).

**Is this start a repeat?** (QUIRKS.md, "The deduplication rule".) K = charger, connector, casefolded tag,
meter start, start second. K is *strong* while the charger's clock can be believed; then the same K is the
same start for ever and gets the stored reply. With a *weak* K (clock never set, far ahead, standing still)
two real sessions may look alike, so the same K is a repeat only while the first is open and neither a Boot
nor an Available came since; otherwise it is a new session, flagged for review. A 2.x station brings its own
transaction id, which is K.

**A start where a session is open.** A charger has one session on a connector, so the earlier one is over. It
was either the same start with another time (same tag, same register, nothing charged, its id never used):
then it is *superseded* with 0 Wh and its id means the new session; or its stop was lost: then it is closed
provisionally, and the charger's own stop replaces that.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import facts
from common.domain import ConnectorState, iso
from common.ports import Ids
from edge.core import authorization, connector, identity, inputs, meter, orders, sessions
from edge.core.orphans import record
from edge.core.state import EVSES_MAX, Draft, Session, SiteState, Station, connector_number

#: A session that began this long before its charger was adopted belongs to the charger's earlier life.
IMPORTED_MS: Final = 300_000
#: The bits of a transaction id that count; the eleven above them are random.
COUNTED_BITS: Final = 2**20 - 1

#: States of a connector that a start speaks for.
_STARTED: Final = frozenset(
    {ConnectorState.CHARGING, ConnectorState.SUSPENDED_EV, ConnectorState.SUSPENDED_EVSE}
)


class _Claim(msgspec.Struct, frozen=True):
    """What a start says of itself, in comparable form."""

    evse: int
    own: str | None  #: the id that a 2.x station brings; None: we give one
    key: str
    started: str
    at_ms: int | None
    meter_start_wh: float | None
    weak: bool


def begun(state: SiteState, given: inputs.TransactionStarted, now_ms: int, ids: Ids) -> inputs.Decision:
    """A transaction began, or is reported again."""
    station = state.look(given.charger)
    evse = _evse(station, given.evse)
    claim = _claim(station, given, evse or 0, now_ms)
    if evse is None:
        return _unplaced(station, given, claim, ids)
    earlier = _same_key(station, given, claim)
    if earlier is not None:
        if claim.own is not None and earlier.started_at not in ("", claim.started) and earlier.ended:
            return _reused(station, given, earlier)
        if claim.own is not None or _is_replay(state, given.charger, claim, earlier):
            return _replayed(earlier)
    draft = Draft()
    superseded, flags = _make_room(state, draft, station, given, claim, now_ms)
    if earlier is not None:
        flags = (*flags, "needs_review")
    verdict = authorization.judge(state, given.charger, given.tag_ref, given.minted)
    flags += _flags(station, given, claim, verdict, superseded, now_ms)
    session = _uid(state, station, given, claim, ids)
    transaction = claim.own or _new_transaction(station, ids)
    draft.facts.append(
        facts.SessionStarted(
            session=session,
            charger=given.charger,
            evse=evse,
            connector=connector_number(given.connector),
            transaction=transaction,
            principal=verdict.principal,
            tag_ref=given.tag_ref,
            command=verdict.command,
            started_at=claim.started,
            received_at=iso(now_ms),
            meter_start_wh=claim.meter_start_wh,
            authorization=verdict.status,
            key=claim.key,
            weak=claim.weak,
            boot=state.boots(given.charger),
            supersedes=superseded,
            flags=tuple(dict.fromkeys(flags)),
        )
    )
    orders.session_began(state, draft, verdict.command, session)
    connector.agree(draft, given.charger, evse, station.places.get(evse), _STARTED)
    kept = _reply_key(claim.key, transaction, weak=claim.weak)
    return draft.decision(inputs.StartReply(transaction, verdict.status, kept))


def remembers(state: SiteState, given: inputs.TransactionStarted) -> bool:
    """Whether memory has a session with this start's key, so that the journal need not be asked."""
    key = start_key(state, given)
    return any(session.key == key for session in state.look(given.charger).sessions.values())


def start_key(state: SiteState, given: inputs.TransactionStarted) -> str:
    """The deduplication key of a start: what the journal is asked for."""
    station = state.look(given.charger)
    return _claim(station, given, _evse(station, given.evse) or 0, 0).key


def _evse(station: Station, told: int) -> int | None:
    """Where the session is, or None where only guessing would tell."""
    if 1 <= told <= EVSES_MAX:
        return told
    # A charger with one connector can only mean that one.
    known = [evse for evse in station.places if evse > 0]
    return (known or [1])[0] if told == 0 and len(known) <= 1 else None


def _claim(station: Station, given: inputs.TransactionStarted, evse: int, now_ms: int) -> _Claim:
    started = identity.canonical(given.started)
    at_ms = identity.moment(given.started)
    meter_start_wh = meter.finite(given.meter_start_wh)
    own = identity.transaction_id(given.transaction) if given.transaction else None
    if own is not None:
        key, weak = identity.transaction_key(given.charger, own), False
    else:
        key = identity.start_key(given.charger, evse, given.tag_ref, meter_start_wh, started)
        weak = station.frozen or not identity.believable(at_ms, now_ms)
    return _Claim(evse, own, key, started, at_ms, meter_start_wh, weak)


def _same_key(station: Station, given: inputs.TransactionStarted, claim: _Claim) -> Session | None:
    for session in reversed(station.sessions.values()):
        if session.key == claim.key:
            return session
    return sessions.revived(given.recalled) if given.recalled is not None else None


def _is_replay(state: SiteState, charger: str, claim: _Claim, earlier: Session) -> bool:
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


def _make_room(
    state: SiteState,
    draft: Draft,
    station: Station,
    given: inputs.TransactionStarted,
    claim: _Claim,
    now_ms: int,
) -> tuple[str | None, tuple[str, ...]]:
    """End what is open on the connector. Returns the superseded session, and flags for the new one."""
    previous = station.open_on(claim.evse)
    if previous is None:
        return None, ()
    if claim.own is None and _restamped(previous, given, claim):
        sessions.supersede(state, draft, given.charger, previous, now_ms)
        return previous.id, ()
    sessions.close_provisionally(
        state, draft, given.charger, previous, "missing_stop", now_ms, before_ms=claim.at_ms
    )
    flags = []
    if _overlap(previous, claim.meter_start_wh):
        flags.append("needs_review")  # both claim the same part of the register
    previous_ms = identity.instant(previous.started_at)
    if previous_ms is not None and claim.at_ms is not None and claim.at_ms < previous_ms:
        flags.append("needs_review")  # an older start after a newer one
    return None, tuple(flags)


def _overlap(previous: Session, meter_start_wh: float | None) -> bool:
    first_wh, last_wh = previous.meter_start_wh, previous.registers.last_wh
    if first_wh is None or last_wh is None or meter_start_wh is None:
        return False
    return first_wh <= meter_start_wh < last_wh


def _restamped(previous: Session, given: inputs.TransactionStarted, claim: _Claim) -> bool:
    registers = previous.registers
    charged = registers.gained_wh > 0 or (
        registers.last_wh is not None
        and previous.meter_start_wh is not None
        and registers.last_wh > previous.meter_start_wh
    )
    return (
        previous.tag_ref == given.tag_ref
        and previous.meter_start_wh == claim.meter_start_wh
        and not (charged or previous.cited or previous.available)
    )


def _uid(
    state: SiteState, station: Station, given: inputs.TransactionStarted, claim: _Claim, ids: Ids
) -> str:
    """Named by content, so that a box installed anew names it the same; salted where content cannot tell."""
    site, charger = state.view.site, given.charger
    if claim.own is not None:
        return identity.session_uid(site, charger, claim.own)
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


def _flags(
    station: Station,
    given: inputs.TransactionStarted,
    claim: _Claim,
    verdict: authorization.Verdict,
    superseded: str | None,
    now_ms: int,
) -> tuple[str, ...]:
    flags = []
    if not identity.believable(claim.at_ms, now_ms):
        flags.append("clock_invalid")
    elif claim.at_ms is not None and claim.at_ms < station.adopted_ms - IMPORTED_MS:
        flags.append("imported")
    if claim.weak and station.frozen:
        flags.append("clock_frozen")
    intent = station.minted.get(given.minted) if verdict.command else None
    if intent is not None and intent.session not in (None, superseded):
        flags.append("tag_reused")
    if given.offline:
        flags.append("offline")
    return tuple(flags)


def _unplaced(station: Station, given: inputs.TransactionStarted, claim: _Claim, ids: Ids) -> inputs.Decision:
    """A start on a connector that cannot be: an orphan, answered like any start."""
    draft = Draft()
    new = record(draft, station, given.charger, "start", "no such connector", given=given)
    transaction = claim.own or _new_transaction(station, ids)
    reply = inputs.StartReply(transaction, "invalid", claim.key, replay=not new)
    return draft.decision(reply)


def _reused(station: Station, given: inputs.TransactionStarted, earlier: Session) -> inputs.Decision:
    """A 2.x station gave an ended transaction's id to another one (quirk 98): one id, one session."""
    draft = Draft()
    record(
        draft,
        station,
        given.charger,
        "start",
        "transaction_reused",
        evse=earlier.evse,
        transaction=earlier.transaction,
        principal=earlier.principal,
        given=given,
    )
    return draft.decision(inputs.StartReply(earlier.transaction, earlier.authorization, ""))
