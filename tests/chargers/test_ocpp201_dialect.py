"""The OCPP 2.0.1 dialect without a socket: what it takes, what it leaves out, what it says."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp.messages import MessageType, get_validator
from ocpp.v201 import enums

from common.domain import Availability, MeterSample, Phase
from common.facts import SecurityNoted
from edge.chargers.dialect import Answer, CannotDo, Dialect, Direct, Inbound, ToCore, Unsendable
from edge.chargers.frames import Result
from edge.chargers.ocpp201 import variables
from edge.chargers.ocpp201.commands import COMMANDS
from edge.chargers.ocpp201.dialect import Ocpp201
from edge.chargers.ocpp201.messages import REQUESTS, reader
from edge.core import inputs as core
from edge.core.reports import AvailabilityReported, TransactionEvent
from edge.core.requests import AskTransaction, ReadSettings, WriteSetting
from tests.chargers.site import tag_ref
from tests.dialects.ocpp16_oracle import values

NOW_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z
NOW = "2026-03-01T12:00:00Z"
OCPP201 = Ocpp201(tag_ref)
TAG = "0123456789ABCDEF"


def inbound(action: str, payload: object) -> Inbound:
    return OCPP201.inbound("CP1", action, msgspec.Raw(json.dumps(payload).encode()), NOW_MS)


def event(**more: Any) -> TransactionEvent:
    told = {
        "eventType": "Updated",
        "timestamp": NOW,
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 3,
        "transactionInfo": {"transactionId": "tx"},
    }
    found = inbound(
        "TransactionEvent", {key: value for key, value in (told | more).items() if value is not None}
    )
    assert isinstance(found, ToCore)
    (given_,) = found.inputs
    assert isinstance(given_, TransactionEvent)
    return given_


def test_it_is_a_dialect() -> None:
    dialect: Dialect = OCPP201
    assert (dialect.subprotocol, dialect.version, dialect.asks_each, dialect.compresses) == (
        "ocpp2.0.1",
        "2.0.1",
        True,
        True,
    )


# --- the oracle --------------------------------------------------------------------------------------------


def requests_of(action: str) -> st.SearchStrategy[Any]:
    """What the package's schema allows a station to send."""
    file = resources.files("ocpp") / "v201" / "schemas" / f"{action}Request.json"
    root = json.loads(file.read_text("utf-8-sig"))
    return values(root, root)


@pytest.mark.parametrize("action", sorted(REQUESTS))
@settings(max_examples=30)
@given(data=st.data())
def test_every_valid_request_is_taken_without_violation_and_answered_by_the_schema(
    action: str, data: st.DataObject
) -> None:
    sent = data.draw(requests_of(action))
    raw = json.dumps(sent).encode()
    assert reader.read(action, raw)[1] == ()
    found = OCPP201.inbound("CP1", action, msgspec.Raw(raw), NOW_MS)
    assert not isinstance(found, CannotDo)
    if isinstance(found, Direct):
        answer = found.payload
    else:
        replies = {
            core.Booted: core.BootReply(),
            core.AuthorizeAsked: core.AuthorizeReply("blocked"),
            TransactionEvent: core.StopReply("accepted"),
        }
        answer = found.render(replies.get(type(found.inputs[-1]), core.Acknowledged()))
    get_validator(MessageType.CallResult, action, "2.0.1").validate(json.loads(answer))


def test_all_that_a_station_may_ask_is_known() -> None:
    ours = {name.value for name in enums.Action} - set(REQUESTS)
    stations = {"AuthorizeRequest"} & ours
    assert not stations
    for name in ours:
        assert isinstance(inbound(name, {}), CannotDo)


# --- events ------------------------------------------------------------------------------------------------


def test_an_event_goes_in_as_what_it_is() -> None:
    given_ = event(
        eventType="Started",
        offline=True,
        transactionInfo={"transactionId": "tx", "chargingState": "SuspendedEVSE", "remoteStartId": 7},
        evse={"id": 2, "connectorId": 3},
        idToken={"idToken": TAG, "type": "Central"},
        meterValue=[
            {
                "timestamp": NOW,
                "sampledValue": [
                    {"value": 1.5, "context": "Transaction.Begin", "unitOfMeasure": {"unit": "kWh"}},
                    {"value": 7, "measurand": "Power.Active.Import", "unitOfMeasure": {"multiplier": 3}},
                ],
            }
        ],
    )
    assert (given_.step, given_.number, given_.offline, given_.evse, given_.connector) == (
        *("started", 3, True),
        *(2, 3),
    )
    assert (given_.phase, given_.remote_start, given_.minted) == (Phase.SUSPENDED_EVSE, 7, TAG)
    assert given_.tag_ref == tag_ref(TAG.lower())
    assert given_.at == core.Stamp(NOW, NOW_MS)
    begin, periodic = given_.samples
    assert (begin.context, begin.energy_wh, periodic.power_w) == ("begin", 1500.0, 7000.0)


def test_what_is_left_out_is_not_made_up() -> None:
    given_ = event()
    assert (given_.evse, given_.connector, given_.phase, given_.tag_ref, given_.remote_start) == (None,) * 5
    assert (given_.offline, given_.samples) == (False, ())
    assert event(seqNo=None).number is None
    assert event(evse={"id": 2}).connector is None


def test_a_token_of_no_authorization_is_no_tag() -> None:
    assert event(idToken={"idToken": "", "type": "NoAuthorization"}).tag_ref is None
    assert event(idToken={"idToken": "x" * 255, "type": "ISO14443"}).tag_ref is not None


@pytest.mark.parametrize(
    "broken",
    [
        {"eventType": "Paused"},
        {"transactionInfo": {"transactionId": " "}},
        {"transactionInfo": {}},
        {"transactionInfo": 7},
    ],
)
def test_an_event_without_what_it_is_about_is_kept_and_acknowledged(broken: dict[str, object]) -> None:
    told = {"eventType": "Ended", "timestamp": NOW, "triggerReason": "x", "seqNo": 1}
    found = inbound("TransactionEvent", told | {"transactionInfo": {"transactionId": "t"}} | broken)
    assert isinstance(found, ToCore)
    (kept,) = found.inputs
    assert isinstance(kept, core.Unreadable)
    assert kept.what == "event"
    assert found.render(core.Acknowledged()) == b"{}"


def test_what_stations_get_wrong_is_mended_by_name() -> None:
    given_ = event(seqNo="4", evse=[{"id": "2"}], offline="true", transactionInfo=[{"transactionId": 12}])
    assert (given_.number, given_.evse, given_.offline, given_.transaction) == (4, 2, True, "12")
    assert event(evse={"connectorId": 1}).evse is None
    assert event(seqNo=-1).number is None


def test_a_signed_value_is_kept_byte_for_byte_beside_its_number() -> None:
    document = 'OCMF|{"a": "\\u00e4"}|{"SD":"30"}'
    signed = {"signedMeterData": document, "signingMethod": "", "encodingMethod": "OCMF", "publicKey": "k"}
    given_ = event(
        meterValue=[{"timestamp": NOW, "sampledValue": [{"value": 5, "signedMeterValue": signed}]}]
    )
    (sample,) = given_.samples
    assert sample.energy_wh == 5
    (kept,) = sample.signed
    assert json.loads(kept)["signedMeterData"] == document


@pytest.mark.parametrize(
    ("value", "unit", "energy_wh"),
    [
        (1234.5, None, 1234.5),
        (1.2345, {"unit": "kWh"}, 1234.5),
        (12345, {"unit": "Wh", "multiplier": -1}, 1234.5),
        (1.2345, {"multiplier": 3}, 1234.5),
        (1, {"multiplier": 99}, None),
        (0, {}, 0.0),
    ],
)
def test_units_and_their_powers_of_ten(value: float, unit: Any, energy_wh: float | None) -> None:
    sampled = {"value": value} | ({} if unit is None else {"unitOfMeasure": unit})
    given_ = event(meterValue=[{"timestamp": NOW, "sampledValue": [sampled]}])
    assert [sample.energy_wh for sample in given_.samples] == ([] if energy_wh is None else [energy_wh])


# --- status, the rest --------------------------------------------------------------------------------------


def test_availability_is_told_apart_and_by_connector() -> None:
    told = {"timestamp": NOW, "connectorStatus": "Occupied", "evseId": 2, "connectorId": 3}
    found = inbound("StatusNotification", told)
    assert isinstance(found, ToCore)
    assert found.inputs == (
        AvailabilityReported(
            charger="CP1",
            evse=2,
            connector=3,
            availability=Availability.OCCUPIED,
            reported_at=NOW,
        ),
    )
    unknown = inbound("StatusNotification", told | {"connectorStatus": "Charging"})
    assert isinstance(unknown.inputs[0], core.Unreadable)  # type: ignore[union-attr]


def test_a_monitored_availability_stands_for_a_status() -> None:
    def data(component: str, variable: str, value: str, **where: object) -> dict[str, object]:
        return {
            "eventId": 1,
            "timestamp": NOW,
            "trigger": "Delta",
            "actualValue": value,
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": component} | where,
            "variable": {"name": variable},
        }

    place = {"evse": {"id": 1, "connectorId": 2}}
    told = [
        data("Connector", "AvailabilityState", "Faulted", **place),
        data("Connector", "AvailabilityState", "Available"),
        data("Connector", "Temperature", "41", **place),
        data("EVSE", "AvailabilityState", "Sleeping", **place),
    ]
    found = inbound("NotifyEvent", {"generatedAt": NOW, "seqNo": 0, "eventData": told})
    assert isinstance(found, ToCore)
    assert [(one.evse, one.connector, one.availability) for one in found.inputs] == [  # type: ignore[attr-defined]
        (1, 2, Availability.FAULTED)
    ]
    assert isinstance(inbound("NotifyEvent", {"eventData": told[1:3]}), Direct)


def test_a_security_event_is_noted_by_its_kind_alone() -> None:
    found = inbound("SecurityEventNotification", {"type": "TamperDetection", "techInfo": "SECRET"})
    assert isinstance(found, Direct)
    assert found.inputs == (
        core.Note(body=SecurityNoted(what="charger_event", charger="CP1", detail="TamperDetection")),
    )


def test_meter_values_of_the_main_meter_are_nobodys() -> None:
    value = {"timestamp": NOW, "sampledValue": [{"value": 5}]}
    found = inbound("MeterValues", {"evseId": 0, "meterValue": [value]})
    (reported,) = found.inputs  # type: ignore[union-attr]
    assert isinstance(reported, core.MeterReported)
    assert (reported.evse, reported.transaction) == (0, None)
    assert reported.samples == (MeterSample(at="2026-03-01T12:00:00.000Z", energy_wh=5.0),)


# --- asking ------------------------------------------------------------------------------------------------

WHERE = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
ACTIONS: list[tuple[core.Action, str, dict[str, object]]] = [
    (
        core.StartCharge(2, 1, TAG, 77),
        "RequestStartTransaction",
        {"evseId": 2, "remoteStartId": 77, "idToken": {"idToken": TAG, "type": "Central"}},
    ),
    (core.StopCharge("tx-1"), "RequestStopTransaction", {"transactionId": "tx-1"}),
    (core.UnlockConnector(2, 3), "UnlockConnector", {"evseId": 2, "connectorId": 3}),
    (core.ResetStation(hard=True), "Reset", {"type": "Immediate"}),
    (core.ResetStation(hard=False), "Reset", {"type": "Immediate"}),
    (core.ChangeAvailability(0, 1, True), "ChangeAvailability", {"operationalStatus": "Operative"}),
    (
        core.ChangeAvailability(1, 2, False),
        "ChangeAvailability",
        {"operationalStatus": "Inoperative", "evse": {"id": 1, "connectorId": 2}},
    ),
    (
        core.SetVariable("HeartbeatInterval", "300"),
        "SetVariables",
        {"setVariableData": [WHERE | {"attributeValue": "300"}]},
    ),
    (
        core.SetVariable("Connector@1:2.Available[x]", "true"),
        "SetVariables",
        {
            "setVariableData": [
                {
                    "attributeValue": "true",
                    "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 2}},
                    "variable": {"name": "Available", "instance": "x"},
                }
            ]
        },
    ),
    (
        core.SetPassword("name", "00ff" * 8),
        "SetVariables",
        {
            "setVariableData": [
                {
                    "attributeValue": "00ff" * 8,
                    "component": {"name": "SecurityCtrlr"},
                    "variable": {"name": "BasicAuthPassword"},
                }
            ]
        },
    ),
    (core.GetVariables(("heartbeatinterval",)), "GetVariables", {"getVariableData": [WHERE]}),
    (ReadSettings(("heartbeat_interval_s",)), "GetVariables", {"getVariableData": [WHERE]}),
    (
        WriteSetting("sampled_measurands", "energy,power"),
        "SetVariables",
        {
            "setVariableData": [
                {
                    "attributeValue": "Energy.Active.Import.Register,Power.Active.Import",
                    "component": {"name": "SampledDataCtrlr"},
                    "variable": {"name": "TxUpdatedMeasurands"},
                }
            ]
        },
    ),
    (core.ClearAuthorizationCache(), "ClearCache", {}),
    (core.VendorMessage("v", "m", "d"), "DataTransfer", {"vendorId": "v", "messageId": "m", "data": "d"}),
    (
        core.TriggerStatus(1, 2),
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 2}},
    ),
    (core.TriggerStatus(None), "TriggerMessage", {"requestedMessage": "StatusNotification"}),
    (AskTransaction("tx-1"), "GetTransactionStatus", {"transactionId": "tx-1"}),
]


@pytest.mark.parametrize(("action", "name", "payload"), ACTIONS, ids=lambda value: str(value)[:40])
def test_actions_become_calls(action: core.Action, name: str, payload: dict[str, object]) -> None:
    call = OCPP201.outbound(action)
    assert (call.action, json.loads(call.payload)) == (name, payload)
    get_validator(MessageType.Call, name, "2.0.1").validate(payload)


def test_every_call_that_is_built_is_reached() -> None:
    assert {name for _, name, _ in ACTIONS} == set(COMMANDS)


def test_all_settings_are_read_where_none_is_named() -> None:
    asked = json.loads(OCPP201.outbound(core.GetVariables(())).payload)["getVariableData"]
    assert len(asked) == len(variables.USUAL) > 10


@pytest.mark.parametrize("key", ["", "NoVariable", "a.b.c", "[x].y", "A@x.B", "A.B" + "x" * 60])
def test_a_key_that_names_nothing_says_how_to_write_one(key: str) -> None:
    with pytest.raises(Unsendable, match=r"write Component\.Variable"):
        OCPP201.outbound(core.SetVariable(key, "v"))


@given(st.sampled_from(sorted(variables.FROM_16.values())))
def test_keys_are_written_as_they_are_read(key: str) -> None:
    assert variables.written(*variables.parse(key)) == key


@pytest.mark.parametrize(
    "action",
    [
        core.SetLimit(1, "default", "", 6.0, 0, False, False, 3, NOW_MS),
        core.InstallCertificate("Manufacturer", "pem"),
        core.SetProfile(2),
        core.TrustSite("ec", "pem"),
    ],
)
def test_what_is_not_built_says_so(action: core.Action) -> None:
    with pytest.raises(Unsendable, match=r"OCPP 2\.0\.1"):
        OCPP201.outbound(action)


# --- answered ----------------------------------------------------------------------------------------------


def answer(action: core.Action, payload: object) -> Answer:
    return OCPP201.answer(action, Result("m", msgspec.Raw(json.dumps(payload).encode())))


def test_a_transactions_status() -> None:
    ask = AskTransaction("tx")
    assert answer(ask, {"messagesInQueue": False, "ongoingIndicator": False}).result == {
        "ongoing": False,
        "queued": False,
    }
    # nothing told is no reason to believe that nothing waits
    assert answer(ask, {}).result == {"ongoing": None, "queued": True}


def test_variables_told_and_unknown() -> None:
    other = {"component": {"name": "A"}, "variable": {"name": "B", "instance": "i"}}
    told = {
        "getVariableResult": [
            WHERE | {"attributeStatus": "Accepted", "attributeValue": "300"},
            other | {"attributeStatus": "UnknownVariable"},
        ]
    }
    assert answer(core.GetVariables(("x.y",)), told).result == {
        "values": {"OCPPCommCtrlr.HeartbeatInterval": {"value": "300", "readonly": False}},
        "unknown": ["A.B[i]"],
    }
    asked = ReadSettings(("heartbeat_interval_s", "minimum_status_duration_s"))
    assert answer(asked, told).result == {
        "settings": {"heartbeat_interval_s": {"value": "300", "readonly": False}}
    }


def test_what_an_ended_event_measures_is_never_written() -> None:
    where = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxEndedMeasurands"}}
    told = {"getVariableResult": [where | {"attributeStatus": "Accepted", "attributeValue": "SoC"}]}
    settings_ = answer(ReadSettings(("stop_measurands",)), told).result["settings"]
    assert settings_ == {"stop_measurands": {"value": "soc", "readonly": True}}


@pytest.mark.parametrize(
    ("payload", "meaning", "detail"),
    [
        ({"status": "Rejected", "statusInfo": {"reasonCode": "TxInProgress"}}, "rejected", "TxInProgress"),
        ({"status": "OngoingAuthorizedTransaction"}, "rejected", "OngoingAuthorizedTransaction"),
        ({"status": "Scheduled"}, "scheduled", ""),
        ({"status": 7}, "error", "the charger answered '7'"),
        ([], "error", "the charger answered ''"),
    ],
)
def test_statuses_and_why(payload: object, meaning: str, detail: str) -> None:
    got = answer(core.UnlockConnector(1, 1), payload)
    assert (got.answer, got.detail) == (meaning, detail)
