"""Kalman filter for many people at once: irregular visits, any missing pattern, scalar updates in sequence.

    predict   m = F m,  P = F P F' + Q          (F diagonal, see state_space)
    update    z = y - h'm,  S = h'Ph + R/w,  K = Ph/S
              m = m + K z,  P = P - K (Ph)'

Visit noises of one visit are independent, so updating one biomarker after the other is exact for every
missing pattern: a NaN is simply not updated. People are worked in blocks with the person on the *last* axis:
each numpy call then streams over contiguous people, and a block's covariances stay in the cache. Inside,
D = P - C is kept instead of P (C = stationary covariance), because then predict is only a scaling:
P' = C + f f' (P - C)  <=>  D' = f f' D.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fhir_twin.dynamics.censoring import truncated_moments
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.model.twin import Array

BLOCK = 256


@dataclass(frozen=True, slots=True)
class Loading:
    """Biomarker `row` sees state `column` with a coefficient that varies: values (people, visits)."""

    row: int
    column: int
    values: Array


@dataclass(frozen=True, slots=True)
class Visits:
    """times (P, V) in years, not falling along V, NaN = no such visit; values (P, V, k) on the model scale, NaN =
    not observed; noise (P, V, k) or (k,): variance R; bound (P, V, k) int8 or None: 0 the value itself, -1 the
    truth is below it, +1 above it; loadings: varying coefficients."""

    times: Array
    values: Array
    noise: Array
    bound: NDArray[np.int8] | None = None
    loadings: tuple[Loading, ...] = ()


@dataclass(frozen=True, slots=True)
class Belief:
    """mean (P, m), covariance (P, m, m) at time (P,) years; seen (P, k): values assimilated so far (the gate
    trusts a forecast only once the person has a history)."""

    mean: Array
    covariance: Array
    time: Array
    seen: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Robust:
    """A value more than `gate` SDs off the personal forecast gets the Student-t weight
    w = (nu + 1)/(nu + z^2/S). gate = inf switches it off."""

    gate: float = 4.0
    nu: float = 5.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What each value did, all (P, V, k): gain h'K, forecast before and estimate after (model scale), off = how much
    the gate turned it down (1 - weight), innovation SD."""

    gain: Array
    before: Array
    after: Array
    off: Array
    spread: Array


@dataclass(frozen=True, slots=True)
class Filtered:
    belief: Belief
    log_likelihood: Array
    trace: Trace | None = field(default=None)


def kalman_filter(
    start: Belief,
    dynamics: Dynamics,
    design: Array,
    visits: Visits,
    *,
    robust: Robust | None = None,
    trace: bool = False,
) -> Filtered:
    """Assimilate all visits of all people. design (k, m): constant loadings; `visits.loadings` are added to it.

    Returns the belief at each person's last visit, the log likelihood (P,) of the exact values, and with
    `trace=True` what each value did. A person's answer does not depend on who else is in the batch."""
    people = start.mean.shape[0]
    parts = [
        _Block(start, dynamics, design, visits, robust, trace, slice(i, min(i + BLOCK, people))).run()
        for i in range(0, people, BLOCK)
    ]
    belief = Belief(
        np.concatenate([p.belief.mean for p in parts]),
        np.concatenate([p.belief.covariance for p in parts]),
        np.concatenate([p.belief.time for p in parts]),
        np.concatenate([p.belief.seen for p in parts]),
    )
    traces = [p.trace for p in parts if p.trace is not None]
    joined = (
        Trace(*(np.concatenate([getattr(t, n) for t in traces]) for n in Trace.__slots__)) if traces else None
    )
    return Filtered(belief, np.concatenate([p.log_likelihood for p in parts]), joined)


class _Block:
    """The arrays of one block of people, person last; lives for one call."""

    def __init__(
        self,
        start: Belief,
        dynamics: Dynamics,
        design: Array,
        visits: Visits,
        robust: Robust | None,
        trace: bool,
        who: slice,
    ) -> None:
        self.mean = np.ascontiguousarray(start.mean[who].T)
        self.excess = np.ascontiguousarray(start.covariance[who].transpose(1, 2, 0))
        self.excess -= dynamics.stationary[:, :, None]
        self.seen = np.ascontiguousarray(start.seen[who].T)
        self.dynamics, self.robust = dynamics, robust
        self.moving = np.flatnonzero(dynamics.rate > 0)
        self.walking = np.flatnonzero(dynamics.walk > 0)
        times = np.where(np.isnan(visits.times[who]), -np.inf, visits.times[who]).T
        self.clock = np.maximum.accumulate(np.vstack([start.time[who], times]), axis=0)
        self.values = np.ascontiguousarray(visits.values[who].transpose(1, 2, 0))
        noise = np.broadcast_to(visits.noise, visits.values.shape)[who]
        self.noise = np.ascontiguousarray(noise.transpose(1, 2, 0))
        self.bound = None if visits.bound is None else visits.bound[who].transpose(1, 2, 0)
        self.fixed: list[list[tuple[int, Array | float]]] = [
            [(int(c), float(row[c])) for c in np.flatnonzero(row)] for row in design
        ]
        self.varying = [(x.row, x.column, np.ascontiguousarray(x.values[who].T)) for x in visits.loadings]
        self.stationary_load = (design @ dynamics.stationary)[:, :, None]
        self.log_likelihood = np.zeros(self.mean.shape[1])
        shape = self.values.shape
        self.trace = [np.full(shape, np.nan) for _ in Trace.__slots__] if trace else None
        self.scratch = np.empty_like(self.excess)

    def run(self) -> Filtered:
        for visit in range(self.values.shape[0]):
            self._predict(self.clock[visit + 1] - self.clock[visit])
            for row in range(self.values.shape[1]):
                observed = ~np.isnan(self.values[visit, row])
                if observed.any():
                    self._update(visit, row, observed)
        covariance = self.excess + self.dynamics.stationary[:, :, None]
        belief = Belief(
            np.ascontiguousarray(self.mean.T),
            np.ascontiguousarray(covariance.transpose(2, 0, 1)),
            self.clock[-1].copy(),
            np.ascontiguousarray(self.seen.T),
        )
        done = Trace(*(a.transpose(2, 0, 1) for a in self.trace)) if self.trace is not None else None
        return Filtered(belief, self.log_likelihood, done)

    def _predict(self, years: Array) -> None:
        if not years.any():
            return
        for i in self.moving:
            f = np.exp(-self.dynamics.rate[i] * years)
            self.mean[i] *= f
            self.excess[i] *= f
            self.excess[:, i] *= f
        for i in self.walking:
            self.excess[i, i] += self.dynamics.walk[i] * years

    def _update(self, visit: int, row: int, observed: NDArray[np.bool_]) -> None:
        terms = self.fixed[row] + [(c, x[visit]) for r, c, x in self.varying if r == row]
        ph = self.stationary_load[row] + _load(self.excess.swapaxes(0, 1), terms)  # P h, (m, people)
        forecast = _load(self.mean, terms)  # h'm
        signal = _load(ph, terms)  # h'P h
        noise = self.noise[visit, row]
        innovation = np.where(observed, self.values[visit, row] - forecast, 0.0)
        spread = signal + noise
        weight = self._weight(row, innovation, spread)
        if weight is not None:
            spread = signal + noise / weight
        move, shrink = innovation, None
        exact = observed
        if self.bound is not None and self.bound[visit, row].any():
            bound = self.bound[visit, row]
            move, shrink = _censor(bound, innovation, spread)
            exact = observed & (bound == 0)
        gain = ph * np.where(observed, 1.0 / spread, 0.0)
        if self.trace is not None:
            self._note(visit, row, observed, forecast, signal / spread, move, shrink, weight, spread)
        self.mean += gain * move
        if shrink is not None:
            gain *= shrink
        np.multiply(gain[:, None], ph[None], out=self.scratch)
        self.excess -= self.scratch
        self.seen[row] += observed
        density = -0.5 * (np.log(2.0 * np.pi * spread) + innovation * innovation / spread)
        self.log_likelihood += np.where(exact, density, 0.0)

    def _weight(self, row: int, innovation: Array, spread: Array) -> Array | None:
        """Student-t weight beyond the gate; the first value of a person has no personal forecast to be far from."""
        if self.robust is None:
            return None
        squared = innovation * innovation / spread
        far = (squared > self.robust.gate**2) & (self.seen[row] > 0)
        return np.where(far, (self.robust.nu + 1.0) / (self.robust.nu + squared), 1.0)

    def _note(
        self,
        visit: int,
        row: int,
        observed: NDArray[np.bool_],
        forecast: Array,
        gain: Array,
        move: Array,
        shrink: Array | None,
        weight: Array | None,
        spread: Array,
    ) -> None:
        assert self.trace is not None
        share = gain if shrink is None else gain * shrink
        after = forecast + gain * move
        seen = (
            share,
            forecast,
            after,
            np.zeros_like(gain) if weight is None else 1.0 - weight,
            np.sqrt(spread),
        )
        for target, values in zip(self.trace, seen, strict=True):
            target[visit, row] = np.where(observed, values, np.nan)


def _load(rows: Array, terms: list[tuple[int, Array | float]]) -> Array:
    """sum of rows[column] x coefficient, with no multiplication where the coefficient is one."""
    total: Array | None = None
    for column, x in terms:
        term = rows[column] if isinstance(x, float) and x == 1.0 else rows[column] * x
        total = term if total is None else total + term
    if total is None:
        return np.zeros(rows.shape[1:])
    return total


def _censor(bound: NDArray[np.int8], innovation: Array, spread: Array) -> tuple[Array, Array]:
    """Bounds by moment matching: z ~ N(0, S) cut at the bound gives E[z], Var[z]; then m += K E[z] and
    P -= K (Ph)' (1 - Var[z]/S). Exact values keep their innovation and shrink 1."""
    mean, variance = truncated_moments(innovation / np.sqrt(spread), bound)
    cut = bound != 0
    return np.where(cut, mean * np.sqrt(spread), innovation), np.where(cut, 1.0 - variance, 1.0)
