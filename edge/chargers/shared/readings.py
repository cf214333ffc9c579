"""Measured values as a charger words them: text beside the words that say what it is.

OCPP 1.6 puts them on the wire in this form; 2.x is brought into it by its dialect. `meter` reads them.
"""

from __future__ import annotations

from typing import ClassVar

from edge.chargers.shared.payload import Opt, Payload, Text, ValueText


class SampledValue(Payload, frozen=True):
    """One measured value. Absent fields have the defaults of §7.43, which `meter` applies."""

    NEUTRAL: ClassVar[dict[str, object]] = {"value": ""}  # read as "no value", never as 0 (quirk 72)
    value: ValueText
    context: Opt[Text] = None
    format: Opt[Text] = None
    measurand: Opt[Text] = None
    phase: Opt[Text] = None
    location: Opt[Text] = None
    unit: Opt[Text] = None


class MeterValue(Payload, frozen=True):
    """The values of one moment. Without a time (empty text) the moment of arrival stands for it."""

    NEUTRAL: ClassVar[dict[str, object]] = {"timestamp": "", "sampled_value": ()}
    timestamp: Text
    sampled_value: tuple[SampledValue, ...]
