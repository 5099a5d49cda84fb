"""What goes into the filter and what comes out of it: plain arrays, people first."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fhir_twin.model.twin import Array

CAP = 9.0


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
    trusts a forecast only once the person has a history); doubt (P, k): +1 or -1 when the last value was gated as
    too high or too low, else 0 (None: all 0)."""

    mean: Array
    covariance: Array
    time: Array
    seen: NDArray[np.int64]
    doubt: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Robust:
    """A value more than `gate` SDs off the personal forecast gets the Student-t weight
    w = (nu + 1)/(nu + z^2/S). gate = inf switches it off.

    A second value in a row that is as far off on the same side confirms the first: then it is the person who changed,
    not the reading. It keeps its full weight and the personal level is opened by z^2, so that it can jump."""

    gate: float = 4.0
    nu: float = 5.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What each value did, all (P, V, k): gain h'K, forecast before and estimate after (model scale), off = how much
    the gate turned it down (1 - weight); spread: SD of the forecast of this value, before the gate; density: its log
    likelihood (0 for a bound); jump: variance by which a confirmed change opened the level."""

    gain: Array
    before: Array
    after: Array
    off: Array
    spread: Array
    density: Array
    jump: Array


@dataclass(frozen=True, slots=True)
class Filtered:
    """belief after the last visit; log_likelihood (P,) of the exact values; squares (P, k): sum of the squared
    standardised forecast errors z^2/S, each at most CAP, of the exact values that had one of the same biomarker before
    them (what the person's own spread is judged by, see intervals.own_scale)."""

    belief: Belief
    log_likelihood: Array
    squares: Array
    trace: Trace | None = field(default=None)
