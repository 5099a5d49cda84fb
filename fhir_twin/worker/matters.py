"""Does a new result matter enough to plan anew? The rule, whole (docs/watch.md says it in words):

A plan is made again unless the result was taken in by the stored twin in O(1) *and* every one of its values
  - is not the first of its kind within the time that some rule looks back over,
  - lies on the same side of every limit that a rule or goal puts on it as the value and the estimate before it,
  - moved no estimate by more than half of its standard deviation,
  - was taken at its full weight,
and the last plan is not older than `oldest` days. Anything but a number (a diagnosis, an order, a text) matters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from fhir_twin.knowledge import Knowledge
from fhir_twin.model.guidelines import GoalVariant
from fhir_twin.model.rules import Bounds, Predicate
from fhir_twin.model.twin import Point, Twin

MOVED = 0.5  # standard deviations of the estimate before the result; our own judgement
LOOK_BACK = 180  # days, for analytes that no rule looks back over
_NUMBERS = ("latest", "estimate", "known")


@dataclass(frozen=True, slots=True)
class Limits:
    """cuts: analyte -> limits that some rule or goal puts on it, canonical unit, sorted. days: analyte -> the shortest
    time that a rule looks back over."""

    cuts: Mapping[str, tuple[float, ...]]
    days: Mapping[str, int]


_FOUND: dict[str, Limits] = {}


def limits_of(knowledge: Knowledge) -> Limits:
    """Every limit in the knowledge, found by walking it (once per version): a new rule is in force here without a
    further word."""
    if knowledge.version not in _FOUND:
        _FOUND[knowledge.version] = _limits(knowledge)
    return _FOUND[knowledge.version]


def _limits(knowledge: Knowledge) -> Limits:
    cuts: dict[str, set[float]] = defaultdict(set)
    days: dict[str, int] = {}
    for part in (knowledge.safety, knowledge.guidelines, knowledge.interventions):
        for found in _walk(part, set()):
            if isinstance(found, GoalVariant):
                for analyte, value in found.limits:
                    cuts[analyte].add(float(value))
            elif found.op in _NUMBERS:
                cuts[found.key] |= _ends(found.bounds)
                if found.within_days is not None:
                    days[found.key] = min(days.get(found.key, found.within_days), found.within_days)
    return Limits({k: tuple(sorted(v)) for k, v in cuts.items() if v}, days)


def reasons(
    before: Twin, after: Twin, limits: Limits, planned: datetime, oldest: timedelta
) -> tuple[str, ...]:
    """Why the step from `before` to `after` calls for a new plan; () when it does not. Words for logs and reports:
    "first:ldl", "limit:egfr", "moved:sbp", "doubt:potassium", "age"; never a value."""
    found = []
    known = len(before.points)
    old = {p.source: p for p in before.points}
    new = [p for p in after.points if p.source not in old] if len(after.points) != known else []
    for point in new:
        found += [f"{why}:{point.biomarker}" for why in _of_point(point, before, limits, after.as_of)]
    for i, key in enumerate(after.biomarkers):
        spread = float(np.sqrt(before.covariance[i, i]))
        if abs(float(after.mean[i] - before.mean[i])) > MOVED * spread:
            found.append(f"moved:{key}")
        elif new and _crossed(_estimate(before, i), _estimate(after, i), limits.cuts.get(key, ())):
            found.append(f"limit:{key}")
    if after.as_of - planned > oldest:
        found.append("age")
    return tuple(dict.fromkeys(found))


def _of_point(point: Point, before: Twin, limits: Limits, as_of: datetime) -> Iterator[str]:
    if not point.used or point.weight < 1 or point.bound is not None:
        yield "doubt"
        return
    earlier = [p for p in before.points if p.biomarker == point.biomarker and p.used and p.time is not None]
    back = timedelta(days=limits.days.get(point.biomarker, LOOK_BACK))
    if not earlier or as_of - earlier[-1].time > back:  # type: ignore[operator]
        yield "first"
        return
    if _crossed(earlier[-1].value, point.value, limits.cuts.get(point.biomarker, ())):
        yield "limit"


def _crossed(old: float, new: float, cuts: tuple[float, ...]) -> bool:
    """A limit lies between the two, or one of them is on it."""
    low, high = min(old, new), max(old, new)
    return any(low <= cut <= high for cut in cuts) and old != new


def _estimate(twin: Twin, i: int) -> float:
    mean = float(twin.mean[i])
    return float(np.exp(mean)) if twin.scales[i] == "log" else mean


def _ends(bounds: Bounds) -> set[float]:
    given = (bounds.below, bounds.at_least, bounds.above, bounds.at_most)
    return {float(v) for v in given if v is not None}


def _walk(value: Any, seen: set[int]) -> Iterator[Any]:
    """Every Predicate and GoalVariant below `value`, combinations taken apart."""
    if id(value) in seen or value is None or isinstance(value, str | int | float | np.ndarray):
        return
    seen.add(id(value))
    if isinstance(value, GoalVariant):
        yield value
    if isinstance(value, Predicate):
        yield from value.leaves()
        return
    if is_dataclass(value) and not isinstance(value, type):
        below: Any = (getattr(value, f.name) for f in fields(value))
    elif isinstance(value, Mapping):
        below = value.values()
    elif isinstance(value, tuple | list | frozenset | set):
        below = value
    else:
        return
    for each in below:
        yield from _walk(each, seen)
