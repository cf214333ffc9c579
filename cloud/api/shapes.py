"""What the REST API takes and gives: msgspec structs, from which OpenAPI is made."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Every error: a stable code, a sentence, and what to do next."""

    code: str
    message: str
    hint: str = ""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """This cloud answers, and so does its database."""

    status: str
    version: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The box's code has not been typed here yet: ask again in a second."""

    status: str = "waiting"
    retry_after_ms: int = 1000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One charge. Energies in Wh, times ISO 8601; null = not known. `principal` is a pseudonym."""

    session: str
    charger: str
    evse: int
    connector: int
    transaction: str
    state: str  #: open | provisional | ended | revised
    principal: str | None
    name: str = ""  #: for staff, where a name was given
    command: str | None
    authorization: str
    started_at: str
    received_at: str
    ended_at: str
    corrected_started_at: str = ""  #: where the box's clock was set later on; empty = as told
    corrected_ended_at: str = ""
    meter_start_wh: float | None
    meter_stop_wh: float | None
    energy_wh: float | None
    method: str  #: register | samples | unknown: how the energy was obtained
    obtained: str  #: measured | estimated | operator
    reason: str
    provisional: bool
    revision: int
    flags: tuple[str, ...]


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """A page of sessions, newest first. `next` goes into `after` for the page behind; empty at the end."""

    site: str
    sessions: tuple[Session, ...]
    next: str = ""


class ChargeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a bill. A correction says the difference to what its session's lines said before."""

    id: str  #: follows from site, session and revision: the same in every export
    kind: str  #: charge | correction
    corrects: str | None  #: the id of the line that it corrects
    session: str
    revision: int
    charger: str
    evse: int
    connector: int
    principal: str | None  #: who pays: a pseudonym
    started_at: str
    ended_at: str
    energy_wh: float  #: this line's own part; below 0 where energy is taken back
    total_wh: float  #: what the session's lines come to with this one
    obtained: str  #: measured | operator
    month: str  #: the export that it is part of, which a late line's session may have ended before


class ChargeLines(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a closed month's lines, in the order of their sessions' ends. `next` as in `Sessions`."""

    site: str
    month: str
    lines: tuple[ChargeLine, ...]
    next: str = ""
