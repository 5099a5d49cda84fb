"""The time grid of a simulation: monthly in the first year (effects build up), then yearly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fhir_twin.model.twin import Array


@lru_cache(maxsize=32)
def edges(horizon_years: float) -> Array:
    """Times in years from now, 0 first, the horizon last. Raises ValueError unless 0 < horizon <= 60."""
    if not 0.0 < horizon_years <= 60.0:
        raise ValueError("horizon_years must be above 0 and at most 60")
    months = np.arange(0, 13) / 12.0
    years = np.arange(2.0, np.ceil(horizon_years))
    times = np.concatenate([months, years])
    times = np.append(times[times < horizon_years - 1e-9], horizon_years)
    times.setflags(write=False)
    return times


def midpoints(times: Array) -> Array:
    return np.asarray((times[1:] + times[:-1]) / 2.0)
