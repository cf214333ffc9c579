"""Calls: an order in the words of a request to the charger, written down before it leaves (design §5)."""

from __future__ import annotations

from typing import Final

from common import commands, facts
from common.commands import CLASSES, Name, Repeat
from common.domain import iso
from common.errors import Code
from edge.core import inputs, outcomes, reserving, steps
from edge.core.identity import fixed_tag, minted_tag, remote_start_id
from edge.core.inputs import Request
from edge.core.state import Draft, Order, SiteState

#: First pause before a command is sent again; it doubles up to the longest.
RESEND_MS: Final = 5_000
RESEND_MAX_MS: Final = 300_000

_PRIORITIES: Final[dict[str, int]] = {
    Name.STOP: inputs.PRIORITY_STOP,
    Name.START: inputs.PRIORITY_START,
    Name.UNLOCK: inputs.PRIORITY_START,
    Name.RESET: inputs.PRIORITY_START,
    # Somebody waits for these two; the others are upkeep and wait until no car charges.
    Name.AVAILABILITY: inputs.PRIORITY_START,
    Name.MESSAGE: inputs.PRIORITY_START,
    # Asked when something is wrong, which is seldom when no car is there.
    Name.FETCH_DIAGNOSTICS: inputs.PRIORITY_START,
    Name.TRIGGER: inputs.PRIORITY_START,
    Name.READ_LIMIT: inputs.PRIORITY_START,
    Name.RESERVE: inputs.PRIORITY_START,
    Name.CANCEL_RESERVATION: inputs.PRIORITY_START,
}


def send(state: SiteState, draft: Draft, order: Order, now_ms: int, step: str = "") -> None:
    """Write down that the call leaves, and let it leave. `step`: which one, of a command with several."""
    action = _action(state, order, now_ms, step)
    if action is None:  # the session left without its stops being settled: cannot be, must not loop
        over = order.name == Name.CANCEL_RESERVATION  # it ended by itself meanwhile
        outcomes.settle(draft, order, "succeeded" if over else "failed", "" if over else Code.UNKNOWN_SESSION)
        return
    attempt = order.attempt + 1
    expires_ms = order.expires_ms
    if not at_most_once(order):
        # What still waits when the next attempt is due would only be sent twice.
        expires_ms = min(expires_ms, now_ms + pause_ms(attempt))
    draft.facts.append(
        facts.CommandSent(
            command=order.id, charger=order.charger, principal=order.principal, attempt=attempt, step=step
        )
    )
    draft.requests.append(
        Request(
            id=f"{order.id}.{attempt}",
            charger=order.charger,
            action=action,
            command=order.id,
            priority=_priority(order),
            expires_ms=expires_ms,
            urgent=CLASSES[Name(order.name)].urgent,
        )
    )


def _priority(order: Order) -> int:
    return _PRIORITIES.get(order.name, inputs.PRIORITY_HOUSEKEEPING)


def is_upkeep(order: Order) -> bool:
    """Whether its call waits until no car charges."""
    return _priority(order) == inputs.PRIORITY_HOUSEKEEPING


def start_tag(state: SiteState, order: Order) -> str:
    """The idTag that a start carries: its own, or its connector's where the charger must know it before; on a
    kept connector the one that it is kept under."""
    kept = reserving.of(state.look(order.charger), order.evse or 0, order.principal)
    if kept is not None:
        return reserving.tag_of(kept.command)
    if state.look(order.charger).tuning.traits.mint:
        return minted_tag(order.id)
    return fixed_tag(order.charger, order.evse or 0)


def at_most_once(order: Order) -> bool:
    """Whether the order's call may be made once only."""
    return CLASSES[Name(order.name)].repeat is Repeat.AT_MOST_ONCE


def pause_ms(attempt: int) -> int:
    """How long after this attempt the next one follows."""
    return min(RESEND_MS << min(attempt - 1, 16), RESEND_MAX_MS)


def _action(state: SiteState, order: Order, now_ms: int, step: str) -> inputs.Action | None:
    args = commands.arguments(Name(order.name), order.args)
    evse, connector = order.evse or 0, order.connector or 1
    match args:
        case commands.Start():
            # One that waited goes with the tag that it was accepted with: its reservation may have run out.
            minted = state.look(order.charger).minted.items()
            kept = (tag for tag, intent in minted if intent.command == order.id)
            tag = next(kept, "") or start_tag(state, order)
            return inputs.StartCharge(evse, connector, tag, remote_start_id(tag))
        case commands.Stop():
            session = state.look(order.charger).sessions.get(args.session)
            return inputs.StopCharge(session.transaction) if session is not None else None
        case commands.Unlock():
            return inputs.UnlockConnector(evse, connector)
        case commands.Reset():
            return inputs.ResetStation(args.hard)
        case commands.SetAvailability():
            return inputs.ChangeAvailability(evse, connector, args.operative)
        case commands.Configure():
            return inputs.SetVariable(args.key, args.value)
        case commands.ReadConfiguration():
            return inputs.GetVariables(args.keys)
        case commands.ClearCache():
            return inputs.ClearAuthorizationCache()
        case commands.Message():
            return inputs.VendorMessage(args.vendor, args.message, args.data)
        case commands.InstallCertificate():
            return inputs.InstallCertificate(args.use, args.certificate)
        case commands.DeleteCertificate():
            return inputs.DeleteCertificate(args.algorithm, args.issuer_name, args.issuer_key, args.serial)
        case commands.ListCertificates():
            return inputs.ListCertificates(args.use)
        case commands.UpdateFirmware() | commands.FetchDiagnostics() | commands.Trigger():
            return steps.action(step, order.id, args, order.evse, now_ms)
        case commands.ReadLimit():
            traits = state.look(order.charger).tuning.traits
            return inputs.ReadLimit(evse, traits.watts, traits.phases or 3)
        case commands.Limit() | commands.ClearLimit() | commands.Adjust() | commands.Secure():
            return None  # the box's own, or not one call (`limit_orders`)
        case commands.Reserve():
            until = iso(order.accepted_ms + args.minutes * reserving.MINUTE_MS)
            return inputs.Reserve(
                evse, connector, reserving.number_of(order.id), reserving.tag_of(order.id), until
            )
        case commands.CancelReservation():
            known = state.look(order.charger).reservations.get(evse)
            return inputs.CancelReservation(known.number) if known is not None else None
        case _:
            return None  # the box's own
