"""What a treatment does: change of a biomarker, log hazard ratio of an event, and how fast both arrive.

All functions are vectorised over draws; arguments broadcast. Trial means carry their standard error through
`z_mean` (one standard normal per draw, the same for everybody in that draw), people differ by `z_person`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Z95 = 1.959963984540054


def effect_size(
    baseline: Array,
    mean: float,
    se: float,
    personal_sd: float,
    z_mean: Array,
    z_person: Array,
    *,
    reference: float | None = None,
    slope: float = 0.0,
) -> Array:
    """Size of an effect at full onset, in the effect's own scale (canonical unit, or percent).

    The mean grows with the baseline, mean + slope (baseline - reference), but never turns into its opposite
    (a drug that lowers pressure less from low pressures does not raise it)."""
    centre = np.full_like(baseline, mean)
    if reference is not None and slope:
        centre = centre + slope * (baseline - reference)
        centre = np.minimum(centre, 0.0) if mean < 0 else np.maximum(centre, 0.0)
    return np.asarray(centre + se * z_mean + personal_sd * z_person)


def percent_to_log(percent: Array) -> Array:
    """A change in percent of the value as a change of its natural log; at most 95 % down."""
    return np.asarray(np.log1p(np.maximum(percent, -95.0) / 100.0))


def log_ratio(ratio: float, low: float, high: float, z: Array) -> Array:
    """Draws of a log hazard ratio that is normal with the published 95 % confidence interval low..high."""
    mean, se = _normal(ratio, low, high)
    return np.asarray(mean + se * z)


@lru_cache(maxsize=4096)
def _normal(ratio: float, low: float, high: float) -> tuple[float, float]:
    """Mean and standard error of the log ratio."""
    return float(np.log(ratio)), float((np.log(high) - np.log(low)) / (2.0 * Z95))


def onset(years_since_start: Array, tau: float) -> Array:
    """Share of the full effect: 1 - exp(-t/tau) after the start, 0 before; a step when tau is 0."""
    t = np.maximum(np.asarray(years_since_start, dtype=np.float64), 0.0)
    if tau <= 0.0:
        return (np.asarray(years_since_start) > 0.0).astype(np.float64)
    return np.asarray(1.0 - np.exp(-t / tau))


def full_effect(tau: float, follow_up: float) -> float:
    """Factor from a log ratio averaged over a trial's follow-up, onset included, to the log ratio at full effect:
    1 / mean of (1 - exp(-t/tau)) over 0..follow_up; 1 when either is 0."""
    if tau <= 0.0 or follow_up <= 0.0:
        return 1.0
    return float(1.0 / (1.0 - tau / follow_up * -np.expm1(-follow_up / tau)))
