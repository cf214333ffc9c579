"""Times as chargers write them.

Structs keep a charger's time as text; whoever needs the instant asks here. Chargers leave out the zone,
shorten the offset, add digits, and before they have learnt the time they write 1970 or the year 1 (quirks 41
and 42). What is plausible is not decided here: that needs the time of arrival, which the core has.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

#: Longest text that is looked at: a time with zone and nanoseconds has 35 characters.
TEXT_MAX_CHARS: Final = 64


class Instant(NamedTuple):
    """What a charger's text says. `utc` is aware, in UTC, and None when the text is no time.

    Without a zone (`has_zone` False) the digits were taken as if they were UTC: good for comparing two times
    of one charger, and no statement about the true instant.
    """

    utc: datetime | None
    has_zone: bool

    @property
    def at_ms(self) -> int | None:
        """Milliseconds since the epoch, cut; None unless the text names an instant."""
        if self.utc is None or not self.has_zone:
            return None
        return (self.utc - _EPOCH) // timedelta(milliseconds=1)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_TIME: Final = Instant(None, False)

_SHAPE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r" ?(?:([Zz])|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)


def _is_plain(text: str) -> bool:
    """Whether a text has the one shape that nearly all have, `2026-03-01T12:00:00Z`, perhaps with `.123`.

    The standard library reads it ten times faster; its other shapes are wider than ours and change with
    Python's version, so the marks are checked first.
    """
    if len(text) != 20 and (len(text) != 24 or text[19] != "."):
        return False
    return text[-1] == "Z" and text[4:17:3] == "--T::" and text.isascii()


def parse(text: str) -> Instant:
    """Read a charger's time; never raises.

    Accepts ISO 8601 date and time with `T` or a blank, with or without seconds, with a fraction of any
    length (cut to microseconds), with `Z`, `+02`, `+0200`, `+02:00` or no zone. A leap second and 24:00 mean
    the instant that follows.
    """
    if _is_plain(text):
        try:
            return Instant(datetime.fromisoformat(text), True)
        except ValueError:
            pass
    if len(text) > TEXT_MAX_CHARS:
        return NO_TIME
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        return NO_TIME
    year, month, day, hour, minute, second, fraction, zulu, sign, off_hour, off_minute = match.groups()
    has_zone = bool(zulu or sign)
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    extra = timedelta()
    seconds, hours = int(second or 0), int(hour)
    if seconds == 60:
        seconds, micro, extra = 59, 0, timedelta(seconds=1)
    if hours == 24 and minute == "00" and seconds == 0 and micro == 0:
        hours, extra = 0, timedelta(days=1)
    try:
        zone = UTC
        if sign:
            offset = timedelta(hours=int(off_hour), minutes=int(off_minute or 0))
            zone = timezone(-offset if sign == "-" else offset)
        local = datetime(int(year), int(month), int(day), hours, int(minute), seconds, micro, zone)
        return Instant((local + extra).astimezone(UTC), has_zone)
    except (ValueError, OverflowError):  # no such day; or a year 1 whose offset leaves the calendar
        return Instant(None, has_zone)


def canonical(text: str) -> str:
    """Return the time as UTC with milliseconds and `Z` if the text tells an instant, else the text itself."""
    if _is_plain(text) and text[11:13] != "24":
        try:
            datetime.fromisoformat(text)  # such an hour, such a day
        except ValueError:
            pass
        else:
            return text if len(text) == 24 else f"{text[:-1]}.000Z"
    instant = parse(text)
    if instant.utc is None or not instant.has_zone:
        return text
    return instant.utc.isoformat(timespec="milliseconds")[:-6] + "Z"


def render(instant: datetime) -> str:
    """Return an aware instant as we send it: UTC, whole seconds, `Z` (quirk 40: clocks choke on more)."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"
