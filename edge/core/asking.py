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
#: What the requests' ids begin with: their answers belong to no command.
_PREFIX: Final = "ask."
_NO, _REFUSES, _YES = "no", "refuses", "yes"


def worth_asking_again(station: Station) -> bool:
    """Whether a held report should be asked about; if not, time alone confirms it."""
    return station.abilities.get("trigger") != _REFUSES and _how(station, None) is not None


def ask(station: Station, draft: Draft, charger: str, evse: int | None, now_ms: int, ids: Ids) -> None:
    """Ask the charger to report a connector's state (all of them, `evse` None), if it can be asked."""
    action = _how(station, evse)
    if action is None:
        return
    draft.requests.append(
        inputs.Request(
            id=_PREFIX + ids.uid(),
            charger=charger,
            action=action,
            priority=inputs.PRIORITY_HOUSEKEEPING,
            expires_ms=now_ms + ASK_LIFE_MS,
        )
    )


def _how(station: Station, evse: int | None) -> inputs.Action | None:
    if station.abilities.get("trigger") != _NO:
        return inputs.TriggerStatus(evse)
    if station.abilities.get("extended") != _NO:
        return inputs.Trigger("status", evse, extended=True)
    return None


def answered(state: SiteState, given: inputs.CallEnded) -> inputs.Decision:
    """What a question came to: learned when it is another thing than was known."""
    if not given.request.startswith(_PREFIX):
        return inputs.NOTHING
    known = state.look(given.charger).abilities
    ability = "extended" if known.get("trigger") == _NO else "trigger"
    value = {"not_supported": _NO, "rejected": _REFUSES, "accepted": _YES}.get(given.answer)
    if value is None or known.get(ability, _YES) in (value, _NO):
        return inputs.NOTHING
    return inputs.Decision(
        facts=(facts.CapabilityLearned(charger=given.charger, ability=ability, value=value),)
    )
