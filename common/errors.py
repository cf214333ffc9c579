"""Every error Plugside tells anyone about: one tree, stable codes, a sentence and a next step.

    PlugsideError
    ├── Refused       what was asked is declined and nothing changed
    ├── RemoteFault   the peer broke the protocol or failed to prove who it is
    ├── LocalFault    this installation is set up or used wrongly
    └── Unavailable   nothing is wrong, but it cannot be reached or done now

A code never changes its meaning. The wire carries `code`, `message` and `hint`; `from_wire` rebuilds the
exception on the other side, so a caller handles a LAN answer, a cloud answer and a local one alike.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Stable error codes. `CATALOGUE` holds what a person reads for each."""

    # Refused
    BAD_REQUEST = "bad_request"
    NOT_PERMITTED = "not_permitted"
    UNKNOWN_CHARGER = "unknown_charger"
    BAD_CHARGER_ID = "bad_charger_id"
    UNKNOWN_CONNECTOR = "unknown_connector"
    UNKNOWN_SESSION = "unknown_session"
    NOT_YOUR_SESSION = "not_your_session"
    CONNECTOR_IN_USE = "connector_in_use"
    CONNECTOR_FAULTED = "connector_faulted"
    CONNECTOR_UNAVAILABLE = "connector_unavailable"
    CONNECTOR_RESERVED = "connector_reserved"
    CONFIRMING = "confirming"
    UNPLUG_FIRST = "unplug_first"
    EXPIRED = "expired"
    ID_REUSE = "id_reuse"
    WRONG_SITE = "wrong_site"
    UNKNOWN_SITE = "unknown_site"
    BAD_SIGNATURE = "bad_signature"
    BAD_GRANT = "bad_grant"
    GRANT_EXPIRED = "grant_expired"
    REVOKED = "revoked"
    CLOCK_UNPROVEN = "clock_unproven"
    BAD_INVITE = "bad_invite"
    BAD_BUNDLE = "bad_bundle"
    KEY_REPLACED = "key_replaced"
    LIMIT_REACHED = "limit_reached"
    MONTH_OPEN = "month_open"
    # outcomes of a command that reached a charger
    CHARGER_REJECTED = "charger_rejected"
    CHARGER_NOT_SUPPORTED = "charger_not_supported"
    CHARGER_TIMEOUT = "charger_timeout"
    NOT_PLUGGED_IN = "not_plugged_in"
    FTP_ONLY = "ftp_only"
    UNKNOWN_FILE = "unknown_file"
    TRANSFER_FAILED = "transfer_failed"
    FIRMWARE_FAILED = "firmware_failed"
    SIGNATURE_NEEDED = "signature_needed"
    LIMIT_TOO_LOW = "limit_too_low"
    LIMIT_REFUSED = "limit_refused"
    LIMIT_UNPROVEN = "limit_unproven"
    REPLACED = "replaced"
    CHANGED_MEANWHILE = "changed_meanwhile"
    SESSION_OPEN = "session_open"
    NOTHING_TO_DECIDE = "nothing_to_decide"
    UNKNOWN_ORPHAN = "unknown_orphan"
    NO_TRANSACTION = "no_transaction"
    WOULD_END_CHARGE = "would_end_charge"
    SECURITY_PROFILE = "security_profile"
    # RemoteFault
    PROTOCOL = "protocol"
    UNTRUSTED_PEER = "untrusted_peer"
    UNSUPPORTED_VERSION = "unsupported_version"
    TOO_LARGE = "too_large"
    BAD_RECEIPT = "bad_receipt"
    # LocalFault
    BAD_SETTINGS = "bad_settings"
    FOLDER_IN_USE = "folder_in_use"
    FOLDER_UNUSABLE = "folder_unusable"
    NOT_RUNNING = "not_running"
    NOT_PAIRED = "not_paired"
    INTERNAL = "internal"
    # Unavailable
    CHARGER_OFFLINE = "charger_offline"
    SITE_OFFLINE = "site_offline"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    BUSY = "busy"
    SLOW_READER = "slow_reader"
    NO_PATH = "no_path"
    CLOUD_UNREACHABLE = "cloud_unreachable"
    DISK_FULL = "disk_full"
    SHUTTING_DOWN = "shutting_down"


#: code → (what happened, what to do next). Sentences are for a driver or an installer, not for a developer.
CATALOGUE: dict[Code, tuple[str, str]] = {
    Code.BAD_REQUEST: (
        "That cannot be done as it was asked.",
        "Correct what is named, or update the app, and try again.",
    ),
    Code.NOT_PERMITTED: ("You may not do that here.", "Ask the operator of this site for the right to."),
    Code.UNKNOWN_CHARGER: (
        "There is no such charger here, or it is not yours to use.",
        "Check the name on the charger, or ask the operator to add you.",
    ),
    Code.BAD_CHARGER_ID: (
        "No charger can have that identity.",
        "Use the identity that is set in the charger: letters, digits and . - _ : = + * @, 48 at most.",
    ),
    Code.UNKNOWN_CONNECTOR: ("This charger has no such connector.", "Choose one of its own connectors."),
    Code.UNKNOWN_SESSION: ("There is no such charging session.", "Look at the charger's state again."),
    Code.NOT_YOUR_SESSION: (
        "That charge was started by somebody else.",
        "Only they or the operator can end it.",
    ),
    Code.CONNECTOR_IN_USE: ("This connector is in use.", "Wait until it is free, or use another one."),
    Code.CONNECTOR_FAULTED: ("The charger reports a fault.", "Use another charger and tell the operator."),
    Code.CONNECTOR_UNAVAILABLE: ("This connector is out of service.", "Use another one."),
    Code.CONNECTOR_RESERVED: ("This connector is reserved.", "Use another one, or wait until it is free."),
    Code.CONFIRMING: ("The charger's state is being confirmed.", "Try again in a few seconds."),
    Code.UNPLUG_FIRST: (
        "The last charge has ended but the cable is still in.",
        "Unplug, plug in again, then start.",
    ),
    Code.EXPIRED: ("That command came too late and was not carried out.", "Try again."),
    Code.ID_REUSE: (
        "This command id was used before for something else.",
        "Send the command again with a new id.",
    ),
    Code.WRONG_SITE: ("That command is for another site.", "Send it to the site that it names."),
    Code.UNKNOWN_SITE: ("There is no such site, or it is not yours to use.", "Check the site's name."),
    Code.BAD_SIGNATURE: ("The signature does not fit the request.", "Pair this device again."),
    Code.BAD_GRANT: ("This device's permission is not valid here.", "Pair this device again."),
    Code.GRANT_EXPIRED: (
        "This device's permission has run out.",
        "Connect to the internet once, or pair again.",
    ),
    Code.REVOKED: ("This device's permission was withdrawn.", "Ask the operator of this site."),
    Code.CLOCK_UNPROVEN: (
        "The box does not know what time it is, so it takes drivers only.",
        "Connect the box to the internet, or set its clock: plugside-edge clock --set TIME.",
    ),
    Code.BAD_INVITE: (
        "This invite is not valid, was used, or has run out.",
        "Ask the operator for a new one.",
    ),
    Code.BAD_BUNDLE: (
        "This export file was not taken; nothing of it was lost at the box.",
        "Run `plugside-edge export FILE` on the box again and copy the file whole.",
    ),
    Code.KEY_REPLACED: (
        "This box's key was given up for another one, and is not its site's any more.",
        "If the box was put back from an old copy, pair it again. If not, somebody has a copy of its disk.",
    ),
    Code.LIMIT_REACHED: ("The limit agreed for you is reached.", "Ask the operator of this site."),
    Code.MONTH_OPEN: (
        "That month is not closed at this site.",
        "Once it is over there, `plugside-cloud export` closes it.",
    ),
    Code.CHARGER_REJECTED: (
        "The charger refused.",
        "Look at what it shows; to start, the car must be plugged in. Then try again.",
    ),
    Code.CHARGER_NOT_SUPPORTED: ("This charger cannot do that.", "Use the charger's own controls."),
    Code.CHARGER_TIMEOUT: (
        "The charger did not answer; it may still act.",
        "Watch its state before you try again.",
    ),
    Code.NOT_PLUGGED_IN: (
        "The charger was ready but no car was plugged in in time.",
        "Plug in, then start again.",
    ),
    Code.FTP_ONLY: (
        "This charger moves files by FTP only, which the box does not serve.",
        "Update it, or read its log, with its maker's own tool on this network.",
    ),
    Code.UNKNOWN_FILE: (
        "The box has no such file, or the file is not what it was when it was added.",
        "Add the file again.",
    ),
    Code.TRANSFER_FAILED: (
        "The charger could not move the file.",
        "Check that it reaches the box's file port (`plugside-edge health` shows it), then try again.",
    ),
    Code.FIRMWARE_FAILED: (
        "The charger did not install the firmware.",
        "Check that the file is for this model; the charger goes on with what it had.",
    ),
    Code.SIGNATURE_NEEDED: (
        "This charger takes signed firmware only.",
        "Add the file together with its maker's signature and certificate.",
    ),
    Code.LIMIT_TOO_LOW: (
        "Below 6 A for each connector no car can charge, and this charger may end the charge over it.",
        "Choose 6 A or more, or stop the charge.",
    ),
    Code.LIMIT_REFUSED: (
        "The charger refused the limit; what was in force before still is.",
        "Set it at the charger itself, or ask its maker how it takes charging profiles.",
    ),
    Code.LIMIT_UNPROVEN: (
        "The charger has not shown yet that it keeps to the limit.",
        "Look at the current that it draws, and do not rely on the limit until it is shown as proven.",
    ),
    Code.REPLACED: ("A later command took the place of this one.", "Look at the limit that is in force."),
    Code.CHANGED_MEANWHILE: (
        "Somebody else has changed that meanwhile.",
        "Look at it again, then decide anew.",
    ),
    Code.SESSION_OPEN: (
        "This charge is not over yet.",
        "Stop it, or wait: one whose charger says nothing more is closed by the box.",
    ),
    Code.NOTHING_TO_DECIDE: (
        "This decision does not fit what is there.",
        "Look at the session again: it may need an energy, or belong to somebody already.",
    ),
    Code.UNKNOWN_ORPHAN: (
        "There is no such report waiting for a decision.",
        "Somebody may have decided already: `plugside-edge ledger orphans` lists what waits.",
    ),
    Code.NO_TRANSACTION: (
        "The charger never told the box that this charge began, so it cannot be told to end it.",
        "End it at the car; or restart the charger (a soft reset).",
    ),
    Code.SECURITY_PROFILE: (
        "That is not how a charger's security changes.",
        "See `plugside-edge chargers security ID`: up one profile at a time, down only with --by-hand.",
    ),
    Code.WOULD_END_CHARGE: (
        "A car is charging there, and this would end its charge.",
        "Wait, stop the charge first, or ask again and say that it may end.",
    ),
    Code.LIMIT_TOO_LOW: (
        "Below 6 A for each connector no car can charge, and this charger may end the charge over it.",
        "Choose 6 A or more, or stop the charge.",
    ),
    Code.LIMIT_REFUSED: (
        "The charger refused the limit; what was in force before still is.",
        "Set it at the charger itself, or ask its maker how it takes charging profiles.",
    ),
    Code.LIMIT_UNPROVEN: (
        "The charger has not shown yet that it keeps to the limit.",
        "Look at the current that it draws, and do not rely on the limit until it is shown as proven.",
    ),
    Code.REPLACED: ("A later command took the place of this one.", "Look at the limit that is in force."),
    Code.CHANGED_MEANWHILE: (
        "Somebody else has changed that meanwhile.",
        "Look at it again, then decide anew.",
    ),
    Code.PROTOCOL: ("The other side sent something that does not belong here.", "Update both sides."),
    Code.UNTRUSTED_PEER: (
        "The other side could not prove that it is the box or cloud you paired with.",
        "Do not continue on this network; check that you are on the site's own.",
    ),
    Code.UNSUPPORTED_VERSION: ("The two sides have no protocol version in common.", "Update the older one."),
    Code.TOO_LARGE: ("That message is larger than is allowed.", "Send less at once."),
    Code.BAD_RECEIPT: (
        "This is not the receipt that a box signed.",
        "Do not rely on it; ask for a new one: plugside receipt SESSION.",
    ),
    Code.BAD_SETTINGS: ("A setting is wrong.", "Correct the setting that is named and start again."),
    Code.FOLDER_IN_USE: (
        "Another process is running on this data folder.",
        "Stop it first, or give this one its own --data folder.",
    ),
    Code.FOLDER_UNUSABLE: ("The data folder cannot be used.", "Check that it exists and can be written."),
    Code.NOT_RUNNING: (
        "Nothing answers there.",
        "Start it (its service, or `run`), or name its --socket.",
    ),
    Code.NOT_PAIRED: ("This device is not paired with any site.", "Run `plugside pair INVITE` first."),
    Code.INTERNAL: (
        "Something went wrong on our side; nothing was changed.",
        "Try again; tell us if it stays.",
    ),
    Code.CHARGER_OFFLINE: ("The charger is not connected.", "Check its power and network, then try again."),
    Code.SITE_OFFLINE: ("The site cannot be reached right now.", "Try again, or use the site's own Wi-Fi."),
    Code.JOURNAL_UNAVAILABLE: (
        "The box cannot write to its disk, so it takes no new work.",
        "Free space or replace the disk; the chargers keep what they have.",
    ),
    Code.BUSY: ("Too much is going on right now.", "Try again in a few seconds."),
    Code.SLOW_READER: ("This connection read too slowly and was cut.", "Connect again."),
    Code.NO_PATH: ("Neither the box nor the cloud can be reached.", "Check this device's network."),
    Code.CLOUD_UNREACHABLE: (
        "The cloud cannot be reached; the site goes on without it.",
        "Check the internet connection of the box; what it has to send is kept.",
    ),
    Code.DISK_FULL: (
        "The box has no room for that file.",
        "Remove firmware that no charger needs, or free space on its disk.",
    ),
    Code.SHUTTING_DOWN: ("The service is restarting.", "Connect again in a moment."),
}


class PlugsideError(Exception):
    """An error with a stable `code`, a sentence (`message`) and a next step (`hint`)."""

    def __init__(self, code: Code, detail: str = "", *, hint: str = "") -> None:
        sentence, step = CATALOGUE[code]
        self.code = code
        self.detail = detail
        self.message = f"{sentence} ({detail})" if detail else sentence
        self.hint = hint or step
        super().__init__(f"{self.message} {self.hint}")


class Refused(PlugsideError):  # noqa: N818 - a refusal is an answer, not a failure
    """What was asked is declined; nothing changed."""


class RemoteFault(PlugsideError):  # noqa: N818
    """The peer broke the protocol or failed to prove who it is."""


class LocalFault(PlugsideError):  # noqa: N818
    """This installation is set up or used wrongly."""


class Unavailable(PlugsideError):  # noqa: N818
    """Nothing is wrong, but it cannot be reached or done now."""


_REMOTE = {Code.PROTOCOL, Code.UNTRUSTED_PEER, Code.UNSUPPORTED_VERSION, Code.TOO_LARGE, Code.BAD_RECEIPT}
_LOCAL = {
    Code.BAD_SETTINGS,
    Code.FOLDER_IN_USE,
    Code.FOLDER_UNUSABLE,
    Code.NOT_RUNNING,
    Code.NOT_PAIRED,
    Code.INTERNAL,
}
_UNAVAILABLE = {
    Code.CHARGER_OFFLINE,
    Code.SITE_OFFLINE,
    Code.JOURNAL_UNAVAILABLE,
    Code.BUSY,
    Code.SLOW_READER,
    Code.NO_PATH,
    Code.CLOUD_UNREACHABLE,
    Code.DISK_FULL,
    Code.SHUTTING_DOWN,
}


def error(code: Code, detail: str = "", *, hint: str = "") -> PlugsideError:
    """Build the exception whose class is the branch that `code` belongs to."""
    kind: type[PlugsideError] = Refused
    if code in _REMOTE:
        kind = RemoteFault
    elif code in _LOCAL:
        kind = LocalFault
    elif code in _UNAVAILABLE:
        kind = Unavailable
    return kind(code, detail, hint=hint)


def from_wire(code: str, message: str, hint: str) -> PlugsideError:
    """Rebuild an error from what a peer sent; an unknown code of a newer peer becomes `protocol`."""
    try:
        known = Code(code)
    except ValueError:
        return RemoteFault(Code.PROTOCOL, f"{code}: {message}", hint=hint)
    built = error(known, hint=hint)
    if message:
        built.message = message
        built.args = (f"{message} {built.hint}",)
    return built
