"""Why a charger is not served: every reason as data, a sentence for an installer and what to do next.

The chargers' door (`doorman`, `doorbook`) names one of these for each connection that it turns away, and
`explain` adds what only shows over time. The command line, health and the app print what stands here, so a
reason is worded once. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from common.domain import CHARGER_ID_RULE


class Reason(StrEnum):
    """Stable names: counters in health, records of the door, findings of `chargers why`."""

    # the connection never became a request
    SILENT = "silent"
    CUT_SHORT = "cut_short"
    TLS_ON_PLAIN = "tls_on_plain"
    PLAIN_ON_TLS = "plain_on_tls"
    TLS_FAILED = "tls_failed"
    NOT_HTTP = "not_http"
    BAD_HTTP = "bad_http"
    # the request was not one for a charger's connection
    SOAP = "soap"
    NO_UPGRADE = "no_upgrade"
    BAD_HANDSHAKE = "bad_handshake"
    NO_IDENTITY = "no_identity"
    NOT_AN_IDENTITY = "not_an_identity"
    RAW_SPACE = "raw_space"
    # it was, and was refused
    NOT_ADOPTED = "not_adopted"
    WRONG_PATH = "wrong_path"
    IDENTITY_MISMATCH = "identity_mismatch"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason's name
    NO_PASSWORD_KNOWN = "no_password_known"  # noqa: S105 - likewise
    TOO_MANY_TRIES = "too_many_tries"
    TLS_WANTED = "tls_wanted"
    TLS_NOT_WANTED = "tls_not_wanted"
    NO_CERTIFICATE = "no_certificate"
    WRONG_CERTIFICATE = "wrong_certificate"
    NOT_NEAR = "not_near"
    CLONE = "clone"
    NO_COMMON_VERSION = "no_common_version"
    NOT_ACCEPTING = "not_accepting"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    DIALS_TOO_OFTEN = "dials_too_often"
    QUEUE_FULL = "adoption_queue_full"
    # it was let in, or never came
    NEVER_DIALLED = "never_dialled"
    GONE = "gone"
    DEAF = "deaf"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    CONNECTED = "connected"


class Explained(NamedTuple):
    """What a person reads. `sentence` says what happened, `advice` what to do."""

    sentence: str
    advice: str


_URL: Final = "`plugside-edge chargers url` shows the exact URL to type."

REASONS: Final[dict[Reason, Explained]] = {
    Reason.SILENT: Explained(
        "A connection was opened and nothing was sent on it.",
        "If this is a charger, its network reaches the box: set its URL and protocol (OCPP 1.6J), then"
        " restart it. A port scan or a monitor looks the same.",
    ),
    Reason.CUT_SHORT: Explained(
        "A connection broke off before its request was complete.",
        "Look at the network between charger and box (Wi-Fi, SIM, cable); the charger will dial again.",
    ),
    Reason.TLS_ON_PLAIN: Explained(
        "It speaks TLS to a port that does not.",
        f"Set the charger's URL to ws:// in place of wss://, or to the box's TLS port. {_URL}",
    ),
    Reason.PLAIN_ON_TLS: Explained(
        "It speaks without TLS to a port that wants it.",
        f"Set the charger's URL to wss:// in place of ws://, or to the box's plain port. {_URL}",
    ),
    Reason.TLS_FAILED: Explained(
        "The TLS handshake failed.",
        "Install the box's certificate authority in the charger (`plugside-edge chargers security ID"
        " --profile 2` does), check its clock, and that its firmware knows TLS 1.2. If its own certificate"
        " has expired: remove it there, then `plugside-edge chargers security ID --profile 2 --by-hand`.",
    ),
    Reason.NOT_HTTP: Explained(
        "What it sends is not HTTP.",
        f"Set the charger's protocol to OCPP 1.6J (JSON over WebSocket). {_URL}",
    ),
    Reason.BAD_HTTP: Explained(
        "Its HTTP request is malformed.",
        "Look at the first bytes; check the URL in the charger for characters that do not belong, then its"
        " firmware with its maker.",
    ),
    Reason.SOAP: Explained(
        "It speaks OCPP over SOAP.",
        "Set the charger to OCPP 1.6J (JSON); if it only has SOAP (1.5 or 1.6S), it needs newer firmware.",
    ),
    Reason.NO_UPGRADE: Explained(
        "Its request does not ask for a WebSocket (no `Upgrade: websocket` with `Connection: Upgrade`).",
        "A browser looks like this. If it is a charger: set it to OCPP 1.6J, with no proxy between.",
    ),
    Reason.BAD_HANDSHAKE: Explained(
        "Its WebSocket handshake is malformed.",
        "Look at the first bytes, and check the charger's firmware version with its maker.",
    ),
    Reason.NO_IDENTITY: Explained(
        "Its URL names no charger.",
        f"The URL must end in the charger's identity: {CHARGER_ID_RULE}. {_URL}",
    ),
    Reason.NOT_AN_IDENTITY: Explained(
        "What its URL ends in is no identity.",
        f"Set the charger's id to {CHARGER_ID_RULE}.",
    ),
    Reason.RAW_SPACE: Explained(
        "The identity in its URL holds a blank or another character that a URL cannot.",
        f"Set the charger's id to {CHARGER_ID_RULE}, with no blank before or behind it.",
    ),
    Reason.NOT_ADOPTED: Explained(
        "It is not one of this site's chargers yet.",
        "Adopt it: plugside-edge chargers adopt ID --name NAME.",
    ),
    Reason.WRONG_PATH: Explained(
        "Its URL seems to end where the charger's identity should stand.",
        f"Put the charger's identity behind the last slash of the URL. {_URL} If that word is its identity,"
        " adopt it under it.",
    ),
    Reason.IDENTITY_MISMATCH: Explained(
        "Its URL names one charger and its user name another.",
        "Set the user name (authorization user, CPO id) in the charger to its identity, or leave it out.",
    ),
    Reason.WRONG_PASSWORD: Explained(
        "Its password is missing or wrong.",
        "Give it a new one to type in there (AuthorizationKey): plugside-edge chargers password ID.",
    ),
    Reason.NO_PASSWORD_KNOWN: Explained(
        "It must prove itself by a password, and this box knows none of it.",
        "After a box was replaced: plugside-edge recovery restore. Else give it one to type in there:"
        " plugside-edge chargers password ID.",
    ),
    Reason.TOO_MANY_TRIES: Explained(
        "It has shown wrong passwords too often, and has to wait.",
        "It may try again within a minute; if this is no charger of yours, find the device at this address.",
    ),
    Reason.TLS_WANTED: Explained(
        "It dials without TLS, and its security profile wants it.",
        f"Set the charger's URL to wss:// and the box's TLS port. {_URL} If its settings were lost and it"
        " cannot: plugside-edge chargers security ID --profile 1 --by-hand.",
    ),
    Reason.TLS_NOT_WANTED: Explained(
        "It dials with TLS, and its security profile is one without.",
        f"If it is meant to: plugside-edge chargers security ID --profile 2 --by-hand. Else its URL. {_URL}",
    ),
    Reason.NO_CERTIFICATE: Explained(
        "It must prove itself by a certificate of this site, and showed none.",
        "If it lost its own: plugside-edge chargers security ID --profile 2 --by-hand, then up again.",
    ),
    Reason.WRONG_CERTIFICATE: Explained(
        "The certificate that it showed is not its own.",
        "Two chargers may have been set to one id. Else have it ask for another: plugside-edge chargers"
        " security ID --profile 2 --by-hand, then up again.",
    ),
    Reason.NOT_NEAR: Explained(
        "It dials without TLS from outside the site's own network, where others could read along.",
        "Let it dial from the site's network, or with TLS (security profile 2 or 3). If that address is of"
        " this site, name its network: run --ocpp-networks.",
    ),
    Reason.CLONE: Explained(
        "Another box uses the same identity, from another address.",
        "Two chargers were set to one id: find the other one by its address and give it an id of its own.",
    ),
    Reason.NO_COMMON_VERSION: Explained(
        "It offers no version of OCPP that this box speaks.",
        "Set the charger to OCPP 1.6J, or 2.0.1.",
    ),
    Reason.NOT_ACCEPTING: Explained(
        "The box lets nobody in now: it is stopping, or cannot write to its disk.",
        "Nothing to do at the charger, it keeps what it has. Look at `plugside-edge health`.",
    ),
    Reason.TOO_MANY_CONNECTIONS: Explained(
        "There are too many connections at once.",
        "Find what holds them open (`plugside-edge chargers list`); one address with many is not a charger.",
    ),
    Reason.DIALS_TOO_OFTEN: Explained(
        "This address dials far too often.",
        "Find the device with this address; a charger that redials without a pause needs a restart.",
    ),
    Reason.QUEUE_FULL: Explained(
        "Too many strangers dial: it is no longer listed as waiting.",
        "It can be adopted by its identity all the same.",
    ),
    Reason.NEVER_DIALLED: Explained(
        "No connection has ever named this charger.",
        f"Check the charger's network and URL. {_URL} Below is who did dial and was refused.",
    ),
    Reason.GONE: Explained(
        "It was connected, and is not now.",
        "Check its power and network; it dials again by itself, some only after many minutes.",
    ),
    Reason.DEAF: Explained(
        "It sends, but answers no calls: remote start and stop do not work.",
        "Restart the charger (power or its own menu), not during a charge; then ask its maker for firmware.",
    ),
    Reason.UNREADABLE: Explained(
        "It sends frames that are not OCPP-J.",
        "Look at the first bytes, and check the charger's firmware version with its maker.",
    ),
    Reason.TOO_LARGE: Explained(
        "It sends a message that is too large to take, again and again.",
        "Empty its StopTxnSampledData and StopTxnAlignedData, then restart it or clear its queue.",
    ),
    Reason.CONNECTED: Explained("It is connected.", "Nothing to do."),
}

#: Words that stand in the paths of central systems: a charger that seems to be called so has a URL without
#: its identity. In lower case.
PATH_WORDS: Final = frozenset(
    {
        *("api", "central", "centralsystem", "centralsystemservice", "chargebox", "chargepoint", "charger"),
        *("chargers", "cpms", "cs", "csms", "evse", "j", "json", "ocpp", "ocpp1.6", "ocpp1.6j", "ocpp16"),
        *("ocpp16j", "ocpp2.0.1", "ocpp201", "ocppj", "plugside", "server", "service", "services", "soap"),
        *("steve", "v1", "v16", "v2", "webservices", "websocket", "ws", "wss"),
    }
)
#: Refusals behind which a charger may be that never came in under its identity.
MAY_BE_ANY: Final = frozenset(
    {
        Reason.SILENT,
        Reason.CUT_SHORT,
        Reason.TLS_ON_PLAIN,
        Reason.PLAIN_ON_TLS,
        Reason.TLS_FAILED,
        Reason.NOT_HTTP,
        Reason.BAD_HTTP,
        Reason.SOAP,
        Reason.NO_UPGRADE,
        Reason.NO_IDENTITY,
        Reason.NOT_AN_IDENTITY,
        Reason.RAW_SPACE,
        Reason.NOT_ADOPTED,
        Reason.WRONG_PATH,
    }
)
