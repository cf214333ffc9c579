"""Patterns for what is expected, names for what was said: `{"transactionId": "$tx"}`. See README.md."""

from __future__ import annotations

import json
import re
from typing import Any

_NAME = re.compile(r"\$([a-z][a-z0-9_]*)")
_USED = re.compile(r'"\$([a-z][a-z0-9_]*)"|\$([a-z][a-z0-9_]*)')
_COMPARED = re.compile(r"(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")
ABSENT = "!absent"


class Names:
    """What was bound so far."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}

    def filled(self, text: str) -> str:
        """Text with what is bound in place of its names: `"$tx"` as JSON, a bare `$tx` as plain text."""
        return _USED.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in self.bound:
            return found[0]
        known = self.bound[name]
        return known if found[2] and isinstance(known, str) else json.dumps(known)


def differs(pattern: Any, value: Any, names: Names, at: str = "") -> str | None:
    """Where `value` departs from `pattern`, or None. Objects may have more than the pattern names."""
    where = at or "it"
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return f"{where} is {value!r}, not an object"
        for key, part in pattern.items():
            if key not in value:
                if part == ABSENT:
                    continue
                return f"{where} has no {key!r}: {value!r}"
            if part == ABSENT:
                return f"{where} has {key!r}: {value[key]!r}"
            if (why := differs(part, value[key], names, f"{at}.{key}" if at else key)) is not None:
                return why
        return None
    if isinstance(pattern, list):
        return _list_differs(pattern, value, names, where)
    if isinstance(pattern, str):
        return _text_differs(pattern, value, names, where)
    same = pattern == value and isinstance(pattern, bool) == isinstance(value, bool)
    return None if same else f"{where} is {value!r}, not {pattern!r}"


def _list_differs(pattern: list[Any], value: Any, names: Names, where: str) -> str | None:
    if not isinstance(value, list | tuple):
        return f"{where} is {value!r}, not a list"
    if pattern and pattern[0] == "...":  # among others
        for part in pattern[1:]:
            if all(differs(part, item, names) is not None for item in value):
                return f"{where} has no {part!r}: {value!r}"
        return None
    if len(pattern) != len(value):
        return f"{where} has {len(value)} elements, not {len(pattern)}: {value!r}"
    for number, (part, item) in enumerate(zip(pattern, value, strict=True)):
        if (why := differs(part, item, names, f"{where}[{number}]")) is not None:
            return why
    return None


def _text_differs(pattern: str, value: Any, names: Names, where: str) -> str | None:
    if pattern == "*":
        return None
    if (named := _NAME.fullmatch(pattern)) is not None:
        known = names.bound.setdefault(named[1], value)
        return None if known == value else f"{where} is {value!r}, but {pattern} was {known!r}"
    if pattern.startswith("~"):
        return None if re.search(pattern[1:], str(value)) else f"{where} is {value!r}, not like {pattern[1:]}"
    if pattern.startswith("!="):
        return f"{where} is {value!r}" if str(value) == pattern[2:] else None
    compared = _COMPARED.fullmatch(pattern)
    if compared is not None and isinstance(value, int | float):
        than = float(compared[2])
        true = {"<": value < than, "<=": value <= than, ">": value > than, ">=": value >= than}[compared[1]]
        return None if true else f"{where} is {value!r}, not {pattern}"
    return None if pattern == value else f"{where} is {value!r}, not {pattern!r}"
