"""Limits on their way to the charger: what differs is sent, answered, said in another way, or sent again.

The acting half of `limits`, where the rules and the words stand. One call carries its slot and its number
with it (`Step`), so an answer to an earlier one is known and means nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

import msgspec

from common.tuning import LimitApplied, ModelLearned
from edge.core import inputs, models, proofs
from edge.core.limits import Want, applied_to, desired, draws_above, slot_name
from edge.core.state import Draft, SiteState, Station
from edge.core.traits import Traits
from edge.core.tuning import Limits, Slot

#: First pause before a limit without an answer is sent again; it doubles up to the longest.
RESEND_MS: Final = 30_000
RESEND_MAX_MS: Final = 900_000
#: What still waits by then would only be sent twice.
CALL_LIFE_MS: Final = 25_000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call for a slot: it travels in the request and comes back with the call's end."""

    slot: str
    attempt: int
    what: str  #: set | clear | read
    tried: tuple[tuple[int, bool], ...] = ()  #: ways to say it (`_ways`); the last is this call's own


# --- bringing it there -------------------------------------------------------------------------------------


def work(
    state: SiteState,
    draft: Draft,
    charger: str,
    now_ms: int,
    limits: Limits | None = None,
    *,
    prompt: bool = False,
) -> None:
    """Send what differs and is due. `limits`: as they will be after this decision, brought up to it here.

    prompt: somebody waits, and a lower one leaves before its fact is on disk (design §5).
    """
    station = state.look(charger)
    limits = copy.deepcopy(station.tuning.limits) if limits is None else limits
    if not station.online:
        return
    for name, want, at_ms in list(_differing(station, limits)):
        if at_ms > now_ms and not (prompt and _news(limits.slots.get(name), want)):
            continue
        _send(state, draft, charger, name, want, now_ms, limits, prompt=prompt)


def timers(station: Station) -> Iterator[int]:
    """When something of this charger's limits is due."""
    if station.online and station.tuning.limits.used:
        for _, _, at_ms in _differing(station, station.tuning.limits):
            yield at_ms


def _news(slot: Slot | None, want: Want | None) -> bool:
    """Whether this is another limit than the one that was asked for last."""
    return (slot.limit_a if slot else None) != (want.limit_a if want else None)


def _differing(station: Station, limits: Limits) -> Iterator[tuple[str, Want | None, int]]:
    """Slots that have to be sent, what with, and from when."""
    wants = desired(station, limits, station.tuning.traits)
    ready_ms = max(limits.ready_ms, 1)  # 0 would mean that nothing is due
    for name, want in wants.items():
        slot = limits.slots.get(name)
        if slot is None or slot.stale or slot.limit_a != want.limit_a:
            yield name, want, ready_ms
        elif slot.proof == "unanswered":
            yield name, want, slot.asked_ms + _pause_ms(slot)
    for name, slot in limits.slots.items():
        if name in wants:
            continue
        if slot.limit_a is not None or slot.stale:
            yield name, None, ready_ms
        elif slot.proof == "unanswered":
            yield name, None, slot.asked_ms + _pause_ms(slot)


def _pause_ms(slot: Slot) -> int:
    return min(RESEND_MS << min(max(0, slot.failures - 1), 8), RESEND_MAX_MS)


def _send(
    state: SiteState,
    draft: Draft,
    charger: str,
    name: str,
    want: Want | None,
    now_ms: int,
    limits: Limits,
    *,
    tried: tuple[tuple[int, bool], ...] = (),
    prompt: bool = False,
) -> None:
    station = state.look(charger)
    scope, evse = name.split(":")[0], int(name.split(":")[1])
    before = limits.slots.get(name) or Slot(evse, scope)
    body = LimitApplied(
        charger=charger,
        evse=evse,
        scope=scope,
        rank=want.rank if want else before.rank,
        limit_a=want.limit_a if want else None,
        proof="pending",
        attempt=limits.sent + 1,
        rung=len(tried),
    )
    draft.facts.append(body)
    applied_to(limits, body, now_ms, above=draws_above(state, station, body))
    lower = want is not None and (before.held_a is None or want.limit_a < before.held_a)
    way = next((way for way in _ways(state, charger, station.tuning.traits) if way not in tried), None)
    action = _action(state, station, limits.slots[name], way, now_ms)
    if action is None:
        return
    draft.requests.append(
        inputs.Request(
            id=f"limit.{charger}.{body.attempt}",
            charger=charger,
            action=action,
            priority=inputs.PRIORITY_LIMIT,
            expires_ms=now_ms + CALL_LIFE_MS,
            urgent=prompt and lower,
            context=Step(
                slot=name,
                attempt=body.attempt,
                what="set" if want else "clear",
                tried=(*tried, way) if way is not None else tried,
            ),
        )
    )


def _action(
    state: SiteState, station: Station, slot: Slot, way: tuple[int, bool] | None, now_ms: int
) -> inputs.SetLimit | inputs.ClearLimit | None:
    if slot.limit_a is None:
        return inputs.ClearLimit(slot.evse, slot.scope)
    session = station.open_on(slot.evse) if slot.scope == "session" else None
    if way is None or (slot.scope == "session" and session is None):
        return None
    traits = station.tuning.traits
    return inputs.SetLimit(
        evse=slot.evse,
        scope=slot.scope,
        transaction=session.transaction if session is not None else "",
        limit_a=slot.limit_a,
        level=way[0],
        relative=way[1],
        watts=traits.watts,
        phases=phases(state, station, traits, slot.evse),
        now_ms=now_ms,
    )


def phases(state: SiteState, station: Station, traits: Traits, evse: int) -> int:
    """Phases that carry the charge: known of the model, else counted where current flows, else three."""
    session = station.open_on(evse)
    shown = state.view.sessions.get(session.id) if session is not None else None
    flowing = [a for a in (shown.current_a or ()) if a > 0.5] if shown is not None else []
    counted = len(flowing) if shown is not None and len(shown.current_a or ()) > 1 else 0
    return traits.phases or min(counted, 3) or 3


def _ways(state: SiteState, charger: str, traits: Traits) -> list[tuple[int, bool]]:
    """The ways to say a limit, the best first: the one that this model took, then level by level down, last
    the other kind of schedule (quirks 86 and 87)."""
    model = models.of(state, charger)
    highest = [model.level_max] if model.level_max is not None else []
    levels = list(dict.fromkeys(traits.levels or [*highest, 1, 0]))
    ways = [(level, traits.relative) for level in levels]
    ways.append((levels[-1], not traits.relative))
    if model.profile:
        level, kind = model.profile.split()
        ways.insert(0, (int(level), kind == "relative"))
    return list(dict.fromkeys(ways))


# --- what the charger answers ------------------------------------------------------------------------------


def answered(state: SiteState, given: inputs.CallEnded, step: Step, now_ms: int) -> tuple[Draft, Limits]:
    """A call for a slot came to its end: what that says, and the limits as they are after it."""
    station, draft = state.look(given.charger), Draft()
    limits = copy.deepcopy(station.tuning.limits)
    slot = limits.slots.get(step.slot)
    if slot is None or slot.attempt != step.attempt or slot.stale:
        return draft, limits  # a later one has taken its place
    if step.what == "read":
        if slot.proof == "accepted":
            proofs.verdict(draft, limits, given, slot, now_ms)
        return draft, limits
    match given.answer:
        case "accepted":
            _accepted(state, draft, limits, given.charger, slot, step, now_ms)
        case "rejected" | "not_supported" | "error" if step.what == "clear":
            # Nothing there to be cleared is what most mean by it.
            proofs.tell(draft, limits, given.charger, slot, "cleared", now_ms)
        case "rejected" | "error":
            left = [
                way for way in _ways(state, given.charger, station.tuning.traits) if way not in step.tried
            ]
            if left and slot.limit_a is not None:
                want = Want(slot.limit_a, slot.rank)
                _send(state, draft, given.charger, step.slot, want, now_ms, limits, tried=step.tried)
            else:
                proofs.tell(draft, limits, given.charger, slot, "refused", now_ms)
        case "not_supported":
            proofs.tell(draft, limits, given.charger, slot, "refused", now_ms)
        case _:
            if slot.proof == "pending":
                proofs.tell(draft, limits, given.charger, slot, "unanswered", now_ms)
    return draft, limits


def _accepted(
    state: SiteState, draft: Draft, limits: Limits, charger: str, slot: Slot, step: Step, now_ms: int
) -> None:
    if slot.limit_a is None:
        proofs.tell(draft, limits, charger, slot, "cleared", now_ms)
        return
    traits = state.look(charger).tuning.traits
    level, relative = step.tried[-1]
    way = f"{level} {'relative' if relative else 'absolute'}"
    if models.of(state, charger).profile != way:
        draft.facts.append(ModelLearned(charger=charger, what="profile", value=way))
    proofs.tell(draft, limits, charger, slot, "accepted", now_ms)
    draft.requests.append(
        inputs.Request(
            id=f"limit.{charger}.{slot.attempt}.read",
            charger=charger,
            action=inputs.ReadLimit(
                slot.evse, traits.watts, phases(state, state.look(charger), traits, slot.evse)
            ),
            priority=inputs.PRIORITY_LIMIT,
            expires_ms=now_ms + CALL_LIFE_MS,
            context=Step(slot=slot_name(slot.scope, slot.evse), attempt=slot.attempt, what="read"),
        )
    )
