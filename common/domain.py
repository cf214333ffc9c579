"""The nouns of Plugside: what a site has, in words that no protocol version owns.

The vocabulary is OCPP 2.x's (station, EVSE, connector, transaction); dialects map up to it. Everything here
is plain data: no I/O, no clock, no protocol. Times inside the code are integer milliseconds UTC (`*_ms`);
on the wire and in facts they are ISO 8601 text with `Z`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec


class ConnectorState(StrEnum):
    """What a connector is doing: one word for a person, and the state of the connector machine.

    Plug, availability, fault and charging phase are separate axes (`AXES`); a 2.x station reports them
    apart, a 1.6 charger reports them folded into this word.
    """

    UNKNOWN = "unknown"
    AVAILABLE = "available"
    PREPARING = "preparing"
    CHARGING = "charging"
    SUSPENDED_EV = "suspended_ev"
    SUSPENDED_EVSE = "suspended_evse"
    FINISHING = "finishing"
    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    FAULTED = "faulted"


class Availability(StrEnum):
    """What a 2.x station reports of a connector: whether it can be had, and no word of charging."""

    AVAILABLE = "available"
    OCCUPIED = "occupied"
    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    FAULTED = "faulted"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """What a 2.x transaction does: its charging state, which is not its connector's."""

    IDLE = "idle"  #: no cable
    CONNECTED = "connected"  #: a cable, and no energy asked for or allowed
    CHARGING = "charging"
    SUSPENDED_EV = "suspended_ev"
    SUSPENDED_EVSE = "suspended_evse"


class Plug(StrEnum):
    """Whether a cable connects car and connector, as far as the charger lets us know."""

    OUT = "out"
    IN = "in"
    UNKNOWN = "unknown"


class Axes(msgspec.Struct, frozen=True):
    """The separate facts behind one `ConnectorState`."""

    plug: Plug
    operative: bool
    faulted: bool
    energised: bool  #: energy may flow: charging, or suspended by either side


_S, _A = ConnectorState, Axes
AXES: dict[ConnectorState, Axes] = {
    _S.UNKNOWN: _A(Plug.UNKNOWN, True, False, False),
    _S.AVAILABLE: _A(Plug.OUT, True, False, False),
    _S.PREPARING: _A(Plug.IN, True, False, False),
    _S.CHARGING: _A(Plug.IN, True, False, True),
    _S.SUSPENDED_EV: _A(Plug.IN, True, False, True),
    _S.SUSPENDED_EVSE: _A(Plug.IN, True, False, True),
    _S.FINISHING: _A(Plug.IN, True, False, False),
    _S.RESERVED: _A(Plug.OUT, True, False, False),
    _S.UNAVAILABLE: _A(Plug.UNKNOWN, False, False, False),
    _S.FAULTED: _A(Plug.UNKNOWN, True, True, False),
}


class Role(StrEnum):
    """What a principal may do. Rank: installer's safety limit > operator's policy > driver (design §8)."""

    DRIVER = "driver"
    OPERATOR = "operator"
    INSTALLER = "installer"
    LOCAL = "local"  #: local presence: who can open the box's own socket


class Path(StrEnum):
    """Which way a message came. Never a reason to trust it."""

    LAN = "lan"
    CLOUD = "cloud"
    LOCAL = "local"


class EnergyMethod(StrEnum):
    """How a session's energy was obtained (quirk 75); what is not measured is never billed unseen."""

    REGISTER = "register"  #: meter stop − meter start, both reported by the charger: measured
    SAMPLES = "samples"  #: last − first register sample inside the session: measured, but not the stop value
    INTERVAL = "interval"  #: sum of the amounts told for each interval: measured, for meters without register
    INTEGRATED = "integrated"  #: power over time between samples: estimated
    STATED = "stated"  #: an operator set it, with a reason
    UNKNOWN = "unknown"

    @property
    def obtained(self) -> str:
        """measured | estimated | operator: what stands behind a value of this method (design §4)."""
        return {"integrated": "estimated", "stated": "operator"}.get(self.value, "measured")


class MeterSample(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One moment of a meter, all measurands that came with it. Absent = not reported, never 0.

    `signed` holds signed meter data byte-exact as text; it is never read or summed.
    """

    at: str | None = None  #: the charger's own time, canonical `Z` text when it had a zone, else as sent
    context: str = "periodic"  #: periodic | begin | end | clock | trigger | interruption | other
    energy_wh: float | None = None  #: import register
    export_wh: float | None = None  #: export register (V2G, or a wiring fault)
    power_w: float | None = None
    current_a: tuple[float, ...] | None = None  #: L1, L2, L3 as far as reported; one value = the total
    offered_a: float | None = None
    voltage_v: float | None = None
    soc_percent: float | None = None
    temperature_c: float | None = None
    interval_wh: float | None = None  #: energy of the sampling interval; never mixed with the register
    location: str = "outlet"  #: outlet | inlet | cable | ev | body
    #: What no rule uses, by measurand and unit (`power_offered_w`, `frequency_hz`).
    other: dict[str, float] = {}
    signed: tuple[str, ...] = ()
    part: str = ""  #: "2/5": `signed` is the second of five pieces of one document (`common.signed`)


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a command acts on. `evse` and `connector` count from 1; absent = the charger's only or whole."""

    charger: str
    evse: int | None = None
    connector: int | None = None


def iso(at_ms: int) -> str:
    """ISO 8601 UTC text with `Z` and milliseconds for integer milliseconds since the epoch."""
    return f"{_second(at_ms // 1000)}.{at_ms % 1000:03d}Z"


# Every message and every fact has a time, and most are of this second.
@lru_cache(maxsize=128)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()[:19]


@lru_cache(maxsize=128)
def from_iso(text: str) -> int:
    """Milliseconds since the epoch for what `iso` wrote (any offset is read); ValueError otherwise."""
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return round(stamp.timestamp() * 1000)


#: The longest id that a charger may have (OCPP 2.x; a charge point of 1.6 has 20 at most).
CHARGER_ID_CHARS_MAX: Final = 48
#: For people: what an id is made of.
CHARGER_ID_RULE: Final = (
    f"1 to {CHARGER_ID_CHARS_MAX} letters, digits and . - _ : = + * @, a letter or digit among them"
)
# OCPP's identifierString without its `|`: nothing that a shell, a path or a log line would take for its own.
_CHARGER_ID = re.compile(rf"(?=.*[A-Za-z0-9])[A-Za-z0-9.\-_:=+*@]{{1,{CHARGER_ID_CHARS_MAX}}}")


def is_charger_id(text: str) -> bool:
    """Whether a charger may be called so: by itself, or by whoever announces it before it dials."""
    return _CHARGER_ID.fullmatch(text) is not None
