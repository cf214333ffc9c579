"""Commands as they arrive: recognised, judged, refused or taken on.

    site → known id → form → expiry → rights (`common.policy`) → preconditions → accepted

The same command may come twice, over the LAN and through the cloud, or after a crash: its id and fingerprint
decide, and a repeat is told what the first one came to, a refusal included. Whoever asks for another thing
under a used id learns `id_reuse` and changes nothing. What is taken on lives in `orders`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import commands, facts, policy, view
from common.commands import CLASSES, Name
from common.domain import ConnectorState, iso
from common.errors import Code, PlugsideError, Refused, error
from common.tuning import OfflinePolicyChanged
from edge.core import (
    allowance,
    authorization,
    calls,
    inputs,
    limit_orders,
    limits,
    orders,
    outcomes,
    reserving,
    resolving,
    securing,
    steps,
    transfers,
    tuned,
)
from edge.core.inputs import CommandReceived, CommandReply
from edge.core.state import Draft, Order, Session, SiteState, Station

#: Clocks of phone and box differ; a life this much above the class's longest is no mistake.
EXPIRY_ALLOWANCE_MS: Final = 5_000
#: Open commands of one charger: more than a person can give, few enough to look through at each event.
OPEN_ORDERS_MAX: Final = 32
#: A UUID has 36 characters; the bound keeps what is no id out of the journal.
ID_CHARS_MAX: Final = 64
#: A charger's name on a small screen.
NAME_CHARS_MAX: Final = 64

#: These stay true while a charger is away, and are sent when it comes back; the others need it now.
_WAITS: Final = frozenset(
    {Name.STOP, Name.AVAILABILITY, Name.CONFIGURE, Name.UPDATE_FIRMWARE, *limit_orders.NAMES}
)

_S = ConnectorState
_FREE: Final = frozenset({_S.UNKNOWN, _S.AVAILABLE, _S.PREPARING})
_NOT_FREE: Final[dict[ConnectorState, Code]] = {
    _S.FAULTED: Code.CONNECTOR_FAULTED,
    _S.UNAVAILABLE: Code.CONNECTOR_UNAVAILABLE,
    _S.RESERVED: Code.CONNECTOR_RESERVED,
    _S.FINISHING: Code.UNPLUG_FIRST,
    _S.CHARGING: Code.CONNECTOR_IN_USE,
    _S.SUSPENDED_EV: Code.CONNECTOR_IN_USE,
    _S.SUSPENDED_EVSE: Code.CONNECTOR_IN_USE,
}


def received(state: SiteState, given: CommandReceived, now_ms: int) -> inputs.Decision:
    """Decide on a command. Nothing is raised: a refusal is a decision, too."""
    if given.site != state.view.site:
        return _unrecorded(given, Code.WRONG_SITE)
    known = state.orders.get(given.id)
    if known is not None:
        return _repeated(given, known)
    if given.recalled is not None:
        return _repeated(given, _recalled(given.id, given.recalled))
    if not given.id or len(given.id) > ID_CHARS_MAX or not isinstance(given.args, CLASSES[given.name].args):
        return _unrecorded(given, Code.BAD_REQUEST)
    if isinstance(given.args, commands.Adopt):
        # One charger, however it is typed: it dials in any case, too. Rights are judged for who it is.
        stored = view.spelling(state.view, given.target.charger)
        given = msgspec.structs.replace(given, target=msgspec.structs.replace(given.target, charger=stored))
    try:
        evse = _judge(state, given, now_ms)
    except PlugsideError as refused:
        return _refused(given, refused)
    return _accepted(state, given, evse, now_ms)


# --- repeats and refusals ----------------------------------------------------------------------------------


def _repeated(given: CommandReceived, known: Order) -> inputs.Decision:
    """The stored stages of the first one, told again; no fact, no call."""
    if known.fingerprint != given.fingerprint or known.principal != given.claims.principal:
        return _unrecorded(given, Code.ID_REUSE)
    if known.outcome == "refused":
        return inputs.Decision(progress=(_refusal(given.id, known.code, known.detail),))
    stages = [CommandReply(id=given.id, stage="accepted", session=known.session)]
    if known.answer:
        stages.append(
            CommandReply(
                id=given.id,
                stage="confirmed",
                answer=known.answer,
                detail=known.detail,
                result=known.result,
            )
        )
    if known.state == "settled":
        stages.append(
            CommandReply(
                id=given.id,
                stage="settled",
                outcome=known.outcome,
                code=known.code,
                detail=known.detail,
                session=known.session,
                result=known.result,
            )
        )
    return inputs.Decision(progress=tuple(stages))


def _recalled(command_id: str, row: inputs.RecalledCommand) -> Order:
    return Order(
        id=command_id,
        principal=row.principal,
        fingerprint=row.fingerprint,
        state=row.state,
        answer=row.answer,
        outcome=row.outcome,
        code=row.code,
        detail=row.detail,
        session=row.session,
        result=row.result,
    )


def _refusal(command_id: str, code: str, detail: str) -> CommandReply:
    return CommandReply(id=command_id, stage="refused", code=code, detail=detail)


def _unrecorded(given: CommandReceived, code: Code) -> inputs.Decision:
    return inputs.Decision(progress=(_refusal(given.id, str(code), ""),))


def _refused(given: CommandReceived, refused: PlugsideError) -> inputs.Decision:
    """Declined, and written down, so that a repeat of this id is declined the same way."""
    detail = refused.detail[: outcomes.DETAIL_CHARS_MAX]
    settled = facts.CommandSettled(
        command=given.id,
        charger=given.target.charger[:NAME_CHARS_MAX],
        principal=given.claims.principal,
        outcome="refused",
        code=str(refused.code),
        detail=detail,
        fingerprint=given.fingerprint,
    )
    return inputs.Decision(facts=(settled,), progress=(_refusal(given.id, str(refused.code), detail),))


# --- judging -----------------------------------------------------------------------------------------------


def _judge(state: SiteState, given: CommandReceived, now_ms: int) -> int | None:
    """Whether the command may be taken on; returns the EVSE it is for. Raises PlugsideError."""
    if given.expires_ms <= now_ms:
        raise Refused(Code.EXPIRED)
    longest_ms = CLASSES[given.name].ttl_ms
    if given.expires_ms > now_ms + longest_ms + EXPIRY_ALLOWANCE_MS:
        raise Refused(Code.BAD_REQUEST, f"{given.name} may live {longest_ms // 1000} s at most")
    policy.authorize(given.claims, given.name, given.target, given.args, state.view)
    station = state.look(given.target.charger)
    if len(station.orders) >= OPEN_ORDERS_MAX:
        raise error(Code.BUSY)
    if isinstance(given.args, commands.Adopt):
        if len(given.args.name) > NAME_CHARS_MAX or not given.args.name.isprintable():
            raise Refused(Code.BAD_REQUEST, f"a name has {NAME_CHARS_MAX} printable characters at most")
        return None
    if isinstance(given.args, commands.Secure):
        securing.judge(state, given, given.args)
        return None
    if isinstance(given.args, commands.Resolve):
        resolving.judge(state, given, given.args)
        return None
    if isinstance(given.args, commands.Adjust):
        tuned.judge(state, given, given.args)
        return None
    if isinstance(given.args, commands.AssignTag | commands.WithdrawTag):
        authorization.judge_tag(state, given.args)
        return None
    if isinstance(given.args, commands.OfflinePolicy):
        authorization.judge_policy(state, given.args)
        return None
    if not station.online and given.name not in _WAITS:
        raise error(Code.CHARGER_OFFLINE)
    match given.args:
        case commands.Start():
            evse = _may_start(state, station, given)
            allowance.judge(state, given, evse, now_ms)
            return evse
        case commands.Stop():
            return _may_stop(state, station, given, given.args)
        case commands.Unlock():
            evse = _only(station, given)
            if station.places[evse].observed is not None:
                raise Refused(Code.CONFIRMING)
            _may_end(given.args.ends_charge, [station.open_on(evse)])
            return evse
        case commands.Reset():
            _may_end(given.args.ends_charge, [station.open_on(evse) for evse in station.places])
        case commands.Configure():
            securing.judge_key(given.args.key)
        case commands.SetAvailability() if given.target.evse is not None:
            return _named(station, given)
        case commands.UpdateFirmware() | commands.FetchDiagnostics() | commands.Trigger():
            transfers.judge(state, given)
            return given.target.evse
        case commands.Limit() | commands.ClearLimit():
            return limit_orders.judge(state, given, given.args)
        case commands.ReadLimit():
            return _only(station, given)
        case commands.Reserve():
            evse = _only(station, given)
            reserving.judge(state, station, given, given.args, evse)
            allowance.judge_place(given, evse)
            return evse
        case commands.CancelReservation():
            evse = _only(station, given)
            reserving.judge_cancel(station, given, evse)
            return evse
    return None


def _may_end(said: bool, there: list[Session | None]) -> None:
    """Whether a charge may be ended by this: only by who said so (quirk 69)."""
    if not said and any(session is not None and not session.unclaimed for session in there):
        raise Refused(Code.WOULD_END_CHARGE)


def _may_start(state: SiteState, station: Station, given: CommandReceived) -> int:
    evse = _startable(station, given)
    place = station.places[evse]
    session = station.open_on(evse)
    # A session whose connector is free again has lost its stop; it locks nobody out (quirk 62).
    ghost = session is not None and session.available and place.state is _S.AVAILABLE
    in_use = session is not None and not (ghost or session.unclaimed)
    if in_use or orders.start_intended(state, given.target.charger, evse):
        raise Refused(Code.CONNECTOR_IN_USE)
    if place.observed is not None:
        raise Refused(Code.CONFIRMING)
    kept = station.reservations.get(evse)
    if kept is not None and kept.principal != given.claims.principal:
        raise Refused(Code.CONNECTOR_RESERVED)
    if kept is not None and place.state is _S.RESERVED:
        return evse
    again = place.state is _S.FINISHING and station.tuning.traits.finishing_starts
    if place.state not in _FREE and not again:
        raise Refused(_NOT_FREE[place.state])
    return evse


def _may_stop(state: SiteState, station: Station, given: CommandReceived, args: commands.Stop) -> int | None:
    session = station.sessions.get(args.session)
    if session is not None:
        if session.nameless:
            raise Refused(Code.NO_TRANSACTION)
        return session.evse
    shown = state.view.sessions.get(args.session)
    if shown is None or shown.charger != given.target.charger or not shown.ended_at:
        raise Refused(Code.UNKNOWN_SESSION)
    return shown.evse


def _connectors(station: Station) -> list[int]:
    return [evse for evse in station.places if evse > 0]


def _named(station: Station, given: CommandReceived) -> int:
    """The EVSE that the command names, if the charger has it."""
    target = given.target
    place = station.places.get(target.evse) if target.evse else None
    if (
        target.evse is None
        or place is None
        or target.connector not in (None, place.connector, *place.connectors)
    ):
        raise Refused(Code.UNKNOWN_CONNECTOR, _choice(station))
    return target.evse


def _only(station: Station, given: CommandReceived) -> int:
    """The EVSE that is named, or the only one there is."""
    known = _connectors(station)
    if given.target.evse is not None or given.target.connector is not None or len(known) != 1:
        return _named(station, given)
    return known[0]


def _startable(station: Station, given: CommandReceived) -> int:
    """As `_only`; of several, the only one where a car was just plugged in, else the only one free."""
    if given.target.evse is None and given.target.connector is None:
        for wanted in (_S.PREPARING, _S.AVAILABLE):
            fitting = [
                evse
                for evse in _connectors(station)
                if station.places[evse].state is wanted and _unused(station, evse)
            ]
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                break
    return _only(station, given)


def _unused(station: Station, evse: int) -> bool:
    session = station.open_on(evse)
    return session is None or session.unclaimed


def _choice(station: Station) -> str:
    known = ", ".join(str(evse) for evse in sorted(_connectors(station)))
    return f"its connectors are {known}" if known else "it has not told its connectors yet"


# --- taking on ---------------------------------------------------------------------------------------------


def _accepted(state: SiteState, given: CommandReceived, evse: int | None, now_ms: int) -> inputs.Decision:
    draft = Draft()
    args = given.args
    session = getattr(args, "session", "") or None
    station = state.look(given.target.charger)
    place = station.places.get(evse) if evse else None
    body = facts.CommandAccepted(
        command=given.id,
        principal=given.claims.principal,
        role=given.claims.role,
        path=given.path,
        name=given.name.value,
        charger=given.target.charger,
        evse=evse,
        connector=given.target.connector or (place.connector if place is not None else None),
        session=session,
        fingerprint=given.fingerprint,
        expires_at=iso(given.expires_ms),
        args=msgspec.to_builtins(args),
        cap_wh=allowance.left(state, given, now_ms),
    )
    draft.facts.append(body)
    draft.progress.append(CommandReply(id=given.id, stage="accepted", session=session))
    order = orders.from_fact(body, now_ms)
    if isinstance(args, commands.Adopt):
        draft.facts += securing.adoption(state, given.target.charger, args)
        outcomes.settle(draft, order, "succeeded")
    elif isinstance(args, commands.Secure):
        securing.begin(state, draft, order, args)
    elif isinstance(args, commands.Resolve):
        resolving.decide(state, draft, given, args)
        outcomes.settle(draft, order, "succeeded", session=args.session or None)
    elif isinstance(args, commands.Adjust):
        draft.facts.append(tuned.adjusted(station, given.target.charger, args))
        outcomes.settle(draft, order, "succeeded")
    elif isinstance(args, commands.AssignTag | commands.WithdrawTag):
        draft.facts.append(authorization.decided(args, state))
        outcomes.settle(draft, order, "succeeded")
    elif isinstance(args, commands.OfflinePolicy):
        revision = state.offline_revision + 1
        draft.facts.append(OfflinePolicyChanged(policy=args.policy, revision=revision))
        outcomes.settle(draft, order, "succeeded")
    elif isinstance(args, commands.Limit | commands.ClearLimit):
        limit_orders.begin(state, draft, order, args, given.claims.role, now_ms)
    elif session is not None and _is_over(station, session):
        outcomes.settle(draft, order, "succeeded", session=session)
    elif order.name in steps.STEPPED:
        transfers.begin(state, draft, order, now_ms)
    elif station.online and not (order.name == Name.START and limits.holds(station)):
        calls.send(state, draft, order, now_ms)
    return draft.decision()


def _is_over(station: Station, session: str) -> bool:
    known = station.sessions.get(session)
    return known is None or known.ended
