"""Configuration in OCPP 2.0.1: components and variables, by keys that a person can write.

A key is `Component.Variable`; either may have an instance in brackets, and a component may be an EVSE's or a
connector's:

    OCPPCommCtrlr.HeartbeatInterval      OCPPCommCtrlr.MessageAttempts[TransactionEvent]
    Connector@1:2.Available              EVSE@2.SupplyPhases

A key of OCPP 1.6 that has a counterpart here means that one, so that people need not know which version a
charger speaks; so do the core's own names of settings (`edge.core.configuration`). Pure.
"""

from __future__ import annotations

import re
from typing import Final

from edge.chargers.dialect import Unsendable
from edge.chargers.ocpp201.messages import EVSE, Component, Variable
from edge.chargers.shared import settings

_KEY = re.compile(
    r"(?P<component>[^.\[\]@#]{1,50})(?:\[(?P<instance>[^\]]{1,50})\])?"
    r"(?:@(?P<evse>[0-9]{1,4})(?::(?P<connector>[0-9]{1,4}))?)?"
    r"\.(?P<variable>[^.\[\]@#]{1,50})(?:\[(?P<variable_instance>[^\]]{1,50})\])?"
)

#: OCPP 1.6 key → the variable that does the same. Source: OCPP 2.0.1 part 2, referenced components.
FROM_16: Final = {
    "AllowOfflineTxForUnknownId": "AuthCtrlr.OfflineTxForUnknownIdEnabled",
    "AuthorizationCacheEnabled": "AuthCacheCtrlr.Enabled",
    "AuthorizeRemoteTxRequests": "AuthCtrlr.AuthorizeRemoteStart",
    "ClockAlignedDataInterval": "AlignedDataCtrlr.Interval",
    "ConnectionTimeOut": "TxCtrlr.EVConnectionTimeOut",
    "HeartbeatInterval": "OCPPCommCtrlr.HeartbeatInterval",
    "LocalAuthListEnabled": "LocalAuthListCtrlr.Enabled",
    "LocalAuthorizeOffline": "AuthCtrlr.LocalAuthorizeOffline",
    "LocalPreAuthorize": "AuthCtrlr.LocalPreAuthorize",
    "MeterValuesSampledData": "SampledDataCtrlr.TxUpdatedMeasurands",
    "MeterValueSampleInterval": "SampledDataCtrlr.TxUpdatedInterval",
    "StopTransactionOnEVSideDisconnect": "TxCtrlr.StopTxOnEVSideDisconnect",
    "StopTransactionOnInvalidId": "TxCtrlr.StopTxOnInvalidId",
    "StopTxnSampledData": "SampledDataCtrlr.TxEndedMeasurands",
    "TransactionMessageAttempts": "OCPPCommCtrlr.MessageAttempts[TransactionEvent]",
    "TransactionMessageRetryInterval": "OCPPCommCtrlr.MessageAttemptInterval[TransactionEvent]",
    "UnlockConnectorOnEVSideDisconnect": "OCPPCommCtrlr.UnlockOnEVSideDisconnect",
    "WebSocketPingInterval": "OCPPCommCtrlr.WebSocketPingInterval",
}
_FOLDED: Final = {key.casefold(): variable for key, variable in FROM_16.items()}

#: What is read when nothing is named: 2.0.1 tells everything in reports only, which come later by themselves.
USUAL: Final = tuple(sorted(set(FROM_16.values())))


def parse(key: str) -> tuple[Component, Variable]:
    """Return the component and variable of a key; raises Unsendable with how to write one."""
    written = _FOLDED.get(settings.key(key).strip().casefold(), key)
    found = _KEY.fullmatch(written.strip())
    if found is None:
        raise Unsendable(
            f"{key[:64]!r} names no variable of OCPP 2.0.1: write Component.Variable, as in "
            "OCPPCommCtrlr.HeartbeatInterval"
        )
    evse = None
    if found["evse"]:
        evse = EVSE(int(found["evse"]), int(found["connector"]) if found["connector"] else None)
    return (
        Component(found["component"], found["instance"], evse),
        Variable(found["variable"], found["variable_instance"]),
    )


def written(component: Component, variable: Variable) -> str:
    """Return the key that names this variable, as `parse` reads it."""
    key = component.name + (f"[{component.instance}]" if component.instance else "")
    if component.evse is not None:
        connector = component.evse.connector_id
        key += f"@{component.evse.id}" + (f":{connector}" if connector is not None else "")
    key += f".{variable.name}"
    return key + (f"[{variable.instance}]" if variable.instance else "")
