"""OCPP 2.0.1, what we ask of a station and what it answers: payloads, and their meaning in the core's words.

The dialect has a request checked and encoded; the station's answer comes back through `meaning`. An answer's
status is any text, since stations answer with words of their own (quirk 93), and empty when there was none.

Each request class is named as its action. Source: OCPP 2.0.1 edition 3, part 2, §1.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from edge.chargers.dialect import Answer, Unsendable
from edge.chargers.ocpp201 import variables
from edge.chargers.ocpp201.messages import EVSE, Component, DataTransfer, IdToken, Variable
from edge.chargers.shared import answers, settings
from edge.chargers.shared.coerce import Reader, UnreadablePayload
from edge.chargers.shared.payload import Blob, ConfigText, Opt, Payload, Text
from edge.core import inputs as core
from edge.core.requests import AskTransaction, ReadSettings, WriteSetting

# ------------------------------------------------------------------------------------------------ requests


class ChangeAvailability(Payload, frozen=True):
    """Set a connector, an EVSE, or without one the whole station, in or out of service."""

    operational_status: Literal["Inoperative", "Operative"]
    evse: EVSE | None = None


class ClearCache(Payload, frozen=True):
    """Empty the station's authorization cache."""


class GetTransactionStatus(Payload, frozen=True):
    """Ask whether a transaction goes on, and whether messages about it wait."""

    transaction_id: str


class VariableName(Payload, frozen=True):
    """One variable to be read."""

    component: Component
    variable: Variable


class GetVariables(Payload, frozen=True):
    """Read variables."""

    get_variable_data: tuple[VariableName, ...]


class RequestStartTransaction(Payload, frozen=True):
    """Start charging for a tag. The number comes back with the transaction (quirk 102)."""

    id_token: IdToken
    remote_start_id: int
    evse_id: int


class RequestStopTransaction(Payload, frozen=True):
    """Stop a transaction."""

    transaction_id: str


class Reset(Payload, frozen=True):
    """Restart the station: `Immediate` ends its transactions in good order first."""

    type: Literal["Immediate", "OnIdle"]


class VariableValue(Payload, frozen=True):
    """One variable to be set."""

    attribute_value: str
    component: Component
    variable: Variable


class SetVariables(Payload, frozen=True):
    """Set variables."""

    set_variable_data: tuple[VariableValue, ...]


class TriggerMessage(Payload, frozen=True):
    """Have the station send a message now."""

    requested_message: Literal["StatusNotification"]
    evse: EVSE | None = None


class UnlockConnector(Payload, frozen=True):
    """Open a connector's lock."""

    evse_id: int
    connector_id: int


# ------------------------------------------------------------------------------------------------ answers


class StatusInfo(Payload, frozen=True):
    """Why, in the station's words."""

    NEUTRAL: ClassVar[dict[str, object]] = {"reason_code": ""}
    reason_code: Text
    additional_info: Opt[ConfigText] = None


class StatusResponse(Payload, frozen=True):
    """An answer that is one word."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    status_info: Opt[StatusInfo] = None
    data: Opt[Blob] = None


class GetTransactionStatusResponse(Payload, frozen=True):
    """Whether messages wait, and whether the transaction goes on, which may be left out."""

    NEUTRAL: ClassVar[dict[str, object]] = {"messages_in_queue": True}
    messages_in_queue: bool
    ongoing_indicator: Opt[bool] = None


class GetVariableResult(Payload, frozen=True):
    """One variable as told."""

    NEUTRAL: ClassVar[dict[str, object]] = {"attribute_status": ""}
    attribute_status: Text
    component: Component
    variable: Variable
    attribute_value: Opt[ConfigText] = None


class GetVariablesResponse(Payload, frozen=True):
    """The variables told."""

    get_variable_result: tuple[GetVariableResult, ...] = ()


class SetVariableResult(Payload, frozen=True):
    """What became of one variable."""

    NEUTRAL: ClassVar[dict[str, object]] = {"attribute_status": ""}
    attribute_status: Text
    attribute_status_info: Opt[StatusInfo] = None


class SetVariablesResponse(Payload, frozen=True):
    """What became of the variables."""

    set_variable_result: tuple[SetVariableResult, ...] = ()


#: What we may ask, by action.
COMMANDS: Final[dict[str, type[Payload]]] = {
    cls.__name__: cls
    for cls in (
        ChangeAvailability,
        ClearCache,
        DataTransfer,
        GetTransactionStatus,
        GetVariables,
        RequestStartTransaction,
        RequestStopTransaction,
        Reset,
        SetVariables,
        TriggerMessage,
        UnlockConnector,
    )
}
#: What a station answers, by action.
ANSWERS: Final[dict[str, type[Payload]]] = {
    **dict.fromkeys(COMMANDS, StatusResponse),
    "GetTransactionStatus": GetTransactionStatusResponse,
    "GetVariables": GetVariablesResponse,
    "SetVariables": SetVariablesResponse,
}

_reader = Reader(ANSWERS)

#: What we mint stands for the central system, and for no card.
_MINTED_TYPE: Final = "Central"


# ------------------------------------------------------------------------------------------------ asking


def request_for(action: core.Action) -> Payload:
    """Return the call that carries out an action; raises Unsendable if it cannot be said."""
    match action:
        case core.StartCharge():
            tag = IdToken(action.tag, _MINTED_TYPE)
            return RequestStartTransaction(tag, remote_start_id=action.number, evse_id=action.evse)
        case core.StopCharge():
            return RequestStopTransaction(action.transaction)
        case core.UnlockConnector():
            return UnlockConnector(evse_id=action.evse, connector_id=action.connector)
        case core.ResetStation():
            # Both ways of the command end sessions now, the gentle one in good order. `OnIdle` would wait
            # for the car, and `Immediate` is 2.x's good order; it has no harder one.
            return Reset("Immediate")
        case core.ChangeAvailability():
            where = EVSE(action.evse, action.connector or None) if action.evse else None
            return ChangeAvailability("Operative" if action.operative else "Inoperative", where)
        case core.SetVariable():
            return _set(action.key, action.value)
        case core.SetPassword():
            return _set("SecurityCtrlr.BasicAuthPassword", action.password)
        case core.SetProfile():
            raise Unsendable(
                "OCPP 2.0.1 changes its profile with its network settings, which are not sent from here: set"
                " them at the station, then `plugside-edge chargers security ID --profile N --by-hand`"
            )
        case WriteSetting():
            return _set(action.name, settings.value(action.name, action.value))
        case core.GetVariables():
            return _get(action.keys or variables.USUAL)
        case ReadSettings():
            return _get(tuple(map(_readable, action.names)))
        case core.ClearAuthorizationCache():
            return ClearCache()
        case core.VendorMessage():
            return DataTransfer(action.vendor, action.message or None, action.data or None)
        case core.TriggerStatus():
            where = EVSE(action.evse, action.connector) if action.evse else None
            return TriggerMessage("StatusNotification", where)
        case AskTransaction():
            return GetTransactionStatus(action.transaction)
        case _:
            raise Unsendable(f"{type(action).__name__} is not built for OCPP 2.0.1 yet; use OCPP 1.6 for it")


def _set(key: str, value: str) -> Payload:
    return SetVariables((VariableValue(value, *variables.parse(key)),))


def _get(keys: tuple[str, ...]) -> Payload:
    return GetVariables(tuple(VariableName(*variables.parse(key)) for key in keys))


def _readable(name: str) -> str:
    """A setting's variable; one that 2.0.1 does not have is asked for all the same, and not known."""
    key = settings.key(name)
    return key if key in variables.FROM_16 else f"ChargingStation.{key}"


# ------------------------------------------------------------------------------------------------ answered


def meaning(action: core.Action, payload: msgspec.Raw) -> Answer:
    """Return what a CALLRESULT to this action's call means."""
    try:
        read, violations = _reader.read(type(request_for(action)).__name__, payload)
    except UnreadablePayload as wrong:
        return answers.unreadable(wrong.reason)
    if isinstance(read, GetVariablesResponse):
        told = _settings(read, action) if isinstance(action, ReadSettings) else _values(read)
        return Answer("accepted", result=told, violations=violations)
    if isinstance(read, SetVariablesResponse):
        if not read.set_variable_result:
            return answers.of_status("", violations=violations)
        one = read.set_variable_result[0]
        return answers.of_status(
            one.attribute_status, violations=violations, why=_why(one.attribute_status_info)
        )
    if isinstance(read, GetTransactionStatusResponse):
        status = {"ongoing": read.ongoing_indicator, "queued": read.messages_in_queue}
        return Answer("accepted", result=status, violations=violations)
    assert isinstance(read, StatusResponse)
    return answers.of_status(read.status, answers.data(read.data), violations, why=_why(read.status_info))


def _why(info: StatusInfo | None) -> str:
    if info is None:
        return ""
    return ", ".join(text for text in (info.reason_code, info.additional_info) if text)


def _values(read: GetVariablesResponse) -> dict[str, object]:
    """Return the variables told. 2.0.1 does not say which of them may be written."""
    told, unknown = [], []
    for one in read.get_variable_result:
        key = variables.written(one.component, one.variable)
        if answers.word(one.attribute_status) == "accepted":
            told.append((key, one.attribute_value, False))
        else:
            unknown.append(key)
    return answers.values(told, unknown)


def _settings(read: GetVariablesResponse, asked: ReadSettings) -> dict[str, object]:
    """Return the settings told, by our names and in our form."""
    keys = {variables.written(*variables.parse(_readable(name))).casefold(): name for name in asked.names}
    told = []
    for one in read.get_variable_result:
        name = keys.get(variables.written(one.component, one.variable).casefold())
        if name is not None and answers.word(one.attribute_status) == "accepted":
            # an Ended event without its register is no bill, so what it measures is left as it is
            told.append((settings.key(name), one.attribute_value, name == "stop_measurands"))
    return settings.told(told, asked.names)
