"""OCPP 1.6 payloads: valid ones without a word, the field's broken ones by name, and never another error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.chargers.ocpp16.commands import (
    ANSWERS,
    GetConfigurationResponse,
    KeyValue,
    StatusResponse,
    read_answer,
)
from edge.chargers.ocpp16.messages import (
    REQUESTS,
    BootNotification,
    DataTransfer,
    MeterValue,
    MeterValues,
    SampledValue,
    StartTransaction,
    StatusNotification,
    StopTransaction,
    UnreadablePayload,
    encode,
    read,
)
from edge.chargers.shared import payload as bounds
from edge.chargers.shared.coerce import VIOLATIONS_MAX
from tests.dialects.ocpp16_oracle import messages

NOW = "2026-03-01T12:00:00Z"


def as_bytes(payload: object) -> bytes:
    return json.dumps(payload).encode()


# ------------------------------------------------------------------------------------------------ the oracle


@pytest.mark.parametrize("action", sorted(REQUESTS))
@settings(max_examples=40)
@given(data=st.data())
def test_every_valid_request_is_read_without_violation_and_whole(action: str, data: st.DataObject) -> None:
    sent = data.draw(messages(action))
    got, violations = read(action, as_bytes(sent))
    assert violations == ()
    if sent.get("transactionData") == []:
        del sent["transactionData"]
    assert json.loads(encode(got)) == sent


@pytest.mark.parametrize("action", sorted(ANSWERS))
@settings(max_examples=40)
@given(data=st.data())
def test_every_valid_answer_is_read_without_violation_and_whole(action: str, data: st.DataObject) -> None:
    sent = data.draw(messages(action, response=True))
    got, violations = read_answer(action, as_bytes(sent))
    assert violations == ()
    assert json.loads(encode(got)) == {name: value for name, value in sent.items() if value != []}


# ------------------------------------------------------------------------------------------------ the field


def test_meter_values_with_everything_wrong() -> None:
    sent = {
        "connectorId": "1",
        "transactionId": None,
        "meterValue": {"sampledValue": {"value": 12.5, "context": None, "unit": "Hz"}},
        "vendorExtra": {"a": 1},
    }
    value = SampledValue(value="12.5", unit="Hz")
    assert read("MeterValues", as_bytes(sent)) == (
        MeterValues(connector_id=1, meter_value=(MeterValue("", (value,)),)),
        (
            "connectorId:text",
            "meterValue:object",
            "meterValue.timestamp:missing",
            "meterValue.sampledValue:object",
            "meterValue.sampledValue.value:number",
            "meterValue.sampledValue.context:null",
            "transactionId:null",
        ),
    )


def test_an_empty_sampled_value_is_read() -> None:
    got, violations = read(
        "MeterValues", as_bytes({"connectorId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": []}]})
    )
    assert got == MeterValues(connector_id=1, meter_value=(MeterValue(NOW, ()),))
    assert violations == ()


def test_meter_values_without_connector_or_values_bind_to_nothing() -> None:
    assert read("MeterValues", b"{}") == (
        MeterValues(connector_id=None, meter_value=()),
        ("connectorId:missing", "meterValue:missing"),
    )


def test_items_that_are_nothing_are_left_out() -> None:
    sent = {
        "connectorId": 1,
        "meterValue": [7, {"timestamp": NOW, "sampledValue": ["x", {"value": "1"}, {}]}],
    }
    got, violations = read("MeterValues", as_bytes(sent))
    assert got == MeterValues(
        connector_id=1, meter_value=(MeterValue(NOW, (SampledValue("1"), SampledValue(""))),)
    )
    assert violations == (
        "meterValue:dropped",
        "meterValue.sampledValue:dropped",
        "meterValue.sampledValue.value:missing",
    )


@pytest.mark.parametrize(
    ("wire", "transaction_id", "violations"),
    [
        ("-1", -1, ()),
        ("0", 0, ()),
        (str(2**63 - 1), 2**63 - 1, ()),  # Alfen
        (str(2**63), 2**63, ("transactionId:range",)),
        (str(10**63), 10**63, ("transactionId:range",)),
        ('"42"', 42, ("transactionId:text",)),
        ("42.0", 42, ("transactionId:fraction",)),
    ],
)
def test_any_integer_is_a_transaction_id(wire: str, transaction_id: int, violations: tuple[str, ...]) -> None:
    body = f'{{"transactionId":{wire},"meterStop":5,"timestamp":"{NOW}"}}'.encode()
    assert read("StopTransaction", body) == (
        StopTransaction(transaction_id=transaction_id, meter_stop=5, timestamp=NOW),
        violations,
    )


@pytest.mark.parametrize(
    "wire", ["null", '""', '"abc"', "1.5", "true", "[]", "{}", "1e300", str(10**64), '"1e60000"', "9" * 5000]
)
def test_a_stop_that_names_no_transaction_is_unreadable(wire: str) -> None:
    body = f'{{"transactionId":{wire},"meterStop":5,"timestamp":"{NOW}"}}'.encode()
    with pytest.raises(UnreadablePayload) as raised:
        read("StopTransaction", body)
    assert raised.value.action == "StopTransaction"
    assert raised.value.reason in ("transactionId:missing", "transactionId:type", "payload:not_json")
    assert raised.value.hint


def test_a_stop_without_a_transaction_is_unreadable() -> None:
    with pytest.raises(UnreadablePayload, match="transactionId:missing"):
        read("StopTransaction", as_bytes({"meterStop": 5, "timestamp": NOW}))


@pytest.mark.parametrize(
    ("wire", "meter", "violations"),
    [
        ("1234", 1234, ()),
        ("-5", -5, ()),
        ("1234.5", 1234, ("meterStart:fraction",)),
        ("1235.5", 1236, ("meterStart:fraction",)),
        ('"1234"', 1234, ("meterStart:text",)),
        ('"1,5"', 2, ("meterStart:text", "meterStart:fraction")),
        ('""', None, ("meterStart:type",)),
        ("null", None, ("meterStart:null",)),
        ("1e400", None, ("meterStart:type",)),
        (str(2**53), None, ("meterStart:range",)),
        ("true", None, ("meterStart:type",)),
    ],
)
def test_a_register_is_rounded_or_missing_but_never_zero(
    wire: str, meter: int | None, violations: tuple[str, ...]
) -> None:
    body = f'{{"connectorId":1,"idTag":"A","meterStart":{wire},"timestamp":"{NOW}"}}'.encode()
    assert read("StartTransaction", body) == (
        StartTransaction(connector_id=1, id_tag="A", meter_start=meter, timestamp=NOW),
        violations,
    )


def test_a_start_needs_its_connector_and_nothing_else() -> None:
    assert read("StartTransaction", b'{"connectorId":1,"idTag":1234567890123}') == (
        StartTransaction(connector_id=1, id_tag="1234567890123", meter_start=None, timestamp=""),
        ("idTag:number", "meterStart:missing", "timestamp:missing"),
    )
    for connector in (None, -1, 10_000, 1.5, "one"):
        with pytest.raises(UnreadablePayload, match="connectorId"):
            read(
                "StartTransaction",
                as_bytes({"connectorId": connector, "idTag": "A", "meterStart": 0, "timestamp": NOW}),
            )


@pytest.mark.parametrize(
    ("body", "what"), [(b"null", "null"), (b"[]", "list"), (b"[{}]", "list"), (b"[null]", "list")]
)
def test_no_payload_is_an_empty_one(body: bytes, what: str) -> None:
    for action in ("Heartbeat", "BootNotification"):
        got, violations = read(action, body)
        assert got == (BootNotification("", "") if action == "BootNotification" else REQUESTS[action]())
        assert violations[0] == ("payload:list" if what == "list" else "payload:null")


def test_odd_words_and_long_tags_are_taken_as_they_are() -> None:
    sent = {"connectorId": 1, "status": "Occupied", "errorCode": "EV?", "info": "x" * 60}
    got, violations = read("StatusNotification", as_bytes(sent))
    assert got == StatusNotification(1, "EV?", "Occupied", info="x" * 60)
    assert violations == ()
    assert read("Authorize", as_bytes({"idTag": "A" * 22}))[1] == ()


def test_long_text_is_cut_and_nul_taken_out() -> None:
    got, violations = read("DataTransfer", as_bytes({"vendorId": "v" * 300, "data": "a\0b"}))
    assert got == DataTransfer(vendor_id="v" * bounds.TEXT_MAX_CHARS, data="ab")
    assert violations == ("vendorId:long", "data:nul")


def test_data_that_is_an_object_is_kept_as_json() -> None:
    got, violations = read("DataTransfer", as_bytes({"vendorId": "v", "data": {"a": [1, "é"]}}))
    assert got == DataTransfer(vendor_id="v", data='{"a":[1,"é"]}')
    assert violations == ("data:object",)


def test_backslashes_alone_are_no_violation() -> None:
    assert read("DataTransfer", b'{"vendorId":"v","data":"a\\\\u0000\\n"}') == (
        DataTransfer(vendor_id="v", data="a\\u0000\n"),
        (),
    )


def test_configuration_with_numbers_and_without_readonly() -> None:
    sent = {
        "configurationKey": [
            {"key": "A", "readonly": "false", "value": 30},
            {"key": "B", "readonly": 1, "value": True},
            {"key": "C"},
            {"value": "x"},
        ],
        "unknownKey": "D",
    }
    assert read_answer("GetConfiguration", as_bytes(sent)) == (
        GetConfigurationResponse(
            configuration_key=(
                KeyValue("A", readonly=False, value="30"),
                KeyValue("B", readonly=True, value="true"),
                KeyValue("C", readonly=True),
            ),
            unknown_key=("D",),
        ),
        (
            "configurationKey.readonly:text",
            "configurationKey.value:number",
            "configurationKey.readonly:number",
            "configurationKey.value:bool",
            "configurationKey.readonly:missing",
            "configurationKey.key:missing",
            "configurationKey:dropped",
            "unknownKey:text",
        ),
    )


def test_an_answer_without_a_status_is_an_answer() -> None:
    assert read_answer("UnlockConnector", b'{"status":"Accepted"}') == (StatusResponse("Accepted"), ())
    assert read_answer("Reset", b"{}") == (StatusResponse(""), ("status:missing",))


@pytest.mark.parametrize(
    ("action", "body", "reason"),
    [
        ("FooBar", b"{}", "action:unknown"),
        ("Heartbeat", b'"x"', "payload:type"),
        ("Heartbeat", b"[1]", "payload:type"),
        ("Heartbeat", b"[{},{}]", "payload:type"),
        ("Heartbeat", b'{"a":', "payload:not_json"),
        ("DataTransfer", b'{"data":' + b"[" * 100_000, "payload:not_json"),
        ("Authorize", b"{}", "idTag:missing"),
        ("Authorize", b'{"idTag":[]}', "idTag:type"),
        ("StatusNotification", b'{"connectorId":1}', "status:missing"),
    ],
)
def test_what_cannot_be_used_says_why(action: str, body: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePayload) as raised:
        read(action, body)
    assert raised.value.reason == reason


# ------------------------------------------------------------------------------------------------ laws

anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**70), 10**70),
        st.floats(),
        st.text(max_size=12),
        st.sampled_from(["", "1", "-1", "1,5", "NaN", "1e999", "\0", "\ud800", "x" * 70_000]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "unit", "timestamp", "sampledValue", "key"]), inner)
    ),
    max_leaves=8,
)


def damaged(data: st.DataObject, node: Any) -> Any:
    """Replace, drop or wrap something somewhere in a message."""
    if isinstance(node, dict) and node and data.draw(st.integers(0, 3)):
        name = data.draw(st.sampled_from(sorted(node)))
        return {**node, name: damaged(data, node[name])}
    if isinstance(node, list) and node and data.draw(st.integers(0, 3)):
        return [damaged(data, node[0]), *node[1:]]
    return data.draw(anything)


def texts_in(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for inner in node.values() for text in texts_in(inner)]
    if isinstance(node, list | tuple):
        return [text for inner in node for text in texts_in(inner)]
    return [node] if isinstance(node, str) else []


@pytest.mark.parametrize("action", sorted(REQUESTS))
@settings(max_examples=40)
@given(data=st.data())
def test_read_raises_nothing_but_unreadable_payload(action: str, data: st.DataObject) -> None:
    body = as_bytes(damaged(data, data.draw(messages(action))))
    try:
        got, violations = read(action, body)
    except UnreadablePayload:
        return
    assert isinstance(got, REQUESTS[action])
    assert len(violations) == len(set(violations)) <= VIOLATIONS_MAX
    # what was read is within the bounds: it can be stored, sent on, and is read again to the same
    again, _ = read(action, encode(got))
    assert again == got
    assert not any("\0" in text for text in texts_in(msgspec.to_builtins(got)))


@given(st.sampled_from(sorted(REQUESTS)), st.binary(max_size=100))
def test_read_raises_nothing_else_on_bytes(action: str, body: bytes) -> None:
    with contextlib.suppress(UnreadablePayload):
        read(action, msgspec.Raw(body))
