"""The OCPP-J envelope: bytes from a charger's socket to a frame, and our frames to bytes.

First station of everything a charger sends: `link` hands each WebSocket message to `decode`, looks at the
frame's type, and passes a call's payload on, still undecoded, to the dialect. Nothing here knows an action or
a payload. **No input makes `decode` raise**: what cannot be read comes back as `Unreadable`, so no frame can
end a connection (quirk 28). What is repaired on the way is what chargers in the field were seen to send
(quirks 19, 26, 27), in one bounded pass (`repair`).

Source: OCPP-J 1.6 §4 with its errata sheet, OCPP 2.0.1 part 4 §4, OCPP 2.1 part 4 §4.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

import msgspec

from edge.chargers.repair import clean, repair

#: A message id as it came: echoed in a reply in the same JSON type.
MessageId = str | int | float

#: The specification allows 36 characters (a UUID); ids with a device prefix exist. The bound keeps a hostile
#: id out of logs and of the stored replies.
MESSAGE_ID_MAX_CHARS: Final = 255
#: How much of an unreadable frame is kept for the log and the doctor.
FIRST_BYTES_MAX: Final = 256
#: The id of an error about a call whose own could not be read (OCPP 2.0.1 part 4, §4.2.3).
LOST_ID: Final = "-1"
#: OCPP 2.0.1 part 4, table 7.
DESCRIPTION_MAX_CHARS: Final = 255

_OTHER_TYPE = re.compile(rb"\s*\[\s*[013-9]")

_EMPTY = msgspec.Raw(b"{}")
_NULL = msgspec.Raw(b"null")


class Call(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A request. `payload` is JSON of any shape; absent and null have become `{}`."""

    message_id: MessageId
    action: str
    payload: msgspec.Raw = _EMPTY


class Result(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The answer to a call. `payload` as in `Call`."""

    message_id: MessageId
    payload: msgspec.Raw = _EMPTY


class CallError(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The refusal of a call. Four-element ones exist (quirk 30), so all but the id may be empty."""

    message_id: MessageId
    code: str = ""
    description: str = ""
    details: msgspec.Raw = _EMPTY


class Fault(StrEnum):
    """Why a frame is unreadable: stable words for the log, the counters and the doctor."""

    EMPTY = "empty"  # also blanks and NUL bytes only: ignored, never counted against the charger
    NOT_JSON = "not_json"
    NOT_AN_ARRAY = "not_an_array"
    UNKNOWN_TYPE = "unknown_type"
    BAD_MESSAGE_ID = "bad_message_id"
    BAD_ACTION = "bad_action"


class Unreadable(msgspec.Struct, frozen=True):
    """A frame that is none. At most one of the two ids is set.

    `message_id`: the id of a *call*, which may be answered with a CALLERROR. `answers`: the id of a call of
    ours whose answer this was, so that the waiting command can fail now instead of timing out.
    """

    reason: Fault
    message_id: MessageId | None
    first_bytes: bytes
    answers: MessageId | None = None

    @property
    def may_be_call(self) -> bool:
        """Whether it may have been a call. An answer is never answered, nor an unknown type (quirk 104)."""
        known = self.reason in (Fault.EMPTY, Fault.UNKNOWN_TYPE) or self.answers is not None
        return not (known or _OTHER_TYPE.match(self.first_bytes))


class Ignored(msgspec.Struct, frozen=True):
    """OCPP 2.1's CALLRESULTERROR (5) and SEND (6): known, and never answered (quirk 104)."""

    type: int


Frame = Call | Result | CallError | Unreadable | Ignored


class RpcError(StrEnum):
    """Error codes of a CALLERROR. The value is OCPP 2.x's word; `wire` gives the version's own (quirk 29).

    `NOT_IMPLEMENTED` is an unknown action, `NOT_SUPPORTED` a known one that is not served.
    """

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL = "InternalError"
    PROTOCOL = "ProtocolError"
    SECURITY = "SecurityError"
    FORMAT = "FormatViolation"
    PROPERTY_CONSTRAINT = "PropertyConstraintViolation"
    OCCURRENCE_CONSTRAINT = "OccurrenceConstraintViolation"
    TYPE_CONSTRAINT = "TypeConstraintViolation"
    GENERIC = "GenericError"
    RPC_FRAMEWORK = "RpcFrameworkError"
    MESSAGE_TYPE = "MessageTypeNotSupported"

    def wire(self, version: Literal["1.6", "2.0.1", "2.1"]) -> str:
        """Return the code as this OCPP version spells it."""
        return _WIRE_16.get(self, self.value) if version == "1.6" else self.value

    @classmethod
    def of(cls, code: str) -> RpcError | None:
        """Return the meaning of a code that a charger sent, in whichever version's spelling; else None."""
        return _MEANING.get(code)


# OCPP-J 1.6 table 7. Two names are misspelt there and stay so (errata 5.1 and 5.2: "do not fix"); the last
# two codes do not exist in 1.6, which calls any bad frame a FormationViolation.
_WIRE_16: Final = {
    RpcError.FORMAT: "FormationViolation",
    RpcError.OCCURRENCE_CONSTRAINT: "OccurenceConstraintViolation",
    RpcError.RPC_FRAMEWORK: "FormationViolation",
    RpcError.MESSAGE_TYPE: "GenericError",
}
_MEANING: Final = {
    **{code.value: code for code in RpcError},
    "FormationViolation": RpcError.FORMAT,
    "OccurenceConstraintViolation": RpcError.OCCURRENCE_CONSTRAINT,
}

# ------------------------------------------------------------------------------------------------ decoding

_fast = msgspec.json.Decoder(Call | Result | CallError)


def decode(data: bytes | str) -> Frame:
    """Read one WebSocket message. Never raises."""
    return decode_noting(data)[0]


def decode_noting(data: bytes | str) -> tuple[Frame, tuple[str, ...]]:
    """Read one WebSocket message and name what had to be mended for it. Never raises.

    The notes are short stable words for the charger's violation counters: `frame:utf8`, `frame:null`,
    `frame:repaired`, `frame:padding`. A well-formed frame gives none.
    """
    notes: tuple[str, ...] = ()
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if not raw.isascii():
        raw, notes = _valid_utf8(raw)
    try:
        frame = _fast.decode(raw)
    except (ValueError, RecursionError):
        return _decode_slowly(raw, notes)
    if len(_text_id(frame.message_id)) > MESSAGE_ID_MAX_CHARS:
        return _unreadable(Fault.BAD_MESSAGE_ID, raw), notes
    # equality of Raw compares bytes: the cheapest way to see a null payload
    if isinstance(frame, CallError):
        if frame.details == _NULL:
            frame = msgspec.structs.replace(frame, details=_EMPTY)
    elif frame.payload == _NULL:
        return msgspec.structs.replace(frame, payload=_EMPTY), (*notes, "frame:null")
    return frame, notes


def _valid_utf8(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Replace what is not UTF-8 (quirk 19), so that everything later may rely on text being text."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace").encode(), ("frame:utf8",)
    return raw, ()


def _text_id(message_id: MessageId) -> str:
    """Return an id as text; one that Python refuses to print (over 4300 digits) as an overlong text."""
    if isinstance(message_id, str):
        return message_id
    try:
        return str(message_id)
    except ValueError:
        return "9" * (MESSAGE_ID_MAX_CHARS + 1)


class _Loose(msgspec.Struct, array_like=True):
    """Any array: five elements looked at one by one, the rest skipped without being built."""

    kind: msgspec.Raw = _NULL
    message_id: msgspec.Raw = _NULL
    third: msgspec.Raw = _NULL
    fourth: msgspec.Raw = _NULL
    fifth: msgspec.Raw = _NULL


_loose = msgspec.json.Decoder(_Loose)


def _decode_slowly(raw: bytes, notes: tuple[str, ...]) -> tuple[Frame, tuple[str, ...]]:
    """Read what the strict decoder refused: padding, one repair pass, then element by element."""
    text = raw.strip(b"\x00\xff \t\r\n").removeprefix(b"\xef\xbb\xbf").strip(b"\x00 \t\r\n")
    if not text:
        return _unreadable(Fault.EMPTY, raw), notes
    if len(text) != len(raw):
        notes = (*notes, "frame:padding")
    elements = _elements(text)
    if elements is None:
        mended = repair(text)
        elements = None if mended is None else _elements(mended)
        if elements is None:
            fault = Fault.NOT_JSON if text[:1] == b"[" or not _is_json(text) else Fault.NOT_AN_ARRAY
            return _unreadable(fault, raw), notes
        notes = (*notes, "frame:repaired")
    return _assemble(elements, raw), notes


def _elements(text: bytes) -> _Loose | None:
    try:
        return _loose.decode(text)
    except (ValueError, RecursionError):
        return None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def _assemble(elements: _Loose, raw: bytes) -> Frame:
    """Build the frame from elements that are each valid JSON but perhaps of the wrong type."""
    kind = _scalar(elements.kind)
    if isinstance(kind, float) and kind.is_integer():
        kind = int(kind)
    if isinstance(kind, bool) or kind not in (2, 3, 4, 5, 6):
        return _unreadable(Fault.UNKNOWN_TYPE, raw)
    if kind in (5, 6):
        return Ignored(int(kind))
    message_id = _scalar(elements.message_id)
    if (
        message_id is None
        or isinstance(message_id, bool)
        or len(_text_id(message_id)) > MESSAGE_ID_MAX_CHARS
        or message_id in (float("inf"), float("-inf"))
    ):
        return _unreadable(Fault.BAD_MESSAGE_ID, raw)
    if kind == 2:
        action = _scalar(elements.third)
        if not isinstance(action, str):
            return Unreadable(Fault.BAD_ACTION, message_id, raw[:FIRST_BYTES_MAX])
        return Call(message_id, action, _object(elements.fourth))
    if kind == 3:
        return Result(message_id, _object(elements.third))
    code, description = _scalar(elements.third), _scalar(elements.fourth)
    return CallError(
        message_id,
        "" if code is None else str(code)[:DESCRIPTION_MAX_CHARS],
        "" if description is None else str(description)[:DESCRIPTION_MAX_CHARS],
        _object(elements.fifth),
    )


def _object(payload: msgspec.Raw) -> msgspec.Raw:
    return _EMPTY if payload == _NULL else payload


_scalars = msgspec.json.Decoder(str | int | float | bool | None)


def _scalar(value: msgspec.Raw) -> str | int | float | bool | None:
    """Return a JSON scalar; None for null and for everything else."""
    try:
        found: str | int | float | bool | None = _scalars.decode(value)
    except (ValueError, RecursionError):
        return None
    return found


_HEAD = re.compile(
    rb'[\s\x00\xef\xbb\xbf]*\[\s*([234])\s*,\s*("(?:[^"\\\x00-\x1f]|\\.){0,%d}"|-?[0-9]{1,18})\s*[,\]]'
    % MESSAGE_ID_MAX_CHARS
)


def _unreadable(reason: Fault, raw: bytes) -> Unreadable:
    """Report a frame, with the message id if the frame's beginning still tells it (quirk 26)."""
    head = _HEAD.match(raw[: 4 * MESSAGE_ID_MAX_CHARS])
    found = _scalar(msgspec.Raw(head[2])) if head else None
    if head is None or found is None or reason is Fault.BAD_MESSAGE_ID:
        return Unreadable(reason, None, raw[:FIRST_BYTES_MAX])
    if head[1] == b"2":
        return Unreadable(reason, found, raw[:FIRST_BYTES_MAX])
    return Unreadable(reason, None, raw[:FIRST_BYTES_MAX], answers=found)


# ------------------------------------------------------------------------------------------------ encoding


def encode_call(message_id: str, action: str, payload: bytes) -> bytes:
    """Return a CALL. `payload` is the JSON object as encoded and checked by the dialect."""
    return msgspec.json.encode(Call(message_id, action, msgspec.Raw(payload)))


def encode_result(message_id: MessageId, payload: bytes) -> bytes:
    """Return the CALLRESULT to the call with this id."""
    return msgspec.json.encode(Result(message_id, msgspec.Raw(payload)))


def encode_error(
    message_id: MessageId, code: str, description: str = "", details: Mapping[str, str] | None = None
) -> bytes:
    """Return a CALLERROR. `code` comes from `RpcError.wire`; an over-long description is cut."""
    text = {clean(key): clean(value) for key, value in (details or {}).items()}
    raw = msgspec.Raw(msgspec.json.encode(text))
    return msgspec.json.encode(CallError(message_id, code, clean(description[:DESCRIPTION_MAX_CHARS]), raw))
