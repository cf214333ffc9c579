"""Facts: what happened at a site, once, in order. One type is journal row, sync record and pushed event.

A fact is an envelope (`epoch`, gap-free `seq`) around a *record* (`uid, kind, v, at, clock, body`). The
record is encoded once, when the fact is made; those bytes are what the journal stores, the chain hashes, the
cloud stores and followers see, whatever epoch they are later sent under. A record has at most
`RECORD_BYTES_MAX` bytes.

Visibility is by kind (design §4): `SITE` kinds go to all who may use the charger and hold no person, tag or
session; `OWNER` kinds belong to the principal in their body (none = operators only). A body holds pseudonyms
and tag references only, never a name or a raw tag.

Versions: `v` rises when a body's meaning changes; new fields get defaults, so an old reader skips them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from common.body import Audience as Audience
from common.body import Body as Body
from common.caps import Caps
from common.carried import AllowanceCarried as AllowanceCarried
from common.domain import Availability, ConnectorState, EnergyMethod, MeterSample, Path, Plug, Role
from common.progress import (
    SessionEvent as SessionEvent,
)
from common.progress import (
    SessionLearned as SessionLearned,
)
from common.review import (
    MeterDoubted as MeterDoubted,
)
from common.review import (
    OrphanRecorded as OrphanRecorded,
)
from common.review import (
    OrphanResolved as OrphanResolved,
)
from common.thinning import Thinned as Thinned
from common.timesteps import ClockStepped as ClockStepped
from common.tuning import BODIES as _TUNING
from common.upkeep import (
    CapabilityLearned as CapabilityLearned,
)
from common.upkeep import (
    CertificateChanged as CertificateChanged,
)
from common.upkeep import (
    ChargerSecured as ChargerSecured,
)
from common.upkeep import (
    FirmwareChanged as FirmwareChanged,
)
from common.upkeep import (
    UploadChanged as UploadChanged,
)

#: One record's limit (design §4): a long transactionData becomes many facts in one commit.
RECORD_BYTES_MAX = 16 * 1024


class ChargerSeen(Body, frozen=True, kw_only=True):
    """A charger's connection was accepted (or, `adopted=False`, refused and put into the adoption queue)."""

    KIND: ClassVar[str] = "charger_seen"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    protocol: str = ""  #: e.g. "ocpp1.6"
    address: str = ""
    adopted: bool = True
    each: bool = False  #: it tells a state of a named connector only, never of all at once


class ChargerAdopted(Body, frozen=True, kw_only=True):
    """An installer took a charger into the site, or renamed it, or (`removed`) let it go."""

    KIND: ClassVar[str] = "charger_adopted"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    name: str = ""
    removed: bool = False
    since: str = ""  #: adopted then, at the box before this one


class ChargerBooted(Body, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "charger_booted"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""


class ChargerLost(Body, frozen=True, kw_only=True):
    """The connection ended; every connector's state is now only the last one known."""

    KIND: ClassVar[str] = "charger_lost"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    reason: str = ""


class ConnectorChanged(Body, frozen=True, kw_only=True):
    """The held state of a connector changed, or (`observed`) a report was held back until confirmed."""

    KIND: ClassVar[str] = "connector_changed"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    evse: int  #: 0 is the station itself
    connector: int = 1
    state: ConnectorState
    plug: Plug = Plug.UNKNOWN
    #: init: first of a connection. report: it follows. refused: it does not follow, `state` is held. resync:
    #: confirmed after all. epoch: from here `state` is only the last one known.
    via: str = "report"
    observed: ConnectorState | None = None  #: a report that does not follow from `state`; being confirmed
    unconfirmed: bool = False  #: resynced by time, not by a second report
    error_code: str = ""
    info: str = ""
    reported_at: str = ""  #: the charger's own time, as sent
    unattributed: bool = False  #: it has charged for a while and no session began (quirk 54)
    connectors: dict[int, Availability] = {}  #: of a 2.x station: each connector of the EVSE by itself


class SessionStarted(Body, frozen=True, kw_only=True):
    """A transaction opened. `key` is the deduplication key's hash; a replay finds this fact by it."""

    KIND: ClassVar[str] = "session_started"
    session: str
    charger: str
    evse: int  #: 0: not told yet (2.x; `session_learned` tells it)
    connector: int = 1  #: 0: not told
    transaction: str  #: the id on the charger's wire, as text
    principal: str | None = None
    tag_ref: str | None = None
    command: str | None = None
    started_at: str  #: canonical: UTC second with Z, or the charger's raw text when it had no zone
    received_at: str
    meter_start_wh: float | None = None
    authorization: str = "accepted"  #: accepted | invalid | blocked | expired | concurrent | pending (2.x)
    key: str = ""
    weak: bool = False  #: the key rests on a clock that cannot be believed; needs review when it collides
    boot: int = 0  #: how often the charger had booted, for weak keys
    clock_offset_ms: int = 0  #: the charger's clock was known to be so far ahead (42); times stay its own
    scale: float = 1.0  #: what its registers are multiplied by, for the whole session (quirk 71)
    history: bool = False  #: told late: another session has its connector by now
    supersedes: str | None = None  #: the session that this one was reported as before, with another time
    cap_wh: int | None = None  #: how much energy it may take, by its principal's caps
    flags: tuple[str, ...] = ()


class MeterSampled(Body, frozen=True, kw_only=True):
    """Samples of one message. Without `session`: nobody's energy (connector 0, or no transaction)."""

    KIND: ClassVar[str] = "meter_sampled"
    charger: str
    evse: int
    connector: int = 1
    session: str | None = None
    principal: str | None = None
    transaction: str = ""  #: the id that the message named, if any: proof that the charger knows it
    samples: tuple[MeterSample, ...] = ()
    late: bool = False  #: came after the session's end: history only


class SessionEnded(Body, frozen=True, kw_only=True):
    """A transaction closed. `provisional`: closed by us; the charger's own stop replaces it."""

    KIND: ClassVar[str] = "session_ended"
    session: str
    charger: str
    evse: int
    connector: int = 1
    transaction: str = ""
    principal: str | None = None
    ended_at: str
    received_at: str
    meter_stop_wh: float | None = None
    energy_wh: float | None = None
    method: EnergyMethod = EnergyMethod.UNKNOWN
    reason: str = ""
    obtained: str = "measured"  #: measured | estimated
    stopped_by: str | None = None  #: tag reference, when it differs from the start's
    provisional: bool = False
    flags: tuple[str, ...] = ()


class SessionRevised(Body, frozen=True, kw_only=True):
    """A later truth about a session: the true stop after a provisional close, or an operator's decision.

    A decision names its `command`; with `resolved_attached` among the flags `principal` is whose it is now.
    """

    KIND: ClassVar[str] = "session_revised"
    session: str
    charger: str
    principal: str | None = None
    revision: int
    ended_at: str | None = None
    meter_stop_wh: float | None = None
    energy_wh: float | None = None
    method: EnergyMethod = EnergyMethod.UNKNOWN
    obtained: str = "measured"  #: measured | estimated | operator
    command: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()


class CommandAccepted(Body, frozen=True, kw_only=True):
    """The edge took a command on; from here it ends in exactly one `command_settled`."""

    KIND: ClassVar[str] = "command_accepted"
    command: str
    principal: str | None = None
    role: Role
    path: Path
    name: str
    charger: str
    evse: int | None = None
    connector: int | None = None
    session: str | None = None
    fingerprint: str
    expires_at: str
    args: dict[str, Any] = {}
    cap_wh: int | None = None  #: of a start: how much energy its charge may take
    because: str = ""  #: of one that the box itself has made: energy_cap, or refused_tag


class CommandSent(Body, frozen=True, kw_only=True):
    """The call to the charger is about to leave (at-most-once commands: committed before it does)."""

    KIND: ClassVar[str] = "command_sent"
    command: str
    charger: str
    principal: str | None = None
    attempt: int = 1
    step: str = ""  #: which call, of a command that takes several


class CommandConfirmed(Body, frozen=True, kw_only=True):
    """The charger answered. Accepted means that it will try; see `command_settled` for the effect."""

    KIND: ClassVar[str] = "command_confirmed"
    command: str
    charger: str
    principal: str | None = None
    answer: str  #: accepted | rejected | scheduled | not_supported | error | timeout
    detail: str = ""
    result: dict[str, Any] = {}


class CommandSettled(Body, frozen=True, kw_only=True):
    """The command's one end. A refusal is settled too, so that a repeat gets the same answer."""

    KIND: ClassVar[str] = "command_settled"
    command: str
    charger: str
    principal: str | None = None
    outcome: str  #: succeeded | failed | refused | unknown
    code: str = ""  #: an errors.Code when not succeeded
    detail: str = ""
    session: str | None = None
    fingerprint: str = ""  #: with a refusal, which has no `command_accepted`
    result: dict[str, Any] = {}


class AuthorizationChanged(Body, frozen=True, kw_only=True):
    """Who may do what changed: a grant was issued, a tag assigned or withdrawn."""

    KIND: ClassVar[str] = "authorization_changed"
    principal: str | None = None
    #: granted | capped | revoked | tag_assigned | tag_removed | tag_refused | forgotten | unknown_tag
    change: str
    role: Role | None = None
    chargers: tuple[str, ...] | None = None
    key: str = ""  #: thumbprint of the device's key
    caps: Caps | None = None
    tag_ref: str = ""
    charger: str = ""  #: where a tag was tapped that is unknown, or refused
    since: str = ""  #: of caps: when the grant that says so was signed
    because: str = ""  #: why a tag was refused, for people


class SecurityNoted(Body, frozen=True, kw_only=True):
    """Something an operator should know: a clone, a wrong password, a flood, an unreadable peer."""

    KIND: ClassVar[str] = "security_noted"
    what: str
    charger: str = ""
    address: str = ""
    detail: str = ""


BODIES: dict[str, type[Body]] = {
    body.KIND: body
    for body in (
        ChargerSeen,
        ChargerAdopted,
        ChargerBooted,
        ChargerLost,
        ConnectorChanged,
        SessionStarted,
        SessionEvent,
        SessionLearned,
        MeterSampled,
        SessionEnded,
        SessionRevised,
        OrphanRecorded,
        OrphanResolved,
        MeterDoubted,
        CommandAccepted,
        CommandSent,
        CommandConfirmed,
        CommandSettled,
        AuthorizationChanged,
        AllowanceCarried,
        FirmwareChanged,
        UploadChanged,
        CapabilityLearned,
        CertificateChanged,
        ChargerSecured,
        Thinned,
        ClockStepped,
        SecurityNoted,
    )
} | {body.KIND: body for body in _TUNING}


class UnknownBody(Body, frozen=True, kw_only=True):
    """A kind or version from a newer peer: kept as bytes, shown to nobody, replayed after an upgrade."""

    raw: bytes = b""


class Fact(msgspec.Struct, frozen=True):
    """A fact in hand: envelope and decoded record together. `record` is the exact encoded record."""

    epoch: str
    seq: int
    uid: str
    kind: str
    v: int
    at: str
    clock: str  #: synced | floor: how far the edge's own clock could be believed
    body: Body
    record: bytes


class _Record(msgspec.Struct):
    uid: str
    kind: str
    v: int
    at: str
    clock: str
    body: Any


class _RawRecord(msgspec.Struct):
    uid: str
    kind: str
    v: int
    at: str
    clock: str
    body: msgspec.Raw


_encoder = msgspec.json.Encoder()
_record_decoder = msgspec.json.Decoder(_RawRecord)
_body_decoders = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}


def make(*, epoch: str, seq: int, uid: str, at: str, clock: str, body: Body) -> Fact:
    """Make a fact and encode its record, once and for good."""
    record = _encoder.encode(_Record(uid, body.KIND, body.V, at, clock, body))
    return Fact(epoch, seq, uid, body.KIND, body.V, at, clock, body, record)


def read(epoch: str, seq: int, record: bytes) -> Fact:
    """Decode a stored or received record. Unknown kinds and newer versions give an `UnknownBody`.

    Raises msgspec.DecodeError (ValidationError included) when the record is not readable: poison.
    """
    raw = _record_decoder.decode(record)
    known = BODIES.get(raw.kind)
    body: Body
    if known is None or raw.v > known.V:
        body = UnknownBody(raw=bytes(raw.body))
    else:
        body = _body_decoders[raw.kind].decode(raw.body)
    return Fact(epoch, seq, raw.uid, raw.kind, raw.v, raw.at, raw.clock, body, record)
