"""What goes to chargers, in OCPP 2.x's words: requests with the action that each carries out, and replies.

The outgoing half of the core's seam; `inputs` is the other and gives these names, too. A dialect turns an
action into a call of its version, and a reply into an answer. No rule stands here.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A call that should leave for a charger. `command` is set when it carries one out.

    Priority (design §2.3): stop > limit > start > housekeeping. `expires_ms`: not sent afterwards.
    """

    id: str
    charger: str
    action: Action
    command: str | None = None
    priority: int
    expires_ms: int
    urgent: bool = False  #: leaves at once, not held until its fact is on disk
    context: Any = None  #: whoever asked gets it back with the call's end, as it is


PRIORITY_STOP, PRIORITY_LIMIT, PRIORITY_START, PRIORITY_HOUSEKEEPING = range(4)


class StartCharge(msgspec.Struct, frozen=True, tag=True):
    evse: int
    connector: int
    tag: str  #: minted id tag: ties the transaction to its command (design §7)
    number: int = 0  #: the same tie as a number, where the version has one (2.x)


class StopCharge(msgspec.Struct, frozen=True, tag=True):
    transaction: str


class UnlockConnector(msgspec.Struct, frozen=True, tag=True):
    evse: int
    connector: int


class ResetStation(msgspec.Struct, frozen=True, tag=True):
    hard: bool


class ChangeAvailability(msgspec.Struct, frozen=True, tag=True):
    evse: int  #: 0 = the whole station
    connector: int
    operative: bool


class SetVariable(msgspec.Struct, frozen=True, tag=True):
    key: str
    value: str


class GetVariables(msgspec.Struct, frozen=True, tag=True):
    keys: tuple[str, ...]


class ClearAuthorizationCache(msgspec.Struct, frozen=True, tag=True):
    pass


class VendorMessage(msgspec.Struct, frozen=True, tag=True):
    vendor: str
    message: str
    data: str


class TriggerStatus(msgspec.Struct, frozen=True, tag=True):
    """Ask the charger to report a connector's state again (`evse` None = all)."""

    evse: int | None
    connector: int | None = None


class AskTransaction(msgspec.Struct, frozen=True, tag=True):
    """Ask whether a transaction goes on, and whether events of it wait to be sent (2.x)."""

    transaction: str


class ReadSettings(msgspec.Struct, frozen=True, tag=True):
    """Read settings, by our names (`edge.core.configuration`)."""

    names: tuple[str, ...]


class WriteSetting(msgspec.Struct, frozen=True, tag=True):
    """Set one setting, by our name and in our form."""

    name: str
    value: str


class SetPassword(msgspec.Struct, frozen=True, tag=True):
    """Have the charger prove itself by another password from now on. The shell, which makes it, fills it in:
    the core knows its name only."""

    credential: str
    password: str = ""  #: hex


class SetProfile(msgspec.Struct, frozen=True, tag=True):
    """Have the charger come in under another security profile."""

    profile: int


class TrustSite(msgspec.Struct, frozen=True, tag=True):
    """Have the charger trust this site's own authority. The shell fills in its certificate."""

    kind: str  #: ec | rsa
    certificate: str = ""


class ReadTagVersion(msgspec.Struct, frozen=True, tag=True):
    """Ask for the version of the local list. Answered with `version`; below 0: there is none."""


class SendTags(msgspec.Struct, frozen=True, tag=True):
    """Bring tags to the local list; `whole`: in place of what was there, else beside it."""

    version: int
    refs: tuple[str, ...]  #: references: whoever speaks to the charger knows the tags
    whole: bool


class Reserve(msgspec.Struct, frozen=True, tag=True):
    """Keep a connector for who shows this tag, until a time."""

    evse: int
    connector: int
    reservation: int
    tag: str  #: minted
    until: str  #: ISO 8601


class CancelReservation(msgspec.Struct, frozen=True, tag=True):
    reservation: int


class SetLimit(msgspec.Struct, frozen=True, tag=True):
    """Put a limit into a slot (`edge.core.limits`), in the place of what it held.

    `limit_a` is for each phase; `watts`: to be said in watts, of all `phases` together. `relative`: the
    schedule counts from the start of the charge. `now_ms`: site time, from which an absolute one counts.
    """

    evse: int
    scope: str  #: default | session | station
    transaction: str
    limit_a: float
    level: int
    relative: bool
    watts: bool
    phases: int
    now_ms: int


class ClearLimit(msgspec.Struct, frozen=True, tag=True):
    evse: int
    scope: str


class ReadLimit(msgspec.Struct, frozen=True, tag=True):
    """Ask what the charger allows on a connector from now on, by all that it has been told."""

    evse: int
    watts: bool
    phases: int = 3


class FetchLog(msgspec.Struct, frozen=True, tag=True):
    """Send a log to `location`, which the shell fills in: the core knows no addresses."""

    command: str
    log: str  #: diagnostics | security
    number: int
    since_ms: int | None = None
    until_ms: int | None = None
    legacy: bool = False  #: in the words of 1.6 before its security extension
    location: str = ""


class UpdateFirmware(msgspec.Struct, frozen=True, tag=True):
    """Fetch a file from `location` and install it. The shell fills in the last three; see `FetchLog`."""

    command: str
    file: str
    number: int
    retrieve_ms: int
    legacy: bool = False
    location: str = ""
    certificate: str = ""
    signature: str = ""


class Trigger(msgspec.Struct, frozen=True, tag=True):
    """Tell something now. `extended`: by the message of 1.6's security extension."""

    what: str
    evse: int | None
    extended: bool = False


class InstallCertificate(msgspec.Struct, frozen=True, tag=True):
    use: str
    certificate: str


class DeleteCertificate(msgspec.Struct, frozen=True, tag=True):
    algorithm: str
    issuer_name: str
    issuer_key: str
    serial: str


class ListCertificates(msgspec.Struct, frozen=True, tag=True):
    use: str


class DeliverCertificate(msgspec.Struct, frozen=True, tag=True):
    """The certificate that the charger asked for, with its issuers: a PEM chain."""

    chain: str


Action = (
    StartCharge
    | StopCharge
    | UnlockConnector
    | ResetStation
    | ChangeAvailability
    | SetVariable
    | GetVariables
    | ClearAuthorizationCache
    | VendorMessage
    | TriggerStatus
    | AskTransaction
    | ReadSettings
    | ReadTagVersion
    | SendTags
    | Reserve
    | CancelReservation
    | WriteSetting
    | SetPassword
    | SetProfile
    | TrustSite
    | SetLimit
    | ClearLimit
    | ReadLimit
    | FetchLog
    | UpdateFirmware
    | Trigger
    | InstallCertificate
    | DeleteCertificate
    | ListCertificates
    | DeliverCertificate
)


# --- replies -----------------------------------------------------------------------------------------------


class BootReply(msgspec.Struct, frozen=True):
    """`status`: accepted for every adopted charger."""

    status: str = "accepted"


class Acknowledged(msgspec.Struct, frozen=True):
    """Nothing to say but that it is written down."""


class AuthorizeReply(msgspec.Struct, frozen=True):
    """`status`: accepted | invalid | blocked | expired | concurrent."""

    status: str


class StartReply(msgspec.Struct, frozen=True):
    """The transaction's id and whether its tag is good. `key`: where the exact reply is kept for a replay."""

    transaction: str
    status: str
    key: str
    replay: bool = False  #: answer with the stored reply, verbatim


class StopReply(msgspec.Struct, frozen=True):
    status: str | None
    key: str = ""
    replay: bool = False


class CertificateReply(msgspec.Struct, frozen=True):
    """Whether the charger's signing request goes to an authority."""

    accepted: bool


Reply = BootReply | Acknowledged | AuthorizeReply | StartReply | StopReply | CertificateReply
