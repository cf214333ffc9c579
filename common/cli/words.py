"""What a state is called on a screen. Pure: the time now and the zone are the caller's.

One place for `plugside`, the demo and whoever else shows a charger in a terminal.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from common.domain import ConnectorState
from common.limits import in_force, limit_text
from common.live import Live, live
from common.view import ChargerView, ConnectorView, SessionView

STATES = {
    ConnectorState.UNKNOWN: "not reported yet",
    ConnectorState.AVAILABLE: "Free",
    ConnectorState.PREPARING: "Plugged in, ready to start",
    ConnectorState.CHARGING: "Charging",
    ConnectorState.SUSPENDED_EV: "Paused by the car",
    ConnectorState.SUSPENDED_EVSE: "Paused by the charger",
    ConnectorState.FINISHING: "Finished: unplug",
    ConnectorState.RESERVED: "Reserved",
    ConnectorState.UNAVAILABLE: "Out of service",
    ConnectorState.FAULTED: "Fault",
}
#: In place of what nobody can tell.
UNKNOWN = "unknown"
#: What a driver sees of a connector that somebody else's car is at.
_TAKEN = frozenset({ConnectorState.CHARGING, ConnectorState.SUSPENDED_EV, ConnectorState.SUSPENDED_EVSE})


def connector_text(
    place: ConnectorView,
    session: SessionView | None,
    *,
    now_ms: int | None = None,
    zone: tzinfo | None = None,
) -> str:
    """One connector in words: "Charging 7.2 kW, 3.4 kWh since 18:02".

    session: the open one there, if it may be seen. now_ms: UTC; without it a day is never named.
    zone: None = this machine's.
    """
    word = STATES[place.state]
    if place.state in _TAKEN and session is None:
        word = "In use"
    if place.unattributed or (session is not None and "unattributed" in session.flags):
        word = "Charging, unattributed: the charger told of no start"
    if place.state is ConnectorState.FAULTED and place.error_code:
        word = f"{word} ({place.error_code})"
    if session is not None:
        word += _progress(session, now_ms, zone)
    limit = limit_text(in_force(place.limit, place.session_limit))
    if limit:
        word += f", {limit}"
    if place.observed is not None:
        word += " (being confirmed)"
    return f"{word} (last known)" if place.stale else word


def _progress(session: SessionView, now_ms: int | None, zone: tzinfo | None) -> str:
    flow = Live(session.power_w, session.current_a, session.soc_percent)
    if now_ms is not None:
        flow = live(session, now_ms)
    power = f" {flow.power_w / 1000:.1f} kW" if flow.power_w else ""
    parts = [energy_text(session.energy_wh)] if session.energy_wh is not None else []
    if flow.soc_percent is not None:
        parts.append(f"battery {flow.soc_percent:.0f} %")
    since = clock_text(session.started_at, now_ms, zone)
    text = ", ".join(parts)
    if since and since != UNKNOWN:
        text = f"{text} since {since}" if text else f"since {since}"
    return f"{power}{',' if text else ''} {text}".rstrip()


def charger_text(
    charger: ChargerView,
    sessions: dict[str, SessionView],
    *,
    now_ms: int | None = None,
    zone: tzinfo | None = None,
) -> str:
    """A whole charger in words: its connectors, or why there are none to see."""
    places = [charger.connectors[evse] for evse in sorted(charger.connectors)]
    texts = [
        connector_text(place, sessions.get(place.session or ""), now_ms=now_ms, zone=zone) for place in places
    ]
    if len(places) > 1:
        texts = [f"{place.evse}: {text}" for place, text in zip(places, texts, strict=True)]
    text = " · ".join(texts) or STATES[charger.station]
    return text if charger.online else f"Not connected · {text}"


def energy_text(energy_wh: float | None) -> str:
    """Energy for a person; empty when it is not known."""
    return "" if energy_wh is None else f"{energy_wh / 1000:.2f} kWh"


def instant_text(at: str) -> str:
    """A time as it is written; "unknown" for a charger's own words that are no time with a zone."""
    try:
        known = not at or datetime.fromisoformat(at).tzinfo is not None
    except ValueError:
        known = False
    return at if known else UNKNOWN


def clock_text(at: str, now_ms: int | None = None, zone: tzinfo | None = None) -> str:
    """A time of day at the reader's place, with the day when that is not today; as `instant_text` if none."""
    if (text := instant_text(at)) != at or not at:
        return text
    local = datetime.fromisoformat(at).astimezone(zone)
    if now_ms is None or local.date() == datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date():
        return f"{local:%H:%M}"
    return f"{local:%Y-%m-%d %H:%M}"


def age_text(age_ms: int) -> str:
    """How long ago, in the largest unit that says enough."""
    seconds = age_ms // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
