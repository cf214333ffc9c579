"""The OCPP-J envelope: what real chargers send, what must never happen, and the laws of the codec."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.chargers import frames
from edge.chargers.frames import (
    Call,
    CallError,
    Fault,
    Frame,
    Ignored,
    Result,
    RpcError,
    Unreadable,
    decode,
    decode_noting,
    encode_call,
    encode_error,
    encode_result,
)
from edge.chargers.repair import REPAIR_MAX_BYTES, repair

METER = (
    b'[2,"19223201","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-01-01T00:00:00Z",'
    b'"sampledValue":[{"value":"12.5"}]}]}]'
)


def payload(frame: Frame) -> object:
    assert isinstance(frame, Call | Result)
    return msgspec.json.decode(bytes(frame.payload))


def test_the_three_message_types_of_the_specification() -> None:
    call = decode(METER)
    assert isinstance(call, Call)
    assert (call.message_id, call.action) == ("19223201", "MeterValues")
    assert payload(call) == json.loads(METER)[3]
    result = decode('[3,"a",{"status":"Accepted"}]')
    assert isinstance(result, Result)
    assert payload(result) == {"status": "Accepted"}
    error = decode(b'[4,"a","NotSupported","no","{}"]')
    assert isinstance(error, CallError)
    assert (error.message_id, error.code, error.description) == ("a", "NotSupported", "no")


@pytest.mark.parametrize(
    "data", [b'[2,"a","Heartbeat"]', b'[2,"a","Heartbeat",null]', b'[2,"a","Heartbeat",{}]']
)
def test_absent_null_and_empty_payload_are_one(data: bytes) -> None:
    assert payload(decode(data)) == {}


@pytest.mark.parametrize(
    "data",
    [b'[4,"a"]', b'[4,"a",null]', b'[4,"a","",null,null]', b'[4,"a","","",{},"more",7]', b'[4,"a","",""]'],
)
def test_short_and_long_callerrors(data: bytes) -> None:
    error = decode(data)
    assert isinstance(error, CallError)
    assert (error.code, error.description, bytes(error.details)) == ("", "", b"{}")


@pytest.mark.parametrize(
    ("text", "value"), [('"7"', "7"), ("7", 7), ("-1", -1), ("1.5", 1.5), (str(2**70), 2**70)]
)
def test_a_message_id_comes_back_in_its_own_json_type(text: str, value: object) -> None:
    frame = decode(f'[2,{text},"Heartbeat",{{}}]')
    assert isinstance(frame, Call)
    assert frame.message_id == value
    assert encode_result(frame.message_id, b"{}") == f"[3,{text},{{}}]".encode()
    assert json.loads(encode_error(frame.message_id, "GenericError"))[1] == value


@pytest.mark.parametrize("data", [b"", b" \r\n", b"\x00\x00", b"\xef\xbb\xbf", ""])
def test_blank_frames_are_empty(data: bytes | str) -> None:
    frame = decode(data)
    assert isinstance(frame, Unreadable)
    assert frame.reason is Fault.EMPTY


@pytest.mark.parametrize(
    ("data", "expected", "note"),
    [
        (b'[2,"a","M",{"transactionId":,"x":1}]', {"transactionId": None, "x": 1}, "frame:repaired"),  # AEFA
        (b'[2,"a","M",{"transactionId":}]', {"transactionId": None}, "frame:repaired"),
        (b'[2,"a","M",{"m":[,{"x":1}]}]', {"m": [{"x": 1}]}, "frame:repaired"),  # Beny
        (b'[2,"a","M",{"m":[1,],"n":{},}]', {"m": [1], "n": {}}, "frame:repaired"),
        (b'[2,"a","M",{"x":1}', {"x": 1}, "frame:repaired"),  # Grizzl-E
        (b'[2,"a","M",{"x":1},', {"x": 1}, "frame:repaired"),
        (b'[2,"a","M",{"x":NaN,"y":-Infinity}]', {"x": None, "y": None}, "frame:repaired"),
        (b'[2,"a","M",{"x":"a,]b","y":}]', {"x": "a,]b", "y": None}, "frame:repaired"),
        (b'[2,"a","M",{"idTag":"AB\x00\x00"}]', {"idTag": "AB"}, "frame:repaired"),
        (b'[2,"a","M",{"idTag":"A\nB\\t"}]', {"idTag": "A\nB\t"}, "frame:repaired"),
        (b'[2,"a","M",{"idTag":"A\\ud800B"}]', {"idTag": "A?B"}, "frame:repaired"),
        (b'[2,"a","M",{"idTag":"A\xffB"}]', {"idTag": "A\ufffdB"}, "frame:utf8"),  # Ocular
        (b'[2,"a","M",{"x":1}]\x00', {"x": 1}, "frame:padding"),
        (b'\xef\xbb\xbf[2,"a","M",{"x":1}]', {"x": 1}, "frame:padding"),
        (b'[2,"a","M",null]', {}, "frame:null"),
    ],
)
def test_breakages_of_the_field_are_mended_and_named(data: bytes, expected: object, note: str) -> None:
    frame, notes = decode_noting(data)
    assert isinstance(frame, Call)
    assert (frame.message_id, frame.action) == ("a", "M")
    assert payload(frame) == expected
    assert notes == (note,)


def test_a_clean_frame_has_no_notes() -> None:
    assert decode_noting(METER)[1] == ()
    assert decode_noting('[2,"a","DataTransfer",{"data":"Straße ☂"}]')[1] == ()


@pytest.mark.parametrize(
    "data",
    [
        b'[2,"a","StopTransaction",{"transactionId":7,"meterStop":1',  # digits may be missing
        b'[2,"a","StopTransaction",{"transactionId":7,"meterStop":12}',  # this one is whole
        b'[2,"a","StopTransaction",{"transactionId":7,"idTag":"12}]',
        b'[2,"a","StopTransaction",{"transactionId":7]}',
        b'[2,"a","StopTransaction",{"transactionId":0x7}]',
    ],
)
def test_what_was_cut_off_is_not_made_up(data: bytes) -> None:
    frame = decode(data)
    if data.endswith(b"12}"):
        assert payload(frame) == {"transactionId": 7, "meterStop": 12}
    else:
        assert frame == Unreadable(Fault.NOT_JSON, "a", data)


def test_repair_is_bounded() -> None:
    long = b'[2,"a","M",{"x":"' + b"x" * REPAIR_MAX_BYTES + b'","y":}]'
    assert repair(long) is None
    frame = decode(long)
    assert isinstance(frame, Unreadable)
    assert frame.message_id == "a"
    assert len(frame.first_bytes) == frames.FIRST_BYTES_MAX


@pytest.mark.parametrize(
    ("data", "reason", "message_id", "answers"),
    [
        (b'[2,"a",7,{}]', Fault.BAD_ACTION, "a", None),
        (b'[2,"a",null,{}]', Fault.BAD_ACTION, "a", None),
        (b'[2,"a"]', Fault.BAD_ACTION, "a", None),
        (b'[2,17,{"a":1},{}]', Fault.BAD_ACTION, 17, None),
        (b'[2,null,"Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b'[2,true,"Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b'[2,["a"],"Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b'[2,1e999,"Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b"[2," + b"9" * 5000 + b',"Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b"[2," + b"9" * 4000 + b',"Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b'[2,"' + b"x" * 300 + b'","Heartbeat",{}]', Fault.BAD_MESSAGE_ID, None, None),
        (b"[2]", Fault.BAD_MESSAGE_ID, None, None),
        (b'["2","a","Heartbeat",{}]', Fault.UNKNOWN_TYPE, None, None),
        (b'[true,"a","Heartbeat",{}]', Fault.UNKNOWN_TYPE, None, None),
        (b'[7,"a","Heartbeat",{}]', Fault.UNKNOWN_TYPE, None, None),
        (b"[]", Fault.UNKNOWN_TYPE, None, None),
        (b'{"a":1}', Fault.NOT_AN_ARRAY, None, None),
        (b'"Heartbeat"', Fault.NOT_AN_ARRAY, None, None),
        (b'[2,"a","M",{"x":\x01}]', Fault.NOT_JSON, "a", None),
        (b'[2,17,"M",{"x":"', Fault.NOT_JSON, 17, None),
        (b'[3,"mine",{"status":"Acc', Fault.NOT_JSON, None, "mine"),
        (b'[4,"mine","Generic', Fault.NOT_JSON, None, "mine"),
        (b"GET / HTTP/1.1", Fault.NOT_JSON, None, None),
        (b"[" * 100_000, Fault.NOT_JSON, None, None),
        (b'[2,"a","M",' + b"[" * 100_000, Fault.NOT_JSON, "a", None),
        (b'[2,"a","M",' + b"[" * 100_000 + b"]" * 100_001, Fault.NOT_JSON, "a", None),
    ],
)
def test_unreadable_frames_tell_why_and_whose(
    data: bytes, reason: Fault, message_id: object, answers: object
) -> None:
    assert decode(data) == Unreadable(reason, message_id, data[: frames.FIRST_BYTES_MAX], answers)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [5, 6])
def test_message_types_of_ocpp_2_1_are_ignored(kind: int) -> None:
    assert decode(f'[{kind},"a","NotifyPeriodicEventStream",{{}}]') == Ignored(kind)
    assert decode(f"[{kind}]") == Ignored(kind)


def test_error_codes_are_spelt_as_each_version_spells_them() -> None:
    assert RpcError.FORMAT.wire("1.6") == "FormationViolation"
    assert RpcError.FORMAT.wire("2.0.1") == "FormatViolation"
    assert RpcError.OCCURRENCE_CONSTRAINT.wire("1.6") == "OccurenceConstraintViolation"
    assert RpcError.NOT_IMPLEMENTED.wire("1.6") == RpcError.NOT_IMPLEMENTED.wire("2.1") == "NotImplemented"
    table_7 = {
        "NotImplemented",
        "NotSupported",
        "InternalError",
        "ProtocolError",
        "SecurityError",
        "FormationViolation",
        "PropertyConstraintViolation",
        "OccurenceConstraintViolation",
        "TypeConstraintViolation",
        "GenericError",
    }
    assert {code.wire("1.6") for code in RpcError} == table_7
    assert all(RpcError.of(name) is not None for name in table_7)
    assert RpcError.of("FormatViolation") is RpcError.of("FormationViolation") is RpcError.FORMAT
    assert RpcError.of("") is None


# ------------------------------------------------------------------------------------------------ laws

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ids = st.one_of(
    texts,
    st.integers(min_value=-(2**200), max_value=2**200),
    st.floats(allow_nan=False, allow_infinity=False),
)
objects = st.dictionaries(
    texts,
    st.recursive(
        st.one_of(texts, st.integers(-(2**53), 2**53), st.booleans(), st.none()),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=10,
    ),
    max_size=4,
)


@given(st.binary(max_size=200))
@example(b'[2,"a"')
def test_decode_never_raises_on_bytes(data: bytes) -> None:
    assert isinstance(decode(data), Frame)


@given(st.text(max_size=200))
@example('[2,"\ud800","x"]')
def test_decode_never_raises_on_text(data: str) -> None:
    assert isinstance(decode(data), Frame)


@given(st.data())
def test_decode_never_raises_on_mutated_frames(data: st.DataObject) -> None:
    frame = bytearray(METER)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(frame)))
        cut = data.draw(st.integers(0, 8))
        noise = data.draw(
            st.sampled_from([b"", b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\x00", b"\xff", b"1e9"])
        )
        frame[at : at + cut] = noise
    found = decode(bytes(frame))
    assert isinstance(found, Frame)
    if isinstance(found, Call):  # whatever was accepted is JSON that the dialect can look into
        msgspec.json.decode(bytes(found.payload))


@given(texts, texts, objects)
def test_calls_round_trip(message_id: str, action: str, body: dict[str, object]) -> None:
    frame = decode(encode_call(message_id, action, msgspec.json.encode(body)))
    assert isinstance(frame, Call)
    assert (frame.message_id, frame.action, payload(frame)) == (message_id, action, body)


@given(ids, objects)
def test_results_round_trip(message_id: str | float, body: dict[str, object]) -> None:
    frame = decode(encode_result(message_id, msgspec.json.encode(body)))
    assert isinstance(frame, Result)
    assert frame.message_id == message_id
    assert type(frame.message_id) is type(message_id)
    assert payload(frame) == body


@given(
    st.sampled_from(RpcError),
    st.text(max_size=400),
    st.dictionaries(st.text(max_size=9), st.text(max_size=9)),
)
def test_errors_round_trip_whatever_the_text(
    code: RpcError, description: str, details: dict[str, str]
) -> None:
    data = encode_error("a", code.wire("1.6"), description, details)
    frame = decode(data)
    assert isinstance(frame, CallError)
    assert RpcError.of(frame.code) is not None
    assert len(frame.description) <= frames.DESCRIPTION_MAX_CHARS
    assert len(json.loads(data)) == 5
    assert json.loads(data)[2] == code.wire("1.6")


@given(objects)
def test_a_missing_final_bracket_costs_nothing(body: dict[str, object]) -> None:
    whole = json.dumps([2, "a", "M", body])
    assert payload(decode(whole[:-1])) == payload(decode(whole))
