"""How a trace's charger answers the calls that its trace is not about: politely, and with nothing to offer.

A head line `answer TriggerMessage: {"status": "Accepted"}` or a step `answer ...` says otherwise, and a step
`< TriggerMessage {...}` takes the call out of here. Starts, stops, unlocks and resets are never answered by
themselves.
"""

from __future__ import annotations

from typing import Any, Final


def _unknown_keys(payload: dict[str, Any]) -> dict[str, Any]:
    return {"configurationKey": [], "unknownKey": payload.get("key", [])}


def _unknown_variables(results: str, data: str) -> Any:
    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        return {
            results: [
                {
                    "attributeStatus": "UnknownVariable",
                    "component": one["component"],
                    "variable": one["variable"],
                }
                for one in payload.get(data, [])
            ]
        }

    return answer


#: action → payload, or what makes one of the call's.
ANSWERS: Final[dict[str, Any]] = {
    "TriggerMessage": {"status": "NotImplemented"},
    "ExtendedTriggerMessage": {"status": "NotImplemented"},
    "GetConfiguration": _unknown_keys,
    "ChangeConfiguration": {"status": "NotSupported"},
    "GetLocalListVersion": {"listVersion": -1},
    "SendLocalList": {"status": "NotSupported"},
    "ClearCache": {"status": "Rejected"},
    "SetChargingProfile": {"status": "NotSupported"},
    "ClearChargingProfile": {"status": "Unknown"},
    "GetCompositeSchedule": {"status": "Rejected"},
    # 2.0.1
    "GetVariables": _unknown_variables("getVariableResult", "getVariableData"),
    "SetVariables": _unknown_variables("setVariableResult", "setVariableData"),
    "GetBaseReport": {"status": "NotSupported"},
    "GetTransactionStatus": {"messagesInQueue": False},
}
