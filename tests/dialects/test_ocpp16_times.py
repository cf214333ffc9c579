"""Times as real chargers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.shared.times import Instant, canonical, parse, render

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc", "has_zone"),
    [
        ("2026-03-01T12:00:00Z", NOON, True),
        ("2026-03-01t12:00:00z", NOON, True),
        (" 2026-03-01 12:00:00 Z ", NOON, True),
        ("2026-03-01T14:00:00+02:00", NOON, True),
        ("2026-03-01T14:00:00+0200", NOON, True),
        ("2026-03-01T14:00:00+02", NOON, True),
        ("2026-03-01T06:30:00-05:30", NOON, True),
        ("2026-03-01T12:00Z", NOON, True),
        ("2026-03-01T12:00:00", NOON, False),  # Growatt
        ("2026-03-01T12:00:00.1Z", NOON + timedelta(milliseconds=100), True),
        ("2026-03-01T12:00:00,25Z", NOON + timedelta(milliseconds=250), True),
        ("2026-03-01T12:00:00.1234567891Z", NOON + timedelta(microseconds=123456), True),
        ("2026-03-01T11:59:60Z", NOON, True),
        ("2026-02-28T24:00:00Z", NOON - timedelta(hours=12), True),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC), True),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC), True),
        ("0001-01-01T00:00:00+02:00", None, True),
        ("9999-12-31T24:00:00Z", None, True),
        ("2026-02-30T12:00:00Z", None, True),
        ("2026-03-01T25:00:00Z", None, True),
        ("2026-03-01T12:00:00+99:00", None, True),
        ("2026-03-01", None, False),
        ("1772366400", None, False),
        ("٢٠٢٦-03-01T12:00:00Z", None, False),
        ("", None, False),
        ("null", None, False),
        ("2026-03-01T12:00:00Z" + " " * 100, None, False),
    ],
)
def test_shapes(text: str, utc: datetime | None, has_zone: bool) -> None:
    assert parse(text) == Instant(utc, has_zone)


def test_canonical_keeps_what_has_no_zone() -> None:
    assert canonical("2026-03-01T14:00:00.5+02") == "2026-03-01T12:00:00.500Z"
    assert canonical("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00.000Z"
    assert canonical("2026-03-01T12:00:00") == "2026-03-01T12:00:00"
    assert canonical("yesterday") == "yesterday"


def test_milliseconds_only_of_an_instant() -> None:
    assert parse("2026-03-01T12:00:00.1239Z").at_ms == 1772366400123
    assert parse("1969-12-31T23:59:59.9995Z").at_ms == -1
    assert parse("2026-03-01T12:00:00").at_ms is None
    assert parse("soon").at_ms is None


def test_render_is_utc_whole_seconds_and_z() -> None:
    local = datetime(2026, 3, 1, 14, 0, 0, 999999, timezone(timedelta(hours=2)))
    assert render(local) == "2026-03-01T12:00:00Z"


@given(st.text(max_size=80))
def test_parse_never_raises(text: str) -> None:
    instant = parse(text)
    assert instant.utc is None or instant.utc.tzinfo is UTC


zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))])
spans = st.timedeltas(timedelta(days=-700_000), timedelta(days=2_000_000))


@given(st.builds(lambda span, zone: (NOON + span).astimezone(zone), spans, zones))
def test_parse_reads_what_isoformat_writes(instant: datetime) -> None:
    assert parse(instant.isoformat()) == Instant(instant, True)
    assert parse(canonical(instant.isoformat())).utc == instant.replace(
        microsecond=instant.microsecond // 1000 * 1000
    )
    assert parse(render(instant)).utc == instant.replace(microsecond=0)
