"""Caps: how much a right is for. Part of a grant, judged at the box alone (design §10). Pure.

Energy and sessions count per principal and period, over all chargers of the site and however a session was
begun; a session counts for the period in which it started. Periods and hours are of the site's own clock,
whose distance from UTC the issuer writes into each grant (`offset_min`), so that no table of time zones is
needed where grants are judged.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from common.errors import Code, Refused

_MINUTE_MS = 60_000
_DAY_MIN = 24 * 60
#: No period is longer: what is counted is remembered so long.
PERIOD_MAX_MS = 31 * _DAY_MIN * _MINUTE_MS

#: `HH:MM-HH:MM`, the end after midnight where it is earlier; the two alike = the whole day.
Window = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]
Place = Annotated[str, msgspec.Meta(min_length=1, max_length=52)]


class Caps(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """What a right is for, at most. Everything absent = no such cap."""

    energy_wh: Annotated[int, msgspec.Meta(ge=1, le=10**9)] | None = None  #: in a period
    sessions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None  #: begun in a period
    period: Literal["day", "week", "month"] = "month"
    connectors: Annotated[tuple[Place, ...], msgspec.Meta(max_length=64)] | None = None  #: `CP1/2`
    hours: Annotated[tuple[Window, ...], msgspec.Meta(max_length=8)] = ()  #: when a charge may begin
    offset_min: Annotated[int, msgspec.Meta(ge=-840, le=840)] = 0  #: the site's clock is so far ahead of UTC


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What a principal has had in a period so far."""

    energy_wh: float = 0.0
    sessions: int = 0


class Charge(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One charge that is over, as far as its principal's caps need it: what a box tells the one after it."""

    session: str
    charger: str
    at: str  #: its start, as the charger told it
    told_at: str  #: when a box first heard of it
    energy_wh: float = 0.0
    refused: bool = False  #: its tag was not to begin it: no charge of those agreed


def period_start_ms(caps: Caps, now_ms: int) -> int:
    """When the present period began. A week begins on Monday."""
    local = datetime.fromtimestamp(now_ms // 1000, UTC) + timedelta(minutes=caps.offset_min)
    day = local.replace(hour=0, minute=0, second=0)
    if caps.period == "week":
        day -= timedelta(days=day.weekday())
    elif caps.period == "month":
        day = day.replace(day=1)
    return int((day - timedelta(minutes=caps.offset_min)).timestamp()) * 1000


def may_begin(caps: Caps, charger: str, evse: int, used: Used, now_ms: int) -> None:
    """Whether a charge may begin now on this connector. Raises Refused: not_permitted, limit_reached."""
    if caps.connectors is not None and f"{charger}/{evse}" not in caps.connectors:
        raise Refused(Code.NOT_PERMITTED, f"yours are {', '.join(caps.connectors) or 'none'}")
    if caps.hours and not any(_within(window, caps, now_ms) for window in caps.hours):
        raise Refused(Code.LIMIT_REACHED, f"you may begin a charge at {', '.join(caps.hours)}")
    if caps.sessions is not None and used.sessions >= caps.sessions:
        raise Refused(Code.LIMIT_REACHED, f"{caps.sessions} charges a {caps.period} were agreed")
    if caps.energy_wh is not None and used.energy_wh >= caps.energy_wh:
        raise Refused(Code.LIMIT_REACHED, f"{kwh(caps.energy_wh)} a {caps.period} were agreed")


def left_wh(caps: Caps, used: Used) -> int | None:
    """How much energy a charge that begins now may take; None = as much as the car wants."""
    return None if caps.energy_wh is None else max(0, int(caps.energy_wh - used.energy_wh))


def kwh(energy_wh: float) -> str:
    """An amount of energy, for people."""
    return f"{energy_wh / 1000:g} kWh"


def _within(window: str, caps: Caps, now_ms: int) -> bool:
    minute = (now_ms // _MINUTE_MS + caps.offset_min) % _DAY_MIN
    begin, end = (int(half[:2]) * 60 + int(half[3:]) for half in window.split("-"))
    return begin <= minute < end if begin < end else minute >= begin or minute < end
