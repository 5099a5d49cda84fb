"""What a search parameter compares: values out of elements, and dates as intervals (R4 search: "precision")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_twin.sandbox.problems import Problem

Resource = dict[str, Any]
Interval = tuple[datetime, datetime]
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?\Z"
)
_PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def walk(resource: Resource, where: str) -> Iterator[Any]:
    """Every value at `where` ("name.family|name.given"); lists are walked through."""
    for path in where.split("|"):
        nodes: list[Any] = [resource]
        for step in path.split("."):
            nodes = [v for node in nodes for v in _step(node, step)]
        yield from nodes


def _step(node: Any, step: str) -> list[Any]:
    value = node.get(step) if isinstance(node, dict) else None
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def tokens(value: Any) -> Iterator[tuple[str, str]]:
    """(system, code) pairs in a CodeableConcept, Coding, Identifier, code or boolean."""
    if isinstance(value, bool):
        yield "", str(value).lower()
    elif isinstance(value, str):
        yield "", value
    elif isinstance(value, dict) and isinstance(value.get("coding"), list):
        for coding in value["coding"]:
            yield from tokens(coding)
    elif isinstance(value, dict):
        code = value.get("code", value.get("value"))
        if isinstance(code, str):
            yield str(value.get("system", "")), code


def interval(value: Any) -> Interval | None:
    """The time a date, dateTime, instant, Period or Timing covers; None when it cannot be told."""
    if isinstance(value, str):
        return parse_date(value)
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("event"), list):
        spans = [s for s in map(interval, value["event"]) if s]
        return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None
    start, end = interval(value.get("start")), interval(value.get("end"))
    if start is None and end is None:
        return None
    return (start[0] if start else EARLIEST, end[1] if end else LATEST)


def parse_date(text: str) -> Interval | None:
    """[start, end) of a date in its own precision; without an offset it counts as UTC."""
    match = _DATE.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        micro = int((fraction or "0")[:6].ljust(6, "0"))
        start = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), micro,
            tzinfo=UTC,
        )  # fmt: skip
        start -= _offset(zone)
        return start, _after(start, month, day, hour, second, fraction)
    except (ValueError, OverflowError):
        return None


def _after(
    start: datetime,
    month: str | None,
    day: str | None,
    hour: str | None,
    second: str | None,
    fraction: str | None,
) -> datetime:
    if fraction:
        return start + timedelta(microseconds=10 ** (6 - min(6, len(fraction))))
    if second:
        return start + timedelta(seconds=1)
    if hour:
        return start + timedelta(minutes=1)
    if day:
        return start + timedelta(days=1)
    if month:
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start.replace(year=start.year + 1)


def _offset(zone: str | None) -> timedelta:
    if not zone or zone == "Z":
        return timedelta()
    sign = -1 if zone[0] == "-" else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))


def check_date(asked: str) -> None:
    """Raises Problem for a search date that cannot be read."""
    if parse_date(asked[2:] if asked[:2] in _PREFIXES else asked) is None:
        raise Problem(400, "value", "a search date is not a FHIR date")


def date_matches(found: Interval, asked: str, now: datetime) -> bool:
    """R4 prefixes over intervals. Raises Problem for a date that cannot be read."""
    prefix, text = (asked[:2], asked[2:]) if asked[:2] in _PREFIXES else ("eq", asked)
    span = parse_date(text)
    if span is None:
        raise Problem(400, "value", "a search date is not a FHIR date")
    (low, high), (start, end) = found, span
    if prefix == "ap":
        margin = abs(now - start) / 10
        return low < end + margin and high > start - margin
    return {
        "eq": start <= low and high <= end,
        "ne": not (start <= low and high <= end),
        "gt": high > end,
        "ge": high > end or (start <= low and high <= end) or low >= start,
        "lt": low < start,
        "le": low < start or (start <= low and high <= end) or high <= end,
        "sa": low >= end,
        "eb": high <= start,
    }[prefix]


def split_or(text: str) -> list[str]:
    """Values of an OR list; `\\,` `\\|` `\\$` are no separators and stay escaped."""
    return re.split(r"(?<!\\),", text)


def unescape(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)


def split_token(text: str) -> tuple[str | None, str]:
    """(system, code): system None = any, "" = none (`|code`); code "" = any code of the system (`system|`)."""
    parts = re.split(r"(?<!\\)\|", text, maxsplit=1)
    if len(parts) == 1:
        return None, unescape(parts[0])
    return unescape(parts[0]), unescape(parts[1])
