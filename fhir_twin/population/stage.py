"""The twin stage for many people at once, from coded rows: no chart, no plan, only states (vectorised, people first).

Used where millions of twins are wanted and the plan is made for a chosen few. Coded rows name the biomarker
and carry the
value in its canonical unit; what needs a chart (text, units, safety, several settings per person, drug responses that
adapt to the level) needs the whole pipeline. For people measured in one setting, without drugs started under
observation, the result is that of `build_twin` (a test holds them together)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fhir_twin.dynamics.forecast import forecast
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet

Array = NDArray[np.float64]
DAY = 1.0 / 365.25
BLOCK = 4096  # people at once: their histories are padded to the longest of the block


@dataclass(frozen=True, slots=True, repr=False)
class Rows:
    """Coded measurements, one per row: person (N,) index, biomarker (N,) index into the biomarkers asked for, time
    (N,) in years, value (N,) in canonical units. Any order; NaN, zero and negative values are left out."""

    person: NDArray[np.int64]
    biomarker: NDArray[np.int64]
    time: Array
    value: Array


@dataclass(frozen=True, slots=True, repr=False)
class States:
    """mean, low, high (P, k): the usual value now with its 80 % interval, canonical units; count (P, k):
    values used."""

    biomarkers: tuple[str, ...]
    mean: Array
    low: Array
    high: Array
    count: NDArray[np.int64]


def twin_stage(
    rows: Rows,
    covariates: Mapping[str, Any],
    at: ArrayLike,
    *,
    biomarkers: Sequence[str],
    known: BiomarkerSet,
) -> States:
    """States of P people at `at` (P,) years. covariates as in `dynamics.forecast.forecast`: "age" at time 0, "sex",
    "groups", "setting", each (P,) or one for all. Raises InvalidInput when a row lies after its person's `at`."""
    keys = tuple(biomarkers)
    goal = np.asarray(at, dtype=np.float64)
    people, k = len(goal), len(keys)
    visits = _visits(rows, people, k, goal)
    shape = (people, k)
    found = States(keys, np.empty(shape), np.empty(shape), np.empty(shape), visits.count)
    for block in _blocks(visits.length):
        times, values = visits.padded(block)
        own = {name: _taken(value, block) for name, value in covariates.items()}
        answer = forecast(
            times,
            values,
            own,
            goal[block][:, None],
            biomarkers=keys,
            known=known,
            levels=(0.1, 0.9),
            of="usual",
        )
        found.mean[block] = answer.mean[:, 0]
        found.low[block], found.high[block] = answer.quantiles[:, 0, :, 0], answer.quantiles[:, 0, :, 1]
    return found


@dataclass(frozen=True, slots=True, repr=False)
class _Visits:
    """One visit per person and day: start (P,) first visit of a person, length (P,), time (M,), value (M, k)."""

    start: NDArray[np.int64]
    length: NDArray[np.int64]
    time: Array
    value: Array
    count: NDArray[np.int64]

    def padded(self, block: NDArray[np.int64]) -> tuple[Array, Array]:
        """times (B, V) and values (B, V, k), NaN where there is none; at least one column."""
        width = max(int(self.length[block].max(initial=0)), 1)
        place = self.start[block][:, None] + np.arange(width)
        there = np.arange(width) < self.length[block][:, None]
        place = np.where(there, place, 0)
        if not len(self.time):
            return np.full(place.shape, np.nan), np.full((*place.shape, self.value.shape[1]), np.nan)
        times = np.where(there, self.time[place], np.nan)
        return times, np.where(there[..., None], self.value[place], np.nan)


def _visits(rows: Rows, people: int, k: int, goal: Array) -> _Visits:
    """Values of one biomarker on one day are one visit, with their geometric mean (as in assimilation.visits)."""
    used = np.isfinite(rows.value) & (rows.value > 0) & np.isfinite(rows.time)
    person, biomarker = rows.person[used], rows.biomarker[used]
    time, log = rows.time[used], np.log(rows.value[used])
    if len(person) and (
        person.min() < 0 or person.max() >= people or biomarker.min() < 0 or biomarker.max() >= k
    ):
        raise InvalidInput("rows: person or biomarker out of range")
    if np.any(time > goal[person] + DAY):
        raise InvalidInput("rows: a value lies after its person's time")
    day = np.floor(time / DAY + 1e-9).astype(np.int64)
    key = np.stack([person, day], axis=1)
    each, inverse = (
        np.unique(key, axis=0, return_inverse=True) if len(key) else (key, np.zeros(0, dtype=np.int64))
    )
    inverse = inverse.reshape(-1)
    cell, size = inverse * k + biomarker, len(each) * k
    number = np.bincount(cell, minlength=size).reshape(-1, k)
    total = np.bincount(cell, log, minlength=size).reshape(-1, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.exp(total / number)
    when = np.bincount(inverse, time, minlength=len(each)) / np.maximum(number.sum(axis=1), 1)
    length = np.bincount(each[:, 0], minlength=people) if len(each) else np.zeros(people, dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64)
    count = np.bincount(person * k + biomarker, minlength=people * k).reshape(people, k)
    return _Visits(
        start,
        length.astype(np.int64),
        np.minimum(when, goal[each[:, 0]]) if len(each) else when,
        value,
        count,
    )


def _blocks(length: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """People of like history length together, so that little is padded."""
    order = np.argsort(length, kind="stable")
    return [order[i : i + BLOCK] for i in range(0, len(order), BLOCK)]


def _taken(value: Any, block: NDArray[np.int64]) -> Any:
    if isinstance(value, str | int | float | frozenset | set):
        return value
    if isinstance(value, dict):
        return {name: _taken(inner, block) for name, inner in value.items()}
    return [value[i] for i in block] if isinstance(value, list | tuple) else np.asarray(value)[block]
