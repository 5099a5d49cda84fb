"""The twin's equations of motion and their exact discretisation for any time gap.

    value_i(t) = b_i + s_i(t) + ageing_i (t - t0) + v_i (t - t0) + sum_k a_ik x_ik(t)
    b_i    personal level: constant, or a random walk            db = w dW
    s_i    mean-reverting fluctuation (Ornstein-Uhlenbeck)       ds = -s/tau dt + sqrt(2/tau) sigma dW
    v_i    personal slope per year (eGFR), constant
    a_ik   personal response to drug class k, constant; x_ik(t) = its exposure, 0..1

Slope and responses are constant states that are *seen* through time-varying loadings, so the transition is
diagonal for any gap dt:

    F = diag(f), f_i = exp(-dt/tau_i) for s, 1 for the rest
    Q_ij(dt) = C_ij (1 - f_i f_j) + w_i^2 dt [i = j]            C = stationary covariance of the s

which is exact for correlated OU processes of different tau (their cross-covariance decays as f_i f_j).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhir_twin.model.twin import Array


@dataclass(frozen=True, slots=True)
class Dynamics:
    """rate (m,): 1/tau per year, 0 for constants and walks; stationary (m, m): C, zero where rate is 0;
    walk (m,): variance gained per year."""

    rate: Array
    stationary: Array
    walk: Array

    def __post_init__(self) -> None:
        moving = self.rate > 0
        if self.stationary[~moving].any() or self.stationary[:, ~moving].any():
            raise ValueError("only mean-reverting states have a stationary covariance")
        if self.walk[moving].any():
            raise ValueError("a mean-reverting state does not walk")

    def check(self) -> None:
        """The noise that drives the OU states must be a covariance: C_ij (1/tau_i + 1/tau_j) positive
        semi-definite. Raises ValueError. Called when knowledge is loaded, not in the filter."""
        drive = self.stationary * (self.rate[:, None] + self.rate[None, :])
        if np.linalg.eigvalsh(drive).min(initial=0.0) < -1e-10:
            raise ValueError("fluctuation correlations and times do not fit together")


def transition(dynamics: Dynamics, years: Array) -> tuple[Array, Array]:
    """Exact discretisation. years (...,) -> f (..., m) and Q (..., m, m)."""
    f = np.exp(-years[..., None] * dynamics.rate)
    both = f[..., :, None] * f[..., None, :]
    q = dynamics.stationary * (1.0 - both)
    index = np.arange(len(dynamics.rate))
    q[..., index, index] += dynamics.walk * years[..., None]
    return f, q


def propagate(dynamics: Dynamics, mean: Array, covariance: Array, years: Array) -> tuple[Array, Array]:
    """Belief `years` later. mean (..., m), covariance (..., m, m), years (...,); all broadcast."""
    f, q = transition(dynamics, np.asarray(years, dtype=np.float64))
    return f * mean, f[..., :, None] * covariance * f[..., None, :] + q


def exposure(years_since_start: Array, onset: float) -> Array:
    """x(t) = 1 - exp(-t/onset) for t > 0, else 0: how much of a drug's effect is there."""
    t = np.maximum(years_since_start, 0.0)
    if onset <= 0:
        return (np.asarray(years_since_start) > 0).astype(np.float64)
    return np.asarray(1.0 - np.exp(-t / onset), dtype=np.float64)
