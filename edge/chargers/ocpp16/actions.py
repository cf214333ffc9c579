"""The core's actions in OCPP 1.6's words, and what a charger's answers to them mean.

The half of the 1.6 dialect that speaks to chargers: `dialect` checks and encodes what `request_for` makes.
An answer's status may be any text (quirk 93); a word that is not known is an `error`, never a success.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from edge.chargers.dialect import Answer, Unsendable
from edge.chargers.frames import CallError, RpcError
from edge.chargers.ocpp16 import charging, commands, settings, upkeep
from edge.chargers.ocpp16.messages import DataTransfer, UnreadablePayload
from edge.chargers.shared.payload import Payload
from edge.core import inputs as core

#: Answers' words, as `_word` leaves them → `CallEnded.answer`. `unlocked` is UnlockConnector's own; some
#: chargers answer it with `Accepted` (quirk 93).
_MEANINGS: Final = {
    "accepted": "accepted",
    "unlocked": "accepted",
    "rebootrequired": "accepted",
    "scheduled": "scheduled",
    "rejected": "rejected",
    "unlockfailed": "rejected",
    "failed": "rejected",
    "notfound": "rejected",
    "unknown": "rejected",
    "acceptedcanceled": "accepted",
    "invalidcertificate": "rejected",
    "revokedcertificate": "rejected",
    "notsupported": "not_supported",
    "notimplemented": "not_supported",
    "unknownmessageid": "not_supported",
    "unknownvendorid": "not_supported",
}
#: Words that say more than the meaning does, and go into the detail.
_TELLING: Final = {
    *("rebootrequired", "unlockfailed", "unknownmessageid", "unknownvendorid"),
    *("failed", "notfound", "acceptedcanceled", "invalidcertificate", "revokedcertificate"),
}

#: A result becomes part of one fact, which holds 16 KiB; this leaves room for the rest of it.
RESULT_MAX_BYTES: Final = 12 * 1024
#: A description or a status word of a charger, in details.
_DETAIL_MAX_CHARS: Final = 200

_NOT_WORD = re.compile(r"[^a-z]")
#: Answers that have a status.
_WORDED: Final = (
    commands.StatusResponse,
    commands.DataTransferAnswer,
    upkeep.GetLogResponse,
    upkeep.GetInstalledCertificateIdsResponse,
)


def request_for(action: core.Action) -> Payload:
    """Return the call that carries out an action; raises Unsendable if 1.6 has no way to say it."""
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
            request = upkeep.request_for(action) or charging.request_for(action)
            if request is None:
                raise Unsendable(f"OCPP 1.6 cannot say {type(action).__name__}")
            return request


def _transaction(text: str) -> int:
    """Return a transaction id as 1.6 sends it; any integer that a charger told is told back."""
    try:
        return int(text)
    except ValueError:
        raise Unsendable(f"transaction {text[:64]!r} has no number; OCPP 1.6 cannot stop it") from None


def refusal(reply: CallError) -> Answer:
    """Return what a CALLERROR means."""
    detail = f"{reply.code}: {reply.description}".rstrip(": ")[:_DETAIL_MAX_CHARS]
    # versions and libraries swap the two (quirk 29), so no more is made of the difference
    unknown = RpcError.of(reply.code) in (RpcError.NOT_IMPLEMENTED, RpcError.NOT_SUPPORTED)
    return Answer("not_supported" if unknown else "error", detail)


def meaning(action: core.Action, payload: msgspec.Raw) -> Answer:
    """Return what a CALLRESULT to this action's call means."""
    name = _NAMES.get(type(action)) or type(request_for(action)).__name__
    try:
        read, violations = commands.read_answer(name, payload)
    except UnreadablePayload as wrong:
        return Answer("error", f"the charger's answer could not be read: {wrong.reason}")
    if isinstance(read, commands.GetConfigurationResponse):
        asked = action.names if isinstance(action, core.ReadSettings) else None
        told = _configuration(read) if asked is None else settings.told(read, asked)
        return Answer("accepted", result=told, violations=violations)
    known = upkeep.meaning(read, violations) or charging.meaning(action, read, violations)
    if known is not None:
        return known
    assert isinstance(read, _WORDED)
    word = _NOT_WORD.sub("", read.status.lower())
    answer = _MEANINGS.get(word, "error")
    detail = ""
    if answer == "error":
        detail = f"the charger answered {read.status[:_DETAIL_MAX_CHARS]!r}"
    elif word in _TELLING:
        detail = read.status[:_DETAIL_MAX_CHARS]
    result: dict[str, Any] = {}
    if isinstance(read, upkeep.GetLogResponse) and read.filename:
        result = {"name": read.filename}
    if isinstance(read, commands.DataTransferAnswer) and read.data:
        result = {"data": read.data[: RESULT_MAX_BYTES // 4]}  # a character has up to four bytes
    return Answer(answer, detail, result, violations)


def _configuration(read: commands.GetConfigurationResponse) -> dict[str, Any]:
    """Return the keys told, as many as a fact holds; `cut` names how many were left out."""
    values: dict[str, Any] = {}
    room = RESULT_MAX_BYTES
    cut = 0
    for entry in read.configuration_key:
        told = {"value": entry.value, "readonly": entry.readonly}
        room -= len(msgspec.json.encode({entry.key: told}))
        if room < 0:
            cut += 1
        else:
            values[entry.key] = told
    unknown = [key for key in read.unknown_key if (room := room - len(key.encode()) - 3) >= 0]
    cut += len(read.unknown_key) - len(unknown)
    result: dict[str, Any] = {"values": values, "unknown": unknown}
    if cut:
        result["cut"] = cut
    return result


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
