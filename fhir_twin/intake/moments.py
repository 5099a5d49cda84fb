"""HL7 timestamps (DTM of v2, TS of CDA) -> FHIR date, dateTime, instant; precision kept, nothing invented."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

_DTM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?\s?(Z|[+-]\d{2}:?\d{2})?\Z",
    re.ASCII,
)
_ISO = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?\s?(Z|[+-]\d{2}:?\d{2})?\Z",
    re.ASCII,
)


@lru_cache(maxsize=4096)
def fhir_moment(text: str, zone: tzinfo) -> str:
    """A FHIR date (YYYY, YYYY-MM, YYYY-MM-DD) or dateTime with offset; "" for what is no timestamp.

    A time without an offset is local to `zone`. Hours without minutes become minute 00, as FHIR wants both."""
    found = _DTM.match(text) or _ISO.match(text)
    if found is None:
        return ""
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        if hour is None:
            date(int(year), int(month or 1), int(day or 1))
            return "-".join(part for part in (year, month, day) if part)
        return _with_time(year, month, day, hour, minute or "00", second or "00", fraction, offset, zone)
    except (ValueError, OverflowError):
        return ""


def _with_time(
    year: str, month: str, day: str, hour: str, minute: str, second: str, fraction: str | None,
    offset: str | None, zone: tzinfo,
) -> str:  # fmt: skip
    over = int(second) == 60  # a leap second, which FHIR allows and datetime does not
    if hour == "24" and minute == second == "00":  # the end of a day, which FHIR does not allow
        when = datetime(int(year), int(month), int(day)) + timedelta(days=1)
    else:
        when = datetime(int(year), int(month), int(day), int(hour), int(minute), 59 if over else int(second))
    when = when.replace(tzinfo=_offset(offset) if offset else zone)
    body = when.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    shift = when.strftime("%z")
    part = f".{fraction.rstrip('0')}" if fraction and fraction.rstrip("0") else ""
    return f"{body}{part}{shift[:3]}:{shift[3:5]}"


def _offset(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 14 or minutes > 59:
        raise ValueError(text)
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[0] == "-" else span)


def as_instant(fhir: str, zone: tzinfo) -> datetime | None:
    """The first moment that a FHIR date or dateTime may mean; None for "" or what is none."""
    if not fhir:
        return None
    full = f"{fhir}-01-01" if len(fhir) == 4 else f"{fhir}-01" if len(fhir) == 7 else fhir
    try:
        when = datetime.fromisoformat(full)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=zone)
