"""The core's settings in OCPP 1.6's configuration keys, both ways; 2.x has a table from those to variables.

Names and forms of values on our side are `edge.core.configuration`'s; keys and their values are those of OCPP
1.6 edition 2 §9. Chargers answer keys in a case of their own (quirk 82), so they are compared without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

#: Setting → key.
KEYS: Final = {
    "sample_interval_s": "MeterValueSampleInterval",
    "clock_aligned_interval_s": "ClockAlignedDataInterval",
    "sampled_measurands": "MeterValuesSampledData",
    "stop_measurands": "StopTxnSampledData",
    "heartbeat_interval_s": "HeartbeatInterval",
    "ping_interval_s": "WebSocketPingInterval",
    "transaction_attempts": "TransactionMessageAttempts",
    "transaction_retry_s": "TransactionMessageRetryInterval",
    "connection_timeout_s": "ConnectionTimeOut",
    "authorize_remote_starts": "AuthorizeRemoteTxRequests",
    "minimum_status_duration_s": "MinimumStatusDuration",
    "local_list": "LocalAuthListEnabled",
    "local_preauthorize": "LocalPreAuthorize",
    "authorize_offline": "LocalAuthorizeOffline",
    "stop_on_invalid": "StopTransactionOnInvalidId",
    "allow_unknown_offline": "AllowOfflineTxForUnknownId",
    "profile_level_max": "ChargeProfileMaxStackLevel",
    "list_max": "LocalAuthListMaxLength",
    "list_send_max": "SendLocalListMaxLength",
}
_MEASURANDS: Final = {
    "energy": "Energy.Active.Import.Register",
    "power": "Power.Active.Import",
    "current": "Current.Import",
    "offered": "Current.Offered",
    "voltage": "Voltage",
    "soc": "SoC",
}
_LISTS: Final = frozenset({"sampled_measurands", "stop_measurands"})
_OURS: Final = {measurand.casefold(): name for name, measurand in _MEASURANDS.items()}


def key(name: str) -> str:
    """Return a setting's configuration key; a name that is none of ours is a key itself."""
    return KEYS.get(name, name)


def value(name: str, ours: str) -> str:
    """Return a setting's value in 1.6's words."""
    if name not in _LISTS:
        return ours
    return ",".join(_MEASURANDS.get(part, part) for part in ours.split(",") if part)


def told(entries: Iterable[tuple[str, str | None, bool]], asked: tuple[str, ...]) -> dict[str, Any]:
    """Return what a charger told, by our names and in our form: {"settings": {name: {value, readonly}}}.

    Entries are (key, value, read only); keys in any case.
    """
    names = {key(name).casefold(): name for name in asked}
    found = {}
    for theirs, value, readonly in entries:
        name = names.get(theirs.strip().casefold())
        if name is not None and value is not None:
            found[name] = {"value": ours(name, value), "readonly": readonly}
    return {"settings": found}


def ours(name: str, theirs: str) -> str:
    """Return a setting's value in our form."""
    if name not in _LISTS:
        return theirs.strip()
    parts = [part.strip() for part in theirs.split(",")]
    return ",".join(_OURS.get(part.casefold(), part) for part in parts if part)
