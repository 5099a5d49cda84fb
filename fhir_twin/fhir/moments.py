"""FHIR date, dateTime and instant with their precision (RD-13). A partial date is an interval, not a moment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

Precision = Literal["year", "month", "day", "time"]

_DATE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,12}))?)?"
    r"(Z|[+-]\d{2}:?\d{2})?)?)?)?",
    re.ASCII,
)
# A clinical date outside this is a typing error or a placeholder ("0001-01-01", "9999-12-31").
FIRST_YEAR, LAST_YEAR = 1850, 2200


@dataclass(frozen=True, slots=True, repr=False)
class Moment:
    """[start, end) of what a FHIR date says; `assumed_zone`: a time of day came without an offset."""

    start: datetime
    end: datetime
    precision: Precision
    assumed_zone: bool = False

    @property
    def point(self) -> datetime:
        """One moment to stand for it: the middle of a year or month, the start of a day, the time itself."""
        if self.precision in ("year", "month"):
            return self.start + (self.end - self.start) / 2
        return self.start

    def point_by(self, limit: datetime) -> datetime:
        """`point`, but not later than `limit` when the interval began before it."""
        point = self.point
        return self.start if point > limit >= self.start else point


def moment(text: str | None, zone: tzinfo) -> Moment | None:
    """A FHIR date, dateTime or instant; None when absent or not one (then say so, `is_moment`).

    zone: taken for dates (which have none) and for times without an offset."""
    if not text:
        return None
    found = _DATE.fullmatch(text) or _DATE.fullmatch(text.strip().replace(" ", "T", 1))
    if found is None:
        return None
    try:
        return _moment(found, zone)
    except (ValueError, OverflowError):
        return None


def _moment(found: re.Match[str], zone: tzinfo) -> Moment | None:
    year = int(found[1])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    if found[2] is None:
        return Moment(datetime(year, 1, 1, tzinfo=zone), datetime(year + 1, 1, 1, tzinfo=zone), "year")
    month = int(found[2])
    if found[3] is None:
        following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
        return Moment(datetime(year, month, 1, tzinfo=zone), following, "month")
    day = int(found[3])
    if found[4] is None:
        start = datetime(year, month, day, tzinfo=zone)
        return Moment(start, start + timedelta(days=1), "day")
    second = min(int(found[6] or 0), 59)  # a leap second (":60") counts as the second before it
    micro = int((found[7] or "0")[:6].ljust(6, "0"))
    offset = _zone(found[8]) if found[8] else zone
    start = datetime(year, month, day, int(found[4]), int(found[5]), second, micro, tzinfo=offset)
    return Moment(start, start + timedelta(microseconds=1), "time", assumed_zone=found[8] is None)


_ZONES: dict[str, tzinfo] = {}


def _zone(text: str) -> tzinfo:
    known = _ZONES.get(text)
    if known is None:
        spelled = text if text == "Z" or ":" in text else f"{text[:3]}:{text[3:]}"
        known = datetime.fromisoformat(f"2000-01-01T00:00:00{spelled}").tzinfo
        if known is None:  # pragma: no cover - the pattern admits only real offsets
            raise ValueError("no offset")
        _ZONES[text] = known
    return known


def birth_date(text: str | None) -> tuple[date, Literal["year", "month", "day"]] | None:
    """(first day of what is said, precision); None when absent or not a date. A time of day is left out."""
    if not text:
        return None
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    precision: Literal["year", "month", "day"] = "day" if found[3] else "month" if found[2] else "year"
    try:
        return date(int(found[1]), int(found[2] or 1), int(found[3] or 1)), precision
    except ValueError:
        return None


def moment_of(text: str) -> datetime:
    """The as_of that an ISO 8601 text means: a date alone is its end, in UTC, so that the whole day is looked at.

    A time without an offset stays without one. Raises ValueError when `text` is no such date."""
    when = datetime.fromisoformat(text)
    if len(text) <= 10:
        return when.replace(hour=23, minute=59, second=59, tzinfo=UTC)
    return when
