"""Rauch-Tung-Striebel smoother for diagonal transitions: what we now think the past was. For display only.

G = P F' (F P F' + Q)^-1
m_s = m + G (m_s' - F m),   P_s = P + G (P_s' - P') G'          (primes: the next moment)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fhir_twin.dynamics.state_space import Dynamics, transition
from fhir_twin.model.twin import Array


def smooth(
    dynamics: Dynamics,
    times: Array,
    means: Sequence[Array],
    covariances: Sequence[Array],
    opened: Array | None = None,
) -> tuple[list[Array], list[Array]]:
    """times (T,); filtered means (m,) and covariances (m, m) at each -> smoothed ones, same shapes. opened (T, m):
    variance that came to a state at that moment besides the dynamics (a confirmed change), part of Q of the step to it.

    States that had no variance yet at a moment (a drug not started) stay as they were there; pseudo-inverses take
    care of the singular covariances that constants and unstarted states make."""
    smoothed_means, smoothed = [means[-1]], [covariances[-1]]
    for i in range(len(times) - 2, -1, -1):
        f, q = transition(dynamics, np.array(times[i + 1] - times[i]))
        if opened is not None:
            q = q + np.diag(opened[i + 1])
        live = np.flatnonzero(np.diagonal(covariances[i]) > 0)
        cut = np.ix_(live, live)
        p, fl = covariances[i][cut], f[live]
        ahead = fl[:, None] * p * fl[None, :] + q[cut]
        gain = np.linalg.pinv(ahead, hermitian=True, rcond=1e-13) @ (fl[:, None] * p)
        gain = gain.T
        mean, covariance = means[i].copy(), covariances[i].copy()
        mean[live] += gain @ (smoothed_means[-1][live] - fl * means[i][live])
        covariance[cut] += gain @ (smoothed[-1][cut] - ahead) @ gain.T
        smoothed_means.append(mean)
        smoothed.append((covariance + covariance.T) / 2.0)
    return smoothed_means[::-1], smoothed[::-1]
