"""Reading payloads: strict when they are well-formed, tolerant and by name when they are not.

A `Reader` belongs to one table of payload structs (`messages`, `commands`). The strict path is one msgspec
decode. Only what that refuses comes to the tolerant path, which walks the same struct declarations over the
plain JSON value and mends each field on its own (quirks 25, 27, 57, 64, 72). Every deviation is named once,
as `path:what`, for the charger's violation counters:

    null missing   an absent value, spelt or not        text number bool   another scalar than the field's
    fraction       an integer with a fraction           object list        one for many, or many for one
    range          a number out of bounds: as absent    long nul           text cut, or freed of NUL
    type           nothing to be made of it: as absent  dropped            an item of a list left out

Nothing is ever made up: a value that cannot be read is absent, and never 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from common.errors import Code, RemoteFault
from edge.chargers.shared.payload import WIDE_INT_MAX_DIGITS, Payload

#: A charger that gets everything wrong names this many of its faults in a message; the counters need no more.
VIOLATIONS_MAX: Final = 16

_ABSENT: Final = object()
_HINT: Final = "Check the charger's firmware version with its maker."


class UnreadablePayload(RemoteFault):
    """A payload that lacks what its message is about. `reason` is stable: `transactionId:missing`."""

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(Code.PROTOCOL, f"{action[:64]}: {reason}", hint=_HINT)
        self.action = action
        self.reason = reason


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    """A required field is absent and has no neutral value; the argument is its `path:what`."""


class Reader:
    """Reads the payloads of one table, action → struct."""

    def __init__(self, table: Mapping[str, type[Payload]]) -> None:
        self._table = table
        self._decoders = {action: msgspec.json.Decoder(cls) for action, cls in table.items()}

    def read(self, action: str, payload: msgspec.Raw | bytes) -> tuple[Payload, tuple[str, ...]]:
        """Return the struct and the violations; raises UnreadablePayload, and nothing else."""
        decoder = self._decoders.get(action)
        if decoder is None:
            raise UnreadablePayload(action, "action:unknown")
        data = bytes(payload)
        # an escaped NUL is valid JSON, but text with NUL in it breaks the cloud's database
        if b"\\" not in data or b"\\u0000" not in data:
            try:
                return decoder.decode(data), ()
            except (ValueError, RecursionError):
                pass
        violations: dict[str, None] = {}
        try:
            value = _root(_plain(data), violations)
            return _struct(self._table[action], value, "", violations), tuple(violations)
        except _Unusable as unusable:
            raise UnreadablePayload(action, str(unusable)) from None


def _plain(data: bytes) -> object:
    """Return the payload as plain Python values, by whichever parser takes it."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:  # takes what the other does not: numbers beyond a double, half surrogates, text that is not UTF-8
        return json.loads(data.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        raise _Unusable("payload:not_json") from None


def _root(value: object, violations: dict[str, None]) -> dict[str, object]:
    """Return the payload object; none, and the empty list that some languages make of it, are `{}`."""
    if isinstance(value, dict):
        return value
    if value is None:
        _note(violations, "payload", "null")
        return {}
    if isinstance(value, list) and len(value) <= 1:
        _note(violations, "payload", "list")
        return _root(value[0], violations) if value else {}
    raise _Unusable("payload:type")


def _note(violations: dict[str, None], path: str, what: str) -> None:
    if len(violations) < VIOLATIONS_MAX:
        violations[f"{path}:{what}"] = None


def _no_use(path: str, violations: dict[str, None]) -> object:
    """Note a value of a type that nothing can be made of; it counts as absent."""
    _note(violations, path, "type")
    return _ABSENT


# ------------------------------------------------------------------------------------------------ structs

_fields: dict[type[Payload], tuple[inspect.Field, ...]] = {}


def _fields_of(cls: type[Payload]) -> tuple[inspect.Field, ...]:
    found = _fields.get(cls)
    if found is None:
        info = inspect.type_info(cls)
        assert isinstance(info, inspect.StructType)
        found = _fields[cls] = info.fields
    return found


def _struct(cls: type[Payload], value: dict[str, object], path: str, violations: dict[str, None]) -> Payload:
    """Build a struct field by field; raises _Unusable if a field that it cannot do without is absent."""
    made: dict[str, object] = {}
    for field in _fields_of(cls):
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        raw = value.get(field.encode_name, _ABSENT)
        read: object = _ABSENT
        if raw is None:
            _note(violations, here, "null")
        elif raw is not _ABSENT:
            read = _value(field.type, raw, here, violations)
        elif field.required:
            _note(violations, here, "missing")
        if read is not _ABSENT:
            made[field.name] = read
        elif field.required:
            if field.name not in cls.NEUTRAL:
                raise _Unusable(f"{here}:missing" if raw in (None, _ABSENT) else f"{here}:type")
            made[field.name] = cls.NEUTRAL[field.name]
    return cls(**made)


def _value(kind: inspect.Type, raw: object, path: str, violations: dict[str, None]) -> object:
    """Return a value of the declared type, or _ABSENT with the reason noted."""
    extra: dict[str, Any] = {}
    if isinstance(kind, inspect.Metadata):
        extra = kind.extra or {}
        kind = kind.type
    if isinstance(kind, inspect.StrType):
        return _text(raw, kind.max_length, "json" in extra, path, violations)
    if isinstance(kind, inspect.IntType):
        return _integer(raw, kind, extra, path, violations)
    if isinstance(kind, inspect.FloatType):
        return _real(raw, path, violations)
    if isinstance(kind, inspect.BoolType):
        return _truth(raw, path, violations)
    if isinstance(kind, inspect.StructType):
        return _part(cast(type[Payload], kind.cls), raw, path, violations)
    assert isinstance(kind, inspect.VarTupleType), f"no rule for {path}: {kind}"
    return _many(kind.item_type, raw, path, violations)


def _part(cls: type[Payload], raw: object, path: str, violations: dict[str, None]) -> object:
    """Return a part that is an object; a list of one is it. One without what it is about is absent."""
    if isinstance(raw, list) and len(raw) == 1:
        _note(violations, path, "list")
        raw = raw[0]
    if not isinstance(raw, dict):
        return _no_use(path, violations)
    try:
        return _struct(cls, raw, path, violations)
    except _Unusable as unusable:
        part, _, what = str(unusable).rpartition(":")
        _note(violations, part, what)
        return _ABSENT


def _many(kind: inspect.Type, raw: object, path: str, violations: dict[str, None]) -> object:
    """Return a tuple of the items that can be read; one thing alone is a list of one."""
    if isinstance(raw, list):
        items = raw
    elif isinstance(kind, inspect.StructType) != isinstance(raw, dict):
        return _no_use(path, violations)
    else:
        _note(violations, path, "object" if isinstance(raw, dict) else "text")
        items = [raw]
    made = []
    for item in items:
        read: object = _ABSENT
        if not isinstance(kind, inspect.StructType):
            read = _value(kind, item, path, violations)
        elif isinstance(item, dict):
            try:
                read = _struct(cast(type[Payload], kind.cls), item, path, violations)
            except _Unusable:
                read = _ABSENT
        if read is _ABSENT:
            _note(violations, path, "dropped")
        else:
            made.append(read)
    return tuple(made)


# ------------------------------------------------------------------------------------------------ scalars


def _text(raw: object, limit: int | None, as_json: bool, path: str, violations: dict[str, None]) -> object:
    """Return text: numbers as their digits, and an object as its JSON where the field allows it."""
    if isinstance(raw, str):
        text = raw
    elif isinstance(raw, bool):
        text = "true" if raw else "false"
        _note(violations, path, "bool")
    elif isinstance(raw, int | float):
        text = _digits(raw)
        _note(violations, path, "number")
    elif as_json and isinstance(raw, dict | list):
        try:
            text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False)
        except RecursionError:
            return _no_use(path, violations)
        _note(violations, path, "object")
    else:
        return _no_use(path, violations)
    if "\x00" in text:
        text = text.replace("\x00", "")
        _note(violations, path, "nul")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # half surrogates cannot be stored
    if limit is not None and len(text) > limit:
        text = text[:limit]
        _note(violations, path, "long")
    return text


def _digits(number: float) -> str:
    """Return a number as text; a float that is whole without its ".0"; too many digits as nothing."""
    try:
        return str(int(number)) if isinstance(number, int) or number.is_integer() else repr(number)
    except ValueError:  # more digits than Python prints (4300)
        return ""


def _integer(
    raw: object, kind: inspect.IntType, extra: dict[str, Any], path: str, violations: dict[str, None]
) -> object:
    """Return an integer within the field's bounds; only registers may come with a fraction."""
    number: int | Decimal
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return _no_use(path, violations)
    if isinstance(raw, int):
        number = raw
    else:
        parsed = _decimal(raw if isinstance(raw, str) else repr(raw))
        if parsed is None:
            return _no_use(path, violations)
        number = parsed
        if isinstance(raw, str):
            _note(violations, path, "text")
        if number != number.to_integral_value():
            _note(violations, path, "fraction")
            if "round" not in extra:
                return _ABSENT
        elif isinstance(raw, float):
            _note(violations, path, "fraction")
        number = int(number.to_integral_value(ROUND_HALF_EVEN))
    if (kind.ge is not None and number < kind.ge) or (kind.le is not None and number > kind.le):
        _note(violations, path, "range")
        if "wide" not in extra or abs(number) >= 10**WIDE_INT_MAX_DIGITS:
            return _ABSENT
    return number


def _real(raw: object, path: str, violations: dict[str, None]) -> object:
    """Return a number; one that came as text is taken, what is none is absent."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        try:
            return float(raw)
        except OverflowError:
            return _no_use(path, violations)
    parsed = _decimal(raw) if isinstance(raw, str) else None
    if parsed is None:
        return _no_use(path, violations)
    _note(violations, path, "text")
    return float(parsed)


def _decimal(text: str) -> Decimal | None:
    """Return a finite decimal from text, comma or point; None for anything else."""
    tidy = text.strip().replace(",", ".")
    if not tidy or len(tidy) > WIDE_INT_MAX_DIGITS or not tidy.isascii() or "_" in tidy:
        return None
    try:
        number = Decimal(tidy)
    except InvalidOperation:
        return None
    # an exponent is bounded before anything expands it into digits
    return number if number.is_finite() and abs(number.adjusted()) <= WIDE_INT_MAX_DIGITS else None


def _truth(raw: object, path: str, violations: dict[str, None]) -> object:
    """Return a truth value; 0, 1 and the words are taken."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().casefold() if isinstance(raw, str | int | float) else ""
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(word)
    if known is None:
        return _no_use(path, violations)
    _note(violations, path, "text" if isinstance(raw, str) else "number")
    return known
