"""Reservations: a connector kept for one principal for a while, as far as the charger keeps it (quirk 95).

    reserve ─▶ the charger says yes ─▶ made ─▶ used | cancelled | expired | faulted | out of service

A reservation is under a minted tag, so only a start of the same principal, which carries that tag, is let in;
everybody else is told that the connector is reserved. What the connector shows is what holds: one that is
free again without our doing is reserved no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from common import commands, facts
from common.commands import Name
from common.domain import ConnectorState, Role, from_iso, iso
from common.errors import Code, Refused
from common.tuning import ReservationChanged
from edge.core import inputs, outcomes
from edge.core.identity import minted_tag
from edge.core.state import Draft, Order, Reservation, SiteState, Station

#: How long a driver may keep a connector: the way there. Staff may plan a day.
DRIVER_MAX_MINUTES: Final = 60
STAFF_MAX_MINUTES: Final = 24 * 60
MINUTE_MS: Final = 60_000

_S = ConnectorState
#: A connector in one of these keeps nothing for anybody.
_OVER: Final = {_S.FAULTED: "faulted", _S.UNAVAILABLE: "unavailable"}


def number_of(command: str) -> int:
    """A reservation's number at the charger: positive, and of its command alone."""
    return int.from_bytes(blake2b(command.encode(), digest_size=4).digest()) & 0x7FFFFFFF or 1


def tag_of(command: str) -> str:
    """The tag that a reservation is under."""
    return minted_tag(command)


def of(station: Station, evse: int, principal: str | None) -> Reservation | None:
    """The reservation of a connector, if it is this principal's."""
    known = station.reservations.get(evse)
    return known if known is not None and known.principal == principal else None


# --- judging -----------------------------------------------------------------------------------------------


def judge(
    state: SiteState, station: Station, given: inputs.CommandReceived, args: commands.Reserve, evse: int
) -> None:
    """Whether a connector may be kept for who asks. Raises Refused."""
    claims, place = given.claims, station.places[evse]
    most = DRIVER_MAX_MINUTES if claims.role is Role.DRIVER else STAFF_MAX_MINUTES
    if not 1 <= args.minutes <= most:
        raise Refused(Code.BAD_REQUEST, f"a connector is kept for 1 to {most} minutes")
    if evse in station.reservations or place.state is _S.RESERVED:
        raise Refused(Code.CONNECTOR_RESERVED)
    if place.state is not _S.AVAILABLE or station.open_on(evse) is not None:
        raise Refused(Code.CONNECTOR_IN_USE)
    mine = (
        reservation
        for other in state.stations.values()
        for reservation in other.reservations.values()
        if reservation.principal == claims.principal
    )
    if claims.role is Role.DRIVER and next(mine, None) is not None:
        raise Refused(Code.CONNECTOR_RESERVED, "you have a reservation already; cancel it first")


def judge_cancel(station: Station, given: inputs.CommandReceived, evse: int) -> None:
    """Whether it may be given up. Raises Refused."""
    known = station.reservations.get(evse)
    if known is None:
        raise Refused(Code.BAD_REQUEST, "nothing is reserved there")
    if given.claims.role is Role.DRIVER and known.principal != given.claims.principal:
        raise Refused(Code.NOT_PERMITTED, "it is somebody else's reservation")


# --- what the charger answers ------------------------------------------------------------------------------


def _until_ms(order: Order) -> int:
    minutes = order.args.get("minutes")
    assert isinstance(minutes, int), "it was judged"
    return order.accepted_ms + minutes * MINUTE_MS


def answered(state: SiteState, draft: Draft, order: Order, answer: str) -> None:
    """The charger's answer to `reserve` or `cancel_reservation`."""
    evse = order.evse or 0
    if order.name == Name.RESERVE and answer == "accepted":
        draft.facts.append(
            ReservationChanged(
                charger=order.charger,
                evse=evse,
                connector=order.connector or 1,
                reservation=number_of(order.id),
                command=order.id,
                until=iso(_until_ms(order)),
            )
        )
    elif order.name == Name.CANCEL_RESERVATION:
        known = state.look(order.charger).reservations.get(evse)
        if known is not None:  # one that it does not know is none either
            _end(draft, order.charger, evse, known, "cancelled" if answer == "accepted" else "refused")


def unanswered(state: SiteState, draft: Draft, order: Order) -> bool:
    """The time of a `reserve` is over without an answer. What the connector shows tells if it is kept."""
    place = state.look(order.charger).places.get(order.evse or 0)
    if order.name != Name.RESERVE or not order.attempt or place is None or place.state is not _S.RESERVED:
        return False
    answered(state, draft, order, "accepted")
    outcomes.settle(draft, order, "succeeded")
    return True


def _without_answer(state: SiteState, body: facts.ConnectorChanged) -> Order | None:
    """The `reserve` of which nobody knew what had come, if this connector can be kept by it."""
    known = (
        order
        for order in state.orders.values()
        if (order.name, order.charger, order.evse) == (Name.RESERVE, body.charger, body.evse)
        and order.outcome == "unknown"
    )
    return max(known, key=lambda order: order.accepted_ms, default=None)


def due(state: SiteState, draft: Draft, now_ms: int) -> None:
    """Those whose time has come."""
    for charger, station in state.stations.items():
        for evse, known in station.reservations.items():
            if now_ms >= known.until_ms:
                _end(draft, charger, evse, known, "expired")


def timers(station: Station) -> Iterator[int]:
    """When they end."""
    for known in station.reservations.values():
        yield known.until_ms


def follows(state: SiteState, told: Iterable[facts.Body], now_ms: int) -> list[facts.Body]:
    """What these facts end: a session began on a kept connector, or it shows that it keeps nothing. And one
    that shows to be kept tells what came of a `reserve` without an answer."""
    draft = Draft()
    for body in told:
        if not isinstance(body, facts.ConnectorChanged | facts.SessionStarted):
            continue
        known = state.look(body.charger).reservations.get(body.evse)
        if known is None:
            if isinstance(body, facts.ConnectorChanged) and body.state is _S.RESERVED:
                order = _without_answer(state, body)
                if order is not None and now_ms < _until_ms(order):
                    answered(state, draft, order, "accepted")
            continue
        why = "used" if isinstance(body, facts.SessionStarted) else _OVER.get(body.state, "")
        # It was seen to be reserved and is free again: given up at the charger, or run out by its clock.
        if not why and isinstance(body, facts.ConnectorChanged) and known.seen:
            why = "expired" if body.state is _S.AVAILABLE else ""
        if why:
            _end(draft, body.charger, body.evse, known, why)
    return draft.facts


def _end(draft: Draft, charger: str, evse: int, known: Reservation, why: str) -> None:
    draft.facts.append(
        ReservationChanged(
            charger=charger,
            evse=evse,
            connector=known.connector,
            reservation=known.number,
            command=known.command,
            state="ended",
            why=why,
        )
    )


# --- applying ----------------------------------------------------------------------------------------------


def changed(state: SiteState, body: ReservationChanged, at_ms: int) -> None:
    station = state.station(body.charger)
    if body.state != "made":
        station.reservations.pop(body.evse, None)
        return
    order = state.orders.get(body.command)
    until_ms = from_iso(body.until)
    place = station.places.get(body.evse)
    station.reservations[body.evse] = Reservation(
        number=body.reservation,
        command=body.command,
        principal=order.principal if order is not None else None,
        connector=body.connector,
        until_ms=until_ms,
        seen=place is not None and place.state is _S.RESERVED,
    )
    state.arm(until_ms)


def shown(station: Station, evse: int, state: ConnectorState) -> None:
    """Apply: the connector was seen to be reserved."""
    known = station.reservations.get(evse)
    if known is not None and state is _S.RESERVED:
        known.seen = True
