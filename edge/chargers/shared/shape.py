"""Shapes: what to do with a moment's meter values, worked out once for all messages with the same words.

A charger says the same words in the same order in every message, and only the digits differ. So what `meter`
would do value by value is compiled once for those words: which value stands for which field, which phases are
summed or averaged, and one pattern for all the digits together. A moment with anything out of the ordinary
(other digits, signed data, energy by phase, a unit to convert) has no shape, or does not fit it, and is read
value by value. Pure; half of a MeterValues message's cost without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter, le
from typing import Any, Final, NamedTuple

from common.domain import MeterSample
from edge.chargers.shared.readings import SampledValue
from edge.chargers.shared.words import BOUNDS, ONE, Key, Place, read_words

#: Values of one moment that a shape is made for: three phases of everything, several times over.
VALUES_MAX: Final = 48

# Digits that a double holds exactly and that need no rounding: 1 decimal of energy, 3 of all else.
_ENERGY: Final = r"[0-9]{1,12}(?:\.[0-9]?)?"
_OTHER: Final = r"[0-9]{1,12}(?:\.[0-9]{0,3})?"
#: Units of a temperature that are not ours.
_SHIFTED: Final = frozenset({"k", "kelvin", "fahrenheit", "f"})

_Words = tuple[tuple[str | None, ...], ...]
_words_of: Callable[[SampledValue], tuple[str | None, ...]] = attrgetter(
    "context", "format", "measurand", "phase", "location", "unit"
)
_text_of: Callable[[SampledValue], str] = attrgetter("value")


class _Part(NamedTuple):
    """One sample of the moment. Numbers are named by their place among the moment's values."""

    key: Key
    totals: tuple[tuple[str, int], ...]  #: field, number
    current: tuple[int, ...]  #: L1 to L3 as far as reported, or the total alone; () none
    folded: tuple[tuple[str, str, tuple[int, ...]], ...]  #: field, how, the phases' numbers
    other: tuple[str, ...]  #: the fields that go by name into `MeterSample.other`


class _Shape(NamedTuple):
    digits: re.Pattern[str]  #: of all values, a line each
    most: tuple[float, ...]
    parts: tuple[_Part, ...]


def read(sampled: Sequence[SampledValue], at: str | None) -> list[MeterSample] | None:
    """Return a moment's samples; None if its values have to be looked at one by one."""
    if not 0 < len(sampled) <= VALUES_MAX:
        return None
    shape = _shape(tuple(map(_words_of, sampled)))
    if shape is None:
        return None
    texts = list(map(_text_of, sampled))
    if shape.digits.fullmatch("\n".join(texts)) is None:
        return None
    numbers = list(map(float, texts))
    if not all(map(le, numbers, shape.most)):
        return None
    samples = []
    for key, totals, current, folded, other in shape.parts:
        fields: dict[str, Any] = {field: numbers[place] for field, place in totals}
        if current:
            fields["current_a"] = tuple([numbers[place] for place in current])
        for field, how, places in folded:
            fields[field] = _fold(how, [numbers[place] for place in places])
        if other:
            fields["other"] = {field[1:]: fields.pop(field) for field in other}
        samples.append(MeterSample(at=at, context=key[0], location=key[1], **fields))
    return samples


def _fold(how: str, phases: list[float]) -> float:
    if how == "most":
        return max(phases)
    counted = phases if how == "sum" else [number for number in phases if number] or phases
    # In whole thousandths, which doubles hold exactly: so that a half is rounded as by the decimal way.
    total = sum([round(number * 1000) for number in counted])
    return round(total / (1000 if how == "sum" else 1000 * len(counted)), 3)


# A site has few models of charger, and each some shapes. At most some MiB, should one send ever new words.
@lru_cache(maxsize=128)
def _shape(words: _Words) -> _Shape | None:
    places = [read_words(*beside) for beside in words]
    if not all(map(_is_plain, places)):
        return None
    patterns, most = [], []
    for place in places:
        quantity = place.rule.quantity if place.rule else ""
        patterns.append(_ENERGY if quantity == "energy" else _OTHER)
        most.append(float(BOUNDS[quantity][1]) if quantity else float("inf"))
    keys = dict.fromkeys(place.key for place in places if place.rule)
    parts = tuple(_part(key, places) for key in keys)
    return _Shape(re.compile("\n".join(patterns)), tuple(most), parts)


def _is_plain(place: Place) -> bool:
    """Whether plain digits beside these words are the finished value (or are nobody's)."""
    if place.signed or place.note:
        return False
    if place.rule is None:
        return True
    by_phase = place.rule.quantity == "energy" and place.phase
    return place.factor is ONE and place.unit not in _SHIFTED and not by_phase


def _part(key: Key, places: list[Place]) -> _Part:
    """The better way to write a phase wins, and among equals the last; so it is for totals."""
    totals: dict[str, int] = {}
    phases: dict[str, dict[str, int]] = {}
    for number, place in enumerate(places):
        if place.rule is None or place.key != key:
            continue
        field = place.rule.field
        if not place.phase:
            totals[field] = number
            continue
        known = phases.setdefault(field, {})
        if place.phase not in known or place.rank <= places[known[place.phase]].rank:
            known[place.phase] = number
    by_phase = phases.pop("current_a", {})
    alone = totals.pop("current_a", None)
    current = tuple(by_phase[name] for name in ("L1", "L2", "L3") if name in by_phase)
    if not current and alone is not None:
        current = (alone,)
    rules = {place.rule.field: place.rule for place in places if place.rule}
    folded = tuple(
        (field, rules[field].fold, tuple(known.values()))
        for field, known in phases.items()
        if field not in totals
    )
    other = tuple(field for field in (*totals, *(field for field, *_ in folded)) if field[0] == ".")
    return _Part(key, tuple(totals.items()), current, folded, other)
