"""Orders: commands that were taken on, from the first call to their one end.

    accepted ──▶ sent ──▶ (the charger's answer) ──▶ settled: succeeded | failed | unknown
                  ▲  └── no answer: at-most-once commands wait to be seen; the others are sent again

Two classes (design §7). *At most once* (start, unlock, reset, message): one call, whatever happens to it; its
effect is then observed, or at the end of its window it is `unknown`. *Until confirmed*
(stop, availability, configuration): sent again after 5, 10, 20, 40 … s and when the charger comes back, until
the charger has answered or the command has expired.

A charger's "accepted" means that it will try (errata 3.32). So a start has succeeded when its session begins,
a stop when its session ends, a reset when the charger boots, a scheduled availability when the connector
shows it; for the rest the answer is all that can be seen.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

import msgspec

from common import facts
from common.commands import Name
from common.domain import ConnectorState, from_iso
from common.errors import Code
from edge.core import calls, inputs, limit_orders, outcomes, reserving, securing, steps, transfers
from edge.core.identity import minted_tag
from edge.core.state import (
    MINTED_MAX,
    SETTLED_ORDERS_MAX,
    SETTLED_RESULT_MAX_BYTES,
    Draft,
    Minted,
    Order,
    SiteState,
)

#: How long the effect of a call that is made at most once can still be seen, from its acceptance. Start:
#: ConnectionTimeOut as we set it, 120 s, and 15 s for the message (quirk 67). Reset: a slow boot.
WINDOW_MS: Final[dict[str, int]] = {Name.START: 135_000, Name.RESET: 300_000}
#: The others, from the last moment at which the call may leave: 30 s for the answer, 10 s for a late one.
ANSWER_WINDOW_MS: Final = 40_000
#: From the answer to a stop until the transaction's end must have been told.
STOP_WINDOW_MS: Final = 120_000
#: A scheduled availability waits for the session that is in its way.
SCHEDULED_WINDOW_MS: Final = 24 * 3600 * 1000

_DONE: Final = frozenset({"accepted", "scheduled"})
#: Commands whose effect is the charger's acceptance, as far as anyone can see.
_SEEN_BY_ANSWER: Final = frozenset(
    {
        *(Name.UNLOCK, Name.CONFIGURE, Name.READ_CONFIGURATION, Name.CLEAR_CACHE),
        *(Name.MESSAGE, Name.AVAILABILITY, Name.RESERVE, Name.CANCEL_RESERVATION),
        *(Name.INSTALL_CERTIFICATE, Name.DELETE_CERTIFICATE, Name.LIST_CERTIFICATES, Name.READ_LIMIT),
    }
)


# --- what the charger answers ------------------------------------------------------------------------------


def answered(state: SiteState, given: inputs.CallEnded, now_ms: int) -> inputs.Decision:
    """One of our calls came to an end. A late answer still counts while its command is open."""
    order = state.orders.get(given.command) if given.command else None
    if order is None or order.state == "settled" or order.charger != given.charger:
        return inputs.NOTHING
    if order.answer == "accepted" or (order.answer == "scheduled" and given.answer != "accepted"):
        return inputs.NOTHING  # another attempt's end; the charger has said yes already
    draft = Draft()
    if given.answer in ("accepted", "rejected"):
        reserving.answered(state, draft, order, given.answer)
    if order.name in steps.STEPPED:
        transfers.answered(state, draft, order, given, now_ms)
        return draft.decision()
    match given.answer:
        case "accepted" | "scheduled":
            outcomes.confirm(draft, order, given)
            if order.name in _SEEN_BY_ANSWER and not (
                order.name == Name.AVAILABILITY and given.answer == "scheduled"
            ):
                outcomes.settle(draft, order, "succeeded", result=outcomes.fitting(given.result))
        case "rejected" if order.name == Name.STOP and order.attempt > 1:
            # An earlier attempt, whose answer was lost, may be why there is nothing left to stop. The
            # session's end will tell, or the command's own.
            pass
        case "rejected" | "not_supported":
            outcomes.confirm(draft, order, given)
            code = Code.CHARGER_REJECTED if given.answer == "rejected" else Code.CHARGER_NOT_SUPPORTED
            outcomes.settle(draft, order, "failed", code, given.detail)
        case "error" if order.name != Name.STOP:
            outcomes.confirm(draft, order, given)
            outcomes.settle(draft, order, "failed", Code.CHARGER_REJECTED, given.detail)
        case "timeout" | "lost" if calls.at_most_once(order) and order.answer != "timeout":
            # A connection that broke off took the answer along: no answer either, and it may still act.
            outcomes.confirm(draft, order, msgspec.structs.replace(given, answer="timeout"))
        case "not_sent" if calls.at_most_once(order):
            late = now_ms >= order.expires_ms
            code = Code.EXPIRED if late else Code.CHARGER_OFFLINE
            outcomes.settle(draft, order, "failed", code, given.detail)
    return draft.decision()


# --- what is observed --------------------------------------------------------------------------------------


def session_began(state: SiteState, draft: Draft, command: str | None, session: str) -> None:
    """The session that a start asked for is there."""
    order = state.orders.get(command) if command else None
    if order is not None and order.state != "settled":
        outcomes.settle(draft, order, "succeeded", session=session)


def session_over(state: SiteState, draft: Draft, charger: str, session: str, *, superseded: bool) -> None:
    """A session ended: stops that named it have had their effect."""
    for order in _open(state, charger, Name.STOP):
        if order.session == session and superseded:
            outcomes.settle(draft, order, "failed", Code.UNKNOWN_SESSION, session=session)
        elif order.session == session:
            outcomes.settle(draft, order, "succeeded", session=session)


def booted(state: SiteState, draft: Draft, charger: str) -> None:
    """The charger booted: resets that were sent have had their effect."""
    for order in _open(state, charger, Name.RESET):
        if order.attempt:
            outcomes.settle(draft, order, "succeeded")


def availability_seen(state: SiteState, draft: Draft, charger: str, evse: int, shown: ConnectorState) -> None:
    """A connector shows another state: an availability that was scheduled for it may be in force."""
    operative = shown is not ConnectorState.UNAVAILABLE
    for order in _open(state, charger, Name.AVAILABILITY):
        if order.answer == "scheduled" and (order.evse or 0) == evse and order.args["operative"] is operative:
            outcomes.settle(draft, order, "succeeded")


def _open(state: SiteState, charger: str, *names: Name) -> Iterator[Order]:
    for order_id in state.look(charger).orders:
        order = state.orders[order_id]
        if not names or order.name in names:
            yield order


def start_intended(state: SiteState, charger: str, evse: int) -> bool:
    """Whether somebody's start is on its way to this connector, as far as anyone can tell.

    One that got no answer locks nobody out: who sees nothing begin presses again, and it is never sent again.
    """
    since_ms = state.look(charger).connected_ms
    return any(
        order.evse == evse and not _unanswered(order, since_ms) for order in _open(state, charger, Name.START)
    )


def _unanswered(order: Order, connected_ms: int) -> bool:
    """Whether its call will get no answer: it was out too long, or its connection is gone."""
    lost = order.attempt > 0 and not order.answer and order.sent_ms < connected_ms
    return lost or order.answer == "timeout"


def let_go(state: SiteState, draft: Draft, charger: str, but: Container[str]) -> None:
    """The charger leaves the site: nothing that is open can come to anything (`but` what ended just now)."""
    for order in _open(state, charger):
        if order.id in but:
            continue
        outcomes.settle(draft, order, "failed", Code.UNKNOWN_CHARGER, "the charger was removed")


# --- time --------------------------------------------------------------------------------------------------


def back_online(state: SiteState, draft: Draft, charger: str, now_ms: int) -> None:
    """The charger is connected again: stops do not wait for anything."""
    for order in _open(state, charger, Name.STOP):
        if order.answer not in _DONE and now_ms < order.expires_ms:
            calls.send(state, draft, order, now_ms)


def due(state: SiteState, draft: Draft, now_ms: int, but: Container[str]) -> None:
    """Orders at their end, and orders to be sent again (`but` those that ended in this very decision)."""
    for charger, station in state.stations.items():
        for order in _open(state, charger):
            if order.id in but:
                continue
            if order.name in steps.STEPPED:
                transfers.due(state, draft, order, now_ms)
            elif now_ms >= _end_ms(order):
                _give_up(state, draft, order)
            elif station.online and now_ms >= _resend_ms(order, station.ready_ms):
                calls.send(state, draft, order, now_ms)


def timers(state: SiteState, charger: str) -> Iterable[int]:
    """When something of this charger's orders is due."""
    station = state.look(charger)
    for order in _open(state, charger):
        if order.name in steps.STEPPED:
            yield from transfers.timers(state, order)
            continue
        yield _end_ms(order)
        if station.online:
            yield _resend_ms(order, station.ready_ms)


def _end_ms(order: Order) -> int:
    if order.name in steps.STEPPED:
        return transfers.end_ms(order)
    if order.name == Name.START and order.attempt == 0:
        return order.expires_ms  # it waits for the safety limit (`limits.holds`)
    if order.name in WINDOW_MS:
        return order.accepted_ms + WINDOW_MS[order.name]
    if calls.at_most_once(order):
        return order.expires_ms + ANSWER_WINDOW_MS
    if order.name == Name.STOP and order.answer in _DONE:
        return max(order.expires_ms, order.answered_ms + STOP_WINDOW_MS)
    if order.answer == "scheduled":
        return order.accepted_ms + SCHEDULED_WINDOW_MS
    return order.expires_ms


def _resend_ms(order: Order, ready_ms: int) -> int:
    if calls.at_most_once(order) or order.answer in _DONE or order.name in limit_orders.NAMES:
        return 2**62
    if order.attempt == 0:
        return ready_ms
    again_ms = order.sent_ms + calls.pause_ms(order.attempt)
    return again_ms if order.name == Name.STOP else max(again_ms, ready_ms)


def _give_up(state: SiteState, draft: Draft, order: Order) -> None:
    if order.name == Name.SECURE and securing.given_up(state, draft, order):
        return
    if reserving.unanswered(state, draft, order):
        return
    if order.name in limit_orders.NAMES:
        limit_orders.expired(draft, order)
        return
    if order.attempt == 0:
        outcomes.settle(draft, order, "failed", Code.EXPIRED)
    elif order.name == Name.START and order.answer in _DONE:
        outcomes.settle(draft, order, "failed", Code.NOT_PLUGGED_IN)
    else:
        waits = calls.is_upkeep(order) and any(p.session for p in state.look(order.charger).places.values())
        detail = "a car charges there; upkeep waits until none does" if waits else ""
        outcomes.settle(draft, order, "unknown", Code.CHARGER_TIMEOUT, detail)


# --- applying ----------------------------------------------------------------------------------------------


def from_fact(body: facts.CommandAccepted, at_ms: int) -> Order:
    """The order that an acceptance makes."""
    return Order(
        id=body.command,
        name=body.name,
        charger=body.charger,
        evse=body.evse,
        connector=body.connector,
        principal=body.principal,
        fingerprint=body.fingerprint,
        session=body.session,
        args=dict(body.args),
        accepted_ms=at_ms,
        expires_ms=from_iso(body.expires_at),
    )


def accepted(state: SiteState, body: facts.CommandAccepted, at_ms: int) -> None:
    order = state.orders[body.command] = from_fact(body, at_ms)
    station = state.station(body.charger)
    station.orders.append(order.id)
    if order.name == Name.START:
        tag = calls.start_tag(state, order)
        fixed = tag != minted_tag(order.id)
        station.minted.pop(tag, None)
        station.minted[tag] = Minted(order.id, order.principal, at_ms, fixed=fixed)
        if len(station.minted) > MINTED_MAX:
            del station.minted[next(iter(station.minted))]
    state.arm(_end_ms(order))
    state.arm(max(at_ms, station.ready_ms))


def sent(state: SiteState, body: facts.CommandSent, at_ms: int) -> None:
    order = state.orders.get(body.command)
    if order is not None and order.state != "settled":
        order.state, order.attempt, order.sent_ms = "sent", body.attempt, at_ms
        if order.name == Name.SECURE:
            securing.sent(order, body)
        if order.name in steps.STEPPED:
            transfers.sent(state, order, body)
            state.arm(transfers.end_ms(order))
        state.arm(_resend_ms(order, 0))


def confirmed(state: SiteState, body: facts.CommandConfirmed, at_ms: int) -> None:
    order = state.orders.get(body.command)
    if order is not None and order.state != "settled":
        order.answer, order.answered_ms = body.answer, at_ms
        order.detail, order.result = body.detail, body.result
        state.arm(_end_ms(order))


def settled(state: SiteState, body: facts.CommandSettled, at_ms: int) -> None:
    order = state.orders.get(body.command)
    if order is None:  # a refusal: it comes without an acceptance
        order = state.orders[body.command] = Order(
            id=body.command, charger=body.charger, principal=body.principal, fingerprint=body.fingerprint
        )
    elif order.state == "settled":
        return
    station = state.stations.get(order.charger)
    if station is not None and order.id in station.orders:
        station.orders.remove(order.id)
    order.state, order.outcome, order.code = "settled", body.outcome, body.code
    order.session = body.session or order.session
    order.detail = body.detail or order.detail
    order.result = body.result or order.result
    if order.name != Name.RESERVE or body.outcome != "unknown":
        order.args = {}  # (what came of that one may show yet)
    transfers.calm(state, order.charger, at_ms)
    if len(msgspec.json.encode(order.result)) > SETTLED_RESULT_MAX_BYTES:
        del state.orders[order.id]
        return
    state.settled.append(order.id)
    if len(state.settled) > SETTLED_ORDERS_MAX:
        del state.orders[state.settled.pop(0)]
