"""Common random numbers: one vector of standard normals per named quantity, the same for every scenario and patient.

The name alone decides the numbers ("effect:statin:ldl"), so adding an intervention never changes the draws of
another, two scenarios differ only by what they do, and nothing about a patient enters the seed. Antithetic pairs
make every mean over draws exact to first order.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from fhir_twin.model.twin import Array, Twin

SEED = 20240311
DRAWS = 1000


@lru_cache(maxsize=4096)
def normal(name: str, draws: int = DRAWS) -> Array:
    """`draws` standard normals for `name`; the second half mirrors the first. Read-only. draws must be even."""
    if draws <= 0 or draws % 2:
        raise ValueError("the number of draws must be even and positive")
    stream = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    half = stream.standard_normal(draws // 2)
    half /= np.sqrt(np.mean(half * half))
    both = np.concatenate([half, -half])
    both.setflags(write=False)
    return both


def posterior(twin: Twin, draws: int = DRAWS) -> dict[str, Array]:
    """The patient's current biomarkers, canonical units: draws from the twin's joint posterior, (draws,) each."""
    z = np.stack([normal(f"state:{key}", draws) for key in twin.biomarkers])
    values, vectors = np.linalg.eigh(twin.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    model_scale = twin.mean[:, None] + (root @ vectors.T) @ z
    return {
        key: np.exp(row) if scale == "log" else row
        for key, scale, row in zip(twin.biomarkers, twin.scales, model_scale, strict=True)
    }
