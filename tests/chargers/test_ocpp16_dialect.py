"""The OCPP 1.6 dialect without a socket: messages to inputs, replies and actions to payloads."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.v16 import enums

from common.domain import ConnectorState
from common.facts import SecurityNoted
from edge.chargers import dialect
from edge.chargers.dialect import Answer, CannotDo, Dialect, Direct, Inbound, ToCore, Unsendable
from edge.chargers.frames import CallError, Result, RpcError
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ocpp16.messages import REQUESTS
from edge.chargers.ocpp16.schemas import OutgoingInvalid, check_outgoing
from edge.chargers.shared.answers import RESULT_MAX_BYTES
from edge.core import inputs as core
from edge.core.requests import AskTransaction, ReadSettings, WriteSetting
from tests.chargers.ocpp16_upkeep import UPKEEP
from tests.chargers.site import tag_ref

NOW_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z
OCPP16 = Ocpp16(tag_ref)
TAG = "0123456789ABCDEF"


def inbound(action: str, **payload: object) -> Inbound:
    return OCPP16.inbound("CP1", action, msgspec.Raw(json.dumps(payload).encode()), NOW_MS)


def to_core(action: str, **payload: object) -> tuple[Any, ToCore]:
    found = inbound(action, **payload)
    assert isinstance(found, ToCore), found
    assert len(found.inputs) == 1
    return found.inputs[0], found


def said(found: ToCore, reply: core.Reply, action: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(found.render(reply))
    check_outgoing("response", action, payload)
    return payload


def test_it_is_a_dialect() -> None:
    found: Dialect = OCPP16
    assert (found.subprotocol, found.version, found.heartbeat_s) == ("ocpp1.6", "1.6", 300)


# ---------------------------------------------------------------------------------------- from a charger


def test_boot() -> None:
    given_, found = to_core(
        "BootNotification",
        chargePointVendor="V",
        chargePointModel="M",
        chargeBoxSerialNumber="S",
        firmwareVersion="1.2",
    )
    assert given_ == core.Booted(charger="CP1", vendor="V", model="M", serial="S", firmware="1.2")
    assert said(found, core.BootReply(), "BootNotification") == {
        "status": "Accepted",
        "interval": 300,
        "currentTime": "2026-03-01T12:00:00Z",
    }
    assert not found.repeatable, "a stored answer would set the clock back"


def test_heartbeat_tells_the_time_without_the_core() -> None:
    assert inbound("Heartbeat") == Direct(payload=b'{"currentTime":"2026-03-01T12:00:00Z"}')


@pytest.mark.parametrize("word", list(enums.ChargePointStatus))
def test_every_status_of_the_specification_has_a_state(word: str) -> None:
    given_, found = to_core("StatusNotification", connectorId=2, errorCode="NoError", status=word)
    assert given_.state.value.replace("_", "") == word.casefold()
    assert (given_.evse, given_.connector, given_.error_code) == (2, 1, "")
    assert said(found, core.Acknowledged(), "StatusNotification") == {}


def test_status_with_an_error_a_text_and_another_spelling() -> None:
    given_, _ = to_core(
        "StatusNotification",
        connectorId=0,
        errorCode="GroundFailure",
        status="suspended_EV",
        info="x" * 200,
        vendorErrorCode="E7",
        timestamp="2026-03-01T12:00:00",
    )
    assert given_ == core.StatusReported(
        charger="CP1",
        evse=0,
        state=ConnectorState.SUSPENDED_EV,
        error_code="GroundFailure",
        info="x" * 100,
        reported_at="2026-03-01T12:00:00",
    )


@pytest.mark.parametrize(
    ("tag", "minted"),
    [(TAG, TAG), (f" {TAG.lower()}", TAG), ("0123456789ABCDE", ""), ("0123456789ABCDEG", "")],
)
def test_tags_leave_as_references_and_minted_ones_are_known_by_their_form(tag: str, minted: str) -> None:
    given_, found = to_core("Authorize", idTag=tag)
    assert given_ == core.AuthorizeAsked(charger="CP1", tag_ref=tag_ref(tag.strip().lower()), minted=minted)
    words = {"accepted": "Accepted", "invalid": "Invalid", "blocked": "Blocked", "expired": "Expired"}
    for status, word in {**words, "concurrent": "ConcurrentTx"}.items():
        assert said(found, core.AuthorizeReply(status), "Authorize") == {"idTagInfo": {"status": word}}
        assert word in set(enums.AuthorizationStatus)


def test_start() -> None:
    given_, found = to_core(
        "StartTransaction", connectorId=1, idTag=TAG, meterStart=100, timestamp="2026-03-01T14:00:00+02:00"
    )
    assert given_ == core.TransactionStarted(
        charger="CP1",
        evse=1,
        tag_ref=tag_ref(TAG.lower()),
        minted=TAG,
        meter_start_wh=100,
        started=core.Stamp("2026-03-01T14:00:00+02:00", NOW_MS),
    )
    assert found.repeatable
    assert said(found, core.StartReply("77", "blocked", "key"), "StartTransaction") == {
        "transactionId": 77,
        "idTagInfo": {"status": "Blocked"},
    }


def test_a_start_without_tag_register_and_zone() -> None:
    given_, found = to_core("StartTransaction", connectorId=1, timestamp="2026-03-01T12:00:00")
    assert (given_.tag_ref, given_.minted, given_.meter_start_wh) == (None, "", None)
    assert given_.started == core.Stamp("2026-03-01T12:00:00", None)
    assert {"idTag:missing", "meterStart:missing"} <= set(found.violations)


def test_stop_with_samples() -> None:
    value = {"timestamp": "2026-03-01T12:30:00Z", "sampledValue": [{"value": "5", "unit": "kWh"}]}
    given_, found = to_core(
        "StopTransaction",
        transactionId=77,
        meterStop=5100,
        timestamp="2026-03-01T12:00:00Z",
        reason="EVDisconnected",
        idTag="Card",
        transactionData=[value],
    )
    assert (given_.transaction, given_.meter_stop_wh, given_.reason) == ("77", 5100, "EVDisconnected")
    assert (given_.tag_ref, given_.ended) == (tag_ref("card"), core.Stamp("2026-03-01T12:00:00Z", NOW_MS))
    assert [sample.energy_wh for sample in given_.samples] == [5000]
    assert said(found, core.StopReply("accepted"), "StopTransaction") == {"idTagInfo": {"status": "Accepted"}}
    for reply in (core.StopReply(None), core.Acknowledged()):
        assert said(found, reply, "StopTransaction") == {}


@pytest.mark.parametrize(
    ("told", "evse", "transaction"),
    [
        ({"connectorId": 2, "transactionId": 2**63 - 1}, 2, str(2**63 - 1)),
        ({"connectorId": 2, "transactionId": -1}, 2, "-1"),
        ({"connectorId": 0}, 0, None),
        ({}, 0, None),
    ],
)
def test_meter_values(told: dict[str, int], evse: int, transaction: str | None) -> None:
    value = {"timestamp": "2026-03-01T12:00:00Z", "sampledValue": [{"value": "7"}, {"value": "x"}]}
    given_, found = to_core("MeterValues", meterValue=[value], **told)
    assert (given_.evse, given_.transaction) == (evse, transaction)
    assert [sample.energy_wh for sample in given_.samples] == [7]
    assert "meterValue.sampledValue.value:not_a_number" in found.violations
    assert said(found, core.Acknowledged(), "MeterValues") == {}


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("DataTransfer", {"status": "UnknownVendorId"}),
        ("SignCertificate", {"status": "Rejected"}),
        ("FirmwareStatusNotification", {}),
        ("DiagnosticsStatusNotification", {}),
        ("LogStatusNotification", {}),
        ("SignedFirmwareStatusNotification", {}),
    ],
)
def test_what_is_noted_and_goes_no_further_even_when_it_cannot_be_read(
    action: str, answer: dict[str, str]
) -> None:
    for payload in (b"{}", b"[1,2,3]"):
        found = OCPP16.inbound("CP1", action, msgspec.Raw(payload), NOW_MS)
        assert isinstance(found, Direct)
        assert found.inputs == ()
        assert json.loads(found.payload) == answer
        check_outgoing("response", action, answer)


def test_a_security_event_is_noted_by_its_type_alone() -> None:
    found = inbound(
        "SecurityEventNotification", type="TamperDetectionActivated", timestamp="t", techInfo="SECRET"
    )
    assert isinstance(found, Direct)
    noted = SecurityNoted(what="charger_event", charger="CP1", detail="TamperDetectionActivated")
    assert found.inputs == (core.Note(body=noted),)


@pytest.mark.parametrize(
    ("action", "code"), [("Nonsense", RpcError.NOT_IMPLEMENTED), ("UnlockConnector", RpcError.NOT_SUPPORTED)]
)
def test_what_no_charger_may_ask(action: str, code: RpcError) -> None:
    found = inbound(action)
    assert isinstance(found, CannotDo)
    assert found.code is code


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "connectorId",
    "idTag",
    "meterStart",
    "timestamp",
    "transactionId",
    "meterStop",
    "status",
    "meterValue",
]
PAYLOADS = st.dictionaries(st.sampled_from(KEYS), ANY) | ANY


@given(st.sampled_from([*REQUESTS, "Nonsense"]), PAYLOADS)
def test_no_payload_breaks_it_and_no_transaction_message_is_refused(action: str, payload: object) -> None:
    found = OCPP16.inbound("CP1", action, msgspec.Raw(json.dumps(payload).encode()), NOW_MS)
    if action in ("StartTransaction", "StopTransaction", "MeterValues", "StatusNotification"):
        assert isinstance(found, ToCore)
        if isinstance(found.inputs[0], core.Unreadable):
            check_outgoing("response", action, json.loads(found.render(core.Acknowledged())))


# ------------------------------------------------------------------------------------------------ quarantine


@given(st.text('ab\\"{}[],: \u20ac', max_size=8).map(lambda text: f"{text}SECRET{text}"), st.integers(0, 3))
def test_no_tag_is_kept_in_a_quarantined_message(tag: str, cut: int) -> None:
    payloads = ({"idTag": tag}, [{"a": {"ParentIdTag": tag}}], {"idToken": {"idToken": tag, "type": "x"}})
    for payload in payloads[: 2 if cut else 3]:
        for ascii_only in (True, False):
            raw = json.dumps(payload, ensure_ascii=ascii_only).encode()
            assert "SECRET" not in dialect.quarantined(raw[: len(raw) - cut], tag_ref)


def test_a_quarantined_message_is_kept_whole_up_to_its_bound() -> None:
    assert dialect.quarantined(b'{"a":1,"b":[null]}', tag_ref) == '{"a":1,"b":[null]}'
    assert dialect.quarantined(b"\xff{", tag_ref) == "\ufffd{"
    assert len(dialect.quarantined(b"[" + b"1," * 1_000_000, tag_ref)) == dialect.RAW_MAX
    assert dialect.quarantined(b'{"idTag":5,"x":2', lambda tag: f"<{tag}>") == '{"idTag":"<5>","x":2'


# ---------------------------------------------------------------------------------------- to a charger

ACTIONS: list[tuple[core.Action, str, dict[str, object]]] = [
    (core.StartCharge(2, 1, TAG), "RemoteStartTransaction", {"connectorId": 2, "idTag": TAG}),
    (core.StopCharge("77"), "RemoteStopTransaction", {"transactionId": 77}),
    (core.StopCharge("-1"), "RemoteStopTransaction", {"transactionId": -1}),
    (core.UnlockConnector(2, 1), "UnlockConnector", {"connectorId": 2}),
    (core.ResetStation(hard=True), "Reset", {"type": "Hard"}),
    (core.ResetStation(hard=False), "Reset", {"type": "Soft"}),
    (core.ChangeAvailability(0, 1, True), "ChangeAvailability", {"connectorId": 0, "type": "Operative"}),
    (core.ChangeAvailability(1, 1, False), "ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}),
    (core.SetVariable("k", "v"), "ChangeConfiguration", {"key": "k", "value": "v"}),
    (core.GetVariables(("a", "b")), "GetConfiguration", {"key": ["a", "b"]}),
    (core.GetVariables(()), "GetConfiguration", {}),
    (core.ClearAuthorizationCache(), "ClearCache", {}),
    (core.VendorMessage("v", "m", "d"), "DataTransfer", {"vendorId": "v", "messageId": "m", "data": "d"}),
    (core.VendorMessage("v", "", ""), "DataTransfer", {"vendorId": "v"}),
    (core.TriggerStatus(1), "TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}),
    (core.TriggerStatus(None), "TriggerMessage", {"requestedMessage": "StatusNotification"}),
    (
        core.SetPassword("name", "00ff" * 8),
        "ChangeConfiguration",
        {"key": "AuthorizationKey", "value": "00ff" * 8},
    ),
    (core.SetProfile(2), "ChangeConfiguration", {"key": "SecurityProfile", "value": "2"}),
    (
        core.TrustSite("ec", "PEM"),
        "InstallCertificate",
        {"certificateType": "CentralSystemRootCertificate", "certificate": "PEM"},
    ),
    (core.ReadTagVersion(), "GetLocalListVersion", {}),
    (
        core.SendTags(7, (), whole=True),
        "SendLocalList",
        {"listVersion": 7, "updateType": "Full"},
    ),
    (
        core.Reserve(1, 1, 5, TAG, "2025-06-15T12:15:00.000Z"),
        "ReserveNow",
        {"connectorId": 1, "expiryDate": "2025-06-15T12:15:00.000Z", "idTag": TAG, "reservationId": 5},
    ),
    (core.CancelReservation(5), "CancelReservation", {"reservationId": 5}),
    *UPKEEP,
]


@pytest.mark.parametrize(("action", "name", "payload"), ACTIONS, ids=lambda value: str(value)[:40])
def test_actions_become_calls(action: core.Action, name: str, payload: dict[str, object]) -> None:
    call = OCPP16.outbound(action)
    assert (call.action, json.loads(call.payload)) == (name, payload)
    assert name in set(enums.Action)


#: What 1.6 has no message for, and what `ocpp16.charging` and `shared.settings` are tested for elsewhere.
ELSEWHERE = {
    *(AskTransaction, ReadSettings, WriteSetting),
    *(core.SetLimit, core.ClearLimit, core.ReadLimit),
}


def test_every_action_of_the_core_has_a_call() -> None:
    assert {type(action) for action, _, _ in ACTIONS} == set(core.Action.__args__) - ELSEWHERE
    with pytest.raises(Unsendable):
        OCPP16.outbound(AskTransaction("7"))


def test_what_1_6_cannot_say() -> None:
    with pytest.raises(Unsendable, match="no number"):
        OCPP16.outbound(core.StopCharge("b7e0-tx"))
    with pytest.raises(OutgoingInvalid):
        OCPP16.outbound(core.SetVariable("k", "v" * 501))


def answer(action: core.Action, payload: object) -> Answer:
    return OCPP16.answer(action, Result("m", msgspec.Raw(json.dumps(payload).encode())))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (ACTIONS[0][0], {"Accepted": "accepted", "Rejected": "rejected", "": "error", "Maybe": "error"}),
        (ACTIONS[1][0], {"Accepted": "accepted", "Rejected": "rejected"}),
        (
            core.UnlockConnector(1, 1),
            {
                "Unlocked": "accepted",
                "UnlockFailed": "rejected",
                "NotSupported": "not_supported",
                "Accepted": "accepted",
            },
        ),
        (core.ResetStation(hard=True), {"Accepted": "accepted", "Rejected": "rejected"}),
        (ACTIONS[6][0], {"Accepted": "accepted", "Rejected": "rejected", "Scheduled": "scheduled"}),
        (
            core.SetVariable("k", "v"),
            {
                "Accepted": "accepted",
                "Rejected": "rejected",
                "RebootRequired": "accepted",
                "NotSupported": "not_supported",
                "not_supported": "not_supported",
            },
        ),
        (core.ClearAuthorizationCache(), {"Accepted": "accepted", "Rejected": "rejected"}),
        (core.TriggerStatus(None), {"Accepted": "accepted", "NotImplemented": "not_supported"}),
        (
            core.VendorMessage("v", "", ""),
            {"UnknownVendorId": "not_supported", "UnknownMessageId": "not_supported"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_answers_have_a_neutral_meaning(action: core.Action, words: dict[str, str]) -> None:
    assert {word: answer(action, {"status": word}).answer for word in words} == words


def test_answers_tell_what_the_meaning_leaves_out() -> None:
    assert answer(core.SetVariable("k", "v"), {"status": "RebootRequired"}).detail == "RebootRequired"
    assert (
        answer(core.SetVariable("k", "v"), {"status": "Perhaps"}).detail == "the charger answered 'Perhaps'"
    )
    assert answer(core.VendorMessage("v", "", ""), {"status": "Accepted", "data": "x"}).result == {
        "data": "x"
    }
    assert "payload:type" in answer(core.ResetStation(hard=True), [1, 2]).detail


def test_refusals() -> None:
    for code in ("NotImplemented", "NotSupported"):
        refused = OCPP16.answer(core.TriggerStatus(None), CallError("m", code, "no"))
        assert (refused.answer, refused.detail) == ("not_supported", f"{code}: no")
    refused = OCPP16.answer(core.TriggerStatus(None), CallError("m", "InternalError"))
    assert (refused.answer, refused.detail) == ("error", "InternalError")


def test_configuration_is_told_key_by_key_and_fits_a_fact() -> None:
    told = {
        "configurationKey": [{"key": "A", "readonly": False, "value": "1"}, {"key": "B", "readonly": True}],
        "unknownKey": ["C"],
    }
    assert answer(core.GetVariables(("A", "B", "C")), told).result == {
        "values": {"A": {"value": "1", "readonly": False}, "B": {"value": None, "readonly": True}},
        "unknown": ["C"],
    }
    many = [{"key": f"K{number}", "readonly": False, "value": "\u20ac" * 400} for number in range(50)]
    found = answer(core.GetVariables(()), {"configurationKey": many, "unknownKey": ["x" * 50] * 500}).result
    assert len(json.dumps(found, ensure_ascii=False).encode()) < 16 * 1024
    assert found["cut"] == 550 - len(found["values"]) - len(found["unknown"])
    assert len(found["values"]) > 5
    data = answer(
        core.VendorMessage("v", "", ""), {"status": "Accepted", "data": "\U0001f50c" * 60_000}
    ).result
    assert len(data["data"].encode()) <= RESULT_MAX_BYTES


@given(st.sampled_from([action for action, _, _ in ACTIONS]), ANY)
def test_no_answer_breaks_it(action: core.Action, payload: object) -> None:
    assert answer(action, payload).answer in ("accepted", "rejected", "scheduled", "not_supported", "error")
