"""Two samples of one moment of one meter: what they come to together (design §4). Pure.

A moment is told again when an answer was lost, and in parts when a station splits it over several messages.
So samples are upserts: what is known stands, what it lacks is filled in, and a second value for the same
measurand is a contradiction, which is kept aside and never believed. Box and cloud use this one rule.
Samples of the same time, context, place and `part` are of one moment.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from common.domain import MeterSample

_UNTOLD: Final = MeterSample()
#: What a sample says of itself; the rest are measurements.
_PLACE: Final = frozenset({"at", "context", "location", "part"})
_MEASURANDS: Final = tuple(name for name in MeterSample.__struct_fields__ if name not in _PLACE)


def merge(known: MeterSample, more: MeterSample) -> tuple[MeterSample, bool]:
    """One sample of two of the same moment, and whether the second contradicts the first."""
    if known == more:
        return known, False
    fields: dict[str, Any] = {}
    conflict = False
    for name in _MEASURANDS:
        told, new, untold = getattr(known, name), getattr(more, name), getattr(_UNTOLD, name)
        if new in (untold, told):
            continue
        if told == untold:
            fields[name] = new
        else:
            conflict = True
    return (msgspec.structs.replace(known, **fields) if fields else known), conflict
