"""OCPP 1.6, what a charger asks and reports, and what we answer: payload structs and their reader.

`link` hands the payload of a call here by way of the dialect: `read` gives a typed struct, at the price of
one msgspec decode when the message is well-formed, and by way of `coerce` when it is one of those that real
chargers send (quirk 25). A status is any text: the dialect maps the known ones. Times stay text as sent; see
`times`. Meter values stay as sent; see `meter`.

Each request class is named as its action; the answer to it has the suffix `Response`.
Source: OCPP 1.6 edition 2, §6 and §7; security whitepaper edition 3, §5.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from edge.chargers.shared.alike import (
    Acknowledged as Acknowledged,
)
from edge.chargers.shared.alike import (
    AuthorizationStatus as AuthorizationStatus,
)
from edge.chargers.shared.alike import (
    BootNotificationResponse as BootNotificationResponse,
)
from edge.chargers.shared.alike import (
    DataTransfer as DataTransfer,
)
from edge.chargers.shared.alike import (
    Heartbeat as Heartbeat,
)
from edge.chargers.shared.alike import (
    HeartbeatResponse as HeartbeatResponse,
)
from edge.chargers.shared.coerce import Reader, UnreadablePayload
from edge.chargers.shared.payload import (
    Blob,
    ConnectorId,
    Int,
    Opt,
    Payload,
    RegisterWh,
    Text,
    TransactionId,
    encode,
)
from edge.chargers.shared.readings import MeterValue, SampledValue

__all__ = [
    "REQUESTS",
    "RESPONSES",
    "MeterValue",
    "SampledValue",
    "UnreadablePayload",
    "encode",
    "read",
    "reader",
]

# ------------------------------------------------------------------------------------------------ parts


class IdTagInfo(Payload, frozen=True):
    """What we say about a tag."""

    status: AuthorizationStatus
    expiry_date: str | None = None
    parent_id_tag: str | None = None


# ------------------------------------------------------------------------------------------------ requests


class Authorize(Payload, frozen=True):
    """A tag was presented."""

    id_tag: Text


class BootNotification(Payload, frozen=True):
    """The charger started. Nothing in it is needed to serve it."""

    NEUTRAL: ClassVar[dict[str, object]] = {"charge_point_vendor": "", "charge_point_model": ""}
    charge_point_vendor: Text
    charge_point_model: Text
    charge_point_serial_number: Opt[Text] = None
    charge_box_serial_number: Opt[Text] = None
    firmware_version: Opt[Text] = None
    iccid: Opt[Text] = None
    imsi: Opt[Text] = None
    meter_type: Opt[Text] = None
    meter_serial_number: Opt[Text] = None


class DiagnosticsStatusNotification(Payload, frozen=True):
    """Progress of a diagnostics upload."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text


class FirmwareStatusNotification(Payload, frozen=True):
    """Progress of a firmware update."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text


class LogStatusNotification(Payload, frozen=True):
    """Progress of a log upload (security whitepaper)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    request_id: Opt[Int] = None


class MeterValues(Payload, frozen=True):
    """Meter values of a connector. `connector_id` is None when it is missing, which binds to nothing.

    `transaction_id` may be -1 while the start is unanswered, and any number after that (quirk 55).
    """

    NEUTRAL: ClassVar[dict[str, object]] = {"connector_id": None, "meter_value": ()}
    connector_id: Opt[ConnectorId]
    meter_value: tuple[MeterValue, ...]
    transaction_id: Opt[TransactionId] = None


class SecurityEventNotification(Payload, frozen=True):
    """A security event (security whitepaper)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"type": "", "timestamp": ""}
    type: Text
    timestamp: Text
    tech_info: Opt[Text] = None


class SignCertificate(Payload, frozen=True):
    """The charger asks for a certificate (security whitepaper)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"csr": ""}
    csr: Blob


class SignedFirmwareStatusNotification(Payload, frozen=True):
    """Progress of a signed firmware update (security whitepaper)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    request_id: Opt[Int] = None


class StartTransaction(Payload, frozen=True):
    """A transaction began. `meter_start` is in Wh, None when it is missing; the tag may be empty.

    Only the connector is indispensable: a session on a guessed connector would be somebody else's.
    """

    NEUTRAL: ClassVar[dict[str, object]] = {"id_tag": "", "meter_start": None, "timestamp": ""}
    connector_id: ConnectorId
    id_tag: Text
    meter_start: Opt[RegisterWh]
    timestamp: Text
    reservation_id: Opt[Int] = None


class StatusNotification(Payload, frozen=True):
    """A connector's status; connector 0 is the charger itself."""

    NEUTRAL: ClassVar[dict[str, object]] = {"error_code": "NoError"}
    connector_id: ConnectorId
    error_code: Text
    status: Text
    info: Opt[Text] = None
    timestamp: Opt[Text] = None
    vendor_id: Opt[Text] = None
    vendor_error_code: Opt[Text] = None


class StopTransaction(Payload, frozen=True):
    """A transaction ended. `meter_stop` is in Wh, None when it is missing. `reason` absent means Local.

    Only the id is indispensable: a stop that is guessed onto a session ends somebody else's (quirk 56).
    """

    NEUTRAL: ClassVar[dict[str, object]] = {"meter_stop": None, "timestamp": ""}
    transaction_id: TransactionId
    meter_stop: Opt[RegisterWh]
    timestamp: Text
    id_tag: Opt[Text] = None
    reason: Opt[Text] = None
    transaction_data: tuple[MeterValue, ...] = ()


# ------------------------------------------------------------------------------------------------ answers


class AuthorizeResponse(Payload, frozen=True):
    """The judgement of a presented tag."""

    id_tag_info: IdTagInfo


class DataTransferResponse(Payload, frozen=True):
    """The answer to a vendor's message, in either direction."""

    status: Literal["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"]
    data: str | None = None


class SignCertificateResponse(Payload, frozen=True):
    """Whether the request goes to a certificate authority."""

    status: Literal["Accepted", "Rejected"]


class StartTransactionResponse(Payload, frozen=True):
    """The transaction's id for everything that follows, whatever the judgement (quirk 51)."""

    transaction_id: int
    id_tag_info: IdTagInfo


class StopTransactionResponse(Payload, frozen=True):
    """The receipt of a stop, with a judgement of the tag that stopped it, if one did."""

    id_tag_info: IdTagInfo | None = None


#: What a charger may ask, by action.
REQUESTS: Final[dict[str, type[Payload]]] = {
    cls.__name__: cls
    for cls in (
        Authorize,
        BootNotification,
        DataTransfer,
        DiagnosticsStatusNotification,
        FirmwareStatusNotification,
        Heartbeat,
        LogStatusNotification,
        MeterValues,
        SecurityEventNotification,
        SignCertificate,
        SignedFirmwareStatusNotification,
        StartTransaction,
        StatusNotification,
        StopTransaction,
    )
}

#: What we answer, by action.
RESPONSES: Final[dict[str, type[Payload]]] = {
    "Authorize": AuthorizeResponse,
    "BootNotification": BootNotificationResponse,
    "DataTransfer": DataTransferResponse,
    "Heartbeat": HeartbeatResponse,
    "SignCertificate": SignCertificateResponse,
    "StartTransaction": StartTransactionResponse,
    "StopTransaction": StopTransactionResponse,
    "DiagnosticsStatusNotification": Acknowledged,
    "FirmwareStatusNotification": Acknowledged,
    "LogStatusNotification": Acknowledged,
    "MeterValues": Acknowledged,
    "SecurityEventNotification": Acknowledged,
    "SignedFirmwareStatusNotification": Acknowledged,
    "StatusNotification": Acknowledged,
}

reader = Reader(REQUESTS)


def read(action: str, payload: msgspec.Raw | bytes) -> tuple[Payload, tuple[str, ...]]:
    """Read a charger's request into its struct; the second item names what was coerced, () when nothing.

    Violations are short stable texts, `path:what`, such as `meterValue.sampledValue.value:number`: `coerce`.
    Raises UnreadablePayload, and nothing else, for an action that is not in `REQUESTS` and for a payload
    without what the message is about. What to do then is the link's decision: such a message is kept and
    acknowledged rather than refused (quirk 23).
    """
    return reader.read(action, payload)
