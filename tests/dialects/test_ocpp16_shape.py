"""Shapes of meter values: the same samples as value by value, or none at all."""

from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.ocpp16.messages import SampledValue
from edge.chargers.shared import shape
from edge.chargers.shared.meter import _read

AT = "2026-03-01T12:00:00.000Z"
PLAIN = st.one_of(
    st.integers(0, 10**7).map(str),
    st.tuples(st.integers(0, 99_999), st.integers(0, 9_999)).map(lambda halves: f"{halves[0]}.{halves[1]}"),
    st.sampled_from(["0", "0.0", "007", "5.", "100", "100.001", "123456789012"]),
)
ODD = st.sampled_from(
    ["", " 7", "-1", "+1", "1,5", "1e3", "nan", "1_0", "٣", ".5", "1\n2", "OCMF|{}", "1234567890123"]
)
SAMPLED = st.builds(
    SampledValue,
    value=st.one_of(PLAIN, PLAIN, PLAIN, PLAIN, ODD),
    context=st.sampled_from([None, "Sample.Periodic", "Transaction.Begin"]),
    format=st.sampled_from([None, None, None, "Raw", "SignedData"]),
    measurand=st.sampled_from(
        [
            *(None, "Energy.Active.Import.Register", "Energy.Active.Export.Register", "Power.Active.Import"),
            *("Current.Import", "Current.Import", "Current.Offered", "Voltage", "Voltage", "SoC"),
            *("Temperature", "Frequency", "Power.Factor", "Power.Offered", "Energy.Reactive.Import.Register"),
        ]
    ),
    phase=st.sampled_from([None, None, "L1", "L2", "L3", "L1-N", "N", "L1-L2"]),
    location=st.sampled_from([None, "Outlet", "EV", "Body"]),
    unit=st.sampled_from([None, None, None, "Wh", "kWh", "W", "A", "V", "Percent", "Celsius", "K"]),
)
#: Words that have a shape, in any order and number, so that the law below is not only about refusals.
USUAL = st.builds(
    SampledValue,
    value=PLAIN,
    measurand=st.sampled_from(["Power.Active.Import", "Current.Import", "Voltage", "SoC", "Temperature"]),
    phase=st.sampled_from([None, "L1", "L2", "L3", "L2-N"]),
)


@given(st.one_of(st.lists(SAMPLED, max_size=6), st.lists(USUAL, max_size=9)))
def test_a_shape_reads_what_is_read_value_by_value_or_leaves_it(sampled: list[SampledValue]) -> None:
    notes: dict[str, None] = {}
    by_value = list(_read(sampled, AT, notes))
    by_shape = shape.read(sampled, AT)
    if by_shape is not None:
        assert by_shape == by_value
        assert notes == {}


@given(
    st.lists(USUAL.map(lambda one: SampledValue("1", measurand=one.measurand, phase=one.phase)), min_size=1)
)
def test_the_usual_has_a_shape(sampled: list[SampledValue]) -> None:
    assert (shape.read(sampled, AT) is None) == (len(sampled) > shape.VALUES_MAX)


def test_a_value_beyond_its_quantity_is_left_to_be_noted() -> None:
    assert shape.read([SampledValue("100", measurand="SoC")], AT) is not None
    assert shape.read([SampledValue("101", measurand="SoC")], AT) is None
