"""A session's energy, by each way that a charger may leave open, and what is said about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import signed
from common.domain import EnergyMethod, MeterSample, iso
from edge.core import meter
from tests.core.world import MINUTE, SECOND, T0


def at(minute: float, **told: object) -> MeterSample:
    return MeterSample(at=iso(T0 + round(minute * MINUTE)), **told)  # type: ignore[arg-type]


def after(*samples: MeterSample) -> meter.Registers:
    registers = meter.Registers()
    for sample in samples:
        meter.follow(registers, (sample,))
    return registers


def test_the_register_at_both_ends_wins_over_all_else() -> None:
    told = after(at(0, energy_wh=1000.0, power_w=7000.0, interval_wh=5.0), at(10, energy_wh=2200.0))
    assert meter.energy(1000.0, 2200.0, told) == meter.Energy(1200.0, EnergyMethod.REGISTER)


def test_without_a_register_the_intervals_are_summed() -> None:
    told = after(at(0, interval_wh=100.0), at(15, interval_wh=250.5), at(15, interval_wh=250.5))
    assert meter.energy(None, None, told) == meter.Energy(350.5, EnergyMethod.INTERVAL)


def test_sampled_and_clock_aligned_intervals_are_one_energy() -> None:
    told = after(
        at(5, interval_wh=100.0),
        at(10, interval_wh=100.0),
        at(10, interval_wh=190.0, context="clock"),
    )
    assert meter.energy(None, None, told) == meter.Energy(200.0, EnergyMethod.INTERVAL)
    clocked = after(at(15, interval_wh=190.0, context="clock"), at(30, interval_wh=10.0, context="clock"))
    assert meter.energy(None, None, clocked) == meter.Energy(200.0, EnergyMethod.INTERVAL)


def test_power_over_time_is_the_last_resort_and_says_so() -> None:
    told = after(at(0, power_w=6000.0), at(30, power_w=6000.0), at(60, power_w=0.0))
    energy = meter.energy(None, None, told)
    assert energy == meter.Energy(4500.0, EnergyMethod.INTEGRATED, ("estimated",))
    assert energy.method.obtained == "estimated"


def test_power_is_not_carried_over_a_long_silence() -> None:
    told = after(at(0, power_w=6000.0), at(300, power_w=6000.0), at(330, power_w=6000.0))
    assert meter.energy(None, None, told).energy_wh == 3000.0


def test_older_power_counts_nothing() -> None:
    told = after(at(10, power_w=6000.0), at(5, power_w=90_000.0), at(20, power_w=6000.0))
    assert meter.energy(None, None, told).energy_wh == 1000.0


def test_a_register_that_stands_at_zero_is_none() -> None:
    told = after(at(0, power_w=6000.0), at(30, power_w=6000.0))
    energy = meter.energy(0.0, 0.0, told)
    assert energy == meter.Energy(3000.0, EnergyMethod.INTEGRATED, ("register_idle", "estimated"))
    assert meter.energy(0.0, 0.0, after(at(0, power_w=0.0))).method is EnergyMethod.REGISTER


def test_intervals_never_mix_with_a_register() -> None:
    told = after(at(0, energy_wh=1000.0, interval_wh=500.0), at(5, energy_wh=1200.0, interval_wh=500.0))
    assert meter.energy(1000.0, None, told) == meter.Energy(200.0, EnergyMethod.SAMPLES)


@pytest.mark.parametrize(
    "samples",
    [
        (at(0, power_w=-3000.0),),
        (at(0, energy_wh=-500.0),),
        (at(0, interval_wh=-1.0),),
    ],
)
def test_import_below_zero_is_flagged(samples: tuple[MeterSample, ...]) -> None:
    assert meter.energy(0.0, 1000.0, after(*samples)).flags == ("negative_import",)


def test_the_noise_of_a_meter_that_stands_is_not() -> None:
    told = after(at(0, power_w=-3.0, energy_wh=-0.2, export_wh=100.0), at(1, export_wh=100.4))
    assert meter.energy(0.0, 1000.0, told).flags == ()


def test_energy_that_flowed_back_is_flagged_and_not_subtracted() -> None:
    told = after(at(0, energy_wh=1000.0, export_wh=5000.0), at(1, energy_wh=2000.0, export_wh=5800.0))
    assert meter.energy(1000.0, 2000.0, told) == meter.Energy(1000.0, EnergyMethod.REGISTER, ("exported",))


def test_other_places_than_the_outlet_count_for_nothing() -> None:
    told = after(
        at(0, power_w=9000.0, interval_wh=100.0, energy_wh=5.0, export_wh=1.0, location="inlet"),
        at(9, power_w=9000.0, interval_wh=100.0, energy_wh=9.0, export_wh=900.0, location="body"),
    )
    assert told == meter.Registers()


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 20_000)), max_size=20),
    st.floats(0, 1e6) | st.none(),
    st.floats(0, 1e6) | st.none(),
)
def test_energy_is_never_negative_and_always_labelled(
    told: list[tuple[int, float]], start: float | None, stop: float | None
) -> None:
    samples = [at(minute, power_w=value, interval_wh=value / 60) for minute, value in told]
    energy = meter.energy(start, stop, after(*samples))
    assert (energy.energy_wh is None) == (energy.method is EnergyMethod.UNKNOWN)
    assert energy.energy_wh is None or energy.energy_wh >= 0


# --- signed data -------------------------------------------------------------------------------------------

OCMF = 'OCMF|{"FV":"1.0","GI":"ABL","PG":"T12","RD":[{"RV":2935.6}]}|{"SD":"3046"}'


@given(st.lists(st.text(max_size=9000), max_size=3), st.booleans())
def test_documents_come_back_character_for_character(texts: list[str], again: bool) -> None:
    sample = at(0, signed=tuple(texts))
    groups = meter.taken({}, (sample,))
    kept = [piece for group in groups for piece in group]
    assert all(len(meter._encode(list(group))) < 16 * 1024 for group in groups)
    told = kept + [piece for piece in kept if piece.part] if again else kept
    wanted = [text for text in texts if text or not kept[0].part]
    assert signed.documents(told)[: len(wanted)] == wanted


def test_a_document_is_never_read() -> None:
    sample = at(0, signed=(OCMF, OCMF + "\x00"))
    ((kept,),) = meter.taken({}, (sample,))
    assert kept == sample
    assert after(sample) == meter.Registers()


def test_a_piece_that_is_missing_gives_no_document() -> None:
    kept = list(signed.pieces(at(0, signed=("x" * 5000, OCMF))))
    assert signed.documents(kept) == ["x" * 5000, OCMF]
    assert signed.documents(kept[:2] + kept[3:]) == [OCMF]


def test_a_document_beyond_all_bounds_is_cut_and_flagged() -> None:
    huge = "y" * (signed.DOCUMENT_CHARS_MAX + 10)
    groups = meter.taken({}, (at(0, signed=(huge,)),))
    kept = [piece for group in groups for piece in group]
    assert sum(len(piece.signed[0]) for piece in kept if piece.part) <= signed.DOCUMENT_CHARS_MAX
    assert signed.documents(kept) == []
    registers = meter.Registers()
    for group in groups:
        meter.remember({}, registers, group)
    assert meter.energy(0.0, 10.0, registers).flags == ("signed_cut",)


def test_a_repeated_document_is_written_once() -> None:
    seen: meter.Seen = {}
    told = at(1 + SECOND / MINUTE, signed=("z" * 30_000,), energy_wh=5.0)
    for group in meter.taken(seen, (told,)):
        meter.remember(seen, meter.Registers(), group)
    assert meter.taken(seen, (told,)) == []
