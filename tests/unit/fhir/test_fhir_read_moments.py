"""RD-13: FHIR dates with their precision."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from fhir_read_records import AS_OF, chart, observation
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.fhir.moments import birth_date, moment

EAST = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("text", "precision", "start", "end"),
    [
        ("2024", "year", datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        ("2024-12", "month", datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        ("2024-02-29", "day", datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_partial_dates_are_intervals(text: str, precision: str, start: datetime, end: datetime) -> None:
    found = moment(text, UTC)
    assert found is not None
    assert (found.precision, found.start, found.end) == (precision, start, end)


def test_a_time_keeps_its_offset_and_fraction() -> None:
    found = moment("2011-02-02T16:30:49.825-05:00", UTC)
    assert found is not None
    assert found.start == datetime(2011, 2, 2, 21, 30, 49, 825000, tzinfo=UTC)
    assert found.start.utcoffset() == timedelta(hours=-5)


def test_a_time_without_offset_is_taken_in_the_zone_of_as_of_and_flagged() -> None:
    read = chart(
        observation(effectiveDateTime="2024-05-01T08:00:00", valueBoolean=True), as_of=AS_OF.astimezone(EAST)
    )
    assert read.measurements[0].time == datetime(2024, 4, 30, 23, tzinfo=UTC)
    assert "time-without-zone" in read.measurements[0].flags


def test_a_leap_second_is_the_second_before() -> None:
    found = moment("2016-12-31T23:59:60Z", UTC)
    assert found is not None
    assert found.start == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "20240101", "2024-13", "2024-02-30", "2024-1-1", "0001-01-01", "9999-12-31", "2024-W05-3",
     "2024-05-01T25:00:00Z", "2024-05-01T08:00:00+99:00", "٢٠٢٤-٠١-٠١"],
)  # fmt: skip
def test_what_is_no_fhir_date_is_none(text: str) -> None:
    assert moment(text, UTC) is None


@given(st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_every_iso_time_comes_back(naive: datetime, minutes: int) -> None:
    given_time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = moment(given_time.isoformat(timespec="microseconds"), UTC)
    assert found is not None
    assert found.start == given_time


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = moment(text, UTC)
    assert found is None or found.start < found.end


def test_the_point_of_a_year_is_its_middle_but_never_after_as_of() -> None:
    found = moment("2026", UTC)
    assert found is not None
    assert found.point == datetime(2026, 7, 2, 12, tzinfo=UTC)
    assert found.point_by(AS_OF) == datetime(2026, 1, 1, tzinfo=UTC)


def test_birth_dates() -> None:
    assert birth_date("1970") == (date(1970, 1, 1), "year")
    assert birth_date("1970-06") == (date(1970, 6, 1), "month")
    assert birth_date("1970-06-05") == (date(1970, 6, 5), "day")
    assert birth_date("1970-06-05T00:00:00Z") == (date(1970, 6, 5), "day")
    assert birth_date("1970-02-31") is None
    assert birth_date("born 1970") is None
