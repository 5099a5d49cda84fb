"""Numbers and days as clinicians read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fhir_twin.web.views.words import ago, first_upper, horizon, number, points, share, signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "words"),
    [(0, "today"), (1, "1 day ago"), (13, "13 days ago"), (14, "2 weeks ago"), (40, "1 month ago"),
     (400, "1 year ago"), (800, "2 years ago"), (-1, "in the future")],
)  # fmt: skip
def test_how_long_ago(days: int, words: str) -> None:
    assert ago(NOW - timedelta(days=days), NOW) == words


def test_no_date_is_no_age() -> None:
    assert ago(None, NOW) == ""


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.1234, "12 %"),
        (0.0456, "4.6 %"),
        (0.00041, "0.04 %"),
        (0.0, "0.0 %"),
        (1.0, "100 %"),
        (0.9951, "100 %"),
    ],
)
def test_shares(probability: float, words: str) -> None:
    assert share(probability) == words


def test_signs_are_true_minus_signs_and_zero_has_none() -> None:
    assert signed(-1.25, 1) in ("\u22121.2", "\u22121.3")
    assert signed(0.04) == "0.0"
    assert signed(-0.04) == "0.0"
    assert points(-0.042) == "\u22124.2"


def test_numbers_keep_three_digits() -> None:
    assert [number(v) for v in (0.0, 146.2, 5.678, 0.01234, Decimal("7.10"), 12345.6)] == [
        "0", "146", "5.68", "0.0123", "7.10", "12346",
    ]  # fmt: skip


def test_words_with_a_way_of_their_own_keep_it() -> None:
    assert first_upper("eGFR") == "eGFR"
    assert first_upper("systolic pressure") == "Systolic pressure"
    assert first_upper("") == ""


def test_horizons() -> None:
    assert [horizon(y) for y in (0.5, 1.0, 10.0)] == ["6 months", "1 year", "10 years"]
