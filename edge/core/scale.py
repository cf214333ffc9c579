"""Registers in another unit than they say (quirk 71): noticed, told, multiplied once staff says so. Pure.

A charger that counts kWh and writes "Wh" bills a thousandth. Its register and its power then tell two
energies for the same minutes, a round factor apart. That is told once, as a proposal; staff sets the trait
`register_factor`, which holds from the charger's next session on: never in the middle of one.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import facts
from common.domain import MeterSample
from common.review import SCALED
from edge.core.registers import Registers
from edge.core.state import Session, SiteState, Station

#: What power must have come to before it says anything, in Wh: a car at 7 kW for four minutes.
FLOW_MIN_WH: Final = 500.0
#: Power and register are told at other instants, and power changes between them.
TOLERANCE: Final = 1.5
#: kWh told as Wh, and Wh told as kWh.
FACTORS: Final = (1000.0, 0.001)


def doubted(registers: Registers) -> float | None:
    """The factor by which the register is off, if it is; None as long as all is well or nobody knows."""
    if registers.flow_wh < FLOW_MIN_WH or registers.slope_wh <= 0:
        return None
    ratio = registers.flow_wh / registers.slope_wh
    return next((f for f in FACTORS if f / TOLERANCE < ratio < f * TOLERANCE), None)


def proposal(
    charger: str, station: Station, session: Session, registers: Registers
) -> facts.MeterDoubted | None:
    """What to tell when a session ends with these sums, unless it was told of this charger already."""
    factor = doubted(registers)
    if factor is None or station.doubted == factor * session.scale:
        return None
    return facts.MeterDoubted(
        charger=charger,
        evse=session.evse,
        factor=factor * session.scale,
        register_wh=round(registers.slope_wh, 3),
        power_wh=round(registers.flow_wh, 3),
    )


def told(state: SiteState, body: facts.MeterDoubted, at_ms: int) -> None:
    """Apply: it was told."""
    state.station(body.charger).doubted = body.factor


def value(told_wh: float | None, factor: float) -> float | None:
    """A register as it counts for a session."""
    return told_wh if told_wh is None or factor == 1.0 else round(told_wh * factor, 3)


def flag(factor: float) -> tuple[str, ...]:
    """What a session whose registers were multiplied says of it, for people and for `of`."""
    return () if factor == 1.0 else (f"{SCALED}{factor:g}",)


def of(flags: tuple[str, ...]) -> float:
    """What the registers of a session with these flags are multiplied by."""
    told = next((flag.removeprefix(SCALED) for flag in flags if flag.startswith(SCALED)), "1")
    return float(told)


def samples(told: tuple[MeterSample, ...], factor: float) -> tuple[MeterSample, ...]:
    """Samples with their registers as they count for a session; power and the rest are as they are."""
    if factor == 1.0:
        return told
    return tuple(
        msgspec.structs.replace(
            sample,
            energy_wh=value(sample.energy_wh, factor),
            export_wh=value(sample.export_wh, factor),
            interval_wh=value(sample.interval_wh, factor),
        )
        for sample in told
    )
