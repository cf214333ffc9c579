"""The words beside a meter value, the same in OCPP 1.6 and 2.x: what, where, when, which unit and phase.

`meter` reads values by them. Rules 1 to 5 of its docstring are what these tables and `read_words` say; the
values themselves are not looked at here. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple


class Rule(NamedTuple):
    field: str  #: of MeterSample; with a point before it, a name in its `other`
    quantity: str
    fold: str  #: how phases become one: sum | mean | most; `each` keeps them


MEASURANDS: Final = {
    "energy.active.import.register": Rule("energy_wh", "energy", "sum"),
    "energy.active.export.register": Rule("export_wh", "energy", "sum"),
    "energy.active.import.interval": Rule("interval_wh", "energy", "sum"),
    "power.active.import": Rule("power_w", "power", "sum"),
    "current.import": Rule("current_a", "current", "each"),
    "current.offered": Rule("offered_a", "current", "most"),
    "voltage": Rule("voltage_v", "voltage", "mean"),
    "soc": Rule("soc_percent", "share", "most"),
    "temperature": Rule("temperature_c", "temperature", "most"),
    # What no rule of Plugside's uses, and an engineer may want: kept by name in `MeterSample.other`.
    "energy.active.export.interval": Rule(".export_interval_wh", "energy", "sum"),
    "energy.reactive.import.register": Rule(".reactive_import_varh", "reactive energy", "sum"),
    "energy.reactive.export.register": Rule(".reactive_export_varh", "reactive energy", "sum"),
    "energy.reactive.import.interval": Rule(".reactive_import_interval_varh", "reactive energy", "sum"),
    "energy.reactive.export.interval": Rule(".reactive_export_interval_varh", "reactive energy", "sum"),
    "power.active.export": Rule(".power_export_w", "power", "sum"),
    "power.reactive.import": Rule(".reactive_import_var", "reactive power", "sum"),
    "power.reactive.export": Rule(".reactive_export_var", "reactive power", "sum"),
    "power.offered": Rule(".power_offered_w", "power", "most"),
    "power.factor": Rule(".power_factor", "factor", "mean"),
    "current.export": Rule(".current_export_a", "current", "most"),
    "frequency": Rule(".frequency_hz", "frequency", "most"),
    "rpm": Rule(".fan_rpm", "speed", "most"),
}
#: Unit, folded → quantity and factor to ours. `temperature` has offsets and is done by hand.
ONE: Final = Decimal(1)
UNITS: Final = {
    "wh": ("energy", ONE),
    "kwh": ("energy", Decimal(1000)),
    "w": ("power", ONE),
    "kw": ("power", Decimal(1000)),
    "a": ("current", ONE),
    "v": ("voltage", ONE),
    "percent": ("share", ONE),
    "%": ("share", ONE),
    **dict.fromkeys(("celsius", "celcius", "c", "k", "kelvin", "fahrenheit", "f"), ("temperature", ONE)),
    "varh": ("reactive energy", ONE),
    "kvarh": ("reactive energy", Decimal(1000)),
    "var": ("reactive power", ONE),
    "kvar": ("reactive power", Decimal(1000)),
    **dict.fromkeys(("va", "kva"), ("apparent power", ONE)),
    **dict.fromkeys(("hz", "hertz"), ("frequency", ONE)),
    "rpm": ("speed", ONE),
}

#: Least and most of a quantity, in our units: beyond it the value is a reading error, and missing.
BOUNDS: Final = {
    "energy": (Decimal(-(2**53)), Decimal(2**53)),
    "power": (Decimal("-1e8"), Decimal("1e8")),  # a hundred megawatts
    "current": (Decimal("-1e5"), Decimal("1e5")),
    "voltage": (Decimal("-1e5"), Decimal("1e5")),
    "share": (Decimal(0), Decimal(100)),
    "temperature": (Decimal(-274), Decimal(1000)),
    "reactive energy": (Decimal(-(2**53)), Decimal(2**53)),
    "reactive power": (Decimal("-1e8"), Decimal("1e8")),
    "factor": (Decimal(-1), Decimal(1)),
    "frequency": (Decimal(0), Decimal(1000)),
    "speed": (Decimal(0), Decimal(100_000)),
}

_CONTEXTS: Final = {
    "sample.periodic": "periodic",
    "sample.clock": "clock",
    "transaction.begin": "begin",
    "transaction.end": "end",
    "interruption.begin": "interruption",
    "interruption.end": "interruption",
    "trigger": "trigger",
}
#: To itself: the one object that a sample has by default, so that the default is not written out.
_LOCATIONS: Final = {place: place for place in ("outlet", "inlet", "cable", "ev", "body")}
#: Phase as written → its conductor, and whether it is the second-best way to write it.
_PHASES: Final = {
    "l1": ("L1", 0),
    "l2": ("L2", 0),
    "l3": ("L3", 0),
    "l1-n": ("L1", 1),
    "l2-n": ("L2", 1),
    "l3-n": ("L3", 1),
}


Key = tuple[str, str]  # context, location


class Place(NamedTuple):
    """What the words beside a value say: where it goes, and how to read it. `rule` None: nowhere."""

    key: Key
    signed: bool
    rule: Rule | None
    phase: str
    rank: int
    unit: str
    factor: Decimal | None  #: None: a unit of another quantity
    note: str


# A charger says the same few words in every message; a value's own digits are not among them. The bound holds
# some hundred chargers' vocabularies, and 6 MiB should one send ever new words of the greatest length.
@lru_cache(maxsize=1024)
def read_words(
    context: str | None,
    form: str | None,
    measurand: str | None,
    phase: str | None,
    location: str | None,
    unit: str | None,
) -> Place:
    note, told = "", (location or "Outlet").strip().casefold()
    where = _LOCATIONS.get(told, "")
    if not where:
        where, note = "outlet", "meterValue.sampledValue.location:unknown"
    when = _CONTEXTS.get((context or "Sample.Periodic").strip().casefold(), "other")
    rule = MEASURANDS.get((measurand or "Energy.Active.Import.Register").strip().casefold())
    signed = (form or "").strip().casefold() == "signeddata"
    conductor, rank = "", 0
    if phase:
        known = _PHASES.get(phase.strip().casefold())
        if known is None:
            rule = None  # N, or between two phases
        else:
            conductor, rank = known
    if rule is None:
        return Place((when, where), signed, None, "", 0, "", None, note)
    if rule.field == "soc_percent" and not signed:
        where = "outlet"
    word = (unit or "").strip().casefold()
    of, factor = UNITS.get(word, (rule.quantity, ONE))
    return Place(
        (when, where), signed, rule, conductor, rank, word, factor if of == rule.quantity else None, note
    )
