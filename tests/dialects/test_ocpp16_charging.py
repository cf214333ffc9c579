"""Limits and settings in OCPP 1.6's words: what is sent, and what a charger's schedule and keys mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.dialect import Answer
from edge.chargers.frames import Result
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.shared import settings as keys
from edge.core import configuration
from edge.core import inputs as core

DIALECT = Ocpp16(lambda tag: tag)
NOW_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z


def limit(limit_a: float = 16, **changed: Any) -> core.SetLimit:
    fields: dict[str, Any] = {
        "evse": 1,
        "scope": "default",
        "transaction": "",
        "limit_a": limit_a,
        "level": 0,
        "relative": False,
        "watts": False,
        "phases": 3,
        "now_ms": NOW_MS,
    }
    return core.SetLimit(**(fields | changed))


def sent(action: core.Action) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(DIALECT.outbound(action).payload)
    return payload


def answered(action: core.Action, payload: dict[str, Any]) -> Answer:
    return DIALECT.answer(action, Result("1", msgspec.Raw(msgspec.json.encode(payload))))


def test_a_default_begins_in_the_past_and_has_no_transaction() -> None:
    assert sent(limit()) == {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 9201,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": {
                "chargingRateUnit": "A",
                "startSchedule": "2025-06-15T15:05:40Z",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}],
            },
        },
    }


def test_a_session_s_names_its_transaction_and_each_slot_has_its_own_id() -> None:
    profile = sent(limit(scope="session", transaction="7"))["csChargingProfiles"]
    assert (profile["chargingProfilePurpose"], profile["transactionId"]) == ("TxProfile", 7)
    slots = [
        limit(scope=scope, evse=evse, transaction="7") for scope in ("session", "default") for evse in (1, 2)
    ]
    ids = {sent(one)["csChargingProfiles"]["chargingProfileId"] for one in slots}
    assert len(ids) == 4
    assert sent(core.ClearLimit(1, "session")) == {"id": profile["chargingProfileId"]}


@given(limit_a=st.floats(0, 1000), phases=st.integers(1, 3), watts=st.booleans())
def test_what_is_said_is_never_more_than_was_meant(limit_a: float, phases: int, watts: bool) -> None:
    schedule = sent(limit(limit_a, phases=phases, watts=watts))["csChargingProfiles"]["chargingSchedule"]
    (period,) = schedule["chargingSchedulePeriod"]
    said_a = period["limit"] / (230 * phases) if watts else period["limit"]
    assert said_a <= limit_a * (1 + 1e-12)
    assert said_a > limit_a - (1 / 230 if watts else 0.1) - 1e-9


@pytest.mark.parametrize(
    ("schedule", "limit_a"),
    [
        ({"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}]}, 16),
        ({"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11040}]}, 16),
        (
            {
                "chargingRateUnit": "W",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 3680, "numberPhases": 1}],
            },
            16,
        ),
        ({"chargingSchedulePeriod": [{"limit": 10.5}]}, 10.5),
        (
            {
                "chargingRateUnit": "a",
                "chargingSchedulePeriod": [{"startPeriod": 60, "limit": 32}, {"startPeriod": 0, "limit": 8}],
            },
            8,
        ),
    ],
)
def test_a_schedule_is_read_in_amperes_for_each_phase(schedule: dict[str, Any], limit_a: float) -> None:
    answer = answered(
        core.ReadLimit(1, watts=False), {"status": "Accepted", "connectorId": 1, "chargingSchedule": schedule}
    )
    assert answer.answer == "accepted"
    assert answer.result["limit_a"] == limit_a


@pytest.mark.parametrize(
    ("payload", "meant"),
    [
        ({"status": "Rejected"}, "rejected"),
        ({"status": "Accepted"}, "accepted"),
        ({"status": "Accepted", "chargingSchedule": {"chargingSchedulePeriod": []}}, "accepted"),
        ({}, "rejected"),
    ],
)
def test_a_schedule_that_says_nothing_proves_nothing(payload: dict[str, Any], meant: str) -> None:
    answer = answered(core.ReadLimit(1, watts=False), payload)
    assert (answer.answer, "limit_a" in answer.result) == (meant, False)


def test_a_profile_that_was_not_there_is_not_an_error() -> None:
    assert answered(core.ClearLimit(1, "session"), {"status": "Unknown"}).answer == "rejected"


def test_settings_go_by_their_keys_and_come_back_by_our_names() -> None:
    asked = core.ReadSettings(("sample_interval_s", "sampled_measurands", "ping_interval_s"))
    assert sent(asked) == {
        "key": ["MeterValueSampleInterval", "MeterValuesSampledData", "WebSocketPingInterval"]
    }
    told = {
        "configurationKey": [
            {"key": "METERVALUESAMPLEINTERVAL", "readonly": True, "value": " 60 "},
            {
                "key": "MeterValuesSampledData",
                "readonly": False,
                "value": "Energy.Active.Import.Register, SoC,Own.Word",
            },
            {"key": "WebSocketPingInterval", "readonly": False},
            {"key": "NeverAsked", "readonly": False, "value": "1"},
        ]
    }
    assert answered(asked, told).result == {
        "settings": {
            "sample_interval_s": {"value": "60", "readonly": True},
            "sampled_measurands": {"value": "energy,soc,Own.Word", "readonly": False},
        }
    }
    assert sent(core.WriteSetting("sampled_measurands", "energy,power")) == {
        "key": "MeterValuesSampledData",
        "value": "Energy.Active.Import.Register,Power.Active.Import",
    }


def test_every_setting_that_is_wanted_has_a_key() -> None:
    assert set(configuration.DEFAULTS) | {configuration.PROFILE_LEVEL_MAX} <= set(keys.KEYS)
