"""The smoothed past of a twin, for the page: each biomarker's usual value at any moment, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from fhir_twin.assimilation.assimilate import advance, regime_weights, start_memory
from fhir_twin.assimilation.clock import moment, years
from fhir_twin.assimilation.visits import Group, group_points
from fhir_twin.dynamics.layout import Layout, build_layout
from fhir_twin.dynamics.prior import ageing_rates
from fhir_twin.dynamics.smoother import smooth
from fhir_twin.dynamics.state_space import propagate
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Z80, Array, Memory, Twin


@dataclass(frozen=True, slots=True, repr=False)
class History:
    """median, low, high (T, n): the usual value and its 80 % interval, canonical units, at `times` (T,)."""

    biomarkers: tuple[str, ...]
    times: tuple[datetime, ...]
    median: Array
    low: Array
    high: Array


def history(twin: Twin, known: BiomarkerSet, times: Sequence[datetime]) -> History:
    """All values used on both sides of each moment. times: timezone-aware, rising, not after as_of. A moment before
    the first value shows the first value's state. An empty history for a twin without state."""
    if twin.memory is None or not times:
        return History(
            twin.biomarkers, tuple(times), *(np.zeros((0, len(twin.biomarkers))) for _ in range(3))
        )
    reference = twin.memory.reference
    groups = group_points(twin.points, known, lambda t: _age(twin, t))
    grid = [max(years(t), reference) for t in times]
    memory = start_memory(known, twin.profile, _age(twin, moment(reference)), reference, twin.terms)
    layout = build_layout(known, memory.terms)
    marks, memories, opened = _forward(memory, groups, known, twin, grid)
    mean, covariance = _backward(layout, marks, memories, opened)
    drift = ageing_rates(known.models, twin.profile.sex)
    wanted = [marks.index(t) for t in grid]
    loads = layout.loadings(np.array(grid), reference, twin.memory.away)
    centre = np.einsum("tnm,tm->tn", loads, mean[wanted])
    centre += drift * (np.array(grid) - reference)[:, None]
    half = Z80 * np.sqrt(np.einsum("tnm,tmk,tnk->tn", loads, covariance[wanted], loads))
    return History(
        twin.biomarkers, tuple(times), np.exp(centre), np.exp(centre - half), np.exp(centre + half)
    )


def _forward(
    memory: Memory, groups: Sequence[Group], known: BiomarkerSet, twin: Twin, grid: Sequence[float]
) -> tuple[list[float], list[Memory], Array]:
    """The filter's memory at every visit and every wanted moment, and the variance (T, c, m) opened by changes."""
    days = sorted({g.day for g in groups})
    by_day = {d: [g for g in groups if g.day == d] for d in days}
    when = {d: math.fsum(g.time for g in by_day[d]) / len(by_day[d]) for d in days}
    stops = sorted({*(when.values()), *grid, years(twin.as_of)})
    day_at = {t: d for d, t in when.items()}
    memories, opened = [], np.zeros((len(stops), *memory.mean.shape))
    for i, stop in enumerate(stops):
        members = by_day[day_at[stop]] if stop in day_at else []
        result = advance(memory, members, known, twin.profile, stop)
        memory = result.memory
        opened[i, :, : result.jumps.shape[1]] = result.jumps
        memories.append(_at(memory, build_layout(known, memory.terms), stop))
    return stops, memories, opened


def _at(memory: Memory, layout: Layout, when: float) -> Memory:
    """The memory carried forward to `when` (no values in between)."""
    gap = np.full(len(memory.log_weights), max(when - memory.time, 0.0))
    mean, covariance = propagate(layout.dynamics, memory.mean, memory.covariance, gap)
    return replace(memory, mean=mean, covariance=covariance, time=max(when, memory.time))


def _backward(
    layout: Layout, marks: Sequence[float], memories: Sequence[Memory], opened: Array
) -> tuple[Array, Array]:
    """Smoothed mean (T, m) and covariance (T, m, m), mixed over the slope regimes with their final weights."""
    weights = regime_weights(memories[-1])
    times = np.array(marks)
    means, covariances = [], []
    for c in range(len(weights)):
        m, p = smooth(
            layout.dynamics,
            times,
            [x.mean[c] for x in memories],
            [x.covariance[c] for x in memories],
            opened[:, c],
        )
        means.append(m)
        covariances.append(p)
    every, spread = np.array(means), np.array(covariances)
    mean = np.einsum("c,ctm->tm", weights, every)
    off = every - mean
    covariance = np.einsum("c,ctij->tij", weights, spread + off[..., :, None] * off[..., None, :])
    return mean, covariance


def _age(twin: Twin, when: datetime) -> float | None:
    if twin.profile.age is None:
        return None
    return twin.profile.age - (years(twin.as_of) - years(when))
