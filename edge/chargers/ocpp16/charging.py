"""OCPP 1.6's SmartCharging profile: payloads both ways, and what limits are in its words.

`commands` and `actions` take this in with the rest of what we ask. A limit becomes a charging profile with
one period, without end; its id follows from the slot, so a new limit replaces the old one and never stands
beside it (§3.13, §5.16). A schedule in watts is of all phases together, one in amperes of each (errata sheet
3.69).

Each request class is named as its action. Source: OCPP 1.6 edition 2 §3.13, §6.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any, ClassVar, Final, Literal

import msgspec

from edge.chargers.dialect import Answer, Unsendable
from edge.chargers.shared.payload import Opt, Payload, Text
from edge.chargers.shared.times import render
from edge.core import inputs as core

Unit = Literal["A", "W"]
Purpose = Literal["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]

#: What watts are made of amperes with (IEC 60038), where a charger takes watts only.
NOMINAL_V: Final = 230
#: An absolute schedule begins so long ago, in s: one that begins in the future allows everything until then,
#: and a charger's clock may be behind (quirk 87).
SINCE_S: Final = 60
#: How much of the future a composite schedule is asked for, in s: it has to hold the present only, and some
#: chargers answer with each minute of it.
AHEAD_S: Final = 60

_PURPOSES: Final[dict[str, Purpose]] = {
    "station": "ChargePointMaxProfile",
    "default": "TxDefaultProfile",
    "session": "TxProfile",
}
#: Ids of profiles: scope → first; the EVSE is added, of which there are 128 at most.
_IDS: Final = {"station": 9000, "default": 9200, "session": 9400}

# ------------------------------------------------------------------------------------------------ requests


class ChargingSchedulePeriod(Payload, frozen=True):
    """From so many seconds after the schedule's begin on, so much."""

    start_period: int
    limit: float
    number_phases: int | None = None


class ChargingSchedule(Payload, frozen=True):
    """A limit over time; without a duration it does not end."""

    charging_rate_unit: Unit
    charging_schedule_period: tuple[ChargingSchedulePeriod, ...]
    start_schedule: str | None = None


class ChargingProfile(Payload, frozen=True):
    """One profile at the charger."""

    charging_profile_id: int
    stack_level: int
    charging_profile_purpose: Purpose
    charging_profile_kind: Literal["Absolute", "Recurring", "Relative"]
    charging_schedule: ChargingSchedule
    transaction_id: int | None = None


class SetChargingProfile(Payload, frozen=True):
    """Put a profile in force on a connector; 0 is the whole."""

    connector_id: int
    cs_charging_profiles: ChargingProfile


class ClearChargingProfile(Payload, frozen=True):
    """Take a profile away, by its id."""

    id: int


class GetCompositeSchedule(Payload, frozen=True):
    """What is in force on a connector, of all profiles together."""

    connector_id: int
    duration: int
    charging_rate_unit: Unit


# ------------------------------------------------------------------------------------------------ answers


class ToldPeriod(Payload, frozen=True):
    """A period as a charger tells it."""

    NEUTRAL: ClassVar[dict[str, object]] = {"start_period": 0}
    start_period: int
    limit: float
    number_phases: Opt[int] = None


class ToldSchedule(Payload, frozen=True):
    """A schedule as a charger tells it. Without a unit it is the one that was asked for."""

    NEUTRAL: ClassVar[dict[str, object]] = {"charging_rate_unit": "", "charging_schedule_period": ()}
    charging_rate_unit: Text
    charging_schedule_period: tuple[ToldPeriod, ...]
    duration: Opt[int] = None
    start_schedule: Opt[Text] = None
    min_charging_rate: Opt[float] = None


class GetCompositeScheduleResponse(Payload, frozen=True):
    """What is in force, if the charger can tell."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    connector_id: Opt[int] = None
    schedule_start: Opt[Text] = None
    charging_schedule: Opt[ToldSchedule] = None


COMMANDS: Final[dict[str, type[Payload]]] = {
    cls.__name__: cls for cls in (SetChargingProfile, ClearChargingProfile, GetCompositeSchedule)
}
ANSWERS: Final[dict[str, type[Payload]]] = {"GetCompositeSchedule": GetCompositeScheduleResponse}

# ------------------------------------------------------------------------------------------------ meaning


def request_for(action: core.Action) -> Payload | None:
    """Return the call that carries out one of these actions, None for any other. Raises Unsendable."""
    match action:
        case core.SetLimit():
            return SetChargingProfile(action.evse, _profile(action))
        case core.ClearLimit():
            return ClearChargingProfile(_IDS[action.scope] + action.evse)
        case core.ReadLimit():
            return GetCompositeSchedule(action.evse, AHEAD_S, "W" if action.watts else "A")
        case _:
            return None


def _profile(action: core.SetLimit) -> ChargingProfile:
    limit, unit = _down(action.limit_a), "A"
    if action.watts:
        watts = Decimal(repr(action.limit_a)) * NOMINAL_V * action.phases
        limit, unit = float(watts.quantize(Decimal(1), ROUND_DOWN)), "W"
    period = ChargingSchedulePeriod(0, limit, action.phases if action.watts else None)
    since = None
    if not action.relative:
        since = render(datetime.fromtimestamp(action.now_ms / 1000 - SINCE_S, UTC))
    return ChargingProfile(
        charging_profile_id=_IDS[action.scope] + action.evse,
        stack_level=action.level,
        charging_profile_purpose=_PURPOSES[action.scope],
        charging_profile_kind="Relative" if action.relative else "Absolute",
        charging_schedule=ChargingSchedule("W" if unit == "W" else "A", (period,), since),
        transaction_id=_transaction(action.transaction) if action.scope == "session" else None,
    )


def _down(limit_a: float) -> float:
    """A limit as the specification wants it: one decimal (§7.8), never more than was meant."""
    return float(Decimal(repr(limit_a)).quantize(Decimal("0.1"), ROUND_DOWN))


def _transaction(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Unsendable(f"transaction {text[:64]!r} has no number; OCPP 1.6 cannot limit it") from None


def meaning(action: core.Action, read: Payload, violations: tuple[str, ...]) -> Answer | None:
    """Return what a composite schedule says, None for any other answer."""
    if not isinstance(read, GetCompositeScheduleResponse):
        return None
    if read.status.strip().casefold() != "accepted":
        return Answer("rejected", read.status[:200], violations=violations)
    schedule = read.charging_schedule
    if schedule is None or not schedule.charging_schedule_period:
        return Answer("accepted", "no schedule is in force", violations=violations)
    first = min(schedule.charging_schedule_period, key=lambda period: period.start_period)
    # Some write the unit in a case of their own, or leave it out (quirk 89).
    word = schedule.charging_rate_unit.strip().upper()
    asked = action if isinstance(action, core.ReadLimit) else core.ReadLimit(0, watts=False)
    watts = word.startswith("W") or (not word and asked.watts)
    limit_a = first.limit
    if watts:
        limit_a = first.limit / (NOMINAL_V * (first.number_phases or asked.phases or 3))
    result: dict[str, Any] = {
        "limit_a": round(limit_a, 2),
        "told": first.limit,
        "unit": "W" if watts else "A",
    }
    if not math.isfinite(limit_a):
        return Answer("error", "the charger's schedule has no number", violations=violations)
    return Answer("accepted", result=msgspec.to_builtins(result), violations=violations)
