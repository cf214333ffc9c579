"""What goes into the core and what comes out: the seam between dialects, commander and decisions.

Everything here is plain data in OCPP 2.x's words. A dialect turns one charger message into one input and one
`Reply` back into wire form; a request becomes a call. No rule stands in a dialect, no wire form stands here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from common.commands import Args, Name
from common.domain import Availability, ConnectorState, EnergyMethod, MeterSample, Path, Plug, Target
from common.facts import Body, OrphanRecorded
from common.policy import Claims

# Names given on, in one list.
# isort: off
from edge.core.requests import (
    PRIORITY_HOUSEKEEPING as PRIORITY_HOUSEKEEPING,
    PRIORITY_LIMIT as PRIORITY_LIMIT,
    PRIORITY_START as PRIORITY_START,
    PRIORITY_STOP as PRIORITY_STOP,
    Acknowledged as Acknowledged,
    Action as Action,
    AuthorizeReply as AuthorizeReply,
    BootReply as BootReply,
    CancelReservation as CancelReservation,
    CertificateReply as CertificateReply,
    ChangeAvailability as ChangeAvailability,
    ClearAuthorizationCache as ClearAuthorizationCache,
    ClearLimit as ClearLimit,
    DeleteCertificate as DeleteCertificate,
    DeliverCertificate as DeliverCertificate,
    FetchLog as FetchLog,
    GetVariables as GetVariables,
    InstallCertificate as InstallCertificate,
    ListCertificates as ListCertificates,
    ReadLimit as ReadLimit,
    ReadSettings as ReadSettings,
    ReadTagVersion as ReadTagVersion,
    Reply as Reply,
    Request as Request,
    Reserve as Reserve,
    ResetStation as ResetStation,
    SendTags as SendTags,
    SetLimit as SetLimit,
    SetPassword as SetPassword,
    SetProfile as SetProfile,
    SetVariable as SetVariable,
    StartCharge as StartCharge,
    StartReply as StartReply,
    StopCharge as StopCharge,
    StopReply as StopReply,
    Trigger as Trigger,
    TriggerStatus as TriggerStatus,
    TrustSite as TrustSite,
    UnlockConnector as UnlockConnector,
    UpdateFirmware as UpdateFirmware,
    VendorMessage as VendorMessage,
    WriteSetting as WriteSetting,
)

# isort: on


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened outside."""


class FromCharger(Input, frozen=True, kw_only=True):
    charger: str


class StationConnected(FromCharger, frozen=True, kw_only=True):
    """An adopted charger's socket was accepted. The newest connection of an id is the charger."""

    protocol: str
    address: str = ""
    each: bool = False  #: see `facts.ChargerSeen`
    profile: int = 0  #: the security profile under which it came in
    credential: str = ""  #: the name of the password with which it did


class StationDisconnected(FromCharger, frozen=True, kw_only=True):
    """The charger's *current* socket ended."""

    reason: str = ""


class StationWaiting(FromCharger, frozen=True, kw_only=True):
    """An unknown charger dialled and was refused in the handshake; it waits to be adopted."""

    address: str = ""
    protocol: str = ""


class Booted(FromCharger, frozen=True, kw_only=True):
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    traits: dict[str, Any] = {}  #: what is known of such a model beforehand, as far as it departs (`traits`)


class StatusReported(FromCharger, frozen=True, kw_only=True):
    """A connector's state as reported. `evse` 0 = the station."""

    evse: int
    connector: int = 1
    state: ConnectorState
    error_code: str = ""
    info: str = ""
    reported_at: str = ""
    plug: Plug | None = None  #: where it is told apart from the state (2.x)
    connectors: dict[int, Availability] = {}  #: each connector of the EVSE by itself (2.x)


class AuthorizeAsked(FromCharger, frozen=True, kw_only=True):
    """A tag was shown. `tag_ref` is its keyed hash; `minted` its text when it has the form that we mint."""

    tag_ref: str
    minted: str = ""


class Stamp(msgspec.Struct, frozen=True):
    """A charger's own time. `text` as sent; `at_ms` when it named an instant (had a zone), else None."""

    text: str
    at_ms: int | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal remembers of a session that may have left memory (ended, or before a restart).

    With several of one key (weak keys) it is the newest.
    """

    session: str
    charger: str
    evse: int
    connector: int = 1
    transaction: str
    principal: str | None = None
    key: str = ""
    authorization: str = "accepted"
    started_at: str = ""
    weak: bool = False
    boot: int = 0
    ended: bool = False
    provisional: bool = False
    revision: int = 0
    meter_start_wh: float | None = None
    meter_stop_wh: float | None = None
    ended_at: str = ""
    energy_wh: float | None = None
    method: EnergyMethod = EnergyMethod.UNKNOWN
    flags: tuple[str, ...] = ()


class TransactionStarted(FromCharger, frozen=True, kw_only=True):
    """A transaction began, and its charger asks us for an id (1.6)."""

    evse: int
    connector: int = 1
    tag_ref: str | None = None
    minted: str = ""
    meter_start_wh: float | None = None
    started: Stamp
    offline: bool = False
    recalled: Known | None = None  #: the journal's session with the same key, if it is not in memory


class TransactionEnded(FromCharger, frozen=True, kw_only=True):
    transaction: str
    tag_ref: str | None = None
    meter_stop_wh: float | None = None
    ended: Stamp
    reason: str = ""
    samples: tuple[MeterSample, ...] = ()
    recalled: Known | None = None


class MeterReported(FromCharger, frozen=True, kw_only=True):
    evse: int
    connector: int = 1
    transaction: str | None = None
    samples: tuple[MeterSample, ...] = ()
    recalled: Known | None = None
    sparse: bool = False  #: the disk is nearly full: what says little is not to be written (`sparse`)


class Unreadable(FromCharger, frozen=True, kw_only=True):
    """A transaction message that could not be understood: kept whole, acknowledged, judged by a person."""

    what: str  #: start | stop | meter | status
    reason: str
    raw: str


class CallEnded(FromCharger, frozen=True, kw_only=True):
    """One of our calls came to an end.

    `answer`: accepted | rejected | scheduled | not_supported | error | timeout | lost | not_sent | no_file |
    no_tls.
    `lost`: the link went while the answer was awaited; `not_sent`: it never left the outbox; `no_file`: nor
    this, because the file that it is about is not here, or not what it was; `no_tls`: nor this, because the
    box has no port with TLS.
    """

    request: str
    command: str | None = None
    answer: str
    detail: str = ""
    result: dict[str, Any] = {}
    context: Any = None  #: the request's own


class ProgressReported(FromCharger, frozen=True, kw_only=True):
    """A firmware update or a log's upload came to another stage. `status` as in `facts.FirmwareChanged` and
    `facts.UploadChanged`, or idle. `number`: of the request that it is about, if the charger told it."""

    job: str  #: firmware | upload
    status: str
    number: int | None = None
    detail: str = ""


class FileArrived(FromCharger, frozen=True, kw_only=True):
    """What a charger was asked to send is on this disk, whole."""

    command: str
    file: str
    name: str
    size_bytes: int
    sha256: str


class FileTaken(FromCharger, frozen=True, kw_only=True):
    """A charger has taken the last byte of the firmware that it was told to fetch."""

    command: str


class CertificateAsked(FromCharger, frozen=True, kw_only=True):
    """A charger wants a certificate. `authority`: somebody who can sign it is at hand, and free."""

    csr: str
    authority: bool = False


class CertificateMade(FromCharger, frozen=True, kw_only=True):
    """The authority is done: a PEM chain, or an empty one and why not."""

    chain: str = ""
    reason: str = ""
    until_ms: int = 0  #: when it runs out


class CommandReceived(Input, frozen=True, kw_only=True):
    """A command whose signature and grant were verified. Rights are judged in the core, by policy."""

    claims: Claims
    path: Path
    id: str
    name: Name
    target: Target
    args: Args
    expires_ms: int
    fingerprint: str
    site: str
    recalled: RecalledCommand | None = None
    known: Known | None = None  #: the session that a decision is about, as the journal has it
    orphan: OrphanRecorded | None = None  #: the orphan that it is about, unless it was decided on


class RecalledCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal remembers of a command id that may have left memory."""

    fingerprint: str
    state: str  #: accepted | sent | confirmed | settled
    principal: str | None = None
    answer: str = ""
    outcome: str = ""
    code: str = ""
    detail: str = ""
    session: str | None = None
    result: dict[str, Any] = {}


class Note(Input, frozen=True, kw_only=True):
    """A shell saw something worth a fact (security_noted, authorization_changed, clock_stepped)."""

    body: Body


class Started(Input, frozen=True):
    """The process came up on a recovered state: nothing is connected, nothing is in flight.

    `settings`: what this version wants every charger to be set to (`configuration.DEFAULTS`).
    """

    settings: dict[str, tuple[str, ...]] = {}


class Tick(Input, frozen=True):
    """Time passed; `deadline` said that something may be due."""


# --- what comes out ----------------------------------------------------------------------------------------


class CommandReply(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a command's progress, for whoever sent it. Held until its fact is on disk.

    `stage`: accepted | refused | confirmed | settled.
    """

    id: str
    stage: str
    answer: str = ""
    outcome: str = ""
    code: str = ""
    detail: str = ""
    session: str | None = None
    result: dict[str, Any] = {}


class Decision(msgspec.Struct, frozen=True):
    """What follows from one input: what is true now, what is said, what is asked of chargers.

    `facts` are applied and journalled in order; everything else is released after they are on disk, but for
    requests marked `urgent`. `progress` goes to whoever follows the named command.
    """

    facts: tuple[Body, ...] = ()
    reply: Reply | None = None
    requests: tuple[Request, ...] = ()
    progress: tuple[CommandReply, ...] = ()
    unstored: int = 0  #: messages that are answered although nothing of them is written (declared before)


NOTHING = Decision()
