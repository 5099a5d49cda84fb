"""From a published risk to a hazard, through trial ratios, and back to a risk.

A risk p within h years is a cumulative hazard H = -ln(1 - p). It is spread over time as a Gompertz hazard
a exp(g t) with integral H over the horizon; g is how fast the equation itself says risk grows with age.
Treatment multiplies the hazard: H' = integral of a exp(g t) R(t) dt, p' = 1 - exp(-H').
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cumulative_hazard(risk: Array) -> Array:
    """-ln(1 - p)."""
    return np.asarray(-np.log1p(-np.asarray(risk)))


def risk(hazard: Array) -> Array:
    """1 - exp(-H)."""
    return np.asarray(-np.expm1(-np.asarray(hazard)))


def growth(risk_now: Array, risk_later: Array, years: float) -> Array:
    """Growth rate g per year of the hazard, from the equation at two ages `years` apart (negative years: the
    second age is the earlier one)."""
    return np.asarray(np.log(cumulative_hazard(risk_later) / cumulative_hazard(risk_now)) / years)


def time_weights(edges: Array, rate: float) -> Array:
    """Share of the horizon's cumulative hazard in each interval of `edges` (k + 1,) -> (k,), sums to 1."""
    t = np.asarray(edges, dtype=np.float64)
    if abs(rate) < 1e-9:
        return np.asarray(np.diff(t) / (t[-1] - t[0]))
    integral = np.expm1(rate * (t - t[0]))
    return np.asarray(np.diff(integral) / integral[-1])


def cumulative_incidence(hazard: Array, weights: Array, other: Array, other_weights: Array) -> Array:
    """Probability (D,) that the event comes, and comes before a competing one (death).

    hazard, other (D,): cumulative cause-specific hazards over the horizon; weights, other_weights (T,): their shares in
    each interval. Exact for hazards that are constant within an interval:
    sum over intervals of S (1 - exp(-a - b)) a/(a + b), a, b the two hazards of the interval, S = exp(-all before)."""
    a = np.asarray(hazard)[:, None] * weights
    both = a + np.asarray(other)[:, None] * other_weights
    free = np.exp(both - np.cumsum(both, axis=1))
    share = np.divide(a, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(np.sum(free * -np.expm1(-both) * share, axis=1))


def recalibrate(risk_published: Array, intercept: float, slope: float) -> Array:
    """Site recalibration on the logit scale: logit(p') = intercept + slope logit(p). (0, 1) changes nothing."""
    if intercept == 0.0 and slope == 1.0:
        return np.asarray(risk_published)
    p = np.clip(np.asarray(risk_published, dtype=np.float64), 1e-12, 1.0 - 1e-12)
    return np.asarray(1.0 / (1.0 + np.exp(-(intercept + slope * np.log(p / (1.0 - p))))))
