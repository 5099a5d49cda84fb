"""Mark what looks like the same value from two sources (OB-8): a report's copy, a portal's copy, a device's copy.

Nothing is left out here: assimilation, which knows units and analytes, decides; the mark and both sources stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from fhir_twin.model.chart import Measurement

FLAG = "possible-duplicate"
_DAY = "time-day-precision"


def mark_duplicates(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """All measurements in their order; the second and later of equal ones carry the flag.

    Equal: same code (or text), value, bound and unit, from another source, at the same moment - or on the same day,
    when one of the two gives the day only."""
    seen: defaultdict[object, list[Measurement]] = defaultdict(list)
    marked = []
    for given in measurements:
        if given.value is not None and given.time is not None:
            earlier = seen[_key(given)]
            repeats = any(_same_time(given, other) and given.source != other.source for other in earlier)
            earlier.append(given)
            if repeats:
                given = replace(given, flags=(*given.flags, FLAG))
        marked.append(given)
    return tuple(marked)


def _key(given: Measurement) -> object:
    coding = given.concept.codings[0] if given.concept.codings else None
    code = (coding.system, coding.code) if coding is not None else given.concept.text
    return code, given.value, given.comparator, given.unit_code or given.unit


def _same_time(one: Measurement, other: Measurement) -> bool:
    if one.time is None or other.time is None:
        return False
    by_day = _DAY in one.flags or _DAY in other.flags
    return one.time.date() == other.time.date() if by_day else one.time == other.time
