"""What the core remembers: the view, and beside it what people do not see but decisions rest on.

`SiteState` is built by `engine.apply` from facts alone, so the journal's facts, or a snapshot and the facts
after it, always give the same state. Nothing here is decided; every size is bounded where it grows.

Times are UTC milliseconds (`*_ms`), 0 = not set. `seen_ms` and `agenda` are no part of the truth: they say
up to when time was looked at, and when it should be looked at next.
"""

from __future__ import annotations

import msgspec

from common.caps import Caps
from common.domain import Availability, ConnectorState
from common.facts import Body, CommandSettled
from common.view import View
from edge.core.agenda import NEVER as NEVER
from edge.core.agenda import Agenda
from edge.core.inputs import CommandReply, Decision, Reply, Request
from edge.core.meter import Registers, Seen
from edge.core.sequence import Sequence
from edge.core.tuning import Model, OfflinePolicy, Tuning

#: Ended sessions remembered for each charger: what a charger still repeats after an outage is a few messages
#: back. Older ones come back through `recalled`.
ENDED_SESSIONS_MAX = 8
#: Settled commands remembered for repeats; older ones come back through `recalled`.
SETTLED_ORDERS_MAX = 256
#: A settled command with a larger result is not kept in memory at all, in bytes of JSON.
SETTLED_RESULT_MAX_BYTES = 1024
#: Minted tags remembered for each charger. A charger that is offline gets no new ones, so however long it
#: queues a start, the tag is still there.
MINTED_MAX = 64
#: Orphans remembered for each charger, so that a repeated message is not recorded twice.
ORPHANS_MAX = 32
#: Orphans that wait for an operator, remembered for each charger; older ones come back through `recalled`.
UNDECIDED_MAX = 64
#: Tags nobody knows, remembered so that each is told once a minute.
UNKNOWN_TAGS_MAX = 256
#: Principals with caps that are remembered: more than a box knows devices.
CAPPED_MAX = 4096
#: Connector numbers a charger may use. The largest that exist have a few dozen outlets on one identity.
EVSES_MAX = 128


def connector_number(told: int) -> int:
    """A connector's number within its EVSE; what cannot be one is the first."""
    return told if 1 <= told <= EVSES_MAX else 1


class Place(msgspec.Struct, omit_defaults=True):
    """One connector's machine (`edge.core.connector`); number 0 is the station itself.

    `state` is the held state, UNKNOWN until the first report of a connection. `observed` with `suspect_ms` is
    a report that does not follow from it, and since when it is being confirmed.
    """

    connector: int = 1
    state: ConnectorState = ConnectorState.UNKNOWN
    observed: ConnectorState | None = None
    suspect_ms: int = 0
    error_code: str = ""
    info: str = ""
    session: str | None = None  #: the open session
    charging_ms: int = 0  #: since when it charges without one
    unattributed: bool = False  #: that has been told
    connectors: dict[int, Availability] = {}  #: of a 2.x station: each connector of the EVSE by itself
    told_ms: int = 0  #: the charger's own time of the last report


class Session(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One session while it is open, and for a while after."""

    id: str
    evse: int
    connector: int = 1
    transaction: str
    principal: str | None = None
    command: str | None = None
    tag_ref: str | None = None
    key: str = ""
    weak: bool = False
    boot: int = 0
    authorization: str = "accepted"
    started_at: str = ""
    meter_start_wh: float | None = None
    scale: float = 1.0  #: what its registers are multiplied by
    heard_ms: int = 0  #: last word about it
    sampled_ms: int = 0  #: last sample, or its start
    closing_ms: int = 0  #: when the missing-stop timer closes it; 0 = not running
    available: bool = False  #: its connector was reported Available since it began
    carried: bool = False  #: the box before this one opened it
    cited: bool = False  #: a message named its transaction, so the charger has our reply to the start
    sequence: Sequence | None = None  #: its numbered events (2.x)
    registers: Registers = msgspec.field(default_factory=Registers)
    seen: Seen = {}
    successor: str | None = None  #: the session that superseded it
    ended: bool = False
    provisional: bool = False
    gap_ms: int = 0  #: when it ended with events missing that its station may hold; 0 = there are none
    revision: int = 0
    ended_at: str = ""
    meter_stop_wh: float | None = None
    cap_wh: int | None = None  #: how much energy it may take
    cap_due_ms: int = 0  #: when it is to be stopped for that, again if need be; 0 = not reached

    @property
    def nameless(self) -> bool:
        """Whether no transaction stands behind it: energy flowed, and no start was ever told (quirk 54)."""
        return self.transaction == ""

    @property
    def unclaimed(self) -> bool:
        """Whether it began at plug-in and waits for somebody to start it (2.x)."""
        mine = self.principal is not None or self.tag_ref is not None or self.command is not None
        return self.sequence is not None and not (mine or self.ended or self.sequence.charged)


class Orphan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An orphan that waits for an operator's decision, as far as one needs it."""

    what: str
    evse: int = 0
    at: str = ""
    meter_wh: float | None = None


class Reservation(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A connector that is kept for a principal."""

    number: int
    command: str
    principal: str | None = None
    connector: int = 1
    until_ms: int
    seen: bool = False  #: the connector has shown it


class Minted(msgspec.Struct, omit_defaults=True):
    """Whose start a minted tag stands for."""

    command: str
    principal: str | None = None
    accepted_ms: int = 0
    session: str | None = None  #: the latest session that began with it
    fixed: bool = False  #: the tag is the connector's own, so it stands for one start and then for nobody
    cap_wh: int | None = None  #: how much energy its charge may take


class Security(msgspec.Struct, omit_defaults=True):
    """How a charger proves who it is. Passwords have names here, and nothing else."""

    profile: int = 0
    to: int | None = None  #: it may come in so, too, and from then on only so
    credential: str = ""  #: with which it came in last
    offered: str = ""  #: which it was told, and has not used yet
    sent_until_ms: int = 0  #: when the certificate that it was sent last runs out
    until_ms: int = 0  #: and the one that it has


class Station(msgspec.Struct, omit_defaults=True):
    """One charger, as far as decisions need it."""

    adopted_ms: int = 0
    waiting_ms: int = 0  #: when it last dialled without being adopted
    connected_ms: int = 0  #: 0 = offline
    each: bool = False  #: it tells a state of a named connector only
    ask_ms: int = 0  #: when to ask for statuses if none came
    ready_ms: int = 0  #: from when calls that may wait are sent again
    last_transaction: int = 0  #: the last id that was given, for 1.6
    stamp: str = ""  #: the last second the charger's clock told, and when we heard it
    stamp_ms: int = 0
    frozen: bool = False  #: its clock told the same second twice, far apart
    ahead_ms: int | None = None  #: how far its clock is ahead of ours, as heard (`clocks`)
    ahead_from_ms: int = 0  #: how far ahead when that was first heard, since when, and
    ahead_since_ms: int = 0
    proven: bool = False  #: whether it was not a queue alone that told it
    behind: int = 0  #: messages that agree on less, on how much, and since when
    behind_ms: int = 0
    behind_since_ms: int = 0
    doubted: float = 0.0  #: the factor that was last proposed for its registers (`scale`)
    firmware: str = ""  #: as told at the last boot
    abilities: dict[str, str] = {}  #: what this firmware can do, as `facts.CapabilityLearned` says
    update: str = ""  #: the last word about a firmware update
    upload: str = ""  #: the last word about a log's upload
    signing_ms: int = 0  #: when a certificate was last refused to it
    security: Security = msgspec.field(default_factory=Security)
    tuning: Tuning = msgspec.field(default_factory=Tuning)
    places: dict[int, Place] = {}
    sessions: dict[str, Session] = {}
    minted: dict[str, Minted] = {}
    orders: list[str] = []
    reservations: dict[int, Reservation] = {}  #: by EVSE
    orphans: list[str] = []
    undecided: dict[str, Orphan] = {}  #: those that wait for an operator, the newest last

    @property
    def online(self) -> bool:
        return self.connected_ms > 0

    def place(self, evse: int) -> Place:
        """The connector's machine, made if it is new. For `apply` only."""
        known = self.places.get(evse)
        if known is None:
            known = self.places[evse] = Place()
        return known

    def open_on(self, evse: int) -> Session | None:
        """The open session on a connector."""
        place = self.places.get(evse)
        return self.sessions.get(place.session) if place is not None and place.session else None


class Order(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A command on its way, or settled and remembered. `state`: accepted | sent | settled."""

    id: str
    name: str = ""
    charger: str = ""
    evse: int | None = None
    connector: int | None = None
    principal: str | None = None
    fingerprint: str = ""
    session: str | None = None
    args: dict[str, object] = {}
    accepted_ms: int = 0
    expires_ms: int = 0
    sent_ms: int = 0
    attempt: int = 0
    state: str = "accepted"
    answer: str = ""
    answered_ms: int = 0
    step: str = ""  #: which call of several is out (`edge.core.steps`)
    status: str = ""  #: how far a transfer is
    status_ms: int = 0
    before: str = ""  #: the firmware that the charger ran when the call left
    outcome: str = ""
    code: str = ""
    detail: str = ""
    result: dict[str, object] = {}


class Tag(msgspec.Struct, omit_defaults=True):
    """Whose a card or fob is, and where it is good (None = everywhere)."""

    principal: str
    chargers: tuple[str, ...] | None = None


class Taken(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A session as far as its principal's caps need it."""

    charger: str
    at_ms: int  #: its start
    energy_wh: float = 0.0  #: once it has ended
    ended: bool = False
    refused: bool = False  #: its tag was not to begin it: its energy counts, it is no charge of those agreed


class Capped(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much a principal's right is for, and when the grant that said so was signed."""

    caps: Caps | None
    since_ms: int = 0


class ClockTold(msgspec.Struct, frozen=True, kw_only=True):
    """What the last `clock_stepped` fact says of its boot. `offset_ms`: time minus monotonic clock."""

    boot: str
    since: str
    offset_ms: int


class SiteState(msgspec.Struct):
    """A whole site. Made with `SiteState(view=View(site=...))`, changed by `engine.apply` only."""

    view: View
    stations: dict[str, Station] = {}
    orders: dict[str, Order] = {}
    settled: list[str] = []
    tags: dict[str, Tag] = {}
    unknown_tags: dict[str, int] = {}
    taken: dict[str, dict[str, Taken]] = {}  #: by principal and session: those of a month
    caps: dict[str, Capped] = {}  #: by principal: as the newest grant that was shown says
    refused_tags: dict[str, int] = {}  #: tags that caps have refused, and when that was told
    models: dict[str, Model] = {}  #: what was learned of each vendor, model and firmware
    wanted: dict[str, tuple[str, ...]] = {}  #: what chargers should be set to; empty = they are left alone
    offline: OfflinePolicy = OfflinePolicy()
    offline_policy: str = ""  #: its name; empty = nobody has decided, and chargers are left as they are
    offline_revision: int = 0
    seen_ms: int = 0
    clock_told: ClockTold | None = None
    unsure: bool = False  #: the box's own clock was a floor when the last fact was written
    armed_ms: int = NEVER  #: while a fact is applied: the earliest that `arm` was told
    agenda: Agenda = msgspec.field(default_factory=Agenda)

    def station(self, charger: str) -> Station:
        """The charger's entry, made if it is new. For `apply` only."""
        known = self.stations.get(charger)
        if known is None:
            known = self.stations[charger] = Station()
        return known

    def look(self, charger: str) -> Station:
        """The charger's entry to read; an empty one for a stranger. For `decide`."""
        return self.stations.get(charger) or Station()

    def boots(self, charger: str) -> int:
        """How often the charger has booted."""
        known = self.view.chargers.get(charger)
        return known.boots if known is not None else 0

    def arm(self, at_ms: int) -> None:
        """Something of the fact's charger may be due at `at_ms`; of every charger, if it names none.

        For `apply` only, which then moves the agenda.
        """
        if at_ms < self.armed_ms:
            self.armed_ms = at_ms


class Draft:
    """A decision while it is put together."""

    __slots__ = ("facts", "progress", "requests")

    def __init__(self) -> None:
        self.facts: list[Body] = []
        self.requests: list[Request] = []
        self.progress: list[CommandReply] = []

    def settled(self) -> set[str]:
        """The commands that end in this decision."""
        return {fact.command for fact in self.facts if isinstance(fact, CommandSettled)}

    def decision(self, reply: Reply | None = None) -> Decision:
        return Decision(tuple(self.facts), reply, tuple(self.requests), tuple(self.progress))
