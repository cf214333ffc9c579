"""Facts about a session of a station that numbers its events (OCPP 2.x): each event, and what it brought.

Bodies of `facts`, where they are listed and from where they are used.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from common.body import Body
from common.domain import Phase


class SessionEvent(Body, frozen=True, kw_only=True):
    """One event of a session was taken. `number` and `digest` tell a repeat, a gap, and a contradiction."""

    KIND: ClassVar[str] = "session_event"
    session: str
    charger: str
    principal: str | None = None
    step: str  #: started | updated | ended | conflict
    number: int | None = None  #: the station's own count; None: it told none
    digest: str = ""
    phase: Phase | None = None  #: what the transaction does, as far as the event told
    at: str = ""  #: the station's own time, canonical


class SessionLearned(Body, frozen=True, kw_only=True):
    """What became known of a session after it began. Each field is told once; None = not by this fact."""

    KIND: ClassVar[str] = "session_learned"
    session: str
    charger: str
    principal: str | None = None
    evse: int | None = None
    connector: int | None = None
    tag_ref: str | None = None
    command: str | None = None
    authorization: str | None = None
    started_at: str | None = None
    meter_start_wh: float | None = None
    cap_wh: int | None = None  #: how much energy it may take, by its principal's caps


_ROW = (
    *("principal", "evse", "connector", "tag_ref", "command", "authorization"),
    *("started_at", "meter_start_wh"),
)


def told(body: SessionLearned) -> dict[str, Any]:
    """What a `SessionLearned` tells, by the names that a session's row has for it."""
    learned = {name: value for name in _ROW if (value := getattr(body, name)) is not None}
    if "authorization" in learned:
        # One object for each word: a row leaves out what is its default, which msgspec tells by identity.
        learned["authorization"] = sys.intern(learned["authorization"])
    return learned
