"""Proof of a limit: what the charger tells and what its meter shows, against what it said yes to (quirk 90).

Used by `limiting` with the charger's answers and by `engine` with meter values. The words of a proof are
those of `LimitApplied`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from common.domain import AXES, MeterSample
from common.tuning import LimitApplied
from edge.core import inputs
from edge.core.limits import applied_to, slot_name
from edge.core.state import Draft, SiteState
from edge.core.tuning import Limits, Slot

#: A car follows a new limit within 5 s (IEC 61851-1); chargers take some more to pass it on.
SETTLE_MS: Final = 15_000
#: A meter may change a verdict so often: a current that swings around the limit is one piece of news.
VERDICT_MS: Final = 60_000


def verdict(draft: Draft, limits: Limits, given: inputs.CallEnded, slot: Slot, now_ms: int) -> None:
    """What the charger's own schedule says of the limit that it accepted."""
    told_a = given.result.get("limit_a") if given.answer == "accepted" else None
    seen_a = float(told_a) if isinstance(told_a, int | float) else None
    # Watts are rounded down, and some chargers tell whole amperes.
    kept = seen_a is not None and slot.limit_a is not None and seen_a <= slot.limit_a + 0.5
    proof = "proven" if kept else "unproven"
    tell(draft, limits, given.charger, slot, proof, now_ms, measured_a=seen_a)


def tell(
    draft: Draft,
    limits: Limits,
    charger: str,
    slot: Slot,
    proof: str,
    now_ms: int,
    *,
    measured_a: float | None = None,
) -> None:
    """What became of a slot, as a fact and in `limits`."""
    body = LimitApplied(
        charger=charger,
        evse=slot.evse,
        scope=slot.scope,
        rank=slot.rank,
        limit_a=slot.limit_a,
        proof=proof,
        attempt=slot.attempt,
        rung=slot.rung,
        measured_a=measured_a,
    )
    draft.facts.append(body)
    applied_to(limits, body, now_ms)


# --- what the meter shows ----------------------------------------------------------------------------------


def measured(
    state: SiteState, charger: str, evse: int, samples: Iterable[MeterSample], now_ms: int
) -> list[LimitApplied]:
    """What meter values say about the limit on a connector: kept, or not."""
    station = state.look(charger)
    slots = station.tuning.limits.slots
    slot = slots.get(slot_name("session", evse)) or slots.get(slot_name("default", evse))
    if slot is None or slot.limit_a is None or slot.proof not in ("accepted", "proven", "unproven"):
        return []
    if now_ms < slot.asked_ms + SETTLE_MS or now_ms < slot.proof_ms + VERDICT_MS * (slot.proof != "accepted"):
        return []
    place = station.places.get(evse)
    if place is None or not AXES[place.state].energised:
        return []
    drawn = max((max(one.current_a) for one in samples if one.current_a), default=None)
    offered = max((one.offered_a for one in samples if one.offered_a is not None), default=None)
    verdict, seen_a = _seen(slot, drawn, offered)
    if verdict in ("", slot.proof):
        return []
    return [
        LimitApplied(
            charger=charger,
            evse=slot.evse,
            scope=slot.scope,
            rank=slot.rank,
            limit_a=slot.limit_a,
            proof=verdict,
            attempt=slot.attempt,
            rung=slot.rung,
            measured_a=seen_a,
        )
    ]


def _seen(slot: Slot, drawn: float | None, offered: float | None) -> tuple[str, float | None]:
    assert slot.limit_a is not None
    most = slot.limit_a * 1.1 + 1  # meters of class B and a car's control are within this
    if drawn is not None and drawn > most:
        return "unproven", drawn
    if offered is not None:
        return ("proven" if offered <= slot.limit_a + 0.5 else "unproven"), offered
    if drawn is not None and slot.above and 0 < drawn <= slot.limit_a + 1:
        return "proven", drawn
    return "", None
