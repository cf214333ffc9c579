"""The core's actions in OCPP 1.6's words, and what a charger's answers to them mean.

The half of the 1.6 dialect that speaks to chargers: `dialect` checks and encodes what `request_for` makes;
what an answer's word means is `shared.answers`' to say.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from edge.chargers.dialect import Answer, Unsendable
from edge.chargers.ocpp16 import charging, commands, tags, upkeep
from edge.chargers.ocpp16.messages import DataTransfer, UnreadablePayload
from edge.chargers.shared import answers, settings
from edge.chargers.shared.payload import Payload
from edge.core import inputs as core

#: Answers that have a status.
_WORDED: Final = (
    commands.StatusResponse,
    commands.DataTransferAnswer,
    upkeep.GetLogResponse,
    upkeep.GetInstalledCertificateIdsResponse,
)


def request_for(action: core.Action, raw: tags.RawTag = lambda _: None) -> Payload:
    """Return the call that carries out an action; raises Unsendable if 1.6 has no way to say it.

    raw: a tag by its reference.
    """
    match action:
        case core.StartCharge():
            return commands.RemoteStartTransaction(id_tag=action.tag, connector_id=action.evse)
        case core.StopCharge():
            return commands.RemoteStopTransaction(transaction_id=_transaction(action.transaction))
        case core.UnlockConnector():
            return commands.UnlockConnector(connector_id=action.evse)
        case core.ResetStation():
            return commands.Reset("Hard" if action.hard else "Soft")
        case core.ChangeAvailability():
            return commands.ChangeAvailability(
                connector_id=action.evse, type="Operative" if action.operative else "Inoperative"
            )
        case core.SetVariable():
            return commands.ChangeConfiguration(key=action.key, value=action.value)
        case core.SetPassword():
            return commands.ChangeConfiguration(key="AuthorizationKey", value=action.password)
        case core.SetProfile():
            return commands.ChangeConfiguration(key="SecurityProfile", value=str(action.profile))
        case core.GetVariables():
            return commands.GetConfiguration(key=action.keys)
        case core.ClearAuthorizationCache():
            return commands.ClearCache()
        case core.VendorMessage():
            return DataTransfer(
                vendor_id=action.vendor, message_id=action.message or None, data=action.data or None
            )
        case core.ReadSettings():
            return commands.GetConfiguration(key=tuple(map(settings.key, action.names)))
        case core.WriteSetting():
            told = settings.value(action.name, action.value)
            return commands.ChangeConfiguration(key=settings.key(action.name), value=told)
        case _:
            request = (
                upkeep.request_for(action) or charging.request_for(action) or tags.request_for(action, raw)
            )
            if request is None:
                raise Unsendable(f"OCPP 1.6 cannot say {type(action).__name__}")
            return request


def _transaction(text: str) -> int:
    """Return a transaction id as 1.6 sends it; any integer that a charger told is told back."""
    try:
        return int(text)
    except ValueError:
        raise Unsendable(f"transaction {text[:64]!r} has no number; OCPP 1.6 cannot stop it") from None


def meaning(action: core.Action, payload: msgspec.Raw) -> Answer:
    """Return what a CALLRESULT to this action's call means."""
    name = _NAMES.get(type(action)) or type(request_for(action)).__name__
    try:
        read, violations = commands.read_answer(name, payload)
    except UnreadablePayload as wrong:
        return answers.unreadable(wrong.reason)
    if isinstance(read, commands.GetConfigurationResponse):
        told = [(entry.key, entry.value, entry.readonly) for entry in read.configuration_key]
        if isinstance(action, core.ReadSettings):
            return Answer("accepted", result=settings.told(told, action.names), violations=violations)
        return Answer("accepted", result=answers.values(told, read.unknown_key), violations=violations)
    known = (
        upkeep.meaning(read, violations)
        or charging.meaning(action, read, violations)
        or tags.meaning(read, violations)
    )
    if known is not None:
        return known
    assert isinstance(read, _WORDED)
    result: dict[str, Any] = {}
    if isinstance(read, upkeep.GetLogResponse) and read.filename:
        result = {"name": read.filename}
    if isinstance(read, commands.DataTransferAnswer):
        result = answers.data(read.data)
    return answers.of_status(read.status, result, violations)


_NAMES: Final[dict[type[core.Action], str]] = {
    core.StartCharge: "RemoteStartTransaction",
    core.StopCharge: "RemoteStopTransaction",
    core.UnlockConnector: "UnlockConnector",
    core.ResetStation: "Reset",
    core.ChangeAvailability: "ChangeAvailability",
    core.SetVariable: "ChangeConfiguration",
    core.GetVariables: "GetConfiguration",
    core.ClearAuthorizationCache: "ClearCache",
    core.VendorMessage: "DataTransfer",
}
