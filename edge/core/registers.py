"""What a session's meter did so far: the running sums from which its energy is told at the end. Pure data.

Four ways to know an energy run side by side (quirk 75), because nobody knows beforehand which of them a
charger will be good for: its register; what the register gained over the samples, split where it went down (a
meter that began anew at 0); the amounts told for each interval; power over time. `meter.energy` takes the
first that holds. Registers and intervals never mix (quirk 78).

Order is that of the charger's own times; what is older than the last one taken is passed over. All in one
pass over the samples, as most messages of a site come through here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from common.domain import MeterSample
from edge.core import identity

#: A register beyond this is no reading; a float still tells single Wh here.
REGISTER_MAX_WH = 2.0**53
#: Measured on the car's side of the outlet; other places are the charger's own (quirk 79).
IN_SESSION = frozenset({"outlet", "cable"})
#: Power is not carried over a longer silence than this: nobody knows what flowed. Two intervals of 15 min.
GAP_MS = 30 * 60_000
#: Below this a negative value or a growing export is noise of a meter that stands.
NOISE_W, NOISE_WH = 50.0, 10.0
#: An hour in ms.
_HOUR_MS = 3_600_000


class Registers(msgspec.Struct, omit_defaults=True):
    """The sums, in Wh; times are the charger's own."""

    first_wh: float | None = None
    last_wh: float | None = None
    last_at: str = ""
    gained_wh: float = 0.0
    decreases: int = 0
    conflicts: int = 0  #: times that one moment was told with two registers
    sampled_wh: float = 0.0  #: amounts of sampled intervals
    sampled_at: str = ""
    clocked_wh: float = 0.0  #: amounts of clock-aligned intervals: the same energy, told a second way
    clocked_at: str = ""
    power_w: float = 0.0  #: the last power, and when
    power_ms: int = 0
    flowed_wh: float = 0.0  #: power over time
    exported_from_wh: float | None = None
    negative: bool = False  #: import below zero was told (quirk 78)
    exported: bool = False  #: the export register grew
    signed_cut: bool = False  #: signed data was too long to be kept
    slope_wh: float = 0.0  #: what the register gained while power was told too, and
    flow_wh: float = 0.0  #: what that power came to (quirk 71)


def follow(registers: Registers, samples: Sequence[MeterSample]) -> None:
    """Bring the sums up to samples, in the order of their times; older ones are passed over."""
    ordered = samples if len(samples) == 1 else sorted(samples, key=lambda sample: sample.at or "\x7f")
    for sample in ordered:
        if sample.location not in IN_SESSION:
            continue
        flowed_wh = 0.0
        if sample.power_w is not None:
            flowed_wh = _flow(registers, sample.power_w, sample.at)
        if sample.interval_wh is not None:
            _interval(registers, sample, sample.interval_wh)
        if sample.export_wh is not None:
            _export(registers, sample.export_wh)
        if sample.energy_wh is not None:
            _register(registers, sample.energy_wh, sample.at, flowed_wh)


def _register(registers: Registers, now_wh: float, at: str | None, flowed_wh: float) -> None:
    if not 0 <= now_wh <= REGISTER_MAX_WH:
        registers.negative = registers.negative or now_wh < -NOISE_WH
        return
    if at is not None:
        if at < registers.last_at:
            return
        registers.last_at = at
    before_wh = registers.last_wh
    if before_wh is None:
        registers.first_wh = now_wh
    elif now_wh < before_wh:
        registers.decreases += 1
    else:
        registers.gained_wh += now_wh - before_wh
        if flowed_wh > 0:
            registers.slope_wh += now_wh - before_wh
            registers.flow_wh += flowed_wh
    registers.last_wh = now_wh


def _flow(registers: Registers, power_w: float, at: str | None) -> float:
    """Add what flowed since the last power was told; returned, in Wh."""
    if power_w < -NOISE_W:
        registers.negative = True
    power_w = max(power_w, 0.0)
    at_ms = identity.instant(at) if at is not None else None
    if at_ms is None or at_ms <= registers.power_ms:
        return 0.0
    since_ms = at_ms - registers.power_ms
    flowed_wh = 0.0
    if registers.power_ms and since_ms <= GAP_MS:
        flowed_wh = (registers.power_w + power_w) / 2 * since_ms / _HOUR_MS
        registers.flowed_wh += flowed_wh
    registers.power_w, registers.power_ms = power_w, at_ms
    return flowed_wh


def _interval(registers: Registers, sample: MeterSample, amount_wh: float) -> None:
    if amount_wh < 0:
        registers.negative = True
        return
    at = sample.at or ""
    if sample.context == "clock":
        if not at or at > registers.clocked_at:
            registers.clocked_wh += amount_wh
            registers.clocked_at = at or registers.clocked_at
    elif not at or at > registers.sampled_at:
        registers.sampled_wh += amount_wh
        registers.sampled_at = at or registers.sampled_at


def _export(registers: Registers, now_wh: float) -> None:
    if registers.exported_from_wh is None:
        registers.exported_from_wh = now_wh
    elif now_wh > registers.exported_from_wh + NOISE_WH:
        registers.exported = True
