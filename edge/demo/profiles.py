"""What a simulated charger keeps between boots: its configuration, and charging profiles that limit it.

A charger's answers to GetConfiguration, ChangeConfiguration and the SmartCharging messages, as OCPP 1.6 asks
(§5.3, §5.8, §3.13). `SimulatedCharger` asks `limit_a` how much it may give. Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

#: Volts of one phase; the demo's chargers have three.
PHASE_V: Final = 230.0
PHASES: Final = 3
LEVEL_MAX: Final = 3

#: key → value as it comes out of the box, and whether it is read only.
FACTORY: Final[dict[str, tuple[str, bool]]] = {
    "AuthorizeRemoteTxRequests": ("true", False),
    "ChargeProfileMaxStackLevel": (str(LEVEL_MAX), True),
    "ChargingScheduleAllowedChargingRateUnit": ("Current,Power", True),
    "ClockAlignedDataInterval": ("0", False),
    "ConnectionTimeOut": ("60", False),
    "HeartbeatInterval": ("300", False),
    "LocalAuthorizeOffline": ("true", False),
    "LocalPreAuthorize": ("false", False),
    "MeterValueSampleInterval": ("60", False),
    "MeterValuesSampledData": ("Energy.Active.Import.Register", False),
    "MinimumStatusDuration": ("0", False),
    "NumberOfConnectors": ("1", True),
    "StopTransactionOnInvalidId": ("true", False),
    "StopTxnSampledData": ("", False),
    "SupportedFeatureProfiles": ("Core,SmartCharging,RemoteTrigger", True),
    "TransactionMessageAttempts": ("3", False),
    "TransactionMessageRetryInterval": ("60", False),
    "WebSocketPingInterval": ("60", False),
}
#: What its meter can tell.
MEASURANDS: Final = frozenset(
    {"Energy.Active.Import.Register", "Power.Active.Import", "Current.Import", "Current.Offered", "SoC"}
)


class Memory:
    """Configuration and profiles of one charger."""

    def __init__(self) -> None:
        self.values = dict(FACTORY)
        self._profiles: dict[int, tuple[int, dict[str, Any]]] = {}  #: id → connector, profile

    def read(self, asked: dict[str, Any]) -> dict[str, Any]:
        """GetConfiguration. Keys are compared without case, and answered in the charger's own."""
        known = {key.casefold(): key for key in self.values}
        wanted = asked.get("key") or list(self.values)
        found = [known[key.casefold()] for key in wanted if key.casefold() in known]
        told = [
            {"key": key, "readonly": readonly, "value": value}
            for key, (value, readonly) in ((key, self.values[key]) for key in found)
        ]
        return {"configurationKey": told, "unknownKey": [k for k in wanted if k.casefold() not in known]}

    def write(self, asked: dict[str, Any]) -> dict[str, Any]:
        """ChangeConfiguration. A list with a member that it does not have is refused as a whole."""
        known = {key.casefold(): key for key in self.values}
        key = known.get(asked["key"].casefold())
        if key is None:
            return {"status": "NotSupported"}
        if self.values[key][1]:
            return {"status": "Rejected"}
        parts = [part.strip() for part in asked["value"].split(",") if part.strip()]
        if key.endswith("SampledData") and not MEASURANDS.issuperset(parts):
            return {"status": "Rejected"}
        self.values[key] = (asked["value"], False)
        return {"status": "Accepted"}

    def put(self, asked: dict[str, Any], transaction: int | None) -> dict[str, Any]:
        """SetChargingProfile: one of the same id, or of the same level and purpose, is replaced."""
        profile = asked["csChargingProfiles"]
        purpose, level = profile["chargingProfilePurpose"], profile["stackLevel"]
        if not 0 <= level <= LEVEL_MAX:
            return {"status": "Rejected"}
        if purpose == "TxProfile" and profile.get("transactionId", transaction) != transaction:
            return {"status": "Rejected"}
        if purpose == "TxProfile" and transaction is None:
            return {"status": "Rejected"}
        for known, (where, other) in list(self._profiles.items()):
            alike = (other["chargingProfilePurpose"], other["stackLevel"], where)
            if alike == (purpose, level, asked["connectorId"]):
                del self._profiles[known]
        self._profiles[profile["chargingProfileId"]] = (asked["connectorId"], profile)
        return {"status": "Accepted"}

    def clear(self, asked: dict[str, Any]) -> dict[str, Any]:
        """ClearChargingProfile."""
        fitting = [
            known
            for known, (where, profile) in self._profiles.items()
            if asked.get("id", known) == known
            and asked.get("connectorId", where) == where
            and asked.get("stackLevel", profile["stackLevel"]) == profile["stackLevel"]
            and asked.get("chargingProfilePurpose", profile["chargingProfilePurpose"])
            == profile["chargingProfilePurpose"]
        ]
        for known in fitting:
            del self._profiles[known]
        return {"status": "Accepted" if fitting else "Unknown"}

    def session_over(self) -> None:
        """A TxProfile ends with its transaction (§3.13.1)."""
        for known, (_, profile) in list(self._profiles.items()):
            if profile["chargingProfilePurpose"] == "TxProfile":
                del self._profiles[known]

    def limit_a(self, most_a: float, now_ms: int) -> float:
        """What it may give on its connector now, for each phase: the station's own and the lowest of all."""
        limit_a = most_a
        by_purpose: dict[str, tuple[int, float]] = {}
        for _, profile in self._profiles.values():
            now_a = _now(profile, now_ms)
            purpose = profile["chargingProfilePurpose"]
            before = by_purpose.get(purpose)
            if now_a is not None and (before is None or profile["stackLevel"] >= before[0]):
                by_purpose[purpose] = (profile["stackLevel"], now_a)
        # A TxProfile overrules the default of its connector (§3.13.2); the station's counts beside both.
        for chosen in (
            by_purpose.get("TxProfile") or by_purpose.get("TxDefaultProfile"),
            by_purpose.get("ChargePointMaxProfile"),
        ):
            if chosen is not None:
                limit_a = min(limit_a, chosen[1])
        return limit_a

    def composite(self, asked: dict[str, Any], most_a: float, now: str, now_ms: int) -> dict[str, Any]:
        """GetCompositeSchedule."""
        limit_a = self.limit_a(most_a, now_ms)
        unit = asked.get("chargingRateUnit", "A")
        limit = limit_a if unit == "A" else limit_a * PHASE_V * PHASES
        return {
            "status": "Accepted",
            "connectorId": asked["connectorId"],
            "scheduleStart": now,
            "chargingSchedule": {
                "duration": asked["duration"],
                "chargingRateUnit": unit,
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": round(limit, 1)}],
            },
        }


def _now(profile: dict[str, Any], now_ms: int) -> float | None:
    """The limit of a profile now, in A for each phase; None before it begins."""
    schedule = profile["chargingSchedule"]
    start = schedule.get("startSchedule")
    since_s = 0.0
    if start is not None and profile["chargingProfileKind"] == "Absolute":
        since_s = now_ms / 1000 - datetime.fromisoformat(start).timestamp()
    past = [one for one in schedule["chargingSchedulePeriod"] if one["startPeriod"] <= since_s]
    if not past or since_s > schedule.get("duration", since_s):
        return None
    limit: float = past[-1]["limit"]
    if schedule["chargingRateUnit"] == "W":
        phases: int = past[-1].get("numberPhases", PHASES)
        return limit / (PHASE_V * phases)
    return limit
