"""What a screen shows of a site: the structs that `view` builds from facts. Plain data.

Absent means not known, never 0. What flows now has to be asked from `live`, which knows the time.
"""

from __future__ import annotations

import msgspec

from common import limits
from common.domain import ConnectorState, EnergyMethod, Phase, Plug


class ConnectorView(msgspec.Struct, omit_defaults=True):
    """One connector. `observed` set = its state is being confirmed. `stale` = last known, link is down."""

    evse: int
    connector: int = 1
    state: ConnectorState = ConnectorState.UNKNOWN
    plug: Plug = Plug.UNKNOWN
    observed: ConnectorState | None = None
    error_code: str = ""
    info: str = ""
    since: str = ""
    stale: bool = False
    out_of_service: bool = False  #: by somebody's command; chargers keep that over a restart (quirk 69)
    unattributed: bool = False  #: it charges, and the charger told of no session (quirk 54)
    session: str | None = None  #: the open session, shown only to whom it belongs (and operators)
    limit: limits.LimitView | None = None  #: for every charge here; `limits.in_force` says which one counts
    session_limit: limits.LimitView | None = None  #: the running charge's own
    reserved_by: str = ""  #: the command by which it is kept for somebody: whoever sent it knows it
    reserved_until: str = ""


class ChargerView(msgspec.Struct, omit_defaults=True):
    """One charger, by its OCPP identity."""

    id: str
    name: str = ""
    adopted: bool = False
    online: bool = False
    protocol: str = ""
    address: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    since: str = ""
    boots: int = 0
    lost_reason: str = ""
    update: str = ""  #: how far a firmware update is (`facts.FirmwareChanged`); empty = none, or done
    station: ConnectorState = ConnectorState.UNKNOWN  #: connector 0's report; never copied to connectors
    connectors: dict[int, ConnectorView] = {}  #: by EVSE
    limit: limits.LimitView | None = None  #: of the whole, where the charger keeps one
    wanted: limits.WantedView = msgspec.field(default_factory=limits.WantedView)
    profile: int = 0  #: its OCPP security profile; for staff
    reboot_required: bool = False  #: a setting that was written counts from its next boot; for staff


class SessionView(msgspec.Struct, omit_defaults=True):
    """One charge. `energy_wh` is so far while open, and final once `ended_at` is there."""

    session: str
    charger: str
    evse: int
    connector: int = 1
    transaction: str = ""
    principal: str | None = None
    command: str | None = None
    started_at: str = ""
    received_at: str = ""
    authorization: str = "accepted"
    meter_start_wh: float | None = None
    meter_stop_wh: float | None = None
    energy_wh: float | None = None
    method: EnergyMethod = EnergyMethod.UNKNOWN
    power_w: float | None = None
    current_a: tuple[float, ...] | None = None
    soc_percent: float | None = None
    phase: Phase | None = None  #: what the transaction does, where the station tells it apart (2.x)
    sampled_at: str = ""  #: the charger's own time of the newest sample
    heard_at: str = ""  #: the box's time of the facts behind the live figures (`common.live`)
    ended_at: str = ""
    reason: str = ""
    provisional: bool = False
    revision: int = 0
    obtained: str = "measured"  #: measured | estimated | operator
    flags: tuple[str, ...] = ()


class CommandView(msgspec.Struct, omit_defaults=True):
    """One command on its way: accepted → sent → confirmed → settled."""

    command: str
    name: str
    charger: str
    principal: str | None = None
    state: str = "accepted"
    answer: str = ""
    outcome: str = ""
    code: str = ""
    session: str | None = None
    evse: int | None = None
    operative: bool | None = None  #: of an availability: what was asked


class TapView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tag that nobody has was shown at a charger: it can be given to somebody."""

    charger: str
    at: str


class RefusedTagView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tag of somebody's was shown at a charger, and their caps refused it."""

    charger: str
    at: str
    because: str = ""  #: for people


class View(msgspec.Struct):
    """A whole site. `epoch`/`seq` name the last fact that is in it."""

    site: str
    epoch: str = ""
    seq: int = 0
    at: str = ""
    chargers: dict[str, ChargerView] = {}
    sessions: dict[str, SessionView] = {}
    commands: dict[str, CommandView] = {}
    taps: dict[str, TapView] = {}  #: by the tag's reference, the latest last; for staff
    refused_tags: dict[
        str, RefusedTagView
    ] = {}  #: by principal, the latest last; gone with their next charge
