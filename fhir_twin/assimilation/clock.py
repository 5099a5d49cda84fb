"""Time as the filter counts it: years of 365.25 days since 2000-01-01 UTC, whatever the time zone written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365.25)


def years(when: datetime) -> float:
    """Needs a timezone-aware time (TypeError otherwise, as Python does)."""
    return (when - EPOCH) / YEAR


def moment(value: float) -> datetime:
    return EPOCH + value * YEAR


def day(when: datetime) -> int:
    """Ordinal UTC day: what counts as one visit."""
    return when.astimezone(UTC).toordinal()
