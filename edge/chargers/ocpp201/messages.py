"""OCPP 2.0.1, what a station asks and reports, and what we answer: payload structs and their reader.

As in `ocpp16.messages`: one msgspec decode where the message is well-formed, and `coerce` where it is one of
those that real stations send. A word is any text: the dialect maps the known ones. What a station may leave
out is absent here, and never a default (quirk 99).

Each request class is named as its action; the answer to it has the suffix `Response`.
Source: OCPP 2.0.1 edition 3, part 2, §1 (messages) and §2 (data types).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta

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
from edge.chargers.shared.coerce import Reader
from edge.chargers.shared.payload import Int, Opt, Payload, Text, ValueText

#: An EVSE or a connector; 0 is the station.
Place = Annotated[int, Meta(ge=0, le=9999)]

# ------------------------------------------------------------------------------------------------ parts


class EVSE(Payload, frozen=True):
    """Where; the connector may be missing."""

    id: Place
    connector_id: Opt[Place] = None


class IdToken(Payload, frozen=True):
    """A tag. Its text has 36 characters in 2.0.1 and 255 in 2.1 (quirk 104)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"type": ""}
    id_token: Text
    type: Text


class UnitOfMeasure(Payload, frozen=True):
    """The unit of a value, which is to be multiplied by 10 to the power of `multiplier`."""

    unit: Opt[Text] = None
    multiplier: Opt[Int] = None


class SignedMeterValue(Payload, frozen=True):
    """A value with its signature, kept as it came."""

    NEUTRAL: ClassVar[dict[str, object]] = {"signing_method": "", "encoding_method": "", "public_key": ""}
    signed_meter_data: ValueText
    signing_method: Text
    encoding_method: Text
    public_key: ValueText


class SampledValue(Payload, frozen=True):
    """One measured value. Without a number it is none, and never 0 (quirk 72)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"value": None}
    value: Opt[float]
    context: Opt[Text] = None
    measurand: Opt[Text] = None
    phase: Opt[Text] = None
    location: Opt[Text] = None
    signed_meter_value: Opt[SignedMeterValue] = None
    unit_of_measure: Opt[UnitOfMeasure] = None


class MeterValue(Payload, frozen=True):
    """The values of one moment. Without a time (empty text) the moment of arrival stands for it."""

    NEUTRAL: ClassVar[dict[str, object]] = {"timestamp": "", "sampled_value": ()}
    timestamp: Text
    sampled_value: tuple[SampledValue, ...]


class ChargingStation(Payload, frozen=True):
    """What the station is."""

    NEUTRAL: ClassVar[dict[str, object]] = {"model": "", "vendor_name": ""}
    model: Text
    vendor_name: Text
    serial_number: Opt[Text] = None
    firmware_version: Opt[Text] = None


class Transaction(Payload, frozen=True):
    """The transaction that an event is about. Only its id is indispensable."""

    transaction_id: Text
    charging_state: Opt[Text] = None
    stopped_reason: Opt[Text] = None
    remote_start_id: Opt[Int] = None


class Component(Payload, frozen=True):
    """A part of the station."""

    name: Text
    instance: Opt[Text] = None
    evse: Opt[EVSE] = None


class Variable(Payload, frozen=True):
    """What is told of a part."""

    name: Text
    instance: Opt[Text] = None


class EventData(Payload, frozen=True):
    """One monitored change."""

    NEUTRAL: ClassVar[dict[str, object]] = {"timestamp": "", "actual_value": ""}
    timestamp: Text
    actual_value: Text
    component: Component
    variable: Variable


class IdTokenInfo(Payload, frozen=True):
    """What we say about a tag."""

    status: AuthorizationStatus


# ------------------------------------------------------------------------------------------------ requests


class Authorize(Payload, frozen=True):
    """A tag was presented."""

    id_token: IdToken


class BootNotification(Payload, frozen=True):
    """The station started. Nothing in it is needed to serve it."""

    NEUTRAL: ClassVar[dict[str, object]] = {"charging_station": ChargingStation("", ""), "reason": ""}
    charging_station: ChargingStation
    reason: Text


class MeterValues(Payload, frozen=True):
    """Meter values of an EVSE outside its transactions; EVSE 0 is the main meter."""

    NEUTRAL: ClassVar[dict[str, object]] = {"evse_id": None, "meter_value": ()}
    evse_id: Opt[Place]
    meter_value: tuple[MeterValue, ...]


class NotifyEvent(Payload, frozen=True):
    """Monitored changes; from 2.1 on also in the place of StatusNotification (quirk 104)."""

    NEUTRAL: ClassVar[dict[str, object]] = {"event_data": ()}
    event_data: tuple[EventData, ...]


class SecurityEventNotification(Payload, frozen=True):
    """A security event."""

    NEUTRAL: ClassVar[dict[str, object]] = {"type": ""}
    type: Text


class StatusNotification(Payload, frozen=True):
    """Whether a connector can be had."""

    NEUTRAL: ClassVar[dict[str, object]] = {"timestamp": ""}
    timestamp: Text
    connector_status: Text
    evse_id: Place
    connector_id: Place


class TransactionEvent(Payload, frozen=True):
    """An event of a transaction. All but its kind and its transaction may be missing."""

    NEUTRAL: ClassVar[dict[str, object]] = {"timestamp": "", "trigger_reason": "", "seq_no": None}
    event_type: Text
    timestamp: Text
    trigger_reason: Text
    seq_no: Opt[Int]
    transaction_info: Transaction
    meter_value: tuple[MeterValue, ...] = ()
    offline: bool = False
    evse: Opt[EVSE] = None
    id_token: Opt[IdToken] = None


class Noted(Payload, frozen=True):
    """A message that is acknowledged and of which nothing is read."""


# ------------------------------------------------------------------------------------------------ answers


class AuthorizeResponse(Payload, frozen=True):
    """The judgement of a presented tag."""

    id_token_info: IdTokenInfo


class TransactionEventResponse(Payload, frozen=True):
    """The receipt of an event, with a judgement of the tag that it named, if it named one."""

    id_token_info: IdTokenInfo | None = None


class Refused(Payload, frozen=True):
    """An answer that is one word."""

    status: str


class NoCertificate(Payload, frozen=True):
    """There is no Plug & Charge certificate for a car here."""

    status: str
    exi_response: str


_ACKNOWLEDGED: Final = Acknowledged()
#: The answer to what is acknowledged and goes no further, readable or not.
NOTED: Final[dict[str, Payload]] = {
    **dict.fromkeys(
        (
            *("ClearedChargingLimit", "FirmwareStatusNotification", "LogStatusNotification", "MeterValues"),
            *("NotifyChargingLimit", "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyEvent"),
            *("NotifyMonitoringReport", "NotifyReport", "PublishFirmwareStatusNotification"),
            *("ReportChargingProfiles", "ReservationStatusUpdate", "SecurityEventNotification"),
            *("StatusNotification", "TransactionEvent"),
        ),
        _ACKNOWLEDGED,
    ),
    "DataTransfer": Refused("UnknownVendorId"),
    "SignCertificate": Refused("Rejected"),
    "NotifyEVChargingNeeds": Refused("Rejected"),
    "NotifyEVChargingSchedule": Refused("Rejected"),
    "Get15118EVCertificate": NoCertificate("Failed", ""),
    "GetCertificateStatus": Refused("Failed"),
}

#: What a station may ask, by action.
REQUESTS: Final[dict[str, type[Payload]]] = {
    **dict.fromkeys(NOTED, Noted),
    **{
        cls.__name__: cls
        for cls in (
            Authorize,
            BootNotification,
            DataTransfer,
            Heartbeat,
            MeterValues,
            NotifyEvent,
            SecurityEventNotification,
            StatusNotification,
            TransactionEvent,
        )
    },
}

reader = Reader(REQUESTS)


def plain(payload: Payload) -> dict[str, Any]:
    """Return a payload's fields by name."""
    return {name: getattr(payload, name) for name in payload.__struct_fields__}
