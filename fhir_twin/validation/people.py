"""People drawn from the published constants, by an own simulator: nothing here uses the filter's code.

Each biomarker: personal level (correlated), mean-reverting fluctuation, ageing, visit noise; log scale throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhir_twin.dynamics.prior import level_prior, visit_variance
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Profile

KEYS = ("sbp", "dbp", "ldl", "hdl", "hba1c", "bmi")
YEARS = 6.0


@dataclass(frozen=True, slots=True, repr=False)
class People:
    """times (P, V) years, rising from 0; values (P, V, k), NaN = not measured; usual (P, k): true usual values one
    visit later, at `at` (P,); future (P, k): what that visit measures."""

    age: Array
    sex: tuple[str, ...]
    times: Array
    values: Array
    at: Array
    usual: Array
    future: Array


def draw_people(known: BiomarkerSet, count: int, visits: int, seed: int, *, missing: float = 0.25) -> People:
    """`known` must hold the biomarkers in the order wanted; all on the log scale."""
    rng = np.random.default_rng(seed)
    k = len(known.models)
    age, sex = rng.uniform(35, 80, count), rng.choice(["female", "male"], count)
    times = np.sort(rng.uniform(0, YEARS, (count, visits + 1)), axis=1)
    times -= times[:, :1]
    level = _levels(known, age, sex, rng)
    s = rng.standard_normal((count, k)) @ _root(known.fluctuation_correlation) * _sd(known)
    walk = np.zeros((count, k))
    last = np.zeros(count)
    usual = np.empty((count, visits + 1, k))
    seen = np.empty_like(usual)
    tau = np.array([m.fluctuation_tau for m in known.models])
    drift = np.array([[m.ageing.get(x, m.ageing.get("", 0.0)) for m in known.models] for x in sex])
    for v in range(visits + 1):
        gap = (times[:, v] - last)[:, None]
        keep = np.exp(-gap / tau)
        push = rng.standard_normal((count, k)) @ _root(known.fluctuation_correlation) * _sd(known)
        s = s * keep + push * np.sqrt(1 - keep**2)
        walk = walk + rng.standard_normal((count, k)) * np.sqrt(gap) * [m.walk for m in known.models]
        last = times[:, v]
        usual[:, v] = level + s + walk + drift * times[:, v, None]
        seen[:, v] = usual[:, v] + rng.standard_normal((count, k)) * _noise(known, age + times[:, v])
    values = np.exp(seen)
    values[rng.uniform(size=values.shape) < missing] = np.nan
    future = np.exp(seen[:, -1])
    return People(age, tuple(sex), times[:, :-1], values[:, :-1], times[:, -1], np.exp(usual[:, -1]), future)


def _levels(known: BiomarkerSet, age: Array, sex: np.ndarray, rng: np.random.Generator) -> Array:
    mean, sd = np.empty((len(age), len(known.models))), np.empty((len(age), len(known.models)))
    for i, (years, word) in enumerate(zip(age, sex, strict=True)):
        for j, model in enumerate(known.models):
            mean[i, j], sd[i, j] = level_prior(model, plain_profile(str(word)), float(int(years)))
    draws: Array = mean + rng.standard_normal(mean.shape) @ _root(known.level_correlation) * sd
    return draws


def plain_profile(sex: str) -> Profile:
    """Nothing known but the sex."""
    word = "female" if sex == "female" else "male"
    none: frozenset[str] = frozenset()
    return Profile(None, word, None, "unknown", False, False, False, False, None, none, none, none)  # type: ignore[arg-type]


def _noise(known: BiomarkerSet, age: Array) -> Array:
    rows = {
        int(a): [visit_variance(m, "office", 1, float(int(a))) for m in known.models]
        for a in np.unique(age.astype(int))
    }
    spread: Array = np.sqrt(np.array([rows[int(a)] for a in age], dtype=np.float64))
    return spread


def _sd(known: BiomarkerSet) -> Array:
    return np.array([m.fluctuation_sd for m in known.models])


def _root(correlation: Array) -> Array:
    """C = L L'; rows of standard normals times L' have correlation C."""
    return np.asarray(np.linalg.cholesky(correlation + 1e-12 * np.eye(len(correlation)))).T
