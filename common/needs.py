"""What of a site needs a person, and which site first. Pure.

One rule for the list of many sites at the cloud and for the one site of a box, in the query `sites`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.domain import ConnectorState
from common.view import View

#: Kinds of need, the gravest first: what keeps cars from charging before what keeps bills from being right.
KINDS: Final = (
    "offline",
    "clock",
    "faulted",
    "lost",
    "unattributed",
    "flagged",
    "orphans",
    "waiting",
    "taps",
    "backlog",
)
#: Facts on their way to the cloud that are more than a moment's: a charger tells some ten a minute.
BACKLOG_MANY: Final = 2000
#: How far a box's clock may be from ours before somebody should look: grants are judged by it.
SKEW_MAX_MS: Final = 120_000


def of_view(view: View) -> dict[str, int]:
    """What the chargers of a site need."""
    adopted = [charger for charger in view.chargers.values() if charger.adopted]
    places = [place for charger in adopted if charger.online for place in charger.connectors.values()]
    return {
        "faulted": sum(place.state is ConnectorState.FAULTED for place in places),
        "lost": sum(not charger.online for charger in adopted),
        "unattributed": sum(place.unattributed for place in places),
        "waiting": sum(not charger.adopted for charger in view.chargers.values()),
        "taps": len(view.taps),
    }


def of_site(
    view: View | None,
    *,
    online: bool,
    clock: str,
    skew_ms: int = 0,
    backlog: int = 0,
    flagged: int = 0,
    orphans: int = 0,
) -> dict[str, int]:
    """Everything that needs a person at a site, by kind; kinds of which there is nothing are left out.

    Of a site whose box is away the chargers' last state is no news: that it is away is what counts.
    """
    found = of_view(view) if online and view is not None else {}
    found |= {
        "offline": int(not online),
        "clock": int(online and (clock not in ("", "synced") or abs(skew_ms) > SKEW_MAX_MS)),
        "backlog": int(online and backlog > BACKLOG_MANY),
        "flagged": flagged,
        "orphans": orphans,
    }
    return {kind: found[kind] for kind in KINDS if found.get(kind)}


def counts(view: View | None) -> dict[str, int]:
    """Chargers of a site in numbers: how many, online, with a charge going on."""
    adopted = [charger for charger in view.chargers.values() if charger.adopted] if view else []
    return {
        "all": len(adopted),
        "online": sum(charger.online for charger in adopted),
        "charging": sum(
            place.state is ConnectorState.CHARGING
            for charger in adopted
            for place in charger.connectors.values()
        ),
    }


def worst_first(row: Mapping[str, Any]) -> tuple[int, int, str]:
    """Sort key of site rows: the gravest need first, more of it before less, then by name."""
    needs: Mapping[str, int] = row["needs"]
    for grade, kind in enumerate(KINDS):
        if kind in needs:
            return grade, -needs[kind], str(row["name"]).casefold()
    return len(KINDS), 0, str(row["name"]).casefold()


def matches(row: Mapping[str, Any], search: str) -> bool:
    """Whether a site's name or id holds a text, whatever its case."""
    wanted = search.strip().casefold()
    return not wanted or wanted in str(row["name"]).casefold() or wanted in str(row["site"]).casefold()
