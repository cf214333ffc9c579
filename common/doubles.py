"""Doubles and gaps within one ledger: sessions of one connector that claim the same time or register. Pure.

A walk over rows in the order of their places and starts, so that a ledger of years is looked through page
by page: what is remembered is the connector that the walk is at (some 300 bytes for each of its sessions,
for register intervals that come again) and nothing of those before it. `common.reconcile` uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

import msgspec

from common.domain import from_iso

if TYPE_CHECKING:
    from common.reconcile import LedgerRow

#: Registers are told in whole Wh, in tenths of a kWh by some: a step below this between two sessions is
#: rounding and standby, not a session that went missing; an overlap below it is no second bill.
REGISTER_TOLERANCE_WH = 100.0
#: Starts are floored to the second, ends may be exact: back to back can look like a second's overlap.
TIME_TOLERANCE_MS = 1000
#: Sessions of one connector and one second that are ordered among themselves: more is no driver.
SAME_MAX = 256
#: Starts before 2020, like starts without a zone, come from a clock that was never set (quirk 41): such a
#: session has no place in time, and nothing is claimed about its neighbours.
_CLOCK_BELIEVED_MS = from_iso("2020-01-01T00:00:00Z")


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that is wrong, in a sentence, with what to look at."""

    kind: str  #: lost | doubled | differing
    charger: str
    sessions: tuple[str, ...]
    side: str = ""  #: where it was seen
    at: str = ""  #: when the (later) session began, as told
    message: str


class _Span(msgspec.Struct, frozen=True):
    """A row with its times read. `end_ms` None: open, or not to be read."""

    row: LedgerRow
    start_ms: int
    end_ms: int | None


class PlaceWalk:
    """Feed it rows in the order of (charger, evse, connector, start, session); it tells what does not fit.

    Starts are whole seconds, and an impatient driver makes two of them within one: what begins in the same
    second is put into the order of the register first, and at one register into that of the ends (a charge
    that was refused has moved nothing). Call `end` behind the last row.
    """

    def __init__(self, side: str) -> None:
        self._side = side
        self._same: list[LedgerRow] = []  # of one place and one second
        self._leave(None)

    def see(self, row: LedgerRow) -> Iterator[Finding]:
        """What is known to be wrong once this row has come, each pair once."""
        if self._same and (
            place_order(row)[:4] != place_order(self._same[0])[:4] or len(self._same) >= SAME_MAX
        ):
            yield from self.end()
        self._same.append(row)

    def end(self) -> Iterator[Finding]:
        """What the last rows show to be wrong."""
        same, self._same = self._same, []
        for row in sorted(same, key=_within_a_second):
            yield from self._step(row)

    def _leave(self, place: tuple[str, int, int] | None) -> None:
        self._place = place
        self._live: list[_Span] = []
        self._highest: LedgerRow | None = None  # the session that ends highest on the register so far
        self._claimed: dict[tuple[float, float], str] = {}  # exactly the same interval again is the same
        self._last: _Span | None = None

    def _step(self, row: LedgerRow) -> Iterator[Finding]:
        """What this row shows to be wrong, each pair once.

        A session's forerunners stay in sight only as long as they can still overlap it.
        """
        start_ms = _instant(row.started_at)
        if start_ms is None or start_ms < _CLOCK_BELIEVED_MS:
            return
        place = (row.charger, row.evse, row.connector)
        if place != self._place:
            self._leave(place)
        span = _Span(row, start_ms, _instant(row.ended_at))
        yield from self._overlaps(span)
        yield from self._gap(span)
        self._last = span

    def _overlaps(self, span: _Span) -> Iterator[Finding]:
        row = span.row
        self._live = [before for before in self._live if _ends_after(before, span.start_ms)]
        doubles = {before.row.session: "time" for before in self._live}
        if self._highest is not None and _register_overlap_wh(self._highest, row) > REGISTER_TOLERANCE_WH:
            doubles.setdefault(self._highest.session, "register")
        interval = _interval(row)
        if interval and (first := self._claimed.setdefault(interval, row.session)) != row.session:
            doubles.setdefault(first, "register")
        for session, measure in doubles.items():
            yield Finding(
                kind="doubled",
                charger=row.charger,
                sessions=tuple(sorted((session, row.session))),
                side=self._side,
                at=row.started_at,
                message=f"two sessions of {_told(row)} overlap in {measure} in {self._side}",
            )
        self._live.append(span)
        self._highest = _higher(self._highest, row)

    def _gap(self, span: _Span) -> Iterator[Finding]:
        """A step of the register that belongs to no session."""
        before, row = self._last, span.row
        if before is None or before.row.meter_stop_wh is None or not row.meter_start_wh:
            return
        step_wh = row.meter_start_wh - before.row.meter_stop_wh
        if step_wh > REGISTER_TOLERANCE_WH:
            yield Finding(
                kind="lost",
                charger=row.charger,
                sessions=(before.row.session, row.session),
                side=self._side,
                at=row.started_at,
                message=f"the register of {_told(row)} moved by {step_wh:.0f} Wh between two sessions",
            )


def place_order(row: LedgerRow) -> tuple[str, int, int, str, str]:
    """The order that `PlaceWalk` wants. Texts by code point, as SQLite and COLLATE "C" order them."""
    return row.charger, row.evse, row.connector, row.started_at, row.session


def _within_a_second(row: LedgerRow) -> tuple[float, float]:
    end_ms = _instant(row.ended_at)
    return row.meter_start_wh or 0.0, inf if end_ms is None else end_ms


def _ends_after(before: _Span, start_ms: int) -> bool:
    if before.row.provisional:
        return False  # its end is our guess; the register alone can tell
    if before.end_ms is None:
        # Open: the next start on the connector has to have closed it. An end that cannot be read closes too.
        return not before.row.ended_at
    return before.end_ms > start_ms + TIME_TOLERANCE_MS


def _higher(highest: LedgerRow | None, row: LedgerRow) -> LedgerRow | None:
    if row.meter_stop_wh is None or row.meter_start_wh is None:
        return highest
    if highest is None or highest.meter_stop_wh is None or highest.meter_start_wh is None:
        return row
    if not row.meter_start_wh or not highest.meter_start_wh < row.meter_stop_wh < highest.meter_stop_wh:
        return row  # further up, or the register began anew
    return highest


def _interval(row: LedgerRow) -> tuple[float, float] | None:
    """What of the register this session claims for itself, when that says anything."""
    if not row.meter_start_wh or row.meter_stop_wh is None or row.meter_stop_wh <= row.meter_start_wh:
        return None
    return row.meter_start_wh, row.meter_stop_wh


def _register_overlap_wh(before: LedgerRow, after: LedgerRow) -> float:
    """How much of the register both claim. A later start at 0 is a register that counts within a session."""
    if before.meter_start_wh is None or before.meter_stop_wh is None:
        return 0.0
    if not after.meter_start_wh or after.meter_stop_wh is None:
        return 0.0
    low = max(before.meter_start_wh, after.meter_start_wh)
    return min(before.meter_stop_wh, after.meter_stop_wh) - low


def _told(row: LedgerRow) -> str:
    return f"{row.charger} connector {row.evse}" if row.evse else row.charger


def _instant(text: str) -> int | None:
    try:
        return from_iso(text)
    except ValueError:
        return None
