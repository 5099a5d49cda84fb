"""Points -> visits: values of one biomarker on one (UTC) day in one setting are one visit (see pool).

Readings of one visit share most of their noise; taken one by one they would count as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from fhir_twin.assimilation.clock import day, years
from fhir_twin.assimilation.pooling import pool
from fhir_twin.dynamics.kalman import Loading, Visits
from fhir_twin.dynamics.layout import Layout, term_exposure
from fhir_twin.dynamics.prior import ADULT
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Point

_SIDE = {None: 0, "<": -1, "<=": -1, ">": 1, ">=": 1}


@dataclass(frozen=True, slots=True, repr=False)
class Group:
    """One value to assimilate: biomarker row, visit day, mean time (years since 2000), value and variance on the
    model scale, bound side, the positions of its points, the share of each in the value, and whether it was taken
    outside the office (the mean difference to the office is then out of the value)."""

    row: int
    day: int
    time: float
    value: float
    variance: float
    side: int
    members: tuple[int, ...]
    shares: tuple[float, ...] = ()
    away: bool = False


def mark_unmodelled(
    points: Sequence[Point], known: BiomarkerSet, age_at: Callable[[datetime], float | None]
) -> tuple[Point, ...]:
    """Values from before adulthood are kept but not used: the model is one of adults."""
    result = []
    for point in points:
        age = age_at(point.time) if point.time is not None else None
        if point.used and age is not None and age < ADULT and point.biomarker in known.keys:
            point = replace(point, used=False, reason="before-adulthood")
        result.append(point)
    return tuple(result)


def group_points(
    points: Sequence[Point], known: BiomarkerSet, age_at: Callable[[datetime], float | None]
) -> tuple[Group, ...]:
    """Groups in order of day, biomarker, setting: the order in which the points came does not matter."""
    rows = {key: i for i, key in enumerate(known.keys)}
    buckets: dict[tuple[int, int, str, float, int, float], list[int]] = {}
    for index, point in enumerate(points):
        if point.used and point.time is not None and point.biomarker in rows:
            side, row = _SIDE[point.bound], rows[point.biomarker]
            at = point.value if side else 0.0
            factor = known.models[row].assay(point.assay).factor
            key = (day(point.time), row, point.setting, factor, side, at)
            buckets.setdefault(key, []).append(index)
    groups = []
    for (when, row, setting, _, side, _), members in sorted(buckets.items()):
        ordered = sorted(members, key=lambda i: (points[i].time, points[i].value, points[i].source))
        first = points[ordered[0]].time
        chosen = [points[i] for i in ordered]
        model, age = known.models[row], age_at(first)  # type: ignore[arg-type]
        value, variance, shares = pool(chosen, model, age)
        shift = model.shift(setting)
        value -= shift or 0.0
        time = math.fsum(years(p.time) for p in chosen) / len(chosen)  # type: ignore[arg-type]
        away = shift is not None
        groups.append(Group(row, when, time, value, variance, side, tuple(ordered), shares, away))
    return tuple(groups)


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """The arrays of kalman.Visits for one person, where each group stands: (visit, row), and which values are from
    outside the office."""

    times: Array
    values: Array
    noise: Array
    bound: np.ndarray[tuple[int, ...], np.dtype[np.int8]]
    places: tuple[tuple[int, int], ...]
    away: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    def visits(self, layout: Layout, reference: float, copies: int, part: slice) -> Visits:
        """Rows `part` for `copies` identical people (one per slope regime)."""
        times = self.times[part]

        def many(a: Array) -> Array:
            return a[None].repeat(copies, axis=0)

        rows = {row for _, row in self.places}
        loadings = [Loading(r, c, many(times - reference)) for r, c in layout.slopes if r in rows]
        loadings += [Loading(r, c, many(term_exposure(t, times))) for r, c, t in layout.terms if r in rows]
        for row, column in layout.offsets:
            if self.away[part, row].any():
                loadings.append(Loading(row, column, many(self.away[part, row].astype(np.float64))))
        bound = self.bound[part]
        return Visits(
            many(times),
            many(self.values[part]),
            many(self.noise[part]),
            many(bound) if bound.any() else None,  # type: ignore[arg-type]
            tuple(loadings),
        )


def tabulate(groups: Sequence[Group], n: int, drift: Array, reference: float) -> Table:
    """One row per day (more where a biomarker has several groups that day). drift (n,): known ageing per year,
    taken out of the values."""
    places: list[tuple[int, int]] = []
    days: list[list[Group]] = []
    for group in groups:
        start = len(days)
        while start > 0 and days[start - 1][0].day == group.day:
            start -= 1
        for slot in range(start, len(days) + 1):
            if slot == len(days):
                days.append([])
            if all(g.row != group.row for g in days[slot]):
                days[slot].append(group)
                places.append((slot, group.row))
                break
    values, noise = np.full((len(days), n), np.nan), np.ones((len(days), n))
    bound, times = np.zeros((len(days), n), dtype=np.int8), np.empty(len(days))
    away = np.zeros((len(days), n), dtype=bool)
    by_day: dict[int, list[float]] = {}
    for group in groups:
        by_day.setdefault(group.day, []).append(group.time)
    for slot, members in enumerate(days):
        same = by_day[members[0].day]
        times[slot] = math.fsum(same) / len(same)
        for group in members:
            values[slot, group.row] = group.value - drift[group.row] * (times[slot] - reference)
            noise[slot, group.row] = group.variance
            bound[slot, group.row] = group.side
            away[slot, group.row] = group.away
    return Table(times, values, noise, bound, tuple(places), away)
