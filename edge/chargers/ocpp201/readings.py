"""OCPP 2.0.1 meter values in the form that `shared.meter` reads: numbers as text beside their words.

A value is a number, its unit has a power of ten, and signed data stand beside the value, which 1.6 has in its
place. Signed data are kept as the JSON of what came, byte for byte within (quirk 73).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from edge.chargers.ocpp201 import messages
from edge.chargers.shared import readings
from edge.chargers.shared.meter import Converted, convert

#: Powers of ten beyond this are no unit of a meter.
_MULTIPLIER_MAX: Final = 12


def samples(values: Sequence[messages.MeterValue]) -> Converted:
    """Return the neutral samples of a message's meter values."""
    return convert(
        [
            readings.MeterValue(
                value.timestamp, tuple(part for sampled in value.sampled_value for part in _read(sampled))
            )
            for value in values
        ]
    )


def _read(sampled: messages.SampledValue) -> list[readings.SampledValue]:
    unit = sampled.unit_of_measure
    made = readings.SampledValue(
        value=_digits(sampled.value, unit.multiplier if unit is not None else None),
        context=sampled.context,
        measurand=sampled.measurand,
        phase=sampled.phase,
        location=sampled.location,
        unit=unit.unit if unit is not None else None,
    )
    if sampled.signed_meter_value is None:
        return [made]
    document = msgspec.json.encode(sampled.signed_meter_value).decode()
    signed = msgspec.structs.replace(made, value=document, format="SignedData")
    return [made, signed] if sampled.value is not None else [signed]


def _digits(value: float | None, multiplier: int | None) -> str:
    """Return a number as text; what is none is the empty text, which is read as missing."""
    if value is None:
        return ""
    if not multiplier:
        return str(int(value)) if value.is_integer() else repr(value)
    if abs(multiplier) > _MULTIPLIER_MAX:
        return ""
    return format(Decimal(repr(value)).scaleb(multiplier), "f")
