"""OCPP meter values, of any version, into the neutral `common.domain.MeterSample`.

Pure translation: the dialect calls `convert` with what a MeterValues or a StopTransaction carried, and the
core receives samples that know no OCPP. One sample per moment, context and location; the rules, in the order
in which they bite:

1. Absent fields have their defaults: Energy.Active.Import.Register, Sample.Periodic, Outlet, Raw (quirk 70).
   The default unit Wh holds for energy alone; for the rest a missing unit is the measurand's natural one.
2. Signed data are kept byte-exact as text and never read (quirk 73), whatever their measurand.
3. A value is a decimal, blanks trimmed and comma read as point; anything else is missing, never 0 (quirk 72).
   A unit of another quantity makes it missing, too; an unknown word is ignored.
4. Phases (quirk 74): a value without phase is the total. Where there is none, power and energy are summed
   over L1 to L3; voltage is the mean of the phases that are not zero; `N` alone is nothing, and a voltage
   between phases is left out. `L1-N` is L1, unless L1 is there as well. Current stays by phase, since a
   limit holds for each: with phases told, a total beside them says nothing more.
5. Registers, intervals and export each have a field of their own and never mix (quirk 78). Values of Inlet,
   Body and EV stay in samples of their own (quirk 79); only the state of charge, which is always the car's,
   joins the outlet's. Measurands that no rule uses are kept beside the others, by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, NamedTuple

from common.domain import MeterSample
from edge.chargers.shared import shape, times
from edge.chargers.shared.readings import MeterValue, SampledValue
from edge.chargers.shared.words import BOUNDS, MEASURANDS, ONE, Key, Place, Rule, read_words

#: Below this a phase does not charge: the least that IEC 61851-1 lets a car draw is 6 A, and meters show some
#: ten mA on a phase that is open.
PHASE_IN_USE_A: Final = 0.5

#: Energy keeps this step, rounded half to even: finer than any meter's register (1 Wh), and short as text.
ENERGY_STEP_WH: Final = Decimal("0.1")

#: Longest text read as a number; a double needs 24 characters.
NUMBER_MAX_CHARS: Final = 32


class Converted(NamedTuple):
    """Samples in the order of their moments as sent, and what could not be read, as `path:what`."""

    samples: tuple[MeterSample, ...]
    notes: tuple[str, ...]


_BY_FIELD: Final = {rule.field: rule for rule in MEASURANDS.values()}
_CONDUCTORS: Final[tuple[str, ...]] = ("L1", "L2", "L3")


def convert(values: Sequence[MeterValue]) -> Converted:
    """Return the neutral samples of a message's meter values."""
    samples: list[MeterSample] = []
    notes: dict[str, None] = {}
    for value in values:
        at = times.canonical(value.timestamp).replace("\x00", "")[: times.TEXT_MAX_CHARS] or None
        read = shape.read(value.sampled_value, at)
        samples += _read(value.sampled_value, at, notes) if read is None else read
    return Converted(tuple(samples), tuple(notes))


def _read(
    sampled_values: Sequence[SampledValue], at: str | None, notes: dict[str, None]
) -> Iterator[MeterSample]:
    """The samples of one moment, value by value."""
    groups: dict[Key, _Group] = {}
    for sampled in sampled_values:
        place = read_words(
            sampled.context,
            sampled.format,
            sampled.measurand,
            sampled.phase,
            sampled.location,
            sampled.unit,
        )
        _put(place, sampled.value, groups, notes)
    for (context, location), group in groups.items():
        sample = group.sample(at, context, location)
        if sample is not None:
            yield sample


def feeds_session(sample: MeterSample, connector_id: int | None) -> bool:
    """Return whether a sample tells of the energy that goes into the car.

    Connector 0 is the charger's main meter, and Inlet and Body are on its side of the socket (quirk 79).
    """
    return bool(connector_id) and sample.location in ("outlet", "cable")


def phases_in_use(current_a: Iterable[float]) -> int:
    """Return over how many conductors a car charges: those that carry more than `PHASE_IN_USE_A`."""
    return sum(1 for amps in current_a if abs(amps) > PHASE_IN_USE_A)


# ------------------------------------------------------------------------------------------------ one moment


_Slots = dict[str, tuple[int, Decimal]]  # conductor, or "" for the total → how well it was named, value


class _Group:
    """The values of one moment, context and location while they are collected."""

    __slots__ = ("phases", "signed")

    def __init__(self) -> None:
        self.phases: dict[str, _Slots] = {}  # by field of MeterSample
        self.signed: list[str] = []

    def put(self, field: str, phase: str, rank: int, number: Decimal) -> None:
        """Keep a value; the better way to write a phase wins, and among equals the last."""
        slots = self.phases.setdefault(field, {})
        if phase not in slots or rank <= slots[phase][0]:
            slots[phase] = (rank, number)

    def sample(self, at: str | None, context: str, location: str) -> MeterSample | None:
        """Return the folded sample; None if not one value was readable."""
        if not self.phases and not self.signed:
            return None
        fields: dict[str, Any] = {}
        for field, slots in self.phases.items():
            fields[field] = _each(slots) if field == "current_a" else _fold(_BY_FIELD[field], slots)
        if other := {field[1:]: fields.pop(field) for field in self.phases if field[0] == "."}:
            fields["other"] = other
        return MeterSample(at=at, context=context, location=location, signed=tuple(self.signed), **fields)


def _put(place: Place, text: str, groups: dict[Key, _Group], notes: dict[str, None]) -> None:
    """Put one value where it belongs, or note why it has no place."""
    if place.note:
        notes[place.note] = None
    if place.signed or text.startswith("OCMF|"):
        groups.setdefault(place.key, _Group()).signed.append(text)
        return
    if place.rule is None:
        return
    number = _number(place, place.rule.quantity, text, notes)
    if number is not None:
        groups.setdefault(place.key, _Group()).put(place.rule.field, place.phase, place.rank, number)


# ------------------------------------------------------------------------------------------------ numbers

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")


def parse_number(text: str) -> Decimal | None:
    """Return the decimal that a charger wrote, comma or point; None for anything else, the empty text too."""
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) <= NUMBER_MAX_CHARS:
        return Decimal(text)  # the plain case, which nearly all values are
    tidy = text.strip().replace(",", ".")
    if len(tidy) > NUMBER_MAX_CHARS or _NUMBER.fullmatch(tidy) is None:
        return None
    return Decimal(tidy)


def _number(place: Place, quantity: str, text: str, notes: dict[str, None]) -> Decimal | None:
    """Return the value in our unit of its quantity, or None with the reason noted."""
    number = parse_number(text)
    if number is None:
        notes["meterValue.sampledValue.value:not_a_number"] = None
        return None
    if place.factor is None:
        notes["meterValue.sampledValue.unit:other_quantity"] = None
        return None
    if quantity == "temperature":
        number = _celsius(number, place.unit)
    elif place.factor is not ONE:
        number *= place.factor
    least, most = BOUNDS[quantity]
    if not least <= number <= most:
        notes["meterValue.sampledValue.value:range"] = None
        return None
    return number


def _celsius(number: Decimal, unit: str) -> Decimal:
    if unit in ("k", "kelvin"):
        return number - Decimal("273.15")
    if unit in ("f", "fahrenheit"):
        return (number - 32) * 5 / 9
    return number


def _fold(rule: Rule, slots: _Slots) -> float:
    """Return one number for a measurand: its total if it was told, else made of its phases."""
    phases = [number for _, number in slots.values()]
    if "" in slots:
        made = slots[""][1]
    elif len(phases) == 1:
        made = phases[0]
    elif rule.fold == "sum":
        made = sum(phases, Decimal(0))
    elif rule.fold == "mean":
        alive = [number for number in phases if number] or phases
        made = sum(alive, Decimal(0)) / len(alive)
    else:  # what is offered holds for each phase; a state of charge or a temperature has none
        made = max(phases)
    if rule.quantity == "energy":
        return float(made.quantize(ENERGY_STEP_WH, ROUND_HALF_EVEN))
    return round(float(made), 3)


def _each(slots: _Slots) -> tuple[float, ...]:
    """Return the currents of L1 to L3 as far as reported, or the one value that names no phase.

    A placeholder of 0 A stays, since it was reported; `phases_in_use` does not count it.
    """
    names = [name for name in _CONDUCTORS if name in slots] or [""]
    return tuple(round(float(slots[name][1]), 3) for name in names)
