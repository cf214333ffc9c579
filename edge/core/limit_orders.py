"""Commands about limits: who may set which, what follows at once, and when such a command has ended.

The command changes what is wanted (`limits`); `limiting` brings that to the charger, for as long as it takes.
The command itself ends with the first news of all that it concerns: *succeeded* when the effect was seen,
*unknown* when the charger said yes and has not shown it, or is silent, *failed* when it refused. A limit that
somebody replaces meanwhile has ended, too. What is wanted outlives the command, whatever it came to.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

from common import commands, facts
from common.commands import Name
from common.domain import Role
from common.errors import Code, Refused, error
from common.tuning import LimitWanted
from edge.core import calls, inputs, limiting, outcomes
from edge.core.limits import MAXIMUM_A, MINIMUM_A, connectors, desired, holds, wanted_in
from edge.core.state import Draft, Order, SiteState, Station
from edge.core.tuning import Limits

NAMES: Final = frozenset({Name.LIMIT, Name.CLEAR_LIMIT})

_NEWS: Final = frozenset({"accepted", "proven", "unproven", "refused", "unanswered", "cleared"})


# --- judging -----------------------------------------------------------------------------------------------


def judge(
    state: SiteState, given: inputs.CommandReceived, args: commands.Limit | commands.ClearLimit
) -> int | None:
    """Whether a limit may be set so; returns the EVSE it is for (None: the whole). Raises PlugsideError."""
    station = state.look(given.target.charger)
    limits, traits = station.tuning.limits, station.tuning.traits
    if args.expect is not None and args.expect != limits.revision:
        raise Refused(Code.CHANGED_MEANWHILE, f"the limits are at revision {limits.revision}")
    evse = given.target.evse
    if args.session:
        session = station.sessions.get(args.session)
        if session is None or session.ended:
            raise Refused(Code.UNKNOWN_SESSION)
        if not station.online:
            raise error(Code.CHARGER_OFFLINE)
        evse = session.evse
    elif args.safety and evse is not None:
        raise Refused(Code.BAD_REQUEST, "the safety limit is the whole charger's")
    elif evse is not None and evse not in station.places:
        raise Refused(Code.UNKNOWN_CONNECTOR)
    if isinstance(args, commands.Limit):
        share = len(connectors(station)) if evse is None and not traits.station_limit else 1
        least_a = args.limit_a / share
        if not 0 <= args.limit_a <= MAXIMUM_A:
            raise Refused(Code.BAD_REQUEST, f"a limit is between 0 and {MAXIMUM_A:.0f} A")
        if least_a < MINIMUM_A and traits.below_minimum != "pauses":
            each = f"{args.limit_a:g} A for {share} connectors" if share > 1 else f"{args.limit_a:g} A"
            raise Refused(Code.LIMIT_TOO_LOW, each)
    return evse


# --- taking on ---------------------------------------------------------------------------------------------


def begin(
    state: SiteState,
    draft: Draft,
    order: Order,
    args: commands.Limit | commands.ClearLimit,
    role: Role,
    now_ms: int,
) -> None:
    """Write down what is wanted now, and send what follows from it."""
    station = state.look(order.charger)
    _replace(state, draft, order)
    rank = "installer" if args.safety else "driver" if args.session else _rank(role)
    limits = copy.deepcopy(station.tuning.limits)
    body = LimitWanted(
        charger=order.charger,
        evse=order.evse or 0,
        rank=rank,
        limit_a=float(args.limit_a) if isinstance(args, commands.Limit) else None,
        revision=limits.revision + 1,
    )
    draft.facts.append(body)
    wanted_in(station, limits, body)
    limiting.work(state, draft, order.charger, now_ms, limits, prompt=True)
    if station.online:
        draft.facts.append(
            facts.CommandSent(command=order.id, charger=order.charger, principal=order.principal)
        )
    ended = draft.settled()
    _judge_end(draft, station, limits, order, ended, now=True)


def _rank(role: Role) -> str:
    return "operator" if role in (Role.OPERATOR, Role.INSTALLER, Role.LOCAL) else "driver"


def _replace(state: SiteState, draft: Draft, order: Order) -> None:
    """An earlier command about the same limit is over: the later one counts."""
    for earlier in _open(state, order.charger):
        same = (earlier.session, earlier.evse, earlier.args.get("safety", False))
        if earlier.id != order.id and same == (order.session, order.evse, order.args.get("safety", False)):
            outcomes.settle(draft, earlier, "failed", Code.REPLACED)


def _open(state: SiteState, charger: str) -> Iterator[Order]:
    for order_id in state.look(charger).orders:
        if state.orders[order_id].name in NAMES:
            yield state.orders[order_id]


# --- what becomes of it ------------------------------------------------------------------------------------


def call_ended(
    state: SiteState, given: inputs.CallEnded, step: limiting.Step, now_ms: int
) -> inputs.Decision:
    """A call for a limit came to its end: so may commands, and starts that waited for it may leave."""
    draft, limits = limiting.answered(state, given, step, now_ms)
    _follow(state, draft, given.charger, limits, now_ms)
    return draft.decision()


def due(state: SiteState, draft: Draft, now_ms: int) -> None:
    """Limits that have to be sent (again), and starts that waited for them."""
    for charger, station in state.stations.items():
        if not station.tuning.limits.used or not station.online:
            continue
        limits = copy.deepcopy(station.tuning.limits)
        limiting.work(state, draft, charger, now_ms, limits)
        _follow(state, draft, charger, limits, now_ms)


def _follow(state: SiteState, draft: Draft, charger: str, limits: Limits, now_ms: int) -> None:
    station, ended = state.look(charger), draft.settled()
    for order in list(_open(state, charger)):
        _judge_end(draft, station, limits, order, ended)
    if holds(station, limits):
        return
    for order_id in station.orders:
        order = state.orders[order_id]
        waiting = order.name == Name.START and order.attempt == 0 and order.id not in ended
        if waiting and now_ms < order.expires_ms and station.online:
            calls.send(state, draft, order, now_ms)


def _judge_end(
    draft: Draft, station: Station, limits: Limits, order: Order, ended: set[str], *, now: bool = False
) -> None:
    """Settle a command whose limits have all come to something. `now`: it was given in this decision."""
    if order.id in ended:
        return
    wants = desired(station, limits, station.tuning.traits)
    proofs, told = [], {}
    for name in sorted({*wants, *limits.slots}):
        if not _concerns(order, name):
            continue
        slot, want = limits.slots.get(name), wants.get(name)
        behind = slot is None or slot.stale or slot.limit_a != (want.limit_a if want else None)
        proofs.append("waiting" if behind else slot.proof if slot else "")
        if want is not None:
            told[name] = want.limit_a
    result = {"limit_a": min(told.values(), default=None), "proof": _worst(proofs)}
    if not station.online:
        when = "it is sent when the charger connects"
        outcomes.settle(draft, order, "unknown", Code.LIMIT_UNPROVEN, when, result=result, keep=True)
        return
    if not all(proof in _NEWS for proof in proofs):
        return
    if not now and not order.answer:
        answer = "rejected" if "refused" in proofs else "timeout" if "unanswered" in proofs else "accepted"
        ended_as = inputs.CallEnded(charger=order.charger, request="", command=order.id, answer=answer)
        outcomes.confirm(draft, order, ended_as)
    if "accepted" in proofs:
        return
    outcome, code = _ENDS[_worst(proofs)]
    outcomes.settle(draft, order, outcome, code, session=order.session, result=result, keep=True)


#: The worst first.
_ENDS: Final[dict[str, tuple[str, Code | str]]] = {
    "refused": ("failed", Code.LIMIT_REFUSED),
    "unanswered": ("unknown", Code.CHARGER_TIMEOUT),
    "unproven": ("unknown", Code.LIMIT_UNPROVEN),
    "accepted": ("unknown", Code.LIMIT_UNPROVEN),
    "proven": ("succeeded", ""),
    "cleared": ("succeeded", ""),
    "": ("succeeded", ""),
}


def _worst(proofs: list[str]) -> str:
    return next((proof for proof in _ENDS if proof in proofs), "")


def _concerns(order: Order, name: str) -> bool:
    scope, evse = name.split(":")
    if order.session is not None:
        return scope == "session" and int(evse) == order.evse
    return order.evse is None or int(evse) in (0, order.evse)


def expired(draft: Draft, order: Order) -> None:
    """A command about a limit that heard nothing in its time."""
    outcomes.settle(draft, order, "unknown", Code.LIMIT_UNPROVEN)
