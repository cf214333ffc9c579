"""Payloads that every version of OCPP spells alike, in either direction."""

from __future__ import annotations

from typing import ClassVar, Literal

from edge.chargers.shared.payload import Blob, Opt, Payload, Text

AuthorizationStatus = Literal["Accepted", "Blocked", "ConcurrentTx", "Expired", "Invalid"]

#: A judgement in the core's words → OCPP's. A session that nobody has claimed yet is nobody's.
JUDGED: dict[str, AuthorizationStatus] = {
    "accepted": "Accepted",
    "invalid": "Invalid",
    "blocked": "Blocked",
    "expired": "Expired",
    "concurrent": "ConcurrentTx",
    "pending": "Invalid",
}


class DataTransfer(Payload, frozen=True):
    """A vendor's own message, in either direction. `data` that came as an object is kept as its JSON."""

    NEUTRAL: ClassVar[dict[str, object]] = {"vendor_id": ""}
    vendor_id: Text
    message_id: Opt[Text] = None
    data: Opt[Blob] = None


class Heartbeat(Payload, frozen=True):
    """The charger is alive and asks for the time."""


class BootNotificationResponse(Payload, frozen=True):
    """Registration. `current_time` sets clocks without a battery (quirk 40); `interval` is in seconds."""

    current_time: str
    interval: int
    status: Literal["Accepted", "Pending", "Rejected"]


class HeartbeatResponse(Payload, frozen=True):
    """The time."""

    current_time: str


class Acknowledged(Payload, frozen=True):
    """The empty answer: noted."""
