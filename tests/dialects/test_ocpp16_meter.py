"""OCPP 1.6 meter values: defaults, units, phases, and what must stay apart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import MeterSample
from edge.chargers.ocpp16.messages import MeterValue, SampledValue
from edge.chargers.shared.meter import convert, feeds_session, parse_number, phases_in_use

AT = "2026-03-01T12:00:00.000Z"


def sv(value: str, measurand: str | None = None, unit: str | None = None, **more: str) -> SampledValue:
    return SampledValue(value=value, measurand=measurand, unit=unit, **more)


def one(*values: SampledValue) -> MeterSample:
    """Convert the values of one moment, which are expected to become one sample."""
    (sample,) = convert([MeterValue(AT, values)]).samples
    return sample


def phases(measurand: str, *pairs: tuple[str, str]) -> list[SampledValue]:
    return [sv(value, measurand, phase=phase) for phase, value in pairs]


def test_the_defaults_of_the_specification() -> None:
    assert one(sv("1234")) == MeterSample(at=AT, context="periodic", energy_wh=1234.0, location="outlet")


@pytest.mark.parametrize(
    ("value", "unit", "wh"),
    [
        ("12.345", "kWh", 12345.0),
        ("12,345", "kWh", 12345.0),
        (" 7 ", "Wh", 7.0),
        ("7", "WH", 7.0),
        ("7", "", 7.0),
        ("7", "Furlong", 7.0),
        ("1e3", "Wh", 1000.0),
        ("0.25", "Wh", 0.2),  # half to even, at a tenth
        ("0.35", "Wh", 0.4),
        ("1234.56789", "kWh", 1234567.9),
        ("0", "Wh", 0.0),
        ("-5", "Wh", -5.0),
    ],
)
def test_energy_is_in_wh(value: str, unit: str, wh: float) -> None:
    assert one(sv(value, unit=unit)).energy_wh == wh


@pytest.mark.parametrize(
    "value",
    ["", " ", "NaN", "Infinity", "1.234,5", "1_000", "12 kWh", "1e99", "9" * 33, "٣", "-", ".", "0x10"],
)
def test_what_is_no_number_is_missing_and_never_zero(value: str) -> None:
    converted = convert([MeterValue(AT, (sv(value),))])
    assert converted.samples == ()
    assert len(converted.notes) == 1


def test_a_unit_of_another_quantity_makes_the_value_missing() -> None:
    assert convert([MeterValue(AT, (sv("5", "Power.Active.Import", "kWh"),))]) == (
        (),
        ("meterValue.sampledValue.unit:other_quantity",),
    )


def test_a_missing_unit_is_the_measurands_own() -> None:
    sample = one(
        sv("7.4", "Power.Active.Import", "kW"), sv("230", "Voltage"), sv("80", "SoC"), sv("21", "Temperature")
    )
    assert (sample.power_w, sample.voltage_v, sample.soc_percent, sample.temperature_c) == (7400, 230, 80, 21)


@pytest.mark.parametrize(
    ("value", "unit", "celsius"),
    [("20", "Celcius", 20), ("20", "Celsius", 20), ("293.15", "K", 20), ("68", "Fahrenheit", 20)],
)
def test_temperatures(value: str, unit: str, celsius: float) -> None:
    assert one(sv(value, "Temperature", unit)).temperature_c == celsius


def test_a_state_of_charge_beyond_100_is_missing() -> None:
    assert convert([MeterValue(AT, (sv("101", "SoC", "Percent"),))]).samples == ()


@pytest.mark.parametrize(
    ("pairs", "watts"),
    [
        ((("L1", "1000"), ("L2", "2000"), ("L3", "3000")), 6000),
        ((("L1-N", "1000"), ("L2-N", "2000")), 3000),
        ((("L1", "1000"),), 1000),
        ((("L1", "1000"), ("L1-N", "990"), ("N", "5")), 1000),
        ((("L1-N", "990"), ("L1", "1000")), 1000),
        ((("L1", "1000"), ("L2", "0"), ("L3", "0")), 1000),
    ],
)
def test_power_is_summed_over_phases(pairs: tuple[tuple[str, str], ...], watts: float) -> None:
    assert one(*phases("Power.Active.Import", *pairs)).power_w == watts


def test_a_total_wins_over_the_sum() -> None:
    values = phases("Power.Active.Import", ("L1", "1000"), ("L2", "2000"))
    assert one(*values, sv("3005", "Power.Active.Import")).power_w == 3005


def test_voltage_is_the_mean_of_live_phases() -> None:
    assert one(*phases("Voltage", ("L1-N", "230"), ("L2-N", "232"), ("L3-N", "0"))).voltage_v == 231
    assert one(*phases("Voltage", ("L1", "0"), ("L2", "0"))).voltage_v == 0
    assert convert([MeterValue(AT, tuple(phases("Voltage", ("L1-L2", "400"))))]).samples == ()


def test_current_stays_by_phase() -> None:
    sample = one(*phases("Current.Import", ("L1", "16.02"), ("L2", "0"), ("L3", "0.03"), ("N", "16")))
    assert sample.current_a == (16.02, 0.0, 0.03)
    assert phases_in_use(sample.current_a) == 1
    assert one(sv("15", "Current.Import")).current_a == (15.0,)
    assert one(*phases("Current.Import", ("L3", "3"), ("L1", "1"))).current_a == (1.0, 3.0)
    assert convert([MeterValue(AT, tuple(phases("Current.Import", ("N", "3"))))]).samples == ()


def test_what_is_offered_holds_for_each_phase() -> None:
    assert one(*phases("Current.Offered", ("L1", "16"), ("L2", "16"), ("L3", "0"))).offered_a == 16


def test_register_interval_and_export_stay_apart() -> None:
    sample = one(
        sv("50000", "Energy.Active.Import.Register"),
        sv("12", "Energy.Active.Import.Interval"),
        sv("3", "Energy.Active.Export.Register", "kWh"),
        sv("9", "Energy.Active.Export.Interval"),
        sv("8", "Energy.Reactive.Import.Register", "varh"),
        sv("50", "Frequency", "Hz"),
    )
    assert (sample.energy_wh, sample.interval_wh, sample.export_wh) == (50000, 12, 3000)
    assert sample.other == {"export_interval_wh": 9, "reactive_import_varh": 8, "frequency_hz": 50}


#: OCPP 1.6 §7.31, all of them: measurand, unit, where its value is found.
ALL_MEASURANDS = [
    ("Current.Export", "A", "current_export_a"),
    ("Current.Import", "A", "current_a"),
    ("Current.Offered", "A", "offered_a"),
    ("Energy.Active.Export.Interval", "Wh", "export_interval_wh"),
    ("Energy.Active.Export.Register", "Wh", "export_wh"),
    ("Energy.Active.Import.Interval", "Wh", "interval_wh"),
    ("Energy.Active.Import.Register", "Wh", "energy_wh"),
    ("Energy.Reactive.Export.Interval", "varh", "reactive_export_interval_varh"),
    ("Energy.Reactive.Export.Register", "varh", "reactive_export_varh"),
    ("Energy.Reactive.Import.Interval", "varh", "reactive_import_interval_varh"),
    ("Energy.Reactive.Import.Register", "kvarh", "reactive_import_varh"),
    ("Frequency", "Hertz", "frequency_hz"),
    ("Power.Active.Export", "kW", "power_export_w"),
    ("Power.Active.Import", "W", "power_w"),
    ("Power.Factor", None, "power_factor"),
    ("Power.Offered", "W", "power_offered_w"),
    ("Power.Reactive.Export", "var", "reactive_export_var"),
    ("Power.Reactive.Import", "kvar", "reactive_import_var"),
    ("RPM", None, "fan_rpm"),
    ("SoC", "Percent", "soc_percent"),
    ("Temperature", "Celsius", "temperature_c"),
    ("Voltage", "V", "voltage_v"),
]


@pytest.mark.parametrize(("measurand", "unit", "field"), ALL_MEASURANDS)
@pytest.mark.parametrize("value", ["1", " 1,0 "])  # by shape, and value by value
def test_every_measurand_has_a_place(measurand: str, unit: str | None, field: str, value: str) -> None:
    sample = one(sv(value, measurand, unit))
    told = sample.other.get(field, getattr(sample, field, None))
    factor = 1000 if unit is not None and unit.startswith("k") else 1
    assert told == ((factor,) if field == "current_a" else factor)


def test_locations_and_contexts_stay_apart_and_the_state_of_charge_is_the_cars() -> None:
    converted = convert(
        [
            MeterValue(
                AT,
                (
                    sv("100"),
                    sv("900", location="Inlet"),
                    sv("40", "Temperature", location="Body"),
                    sv("55", "SoC", "Percent", location="EV"),
                    sv("90", context="Transaction.Begin"),
                ),
            )
        ]
    )
    assert converted.samples == (
        MeterSample(at=AT, energy_wh=100.0, soc_percent=55.0),
        MeterSample(at=AT, energy_wh=900.0, location="inlet"),
        MeterSample(at=AT, temperature_c=40.0, location="body"),
        MeterSample(at=AT, energy_wh=90.0, context="begin"),
    )
    assert [feeds_session(sample, 1) for sample in converted.samples] == [True, False, False, True]
    assert not any(
        feeds_session(sample, connector) for sample in converted.samples for connector in (0, None)
    )


def test_an_unknown_location_is_noted() -> None:
    converted = convert([MeterValue(AT, (sv("1", location="Plug"),))])
    assert converted.samples[0].location == "outlet"
    assert converted.notes == ("meterValue.sampledValue.location:unknown",)


def test_signed_data_is_text_and_never_a_number() -> None:
    ocmf = 'OCMF|{"RD":[{"RV":268.978,"RU":"kWh"}]}|{"SD":"30 45\u00e9"}'
    sample = one(sv("1000"), sv(ocmf, format="SignedData"), sv("4711", format="signeddata"), sv(ocmf))
    assert sample.energy_wh == 1000
    assert sample.signed == (ocmf, "4711", ocmf)


def test_times_are_canonical_where_they_tell_an_instant() -> None:
    for text, at in [
        ("2026-03-01T14:00:00+02", AT),
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00"),
        ("", None),
    ]:
        assert convert([MeterValue(text, (sv("1"),))]).samples[0].at == at


def test_an_empty_list_gives_nothing() -> None:
    assert convert([MeterValue(AT, ())]) == ((), ())


@given(st.decimals(min_value=-(2**40), max_value=2**40, places=4))
def test_numbers_are_read_exactly_with_point_or_comma(number: Decimal) -> None:
    text = f"{number:f}"
    assert parse_number(text) == parse_number(f" {text.replace('.', ',')} ") == number


@given(st.integers(-(2**44), 2**44))
def test_kwh_of_whole_wh_lose_nothing(wh: int) -> None:
    assert one(sv(f"{Decimal(wh).scaleb(-3):f}", unit="kWh")).energy_wh == wh


words = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from(
        [
            "L1",
            "L2",
            "N",
            "kWh",
            "A",
            "K",
            "SoC",
            "Voltage",
            "Current.Import",
            "EV",
            "Inlet",
            "SignedData",
            "Trigger",
        ]
    ),
)
sampled = st.builds(
    SampledValue,
    value=st.text(max_size=40) | st.floats().map(str) | st.integers().map(str),
    context=words,
    format=words,
    measurand=words,
    phase=words,
    location=words,
    unit=words,
)


@given(
    st.lists(
        st.builds(MeterValue, st.text(max_size=80), st.lists(sampled, max_size=8).map(tuple)), max_size=3
    )
)
def test_convert_never_raises_and_never_makes_an_empty_sample(values: list[MeterValue]) -> None:
    for sample in convert(values).samples:
        told = (sample.energy_wh, sample.export_wh, sample.interval_wh, sample.power_w, sample.current_a)
        also = (sample.offered_a, sample.voltage_v, sample.soc_percent, sample.temperature_c)
        assert sample.signed or any(field is not None for field in told + also)
        assert sample.at is None or len(sample.at) <= 64
