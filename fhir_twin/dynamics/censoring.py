"""A value known only as a bound ("<5", ">90"): the moments of a standard normal cut there.

z | z > a :  mean l(a) = phi(a) / (1 - Phi(a)),   variance 1 - l(a) (l(a) - a)
z | z < a :  mean -l(-a),                         variance by symmetry
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

from fhir_twin.model.twin import Array


def truncated_moments(cut: Array, bound: NDArray[np.int8]) -> tuple[Array, Array]:
    """Mean and variance of a standard normal known to lie below (`bound` -1) or above (+1) `cut`; 0 and 1 where
    `bound` is 0. Same shape as `cut`. Stable in both tails (scaled complementary error function)."""
    side = np.where(bound < 0, -1.0, 1.0)
    a = np.where(bound == 0, 0.0, side * np.nan_to_num(cut))
    with np.errstate(over="ignore"):
        hazard = np.sqrt(2.0 / np.pi) / erfcx(a / np.sqrt(2.0))  # phi(a) / (1 - Phi(a))
    variance = np.clip(1.0 - hazard * (hazard - a), 0.0, 1.0)
    return np.where(bound == 0, 0.0, side * hazard), np.where(bound == 0, 1.0, variance)
