"""Commands: what an app asks of a charger, named by the effect it should have (design §7).

A command is encoded once by the app, signed by its key, and travels as one opaque string (the *envelope*)
over whichever path is up; the edge alone decides. `CLASSES` says how each may be repeated and who may ask.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from common.domain import Role, Target
from common.errors import Code, Refused


class Name(StrEnum):
    """Every effect that can be asked for."""

    START = "start"
    STOP = "stop"
    UNLOCK = "unlock"
    RESET = "reset"
    AVAILABILITY = "availability"
    CONFIGURE = "configure"
    READ_CONFIGURATION = "read_configuration"
    CLEAR_CACHE = "clear_cache"
    MESSAGE = "message"
    UPDATE_FIRMWARE = "update_firmware"
    FETCH_DIAGNOSTICS = "fetch_diagnostics"
    TRIGGER = "trigger"
    INSTALL_CERTIFICATE = "install_certificate"
    DELETE_CERTIFICATE = "delete_certificate"
    LIST_CERTIFICATES = "list_certificates"
    LIMIT = "limit"
    CLEAR_LIMIT = "clear_limit"
    READ_LIMIT = "read_limit"
    ADJUST = "adjust"
    ADOPT = "adopt"
    SECURE = "secure"
    RESOLVE = "resolve"
    RESERVE = "reserve"
    CANCEL_RESERVATION = "cancel_reservation"
    ASSIGN_TAG = "assign_tag"
    WITHDRAW_TAG = "withdraw_tag"
    OFFLINE_POLICY = "offline_policy"


class Repeat(StrEnum):
    """What may happen to a call whose answer is not known."""

    AT_MOST_ONCE = "at_most_once"  #: committed as sent, called once, never re-sent; reconciled by observation
    UNTIL_CONFIRMED = "until_confirmed"  #: idempotent: sent again until confirmed or expired
    LOCAL = "local"  #: settled in the box, no charger is called


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin a charge on the target connector for the asking principal."""


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End the named session."""

    session: str


class Unlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Release the plug. Ends a session that is running on the connector, if it may (`ends_charge`)."""

    ends_charge: bool = False


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Restart the charger. Soft stops sessions in good order; hard may lose what the charger has queued."""

    hard: bool = False
    ends_charge: bool = False  #: also while a car charges


class SetAvailability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take a connector (or the whole charger) into or out of service; survives the charger's reboot."""

    operative: bool


class Configure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set one configuration key (1.6) or variable (2.x)."""

    key: str
    value: str


class ReadConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Read configuration keys; none named = all that the charger tells."""

    keys: tuple[str, ...] = ()


class ClearCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Empty the charger's own list of tags it has seen accepted."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's own message (DataTransfer)."""

    vendor: str
    message: str = ""
    data: str = ""


class UpdateFirmware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Have the charger fetch a file that the box keeps, and install it. Waits until no car charges."""

    file: str  #: the file's SHA-256, hex
    version: str = ""  #: as the charger will tell it at its next boot; empty = any other than now
    signed: bool = False  #: its maker's signature and certificate are kept with the file


class FetchDiagnostics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Have the charger send its log to the box. `since`, `until`: ISO 8601 with a zone; empty = open."""

    log: Literal["diagnostics", "security"] = "diagnostics"
    since: str = ""
    until: str = ""


#: What a charger can be asked to tell now.
Told = Literal["status", "meter", "boot", "heartbeat", "firmware", "diagnostics", "log", "certificate"]


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Have the charger tell something now. `certificate`: ask for a new one of its own."""

    what: Told


#: What a root certificate vouches for: the box, or who made the charger's firmware.
CertificateUse = Literal["central_system", "manufacturer"]


class InstallCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Have the charger trust a root certificate (PEM)."""

    use: CertificateUse
    certificate: str


class DeleteCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Have the charger no longer trust a root certificate; named as `list_certificates` tells it."""

    algorithm: Literal["SHA256", "SHA384", "SHA512"]
    issuer_name: str
    issuer_key: str
    serial: str


class ListCertificates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Read which root certificates the charger trusts."""

    use: CertificateUse = "central_system"


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Charge with at most so many amperes for each phase; the lowest limit of all ranks is in force.

    With `session`: that charge alone, a driver's own. `safety`: the installer's, of the whole charger, which
    nobody exceeds. Else the operator's, of a connector or of the whole. `expect`: the revision of the limits
    that it was based on.
    """

    limit_a: float
    session: str = ""
    safety: bool = False
    expect: int | None = None


class ClearLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lift a limit; fields as for `Limit`."""

    session: str = ""
    safety: bool = False
    expect: int | None = None


class ReadLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask the charger what it allows on a connector now."""


class Adjust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put a value over what is known of a charger's model (None: take it away again).

    `trait`: a field of `edge.core.traits.Traits`. `expect`: the revision that it was based on.
    """

    trait: str
    value: Any = None
    expect: int | None = None


class Adopt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take a charger into the site, also before it first dials, or give an adopted one another name.

    `profile`: how a new one proves who it is (`Secure`); None: as profile 0, which proves nothing.
    """

    name: str = ""
    profile: Literal[0, 1, 2, 3] | None = None


class Secure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change how a charger proves who it is: its OCPP security profile, or (`rotate`) its password.

    The charger is told, one profile up at a time, and what was good stays so until it has come in with the
    new. `by_hand`: it is set there, nothing is sent; the one way down, which takes somebody at the box.
    """

    profile: Literal[0, 1, 2, 3]
    rotate: bool = False
    by_hand: bool = False


class Resolve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decide on what is flagged: a session that is over (`revision`: the one looked at), or an orphan.

    `accept`: it stands as it is. `set`: its energy is `energy_wh`. `attach`: a session that nobody has is
    `principal`'s; or the orphan belongs to `session`, which gets the end that a stop told. `dismiss`: nothing
    is ever billed for it. What was there before stays in the ledger.
    """

    decision: Literal["accept", "set", "attach", "dismiss"]
    reason: str
    session: str = ""
    revision: int | None = None
    orphan: str = ""
    energy_wh: float | None = None
    principal: str = ""


class Reserve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the target connector for the asking principal."""

    minutes: int = 15


class CancelReservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give up what is reserved on the target connector."""


class AssignTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tag that was shown at a charger belongs to a principal from now on. It is named by its reference.

    `chargers`: where it is good; None = everywhere.
    """

    tag_ref: str
    principal: str
    chargers: tuple[str, ...] | None = None


class WithdrawTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tag is nobody's any more."""

    tag_ref: str


class OfflinePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What chargers do about tags while the box is away: nobody starts, or who is on their local list.

    `expect`: the revision that it was based on.
    """

    policy: Literal["strict", "listed"]
    expect: int | None = None


Args = (
    Start
    | Stop
    | Unlock
    | Reset
    | SetAvailability
    | Configure
    | ReadConfiguration
    | ClearCache
    | Message
    | UpdateFirmware
    | FetchDiagnostics
    | Trigger
    | InstallCertificate
    | DeleteCertificate
    | ListCertificates
    | Limit
    | ClearLimit
    | ReadLimit
    | Adjust
    | Adopt
    | Secure
    | Resolve
    | Reserve
    | CancelReservation
    | AssignTag
    | WithdrawTag
    | OfflinePolicy
)


class Class(msgspec.Struct, frozen=True):
    """How a command behaves. `ttl_ms` is the longest life an app may give it."""

    args: type
    repeat: Repeat
    roles: frozenset[Role]
    ttl_ms: int
    urgent: bool = False  #: sent at once, its commit alongside (a slow disk must not delay a stop)


_ALL = frozenset(Role)
_STAFF = frozenset({Role.OPERATOR, Role.INSTALLER, Role.LOCAL})
#: They are about the site and its people, not about the charger that they name.
OF_THE_SITE = frozenset({Name.RESOLVE, Name.ASSIGN_TAG, Name.WITHDRAW_TAG, Name.OFFLINE_POLICY})
_SITE = frozenset({Role.INSTALLER, Role.LOCAL, Role.OPERATOR})
_DAY_MS = 24 * 3600 * 1000

# Lives follow what people expect: a start is about somebody standing at the charger now; a stop stays true
# for minutes; configuration may wait for a charger that is being installed.
CLASSES: dict[Name, Class] = {
    Name.START: Class(Start, Repeat.AT_MOST_ONCE, _ALL, 30_000),
    Name.STOP: Class(Stop, Repeat.UNTIL_CONFIRMED, _ALL, 300_000, urgent=True),
    Name.UNLOCK: Class(Unlock, Repeat.AT_MOST_ONCE, _ALL, 15_000),
    Name.RESET: Class(Reset, Repeat.AT_MOST_ONCE, _STAFF, 60_000),
    Name.AVAILABILITY: Class(SetAvailability, Repeat.UNTIL_CONFIRMED, _STAFF, _DAY_MS),
    Name.CONFIGURE: Class(Configure, Repeat.UNTIL_CONFIRMED, _STAFF, _DAY_MS),
    Name.READ_CONFIGURATION: Class(ReadConfiguration, Repeat.UNTIL_CONFIRMED, _STAFF, 60_000),
    Name.CLEAR_CACHE: Class(ClearCache, Repeat.UNTIL_CONFIRMED, _STAFF, 300_000),
    Name.MESSAGE: Class(Message, Repeat.AT_MOST_ONCE, _STAFF, 60_000),
    Name.UPDATE_FIRMWARE: Class(UpdateFirmware, Repeat.AT_MOST_ONCE, _STAFF, _DAY_MS),
    Name.FETCH_DIAGNOSTICS: Class(FetchDiagnostics, Repeat.AT_MOST_ONCE, _STAFF, 300_000),
    Name.TRIGGER: Class(Trigger, Repeat.AT_MOST_ONCE, _STAFF, 60_000),
    Name.INSTALL_CERTIFICATE: Class(InstallCertificate, Repeat.AT_MOST_ONCE, _STAFF, 300_000),
    Name.DELETE_CERTIFICATE: Class(DeleteCertificate, Repeat.AT_MOST_ONCE, _STAFF, 300_000),
    Name.LIST_CERTIFICATES: Class(ListCertificates, Repeat.UNTIL_CONFIRMED, _STAFF, 60_000),
    Name.LIMIT: Class(Limit, Repeat.UNTIL_CONFIRMED, _ALL, 300_000, urgent=True),
    Name.CLEAR_LIMIT: Class(ClearLimit, Repeat.UNTIL_CONFIRMED, _ALL, 300_000),
    Name.READ_LIMIT: Class(ReadLimit, Repeat.UNTIL_CONFIRMED, _STAFF, 60_000),
    Name.ADJUST: Class(Adjust, Repeat.LOCAL, frozenset({Role.INSTALLER, Role.LOCAL}), 60_000),
    Name.ADOPT: Class(Adopt, Repeat.LOCAL, _SITE, 60_000),
    Name.SECURE: Class(Secure, Repeat.AT_MOST_ONCE, frozenset({Role.INSTALLER, Role.LOCAL}), 900_000),
    Name.RESOLVE: Class(Resolve, Repeat.LOCAL, frozenset({Role.OPERATOR, Role.LOCAL}), 60_000),
    Name.RESERVE: Class(Reserve, Repeat.AT_MOST_ONCE, _ALL, 30_000),
    Name.CANCEL_RESERVATION: Class(CancelReservation, Repeat.UNTIL_CONFIRMED, _ALL, 300_000),
    Name.ASSIGN_TAG: Class(AssignTag, Repeat.LOCAL, _STAFF, 60_000),
    Name.WITHDRAW_TAG: Class(WithdrawTag, Repeat.LOCAL, _STAFF, 60_000),
    Name.OFFLINE_POLICY: Class(OfflinePolicy, Repeat.LOCAL, _STAFF, 60_000),
}


class Command(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The payload that is signed. `id` is a UUIDv7 made and stored by the app before it sends."""

    site: str
    id: str
    name: Name
    target: Target
    args: dict[str, Any] = {}
    expires_at: str  #: ISO 8601, site time


#: The longest command payload: the one that carries a certificate (OCPP 1.6 security: 5500 characters, and
#: JSON's escapes); bounds what is hashed before it is believed.
COMMAND_BYTES_MAX = 8192

_decoder = msgspec.json.Decoder(Command)
_encoder = msgspec.json.Encoder()


def encode(command: Command) -> bytes:
    """The exact bytes that get signed."""
    return _encoder.encode(command)


def decode(payload: bytes) -> Command:
    """Read a command's signed bytes. Raises Refused(bad_request) with what is wrong."""
    if len(payload) > COMMAND_BYTES_MAX:
        raise Refused(Code.BAD_REQUEST, f"a command is at most {COMMAND_BYTES_MAX} bytes")
    try:
        return _decoder.decode(payload)
    except (ValueError, RecursionError) as unreadable:  # not JSON, not UTF-8, not a command, too deep
        raise Refused(Code.BAD_REQUEST, str(unreadable)) from None


def arguments(name: Name, args: Mapping[str, Any]) -> Args:
    """The typed arguments of a command. Raises Refused(bad_request) naming the field that is wrong."""
    try:
        typed: Args = msgspec.convert(dict(args), CLASSES[name].args)
    except msgspec.ValidationError as wrong:
        raise Refused(Code.BAD_REQUEST, str(wrong)) from None
    return typed
