"""What a charger's clock is worth: whether it moves, and how far it is off ours (quirks 41, 42). Pure.

Times that a charger tells stay as it told them; nothing is rewritten. Where a rule compares them with ours,
the charger's *offset* is taken off first: a zone that was left out, local time marked `Z`, a clock set by
hand. It is learnt from what the charger says live. A message that waited in its queue is late by any amount
and never early, so of all that was heard the time that lies furthest ahead is the clock's. A lower one is
believed when several messages over a minute agree on it: then the clock itself was set back.

A charger that was taken over from another backend may empty a queue of weeks before it says anything live:
the furthest time of a queue is no clock's. So an offset is *proven* by a status, or once a message a minute
later agrees with it, and only a proven one makes a session ours (quirk 39).
"""

from __future__ import annotations

from typing import Final

from edge.core import identity
from edge.core.state import Station

#: A charger's clock tells the same second for events that reached us this far apart: it stands still.
FROZEN_MS: Final = 60_000
#: An offset below this is the network, the queue and seconds that are rounded.
OFFSET_MIN_MS: Final = 60_000
#: Messages agree on an offset within this.
AGREE_MS: Final = 10_000
#: So many messages over so long believe that a clock was set back.
AGREEING: Final = 3
AGREEING_MS: Final = 60_000


def told(station: Station, stamp: str, at_ms: int, *, live: bool = False) -> None:
    """The charger's clock told a time: notice one that stands still (QUIRKS.md, "Frozen clock")."""
    second = stamp[:19]
    if second != station.stamp:
        station.stamp, station.stamp_ms, station.frozen = second, at_ms, False
    elif at_ms > station.stamp_ms + FROZEN_MS:
        station.frozen = True
    learn(station, stamp, at_ms, live=live)


def learn(station: Station, stamp: str, at_ms: int, *, live: bool = False) -> None:
    """Compare a time that the charger told with when it reached us. live: not one of a queue."""
    told_ms = identity.instant(stamp)
    if told_ms is None or not identity.BELIEVED_FROM_MS <= told_ms <= at_ms + identity.AHEAD_MS:
        return
    ahead_ms = told_ms - at_ms
    if station.ahead_ms is None or ahead_ms > station.ahead_ms - AGREE_MS:
        if station.ahead_ms is None or ahead_ms > station.ahead_from_ms + AGREE_MS:
            station.ahead_from_ms, station.ahead_since_ms, station.proven = ahead_ms, at_ms, False
        station.ahead_ms = ahead_ms if station.ahead_ms is None else max(ahead_ms, station.ahead_ms)
        station.proven = station.proven or live or at_ms >= station.ahead_since_ms + AGREEING_MS
        station.behind = 0
        return
    if not station.behind or abs(ahead_ms - station.behind_ms) > AGREE_MS:
        station.behind, station.behind_ms, station.behind_since_ms = 1, ahead_ms, at_ms
        return
    station.behind += 1
    station.behind_ms = max(station.behind_ms, ahead_ms)
    if station.behind >= AGREEING and at_ms >= station.behind_since_ms + AGREEING_MS:
        station.ahead_ms, station.behind = station.behind_ms, 0
        station.ahead_from_ms, station.ahead_since_ms, station.proven = station.behind_ms, at_ms, True


def offset_ms(station: Station) -> int:
    """How far the charger's clock is ahead of ours (negative: behind); 0 while it is as good as right."""
    ahead_ms = station.ahead_ms
    return ahead_ms if ahead_ms is not None and abs(ahead_ms) >= OFFSET_MIN_MS else 0


def proven_offset_ms(station: Station) -> int:
    """`offset_ms` as far as something live has shown it; 0 while only a queue may have."""
    return offset_ms(station) if station.proven else 0


def ours(station: Station, told_ms: int | None) -> int | None:
    """A time that the charger told, by our clock."""
    return None if told_ms is None else told_ms - offset_ms(station)
