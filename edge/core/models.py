"""Models: what was learned on one charger holds for all of its vendor, model and firmware.

A charger that told nothing of itself is a model of its own. Learned from facts alone (`model_learned`,
`charger_configured`, `limit_applied`), so it survives a restart.
"""

from __future__ import annotations

from common.tuning import ModelLearned
from edge.core.state import SiteState
from edge.core.tuning import MODELS_MAX, Model


def key(state: SiteState, charger: str) -> str:
    """What names a charger's model."""
    known = state.view.chargers.get(charger)
    if known is None or not (known.vendor or known.model):
        return f"charger|{charger}"
    return "|".join(("model", known.vendor, known.model, known.firmware))


def of(state: SiteState, charger: str, *, make: bool = False) -> Model:
    """What is known of a charger's model. `make`: to be changed; for `apply` only."""
    name = key(state, charger)
    known = state.models.get(name)
    if known is None:
        known = Model()
        if make:
            state.models[name] = known
            if len(state.models) > MODELS_MAX:
                del state.models[next(iter(state.models))]
    return known


def learned(state: SiteState, body: ModelLearned, at_ms: int) -> None:
    """Apply."""
    model = of(state, body.charger, make=True)
    match body.what:
        case "read_singly":
            model.singly = True
        case "read_hangs":
            model.hangs[body.key] = model.hangs.get(body.key, 0) + 1
        case "level_max":
            # What was accepted before may lie below a profile of somebody else's: it is begun at the top.
            model.level_max, model.profile = int(body.value), ""
        case "list_max":
            model.list_max = int(body.value)
        case "list_send_max":
            model.list_send_max = int(body.value)
        case "profile":
            model.profile = body.value
