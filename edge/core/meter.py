"""Meter arithmetic: what a session's samples and registers come to, and which samples are repeats. Pure data.

Energy (quirk 75): meter stop − meter start if that is possible; else what the register gained over the
samples, split where it went down (a meter that restarted at 0); else the sum of what was told for intervals;
else power over time, which is estimated and says so. Never negative. The way is recorded with the value, and
what looks wrong is kept and flagged.

The same sample may arrive many times (a lost reply, a stop that repeats what was sent before). A sample is
known by its time, context and location; the last `SEEN_MAX` of an open session are remembered. What is older
than that is written again, which does no harm: samples are upserts by (session, time, context).
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from common import signed
from common.domain import EnergyMethod, MeterSample
from common.samples import merge
from edge.core.registers import IN_SESSION as IN_SESSION
from edge.core.registers import REGISTER_MAX_WH
from edge.core.registers import Registers as Registers
from edge.core.registers import follow as follow

#: Repeats seen in the field are at most a minute or two late; this is a quarter of an hour at 30 s.
SEEN_MAX = 32
#: More than any session can be: a truck's battery is below 1 MWh.
PLAUSIBLE_WH = 1_000_000.0
#: Below this an energy says nothing: standby of the charger, rounding of a register.
NOTHING_WH = 100.0
#: Samples in one fact, in bytes of JSON: leaves room for the rest of a 16 KiB record.
CHUNK_BYTES_MAX = 12 * 1024
#: Time and context are words; the longest real one is 32 characters.
WORD_CHARS_MAX = 64
#: A sample with nothing unusual about it is shorter, in bytes of JSON.
PLAIN_BYTES = 512

#: Behind the key of a moment: the last sample that contradicted it.
_AGAINST = "|!"
#: By `sample_key`.
Seen = dict[str, MeterSample]

_encode = msgspec.json.Encoder().encode
_replace = msgspec.structs.replace


class Energy(msgspec.Struct, frozen=True):
    """A session's energy, how it was obtained, and what is odd about it."""

    energy_wh: float | None
    method: EnergyMethod
    flags: tuple[str, ...] = ()


def finite(value: float | None) -> float | None:
    """The number as a float, or None for what is none: absent, NaN, infinite, absurd."""
    if value is None or not -REGISTER_MAX_WH <= value <= REGISTER_MAX_WH:
        return None
    return float(value)


def sample_key(sample: MeterSample) -> str:
    """What makes two samples the same moment of the same meter."""
    return f"{sample.at}|{sample.context}|{sample.location}|{sample.part}"


def taken(seen: Seen, samples: tuple[MeterSample, ...]) -> list[tuple[MeterSample, ...]]:
    """What is to be written of a message's samples, in groups that each fit into one fact; [] = only repeats.

    Exact repeats of remembered samples are left out; one without a time is never a repeat. Numbers that are
    none become absent, words are cut. Costs one encoding and one look-up a sample where all is well.
    """
    room = CHUNK_BYTES_MAX
    plain = True
    for sample in samples:
        encoded = _encode(sample)
        room -= len(encoded) + 1
        # JSON has no NaN and no infinity: they are written as null, which nothing else here is.
        if b"null" in encoded or len(encoded) > PLAIN_BYTES or sample_key(sample) in seen:
            plain = False
            break
    if plain and room >= 0:
        return [samples] if samples else []
    parts = [part for sample in samples for part in _parts(_clean(sample))]
    return _chunks([s for s in parts if s.at is None or not _repeats(seen, s)])


def _repeats(seen: Seen, sample: MeterSample) -> bool:
    """Whether a sample says nothing that is not remembered, as a part of a moment or against it."""
    key, kept = sample_key(sample), _kept(sample)
    known = seen.get(key)
    return known is not None and (merge(known, kept) == (known, False) or seen.get(key + _AGAINST) == kept)


def remember(seen: Seen, registers: Registers, samples: tuple[MeterSample, ...]) -> None:
    """Take samples into a session's memory and registers. Changes both in place.

    A moment's first value stands (`common.samples`): a register that contradicts it moves nothing.
    """
    believed = samples
    for sample in samples:
        if sample.at is None:
            continue
        key, kept = sample_key(sample), _kept(sample)
        known = seen.get(key)
        if known is not None:
            kept, conflict = merge(known, kept)
            if conflict:
                seen[key + _AGAINST] = _kept(sample)
            if _contradict(known.energy_wh, sample.energy_wh):
                registers.conflicts += 1
                believed = tuple(other for other in believed if other is not sample)
        seen[key] = kept
        registers.signed_cut = registers.signed_cut or (sample.part != "" and signed.is_cut(sample))
        if len(seen) > SEEN_MAX:
            del seen[next(iter(seen))]
    follow(registers, believed)


def _contradict(one_wh: float | None, other_wh: float | None) -> bool:
    return one_wh is not None and other_wh is not None and one_wh != other_wh


def _kept(sample: MeterSample) -> MeterSample:
    """The sample as it is remembered: of signed data the checksum."""
    if not sample.signed:
        return sample
    return _replace(sample, signed=(str(crc32(_encode(sample.signed))),))


def energy(start_wh: float | None, stop_wh: float | None, registers: Registers) -> Energy:
    """A session's energy, by the first way that holds. `stop_wh` None = no stop was reported."""
    flags = _flags(registers)
    if start_wh is not None and stop_wh is not None:
        gained_wh = stop_wh - start_wh
        if 0 <= gained_wh <= PLAUSIBLE_WH and not _idle(start_wh, stop_wh, registers):
            return Energy(gained_wh, EnergyMethod.REGISTER, tuple(flags))
        if gained_wh < 0:
            flags.append("meter_backwards")
        else:
            flags.append("implausible_energy" if gained_wh else "register_idle")
    if registers.first_wh is not None and registers.last_wh is not None and "register_idle" not in flags:
        # Before the first sample and after the last one the meter's own marks count, where they fit.
        ends_wh = _step(start_wh, registers.first_wh) + _step(registers.last_wh, stop_wh)
        return _plausible(registers.gained_wh + ends_wh, EnergyMethod.SAMPLES, flags)
    # Sampled and clock-aligned intervals are the same energy told twice; the sampled ones know the session.
    intervals_wh = registers.sampled_wh or registers.clocked_wh
    if intervals_wh > 0:
        return _plausible(intervals_wh, EnergyMethod.INTERVAL, flags)
    if registers.flowed_wh > 0:
        return _plausible(registers.flowed_wh, EnergyMethod.INTEGRATED, [*flags, "estimated"])
    return Energy(None, EnergyMethod.UNKNOWN, tuple(flags))


def _flags(registers: Registers) -> list[str]:
    told = {
        "register_decreased": registers.decreases > 0,
        "sample_conflict": registers.conflicts > 0,
        "negative_import": registers.negative,
        "exported": registers.exported,
        "signed_cut": registers.signed_cut,
    }
    return [flag for flag, holds in told.items() if holds]


def _idle(start_wh: float, stop_wh: float, registers: Registers) -> bool:
    """Whether the register says nothing because there is none: 0 at both ends, and energy was told."""
    told_wh = max(registers.sampled_wh, registers.clocked_wh, registers.flowed_wh)
    return start_wh == stop_wh == 0 and not registers.last_wh and told_wh > NOTHING_WH


def _plausible(energy_wh: float, method: EnergyMethod, flags: list[str]) -> Energy:
    if energy_wh > PLAUSIBLE_WH:
        return Energy(None, EnergyMethod.UNKNOWN, tuple(dict.fromkeys([*flags, "implausible_energy"])))
    return Energy(round(energy_wh, 3), method, tuple(flags))


def _step(before_wh: float | None, after_wh: float | None) -> float:
    if before_wh is None or after_wh is None or not 0 <= after_wh - before_wh <= PLAUSIBLE_WH:
        return 0.0
    return after_wh - before_wh


def _clean(sample: MeterSample) -> MeterSample:
    current_a = sample.current_a
    return _replace(
        sample,
        at=sample.at[:WORD_CHARS_MAX] if sample.at is not None else None,
        context=sample.context[: WORD_CHARS_MAX // 2],
        location=sample.location[: WORD_CHARS_MAX // 2],
        current_a=None if current_a is None or None in map(finite, current_a) else current_a,
        other={name: told for name, value in sample.other.items() if (told := finite(value)) is not None},
        **{name: finite(getattr(sample, name)) for name in _NUMBERS},
    )


_NUMBERS = (
    *("energy_wh", "export_wh", "power_w", "offered_a", "voltage_v", "soc_percent", "temperature_c"),
    "interval_wh",
)


def _chunks(samples: Sequence[MeterSample]) -> list[tuple[MeterSample, ...]]:
    """The samples in order, in groups that each fit into one fact."""
    groups: list[tuple[MeterSample, ...]] = []
    group: list[MeterSample] = []
    room = CHUNK_BYTES_MAX
    for sample in samples:
        size = len(_encode(sample)) + 1
        if group and size > room:
            groups.append(tuple(group))
            group, room = [], CHUNK_BYTES_MAX
        group.append(sample)
        room -= size
    if group:
        groups.append(tuple(group))
    return groups


def _parts(sample: MeterSample) -> list[MeterSample]:
    """The sample, or where its signed data is too much for a fact, itself without and the pieces."""
    if not sample.signed or len(_encode(sample)) <= CHUNK_BYTES_MAX:
        return [sample]
    return list(signed.pieces(sample))
