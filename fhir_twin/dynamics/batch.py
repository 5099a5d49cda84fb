"""Large batches: the arrays laid out for `compiled.sweep`, and its answer as a `Filtered`."""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.beliefs import CAP, Belief, Filtered, Robust, Visits
from fhir_twin.dynamics.compiled import compiled
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.model.twin import Array

# Multiplications of covariances (people x visits x biomarkers x states^2) from which on machine code is worth the
# seconds that numba takes to load: 0.15 s of numpy. Decided by the task alone: the same call gives the same bits.
WORK = 1e8


def is_large(start: Belief, visits: Visits) -> bool:
    """Is machine code worth it for this task?"""
    people, count, k = visits.values.shape
    return bool(people * count * k * start.mean.shape[1] ** 2 >= WORK)


def run_many(
    start: Belief, dynamics: Dynamics, design: Array, visits: Visits, robust: Robust | None
) -> Filtered | None:
    """All visits of all people; None when it has to be done in numpy (bounds, or no compiler)."""
    sweep = compiled() if visits.bound is None or not visits.bound.any() else None
    if sweep is None:
        return None
    people, k = start.mean.shape[0], design.shape[0]
    times = np.column_stack([start.time, np.where(np.isnan(visits.times), -np.inf, visits.times)])
    clock = np.maximum.accumulate(times, axis=1)
    years = np.diff(clock, axis=1)
    rates, which = np.unique(dynamics.rate, return_inverse=True)
    moving = rates > 0
    decay = np.exp(-rates[moving][:, None, None] * years)
    places = np.where(moving, np.cumsum(moving) - 1, -1)[which].astype(np.int64)
    mean = np.array(start.mean, dtype=np.float64, order="C")
    excess = np.array(start.covariance - dynamics.stationary, dtype=np.float64, order="C")
    seen = np.array(start.seen, dtype=np.int64, order="C")
    doubt = np.zeros_like(seen)
    if start.doubt is not None:
        doubt[:] = start.doubt
    log_likelihood, squares = np.zeros(people), np.zeros((people, k))
    values = np.asarray(visits.values, dtype=np.float64)
    noise = np.broadcast_to(np.asarray(visits.noise, dtype=np.float64), values.shape)
    rule = robust if robust is not None else Robust()
    sweep(
        *(mean, excess, decay, places, years, dynamics.walk, design @ dynamics.stationary),
        *_terms(design, visits),
        *(values, noise, seen, doubt, robust is not None, rule.gate, rule.nu, CAP, log_likelihood, squares),
    )
    excess += dynamics.stationary
    belief = Belief(mean, excess, clock[:, -1].copy(), seen, doubt)
    return Filtered(belief, log_likelihood, squares)


def _terms(design: Array, visits: Visits) -> tuple[Array, ...]:
    """first (k + 1,), column, weight, varying of the terms, and the varying loadings (n, P, V)."""
    first, column, weight, varying = [0], list[int](), list[float](), list[int]()
    for row in range(len(design)):
        for c in np.flatnonzero(design[row]):
            column.append(int(c))
            weight.append(float(design[row, c]))
            varying.append(-1)
        for place, loading in enumerate(visits.loadings):
            if loading.row == row:
                column.append(loading.column)
                weight.append(0.0)
                varying.append(place)
        first.append(len(column))
    loads = np.zeros((0, *visits.times.shape))
    if visits.loadings:
        loads = np.stack([np.asarray(x.values, dtype=np.float64) for x in visits.loadings])
    whole = [np.array(x, dtype=np.int64) for x in (first, column, varying)]
    return whole[0], whole[1], np.array(weight), whole[2], loads  # type: ignore[return-value]
