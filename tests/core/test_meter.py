"""Meter values: where they go, which are repeats, and what a session's energy comes to."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import facts, signed
from common.domain import EnergyMethod, MeterSample, iso
from edge.core import engine, inputs, meter
from edge.core.inputs import Known
from tests.core.world import CHARGING, MINUTE, SECOND, T0, Site, kinds, with_fields

registers = st.floats(min_value=0, max_value=1e7, allow_nan=False)


def charging(**more: object) -> tuple[Site, str]:
    site = Site().ready(evses=2)
    transaction = site.begun(**more)
    site.status(CHARGING)
    site.now += MINUTE
    return site, transaction


# --- where they go -----------------------------------------------------------------------------------------


def test_a_sample_of_a_named_transaction() -> None:
    site, transaction = charging()
    decision = site.meter(site.sample(1100.0, power_w=7000.0), transaction=transaction)
    (sampled,) = decision.facts
    assert isinstance(sampled, facts.MeterSampled)
    assert (sampled.session, sampled.transaction, sampled.late) == (
        site.open_sessions()[0],
        transaction,
        False,
    )
    assert decision.reply == inputs.Acknowledged()
    shown = site.state.view.sessions[site.open_sessions()[0]]
    assert (shown.energy_wh, shown.power_w) == (100.0, 7000.0)
    site.check()


@pytest.mark.parametrize("transaction", [None, "", "-1", "0", "-2147483648"])
def test_without_an_id_the_open_session_of_the_connector_is_meant(transaction: str | None) -> None:
    site, _ = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    sampled = site.last(facts.MeterSampled)
    assert (sampled.session, sampled.transaction) == (site.open_sessions()[0], "")
    assert site.all(facts.OrphanRecorded) == []


def test_without_an_id_and_without_a_session_they_are_nobodys() -> None:
    site, _ = charging()
    site.meter(site.sample(1100.0), evse=2)
    sampled = site.last(facts.MeterSampled)
    assert (sampled.session, sampled.evse) == (None, 2)
    assert site.all(facts.OrphanRecorded) == []
    decision = site.meter(site.sample(1100.0), evse=2, transaction="-1")
    assert kinds(decision) == ["orphan_recorded", "meter_sampled"]
    assert site.last(facts.OrphanRecorded).reason == "no_open_session"


def test_an_unknown_id_is_an_orphan_once_and_its_samples_are_kept() -> None:
    site, _ = charging()
    first = site.meter(site.sample(1100.0), transaction="424242")
    assert kinds(first) == ["orphan_recorded", "meter_sampled"]
    site.now += MINUTE
    assert kinds(site.meter(site.sample(1200.0), transaction="424242")) == ["meter_sampled"]
    sampled = site.last(facts.MeterSampled)
    assert (sampled.session, sampled.transaction) == (None, "424242")
    site.check()


def test_connector_0_is_the_stations_own_meter() -> None:
    site, transaction = charging()
    site.meter(site.sample(99.0), evse=0)
    assert site.last(facts.MeterSampled).session is None
    site.end(transaction)
    assert site.last(facts.SessionEnded).energy_wh == 4000.0


def test_the_transaction_counts_and_not_the_connector_beside_it() -> None:
    site, transaction = charging()
    for evse in (0, 2, 2**70):
        site.now += SECOND
        site.meter(site.sample(1100.0), evse=evse, transaction=transaction)
        sampled = site.last(facts.MeterSampled)
        assert (sampled.session, sampled.evse) == (site.open_sessions()[0], 1)
    site.check()


def test_after_the_end_they_are_history() -> None:
    site, transaction = charging()
    site.end(transaction, 2000.0)
    site.now += SECOND
    site.meter(site.sample(2010.0, power_w=5000.0), transaction=transaction)
    assert site.last(facts.MeterSampled).late
    assert len(site.all(facts.SessionEnded)) == 1
    assert site.all(facts.SessionRevised) == []


def test_a_session_that_left_memory_is_recalled() -> None:
    site = Site().ready()
    report = inputs.MeterReported(charger="CP1", evse=1, transaction="9", samples=(site.sample(5.0),))
    assert engine.needs_recall(site.state, report)
    assert engine.recall_key(site.state, report) == "9"
    known = Known(session="session-9", charger="CP1", evse=1, transaction="9", principal="anna", ended=True)
    site.feed(with_fields(report, recalled=known))
    sampled = site.last(facts.MeterSampled)
    assert (sampled.session, sampled.principal, sampled.late) == ("session-9", "anna", True)
    assert not engine.needs_recall(site.state, with_fields(report, transaction="-1"))
    assert not engine.needs_recall(site.state, with_fields(report, transaction=None))
    site.check()


def test_nothing_measured_is_nothing() -> None:
    site, transaction = charging()
    assert site.meter(transaction=transaction).facts == ()


# --- repeats -----------------------------------------------------------------------------------------------


def test_a_repeated_sample_is_no_fact() -> None:
    site, transaction = charging()
    sample = site.sample(1100.0, power_w=7000.0)
    site.meter(sample, transaction=transaction)
    site.now += MINUTE
    assert site.meter(sample, transaction=transaction).facts == ()
    newer = site.sample(1200.0)
    decision = site.meter(sample, newer, transaction=transaction)
    assert site.last(facts.MeterSampled).samples == (newer,)
    assert len(decision.facts) == 1
    site.check()


def test_new_measurands_of_the_same_moment_are_a_fact_and_no_conflict() -> None:
    site, transaction = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    assert len(site.meter(site.sample(None, power_w=7000.0), transaction=transaction).facts) == 1
    site.end(transaction)
    assert site.last(facts.SessionEnded).flags == ()


def test_another_register_for_the_same_moment_is_flagged() -> None:
    site, transaction = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    assert len(site.meter(site.sample(1150.0), transaction=transaction).facts) == 1
    site.end(transaction)
    assert site.last(facts.SessionEnded).flags == ("sample_conflict",)


def test_a_register_that_contradicts_a_moment_moves_nothing_and_is_told_once() -> None:
    site, transaction = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    contradiction = site.sample(999_999.0)
    assert len(site.meter(contradiction, transaction=transaction).facts) == 1
    assert site.meter(contradiction, transaction=transaction).facts == (), "on record already"
    site.now += MINUTE
    site.meter(site.sample(1300.0), transaction=transaction)
    site.now += MINUTE
    site.begin(meter_start_wh=1300.0)  # its stop was lost: the samples tell the energy
    assert site.last(facts.SessionEnded).energy_wh == 300.0
    site.check()


def test_a_part_of_a_moment_is_no_news_once_the_whole_was_told() -> None:
    site, transaction = charging()
    first, second = site.sample(1100.0), site.sample(None, power_w=7000.0)
    for part in (first, second):
        assert len(site.meter(part, transaction=transaction).facts) == 1
    for part in (first, second):
        assert site.meter(part, transaction=transaction).facts == ()


@pytest.mark.parametrize("other", [{"context": "end"}, {"location": "ev"}])
def test_another_context_or_place_is_another_sample(other: dict[str, str]) -> None:
    site, transaction = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    assert len(site.meter(site.sample(1150.0, **other), transaction=transaction).facts) == 1
    site.end(transaction)
    assert site.last(facts.SessionEnded).flags == ()


def test_a_sample_without_a_time_is_never_a_repeat() -> None:
    site, transaction = charging()
    sample = MeterSample(energy_wh=1100.0)
    for _ in range(3):
        assert len(site.meter(sample, transaction=transaction).facts) == 1


def test_signed_data_is_compared_whole_and_remembered_by_its_checksum() -> None:
    site, transaction = charging()
    sample = site.sample(1100.0, signed=("OCMF|" + "x" * 9000,))
    site.meter(sample, transaction=transaction)
    assert site.meter(sample, transaction=transaction).facts == ()
    assert len(site.meter(with_fields(sample, signed=("y",)), transaction=transaction).facts) == 1
    assert len(engine.encode_state(site.state)) < 9000
    site.check()


def test_the_memory_of_a_session_is_bounded() -> None:
    site, transaction = charging()
    for _ in range(5 * meter.SEEN_MAX):
        site.now += SECOND
        site.meter(site.sample(1100.0), transaction=transaction)
    (session,) = site.open_sessions()
    assert len(site.state.stations["CP1"].sessions[session].seen) == meter.SEEN_MAX
    site.end(transaction)
    assert site.state.stations["CP1"].sessions[session].seen == {}


def test_two_readings_of_one_second_both_count() -> None:
    site, transaction = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    site.meter(site.sample(1150.0, context="end"), transaction=transaction)
    site.end(transaction, None)
    assert site.last(facts.SessionEnded).energy_wh == 150.0


# --- what is no number, and what is too long ---------------------------------------------------------------


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_absent(odd: float) -> None:
    site, transaction = charging()
    sample = site.sample(odd, power_w=odd, current_a=(1.0, odd), soc_percent=50.0)
    site.meter(sample, transaction=transaction)
    assert site.last(facts.MeterSampled).samples == (site.sample(None, soc_percent=50.0),)
    site.check()


@pytest.mark.parametrize("absurd", [-5.0, 1e300])
def test_a_register_that_cannot_be_is_kept_and_does_not_count(absurd: float) -> None:
    site, transaction = charging()
    site.meter(site.sample(1100.0), transaction=transaction)
    site.now += SECOND
    site.meter(site.sample(absurd), transaction=transaction)
    assert site.last(facts.MeterSampled).samples[0].energy_wh == absurd
    site.end(transaction, None)
    assert site.last(facts.SessionEnded).energy_wh == 100.0
    site.check()


def test_words_of_any_length_fit() -> None:
    site, transaction = charging()
    sample = MeterSample(at="9" * 50_000, context="c" * 50_000, location="l" * 50_000, energy_wh=1.0)
    site.meter(sample, transaction=transaction)
    (kept,) = site.last(facts.MeterSampled).samples
    assert len(kept.at or "") == meter.WORD_CHARS_MAX
    site.check()


def test_large_signed_data_is_cut_into_pieces_that_join_again() -> None:
    site, transaction = charging()
    documents = ("OCMF|" + '{"a":"\x01"}' * 3000, "short", "é" * 7000)
    site.meter(site.sample(1100.0, signed=documents), transaction=transaction)
    samples = [s for body in site.all(facts.MeterSampled) for s in body.samples]
    assert samples[0] == site.sample(1100.0)
    assert {(sample.at, sample.context) for sample in samples} == {(iso(site.now), "periodic")}
    assert tuple(signed.documents(samples)) == documents
    site.check()


# --- energy ------------------------------------------------------------------------------------------------


def after(*told: float, first_ms: int = T0) -> meter.Registers:
    registers = meter.Registers()
    samples = [MeterSample(at=iso(first_ms + n * SECOND), energy_wh=wh) for n, wh in enumerate(told)]
    meter.follow(registers, samples)
    return registers


@pytest.mark.parametrize(
    ("start", "stop", "told", "energy", "method", "flags"),
    [
        (1000.0, 5000.0, (), 4000.0, "register", ()),
        (1000.0, 1000.0, (1000.0,), 0.0, "register", ()),
        (0.0, 5000.0, (0.0, 2500.0), 5000.0, "register", ()),
        (1000.0, None, (), None, "unknown", ()),
        (None, 5000.0, (), None, "unknown", ()),
        (1000.0, None, (1200.0, 4000.0), 3000.0, "samples", ()),
        (None, 5000.0, (1200.0, 4000.0), 3800.0, "samples", ()),
        (None, None, (1200.0, 4000.0), 2800.0, "samples", ()),
        (5000.0, 700.0, (), None, "unknown", ("meter_backwards",)),
        (
            5000.0,
            700.0,
            (5000.0, 9000.0, 0.0, 700.0),
            4700.0,
            "samples",
            ("register_decreased", "meter_backwards"),
        ),
        (0.0, 9e9, (9e9 - 500, 9e9 - 100), 500.0, "samples", ("implausible_energy",)),
        (0.0, 9e9, (), None, "unknown", ("implausible_energy",)),
        (100.0, 600.0, (100.0, 9000.0, 0.0, 600.0), 500.0, "register", ("register_decreased",)),
    ],
)
def test_energy(
    start: float | None,
    stop: float | None,
    told: tuple[float, ...],
    energy: float | None,
    method: str,
    flags: tuple[str, ...],
) -> None:
    assert meter.energy(start, stop, after(*told)) == meter.Energy(energy, EnergyMethod(method), flags)


def test_samples_out_of_order_count_once() -> None:
    registers = meter.Registers()
    late = [MeterSample(at=iso(T0 + n * SECOND), energy_wh=1000.0 + n) for n in (3, 1, 2)]
    meter.follow(registers, late)
    meter.follow(registers, [MeterSample(at=iso(T0 + SECOND), energy_wh=1001.0)])
    assert (registers.gained_wh, registers.decreases) == (2.0, 0)


@pytest.mark.parametrize("place", ["inlet", "body", "ev"])
def test_other_places_than_the_outlet_do_not_count(place: str) -> None:
    registers = meter.Registers()
    meter.follow(registers, [MeterSample(at=iso(T0), energy_wh=5.0, location=place)])
    assert registers.first_wh is None


@given(st.none() | registers, st.none() | registers, st.lists(registers, max_size=12))
def test_energy_is_never_negative_and_never_more_than_the_register_moved(
    start: float | None, stop: float | None, told: list[float]
) -> None:
    energy = meter.energy(start, stop, after(*told)).energy_wh
    if energy is None:
        return
    marks = [wh for wh in (start, *told, stop) if wh is not None]
    rises = sum(max(0.0, b - a) for a, b in pairwise(marks))
    assert 0 <= energy <= rises + 1e-3


@given(st.lists(registers, min_size=2, max_size=12).map(sorted))
def test_on_a_register_that_only_rises_samples_and_registers_agree(told: list[float]) -> None:
    by_samples = meter.energy(told[0], None, after(*told))
    by_register = meter.energy(told[0], told[-1], after(*told))
    if by_register.energy_wh is not None and by_samples.energy_wh is not None:
        assert by_samples.energy_wh == pytest.approx(by_register.energy_wh, abs=1e-3)
    assert "register_decreased" not in by_register.flags


@given(
    st.lists(
        st.builds(
            MeterSample,
            at=st.none() | st.text(max_size=100),
            context=st.text(max_size=100),
            energy_wh=st.none() | st.floats(),
            power_w=st.none() | st.floats(),
            current_a=st.none() | st.lists(st.floats(), max_size=4).map(tuple),
            signed=st.lists(st.text(max_size=5000), max_size=3).map(tuple),
        ),
        max_size=20,
    ).map(tuple)
)
def test_whatever_is_measured_fits_facts_and_reads_back(samples: tuple[MeterSample, ...]) -> None:
    site, transaction = charging()
    site.meter(*samples, transaction=transaction)
    site.meter(*samples, evse=0)
    site.end(transaction, samples=samples)
    site.check()
