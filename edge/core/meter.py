"""Meter arithmetic: what a session's samples and registers come to, and which samples are repeats. Pure data.

Energy (quirk 75): meter stop − meter start if that is possible; else what the register gained over the
samples, split where it went down (a meter that restarted at 0); else unknown. Never negative, never guessed
from power. What looks wrong is kept and flagged.

The same sample may arrive many times (a lost reply, a stop that repeats what was sent before). A sample is
known by its time, context and location; the last `SEEN_MAX` of an open session are remembered. What is older
than that is written again, which does no harm: samples are upserts by (session, time, context).
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from common.domain import EnergyMethod, MeterSample

#: Repeats seen in the field are at most a minute or two late; this is a quarter of an hour at 30 s.
SEEN_MAX = 32
#: More than any session can be: a truck's battery is below 1 MWh.
PLAUSIBLE_WH = 1_000_000.0
#: A register beyond this is no reading; a float still tells single Wh here.
REGISTER_MAX_WH = 2.0**53
#: Samples in one fact, in bytes of JSON: leaves room for the rest of a 16 KiB record.
CHUNK_BYTES_MAX = 12 * 1024
#: A piece of signed data: JSON makes at most six bytes of a character.
SIGNED_PIECE_CHARS = 2000
#: Time and context are words; the longest real one is 32 characters.
WORD_CHARS_MAX = 64
#: Measured on the car's side of the outlet; other places are the charger's own (quirk 79).
IN_SESSION = frozenset({"outlet", "cable"})

#: A sample with nothing unusual about it is shorter, in bytes of JSON.
PLAIN_BYTES = 512

#: By `sample_key`.
Seen = dict[str, MeterSample]

_encode = msgspec.json.Encoder().encode
_replace = msgspec.structs.replace


class Registers(msgspec.Struct, omit_defaults=True):
    """What an open session's register did so far, in the order of the charger's times."""

    first_wh: float | None = None
    last_wh: float | None = None
    last_at: str = ""
    gained_wh: float = 0.0
    decreases: int = 0
    conflicts: int = 0  #: times that one moment was told with two registers


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
    return f"{sample.at}|{sample.context}|{sample.location}"


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
    cleaned = [_clean(sample) for sample in samples]
    return _chunks([s for s in cleaned if s.at is None or seen.get(sample_key(s)) != _kept(s)])


def remember(seen: Seen, registers: Registers, samples: tuple[MeterSample, ...]) -> None:
    """Take samples into a session's memory and registers. Changes both in place."""
    for sample in samples:
        if sample.at is None:
            continue
        key = sample_key(sample)
        known = seen.get(key)
        if known is not None and _contradict(known.energy_wh, sample.energy_wh):
            registers.conflicts += 1
        seen[key] = _kept(sample) if sample.signed else sample
        if len(seen) > SEEN_MAX:
            del seen[next(iter(seen))]
    follow(registers, samples)


def _contradict(one_wh: float | None, other_wh: float | None) -> bool:
    return one_wh is not None and other_wh is not None and one_wh != other_wh


def _kept(sample: MeterSample) -> MeterSample:
    """The sample as it is remembered: of signed data the checksum."""
    if not sample.signed:
        return sample
    return _replace(sample, signed=(str(crc32(_encode(sample.signed))),))


def follow(registers: Registers, samples: Sequence[MeterSample]) -> None:
    """Bring the registers up to samples, in the order of their times; older ones are passed over."""
    ordered = samples if len(samples) == 1 else sorted(samples, key=lambda sample: sample.at or "\x7f")
    for sample in ordered:
        now_wh = sample.energy_wh
        if now_wh is None or not 0 <= now_wh <= REGISTER_MAX_WH or sample.location not in IN_SESSION:
            continue
        if sample.at is not None:
            if sample.at < registers.last_at:
                continue
            registers.last_at = sample.at
        before_wh = registers.last_wh
        if before_wh is None:
            registers.first_wh = now_wh
        elif now_wh < before_wh:
            registers.decreases += 1
        else:
            registers.gained_wh += now_wh - before_wh
        registers.last_wh = now_wh


def energy(start_wh: float | None, stop_wh: float | None, registers: Registers) -> Energy:
    """A session's energy from its registers. `stop_wh` None = no stop was reported."""
    flags = []
    if registers.decreases:
        flags.append("register_decreased")
    if registers.conflicts:
        flags.append("sample_conflict")
    if start_wh is not None and stop_wh is not None:
        gained_wh = stop_wh - start_wh
        if 0 <= gained_wh <= PLAUSIBLE_WH:
            return Energy(gained_wh, EnergyMethod.REGISTER, tuple(flags))
        flags.append("meter_backwards" if gained_wh < 0 else "implausible_energy")
    if registers.first_wh is None or registers.last_wh is None:
        return Energy(None, EnergyMethod.UNKNOWN, tuple(flags))
    total_wh = registers.gained_wh
    # Before the first sample and after the last one the meter's own marks count, where they fit.
    total_wh += _step(start_wh, registers.first_wh) + _step(registers.last_wh, stop_wh)
    if total_wh > PLAUSIBLE_WH:
        return Energy(None, EnergyMethod.UNKNOWN, tuple(dict.fromkeys([*flags, "implausible_energy"])))
    return Energy(total_wh, EnergyMethod.SAMPLES, tuple(flags))


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
        **{name: finite(getattr(sample, name)) for name in _NUMBERS},
    )


_NUMBERS = (
    *("energy_wh", "export_wh", "power_w", "offered_a", "voltage_v", "soc_percent", "temperature_c"),
    "interval_wh",
)


def _chunks(samples: Sequence[MeterSample]) -> list[tuple[MeterSample, ...]]:
    """The samples in order, in groups that each fit into one fact.

    A sample whose signed data is too large is followed by its pieces: samples of the same time and context
    with `signed=("2/5", piece)`; the pieces of one document joined are the document, byte for byte.
    """
    groups: list[tuple[MeterSample, ...]] = []
    group: list[MeterSample] = []
    room = CHUNK_BYTES_MAX
    for sample in samples:
        for part in _parts(sample):
            size = len(_encode(part)) + 1
            if group and size > room:
                groups.append(tuple(group))
                group, room = [], CHUNK_BYTES_MAX
            group.append(part)
            room -= size
    if group:
        groups.append(tuple(group))
    return groups


def _parts(sample: MeterSample) -> list[MeterSample]:
    if not sample.signed or len(_encode(sample)) <= CHUNK_BYTES_MAX:
        return [sample]
    parts = [_replace(sample, signed=())]
    for document in sample.signed:
        cuts = range(0, len(document), SIGNED_PIECE_CHARS)
        parts += [
            MeterSample(
                at=sample.at,
                context=sample.context,
                location=sample.location,
                signed=(f"{number}/{len(cuts)}", document[cut : cut + SIGNED_PIECE_CHARS]),
            )
            for number, cut in enumerate(cuts, 1)
        ]
    return parts
