"""What flows now: a session's live figures, as far as they are still worth showing (quirk 76). Pure.

The view is a fold over facts and knows no clock; whoever shows it (terminal, app) asks here with the time.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common.domain import from_iso
from common.view import SessionView

#: Figures that are older say nothing of now: three times the longest interval that chargers are told, 60 s.
LIVE_MS: Final = 3 * 60_000


class Live(msgspec.Struct, frozen=True, omit_defaults=True):
    """Power, current by phase and state of charge; absent = not known now."""

    power_w: float | None = None
    current_a: tuple[float, ...] | None = None
    soc_percent: float | None = None


def live(session: SessionView, now_ms: int) -> Live:
    """A session's live figures at site time `now_ms`; none where it is over or they are too old.

    Energy does not age: it is what was charged by `sampled_at`.
    """
    if session.ended_at or not session.heard_at or now_ms > from_iso(session.heard_at) + LIVE_MS:
        return Live()
    return Live(session.power_w, session.current_a, session.soc_percent)
