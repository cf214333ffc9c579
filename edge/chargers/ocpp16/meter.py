"""OCPP 1.6 meter values into the neutral `common.domain.MeterSample`.

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
   joins the outlet's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from common.domain import MeterSample
from edge.chargers.ocpp16 import times
from edge.chargers.ocpp16.messages import MeterValue

#: Below this a phase does not charge: the least that IEC 61851-1 lets a car draw is 6 A, and meters show some
#: ten mA on a phase that is open.
PHASE_IN_USE_A: Final = 0.5

#: Energy keeps this step, rounded half to even: finer than any meter's register (1 Wh), and short as text.
ENERGY_STEP_WH: Final = Decimal("0.1")

#: Longest text read as a number; a double needs 24 characters.
NUMBER_MAX_CHARS: Final = 32

# Values that need no Decimal: a double holds that many digits exactly, and there is nothing to round.
_PLAIN: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,3})?")
_PLAIN_ENERGY: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]?)?")


class Converted(NamedTuple):
    """Samples in the order of their moments as sent, and what could not be read, as `path:what`."""

    samples: tuple[MeterSample, ...]
    notes: tuple[str, ...]


class _Rule(NamedTuple):
    field: str  #: of MeterSample
    quantity: str
    fold: str  #: how phases become one: sum | mean | most; `each` keeps them


_MEASURANDS: Final = {
    "energy.active.import.register": _Rule("energy_wh", "energy", "sum"),
    "energy.active.export.register": _Rule("export_wh", "energy", "sum"),
    "energy.active.import.interval": _Rule("interval_wh", "energy", "sum"),
    "power.active.import": _Rule("power_w", "power", "sum"),
    "current.import": _Rule("current_a", "current", "each"),
    "current.offered": _Rule("offered_a", "current", "most"),
    "voltage": _Rule("voltage_v", "voltage", "mean"),
    "soc": _Rule("soc_percent", "share", "most"),
    "temperature": _Rule("temperature_c", "temperature", "most"),
}
_BY_FIELD: Final = {rule.field: rule for rule in _MEASURANDS.values()}

#: Unit, folded → quantity and factor to ours. `temperature` has offsets and is done by hand.
_ONE: Final = Decimal(1)
_UNITS: Final = {
    "wh": ("energy", _ONE),
    "kwh": ("energy", Decimal(1000)),
    "w": ("power", _ONE),
    "kw": ("power", Decimal(1000)),
    "a": ("current", _ONE),
    "v": ("voltage", _ONE),
    "percent": ("share", _ONE),
    "%": ("share", _ONE),
    **dict.fromkeys(("celsius", "celcius", "c", "k", "kelvin", "fahrenheit", "f"), ("temperature", _ONE)),
    **dict.fromkeys(("varh", "kvarh", "va", "kva", "var", "kvar", "hz", "hertz", "rpm"), ("other", _ONE)),
}

#: Least and most of a quantity, in our units: beyond it the value is a reading error, and missing.
_BOUNDS: Final = {
    "energy": (Decimal(-(2**53)), Decimal(2**53)),
    "power": (Decimal("-1e8"), Decimal("1e8")),  # a hundred megawatts
    "current": (Decimal("-1e5"), Decimal("1e5")),
    "voltage": (Decimal("-1e5"), Decimal("1e5")),
    "share": (Decimal(0), Decimal(100)),
    "temperature": (Decimal(-274), Decimal(1000)),
}

_NOT_CELSIUS: Final = {"k", "kelvin", "fahrenheit", "f"}

_CONTEXTS: Final = {
    "sample.periodic": "periodic",
    "sample.clock": "clock",
    "transaction.begin": "begin",
    "transaction.end": "end",
    "interruption.begin": "interruption",
    "interruption.end": "interruption",
    "trigger": "trigger",
}
_LOCATIONS: Final = {"outlet", "inlet", "cable", "ev", "body"}
#: Phase as written → its conductor, and whether it is the second-best way to write it.
_PHASES: Final = {
    "l1": ("L1", 0),
    "l2": ("L2", 0),
    "l3": ("L3", 0),
    "l1-n": ("L1", 1),
    "l2-n": ("L2", 1),
    "l3-n": ("L3", 1),
}
_CONDUCTORS: Final[tuple[str, ...]] = ("L1", "L2", "L3")


def convert(values: Sequence[MeterValue]) -> Converted:
    """Return the neutral samples of a message's meter values."""
    samples: list[MeterSample] = []
    notes: dict[str, None] = {}
    for value in values:
        groups: dict[_Key, _Group] = {}
        key, group = _NOWHERE, _Group()  # where the value before this one went
        for sampled in value.sampled_value:
            place = _read_words(
                sampled.context,
                sampled.format,
                sampled.measurand,
                sampled.phase,
                sampled.location,
                sampled.unit,
            )
            text = sampled.value
            # Nearly every value there is: a few plain digits in our own unit, to be kept as they are.
            if place.plain is not None and place.plain(text) and (number := float(text)) <= place.most:
                if place.key is not key:
                    key = place.key
                    group = groups.get(key) or groups.setdefault(key, _Group())
                if place.phase:
                    group.put(place.field, place.phase, place.rank, number)
                else:
                    group.totals[place.field] = number
                continue
            _place(place, text, groups, notes)
        at = times.canonical(value.timestamp).replace("\x00", "")[: times.TEXT_MAX_CHARS] or None
        for (context, location), group in groups.items():
            sample = group.sample(at, context, location)
            if sample is not None:
                samples.append(sample)
    return Converted(tuple(samples), tuple(notes))


def feeds_session(sample: MeterSample, connector_id: int | None) -> bool:
    """Return whether a sample tells of the energy that goes into the car.

    Connector 0 is the charger's main meter, and Inlet and Body are on its side of the socket (quirk 79).
    """
    return bool(connector_id) and sample.location in ("outlet", "cable")


def phases_in_use(current_a: Iterable[float]) -> int:
    """Return over how many conductors a car charges: those that carry more than `PHASE_IN_USE_A`."""
    return sum(1 for amps in current_a if abs(amps) > PHASE_IN_USE_A)


# ------------------------------------------------------------------------------------------------ one moment


_Key = tuple[str, str]  # context, location
_NOWHERE: Final = ("", "")
_Number = Decimal | float  # energy is Decimal, so that no sum of registers is off by a step
_Slots = dict[str, tuple[int, _Number]]  # conductor → how well it was named, value


class _Group:
    """The values of one moment, context and location while they are collected."""

    __slots__ = ("phases", "signed", "totals")

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}  # by field of MeterSample, as they will stand there
        self.phases: dict[str, _Slots] = {}
        self.signed: list[str] = []

    def put(self, field: str, phase: str, rank: int, number: _Number) -> None:
        """Keep a phase's value; the better way to write a phase wins, and among equals the last."""
        slots = self.phases.get(field)
        if slots is None:
            self.phases[field] = {phase: (rank, number)}
        elif phase not in slots or rank <= slots[phase][0]:
            slots[phase] = (rank, number)

    def sample(self, at: str | None, context: str, location: str) -> MeterSample | None:
        """Return the folded sample; None if not one value was readable."""
        fields: dict[str, Any] = self.totals  # done with: what is folded joins it
        if not fields and not self.phases and not self.signed:
            return None
        if "current_a" in fields:
            fields["current_a"] = (fields["current_a"],)
        for field, slots in self.phases.items():
            if field == "current_a":
                fields[field] = tuple([float(slots[name][1]) for name in _CONDUCTORS if name in slots])
            elif field not in fields:
                fields[field] = _finished(_BY_FIELD[field], _fold(_BY_FIELD[field].fold, slots))
        return MeterSample(at=at, context=context, location=location, signed=tuple(self.signed), **fields)


class _Place(NamedTuple):
    """What the words beside a value say: where it goes, and how to read it. `rule` None: nowhere.

    `plain`: whether a text is plain digits that, up to `most`, are the finished value; None: none is.
    """

    key: _Key
    signed: bool
    rule: _Rule | None
    field: str
    phase: str
    rank: int
    unit: str
    factor: Decimal | None  #: None: a unit of another quantity
    note: str
    plain: Callable[[str], re.Match[str] | None] | None
    most: float


_KEYS: Final[dict[_Key, _Key]] = {}  # each once, so that `is` tells them apart; some dozens at most


# A charger says the same few words in every message; a value's own digits are not among them. The bound holds
# some hundred chargers' vocabularies, and 6 MiB should one send ever new words of the greatest length.
@lru_cache(maxsize=1024)
def _read_words(
    context: str | None,
    form: str | None,
    measurand: str | None,
    phase: str | None,
    location: str | None,
    unit: str | None,
) -> _Place:
    where = (location or "Outlet").strip().casefold()
    note = ""
    if where not in _LOCATIONS:
        where, note = "outlet", "meterValue.sampledValue.location:unknown"
    when = _CONTEXTS.get((context or "Sample.Periodic").strip().casefold(), "other")
    rule = _MEASURANDS.get((measurand or "Energy.Active.Import.Register").strip().casefold())
    signed = (form or "").strip().casefold() == "signeddata"
    conductor, rank = "", 0
    if phase:
        known = _PHASES.get(phase.strip().casefold())
        if known is None:
            rule = None  # N, or between two phases
        else:
            conductor, rank = known
    if rule is None:  # also reactive power, frequency, factor, RPM: nothing that Plugside has a use for
        return _Place((when, where), signed, None, "", "", 0, "", None, note, None, 0.0)
    if rule.field == "soc_percent" and not signed:
        where = "outlet"
    word = (unit or "").strip().casefold()
    of, factor = _UNITS.get(word, (rule.quantity, _ONE))
    key = _KEYS.setdefault((when, where), (when, where))
    plain = None
    if of == rule.quantity and factor is _ONE and word not in _NOT_CELSIUS and not (signed or note):
        if rule.quantity != "energy":
            plain = _PLAIN.fullmatch
        elif not conductor:
            plain = _PLAIN_ENERGY.fullmatch
    return _Place(
        key,
        signed,
        rule,
        rule.field,
        conductor,
        rank,
        word,
        factor if of == rule.quantity else None,
        note,
        plain,
        float(_BOUNDS[rule.quantity][1]),
    )


def _place(place: _Place, text: str, groups: dict[_Key, _Group], notes: dict[str, None]) -> None:
    """Put one value where it belongs, or note why it has no place."""
    if place.note:
        notes[place.note] = None
    if place.signed or text.startswith("OCMF|"):
        groups.setdefault(place.key, _Group()).signed.append(text.replace("\x00", ""))
        return
    rule = place.rule
    if rule is None:
        return
    number = _number(place, rule.quantity, text, notes)
    if number is None:
        return
    group = groups.setdefault(place.key, _Group())
    if not place.phase:
        group.totals[place.field] = _finished(rule, number)
    elif rule.quantity == "energy":
        group.put(place.field, place.phase, place.rank, number)
    else:
        kept = _finished(rule, number) if rule.fold == "each" else float(number)
        group.put(place.field, place.phase, place.rank, kept)


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


def _number(place: _Place, quantity: str, text: str, notes: dict[str, None]) -> Decimal | None:
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
    elif place.factor is not _ONE:
        number *= place.factor
    least, most = _BOUNDS[quantity]
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


def _fold(how: str, slots: _Slots) -> _Number:
    """Return one number made of a measurand's phases, of which there is no total."""
    phases: list[Any] = [number for _, number in slots.values()]
    if how == "sum":
        return sum(phases[1:], phases[0])  # type: ignore[no-any-return]
    if how == "mean":
        alive = [number for number in phases if number] or phases
        return sum(alive[1:], alive[0]) / len(alive)  # type: ignore[no-any-return]
    return max(phases)  # type: ignore[no-any-return] # what is offered holds for each; the rest have no phase


def _finished(rule: _Rule, number: _Number) -> float:
    """Return a number as its sample holds it."""
    if isinstance(number, Decimal) and rule.quantity == "energy":
        return float(number.quantize(ENERGY_STEP_WH, ROUND_HALF_EVEN))
    return round(float(number), 3)
