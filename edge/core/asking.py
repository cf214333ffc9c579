"""Asking a charger for its statuses: the box's own questions, and when to leave off (quirk 92).

`connector` and `station` say when there is something to ask. A charger that does not know the question is
not asked so again, but by the message of its newer generation if it has that; one that refuses is asked when
it connects and no more than that, and what it reports is believed by time alone.
"""

from __future__ import annotations

from typing import Final

from common import facts
from common.ports import Ids
from edge.core import inputs
from edge.core.state import Draft, SiteState, Station

#: A question that could not leave by then is not worth asking any more.
ASK_LIFE_MS: Final = 10_000
#: What the requests' ids begin with, by the ability that they try: their answers belong to no command.
_PREFIXES: Final = {"trigger": "ask.trigger.", "extended": "ask.extended."}
_NO, _REFUSES, _YES = "no", "refuses", "yes"


def worth_asking_again(station: Station) -> bool:
    """Whether a held report should be asked about; if not, time alone confirms it."""
    return station.abilities.get("trigger") != _REFUSES and _how(station, None) is not None


def ask(station: Station, draft: Draft, charger: str, evse: int | None, now_ms: int, ids: Ids) -> None:
    """Ask the charger to report a connector's state (all of them, `evse` None), if it can be asked."""
    for action in _questions(station, evse):
        draft.requests.append(
            inputs.Request(
                id=_PREFIXES[_ability(action)] + ids.uid(),
                charger=charger,
                action=action,
                priority=inputs.PRIORITY_HOUSEKEEPING,
                expires_ms=now_ms + ASK_LIFE_MS,
            )
        )


def _questions(station: Station, evse: int | None) -> list[inputs.Action]:
    """What to ask: all at once where a charger can tell so, else each connector that is known."""
    if station.each and _how(station, evse) is not None:
        named = [(n, place) for n, place in station.places.items() if n and evse in (None, n)]
        return [inputs.TriggerStatus(n, number) for n, place in named for number in place.connectors]
    action = _how(station, evse)
    return [] if action is None else [action]


def _ability(action: inputs.Action) -> str:
    return "extended" if isinstance(action, inputs.Trigger) else "trigger"


def _how(station: Station, evse: int | None) -> inputs.Action | None:
    if station.abilities.get("trigger") != _NO:
        return inputs.TriggerStatus(evse)
    if station.abilities.get("extended") != _NO:
        return inputs.Trigger("status", evse, extended=True)
    return None


def answered(state: SiteState, given: inputs.CallEnded) -> inputs.Decision:
    """What a question came to: learned when it is another thing than was known."""
    ability = next((a for a, prefix in _PREFIXES.items() if given.request.startswith(prefix)), None)
    value = {"not_supported": _NO, "rejected": _REFUSES, "accepted": _YES}.get(given.answer)
    if ability is None or value is None:
        return inputs.NOTHING
    if state.look(given.charger).abilities.get(ability, _YES) in (value, _NO):
        return inputs.NOTHING
    return inputs.Decision(
        facts=(facts.CapabilityLearned(charger=given.charger, ability=ability, value=value),)
    )
