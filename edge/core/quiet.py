"""Chargers that send no meter values by themselves: asked, seldom, while a car charges (quirk 80). Pure.

Nothing is asked while values come, while the charger is busy with somebody's command, or of a charger that
has said that it cannot be asked. This is the one question that is put during a charge, since there is none
outside of it; it gives way to everything else and expires within seconds.
"""

from __future__ import annotations

from typing import Final

from common import facts
from common.domain import ConnectorState
from common.ports import Ids
from edge.core import inputs
from edge.core.state import Draft, SiteState, Station

#: After the last sample, or the start: five minutes of silence are no interval that anybody sets, and the
#: pauses grow, so that a charger that takes the question and sends nothing is left in peace.
ASK_AFTER_MS: Final = tuple(minutes * 60_000 for minutes in (5, 10, 20, 40, 80, 160))
ASK_LIFE_MS: Final = 10_000
#: What the requests' ids begin with: their answers belong to no command.
_PREFIX: Final = "meter."
_ABILITY: Final = "trigger_meter"


def questions(state: SiteState, draft: Draft, now_ms: int, ids: Ids) -> None:
    """Ask where a question became due in (seen, now]."""
    for charger, station in state.stations.items():
        for evse, at_ms in _times(station):
            if state.seen_ms < at_ms <= now_ms and not station.orders:
                _ask(draft, charger, evse, now_ms, ids)


def timers(state: SiteState, station: Station) -> list[int]:
    """When something of this charger's meters is due."""
    return [at_ms for _, at_ms in _times(station) if at_ms > state.seen_ms]


def _times(station: Station) -> list[tuple[int, int]]:
    if not station.online or "no" in (station.abilities.get(_ABILITY), station.abilities.get("trigger")):
        return []
    return [
        (evse, session.sampled_ms + after_ms)
        for evse, place in station.places.items()
        if evse and place.state is ConnectorState.CHARGING and (session := station.open_on(evse)) is not None
        for after_ms in ASK_AFTER_MS
    ]


def _ask(draft: Draft, charger: str, evse: int, now_ms: int, ids: Ids) -> None:
    draft.requests.append(
        inputs.Request(
            id=_PREFIX + ids.uid(),
            charger=charger,
            action=inputs.Trigger("meter", evse),
            priority=inputs.PRIORITY_START,
            expires_ms=now_ms + ASK_LIFE_MS,
        )
    )


def answered(state: SiteState, given: inputs.CallEnded) -> inputs.Decision:
    """What a question came to: a charger that cannot be asked is not asked again."""
    if not given.request.startswith(_PREFIX) or given.answer not in ("not_supported", "rejected"):
        return inputs.NOTHING
    if _ABILITY in state.look(given.charger).abilities:
        return inputs.NOTHING
    learned = facts.CapabilityLearned(charger=given.charger, ability=_ABILITY, value="no")
    return inputs.Decision(facts=(learned,))
