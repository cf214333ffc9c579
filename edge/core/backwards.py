"""Time that goes back: what the core remembers of a time that never came (design §10). Pure.

The box's clock goes back on one ground only, that its time was proven wrong. What was remembered of the wrong
time lies in the future then: a timer on it would not run out for years, so it is taken as of now.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from common import facts
from common.domain import from_iso, iso
from edge.core.registers import Registers
from edge.core.state import NEVER, ClockTold, SiteState

#: These reasons of `clock_stepped` let times go back.
PROVEN: Final = frozenset({"proven_by_tunnel", "proven_by_hand"})
#: The longest life that something decided may honestly have: a command's that waits for its charger.
_LIFE_MS: Final = 24 * 3600 * 1000


def stepped(state: SiteState, body: facts.ClockStepped, at_ms: int) -> None:
    """Apply: how the clock was told to go; and nothing that was remembered is from later than now."""
    offset_ms = from_iso(body.after) - body.mono_ms
    state.clock_told = ClockTold(boot=body.boot, since=body.since, offset_ms=offset_ms)
    if body.reason not in PROVEN or from_iso(body.after) >= from_iso(body.before):
        return
    now_ms = from_iso(body.after)
    for station in state.stations.values():
        _clamp(station, now_ms)
    for order in state.orders.values():
        _clamp(order, now_ms)
    for ref, told_ms in state.unknown_tags.items():
        state.unknown_tags[ref] = min(told_ms, now_ms)
    for ref, told_ms in state.refused_tags.items():
        state.refused_tags[ref] = min(told_ms, now_ms)
    state.seen_ms = min(state.seen_ms, now_ms)
    state.arm(now_ms)


def _clamp(known: Any, now_ms: int) -> None:
    """Bring every `*_ms` of a mutable struct, and of those in it, back to now; ends of lives to a day's."""
    for name in known.__struct_fields__:
        value = getattr(known, name)
        if name.endswith("_ms") and isinstance(value, int):
            latest_ms = now_ms + (_LIFE_MS if name in ("expires_ms", "until_ms") else 0)
            if latest_ms < value < NEVER:
                setattr(known, name, latest_ms)
        elif name.endswith("_at") and isinstance(known, Registers):
            # Or every sample would pass for an older one until the wrong time had come.
            setattr(known, name, min(value, iso(now_ms)))
        elif isinstance(value, dict):
            for inner in value.values():
                if _mutable(inner):
                    _clamp(inner, now_ms)
        elif _mutable(value):
            _clamp(value, now_ms)


def _mutable(value: object) -> bool:
    return isinstance(value, msgspec.Struct) and not value.__struct_config__.frozen
