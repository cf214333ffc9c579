"""OCPP 1.6's LocalAuthListManagement and Reservation profiles: what we ask, and what a charger answers.

The core names tags by reference; here, on the way out, the raw tag takes its place. A tag longer than an
idTag may be (20 characters, §7.28) is left out: the charger could not compare it either.

Each request class is named as its action. Source: OCPP 1.6 edition 2 §5.4, §5.9, §5.10, §5.13, §5.15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Literal

from edge.chargers.dialect import Answer
from edge.chargers.shared import answers
from edge.chargers.shared.payload import Payload, Text
from edge.core import inputs as core

#: A tag's raw text by its reference, None when it is not known any more.
RawTag = Callable[[str], str | None]
ID_TAG_CHARS_MAX: Final = 20

# ------------------------------------------------------------------------------------------------ requests


class GetLocalListVersion(Payload, frozen=True):
    """Ask for the version of the local list."""


class ListedInfo(Payload, frozen=True):
    """What a listed tag is good for."""

    status: Literal["Accepted"]


class AuthorizationData(Payload, frozen=True):
    """One tag of the local list."""

    id_tag: str
    id_tag_info: ListedInfo


class SendLocalList(Payload, frozen=True):
    """Bring tags to the local list."""

    list_version: int
    update_type: Literal["Full", "Differential"]
    local_authorization_list: tuple[AuthorizationData, ...] = ()


class ReserveNow(Payload, frozen=True):
    """Keep a connector for a tag."""

    connector_id: int
    expiry_date: str
    id_tag: str
    reservation_id: int


class CancelReservation(Payload, frozen=True):
    """Give a reservation up."""

    reservation_id: int


# ------------------------------------------------------------------------------------------------ answers


class GetLocalListVersionResponse(Payload, frozen=True):
    """The version; 0 = nothing is on the list, −1 = there is none. What is not told is none."""

    NEUTRAL: ClassVar[dict[str, object]] = {"list_version": -1}
    list_version: int


class SendLocalListResponse(Payload, frozen=True):
    """What came of it: Accepted, Failed, NotSupported, VersionMismatch."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text


COMMANDS: Final[dict[str, type[Payload]]] = {
    cls.__name__: cls for cls in (CancelReservation, GetLocalListVersion, ReserveNow, SendLocalList)
}
ANSWERS: Final[dict[str, type[Payload]]] = {
    "GetLocalListVersion": GetLocalListVersionResponse,
    "SendLocalList": SendLocalListResponse,
}


def request_for(action: core.Action, raw: RawTag) -> Payload | None:
    """Return the call that carries out an action of these profiles, None for any other."""
    match action:
        case core.ReadTagVersion():
            return GetLocalListVersion()
        case core.SendTags():
            tags = (tag for tag in map(raw, action.refs) if tag and len(tag) <= ID_TAG_CHARS_MAX)
            return SendLocalList(
                list_version=action.version,
                update_type="Full" if action.whole else "Differential",
                local_authorization_list=tuple(
                    AuthorizationData(tag, ListedInfo("Accepted")) for tag in tags
                ),
            )
        case core.Reserve():
            return ReserveNow(
                connector_id=action.evse,
                expiry_date=action.until,
                id_tag=action.tag,
                reservation_id=action.reservation,
            )
        case core.CancelReservation():
            return CancelReservation(reservation_id=action.reservation)
    return None


def meaning(read: Payload, violations: tuple[str, ...]) -> Answer | None:
    """Return what an answer of these profiles means, None for any other."""
    if isinstance(read, GetLocalListVersionResponse):
        return Answer("accepted", result={"version": read.list_version}, violations=violations)
    if isinstance(read, SendLocalListResponse):
        return answers.of_status(read.status, violations=violations)
    return None
