"""Learn the intervals from histories: every value is a test of the forecast made from the ones before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fhir_twin.dynamics.histories import Histories, read_histories
from fhir_twin.dynamics.intervals import ENOUGH, calibrate, scaled
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array


@dataclass(frozen=True, slots=True, repr=False)
class OneStep:
    """z (P, V, k): standardised errors of the forecasts from everything before, by the person's own spread as of then;
    NaN where there is no value or no earlier one of the biomarker. age (P, V) at the value; setting (P,)."""

    z: Array
    age: Array
    setting: tuple[str, ...]


def one_step(
    times: ArrayLike,
    values: ArrayLike,
    covariates: Mapping[str, Any],
    *,
    biomarkers: Sequence[str],
    known: BiomarkerSet,
    prior: Literal["population", "flat"] = "population",
) -> OneStep:
    """Arguments as those of `forecast`. Raises InvalidInput."""
    have = read_histories(times, values, covariates, tuple(biomarkers), known, prior=prior)
    expected, variance = _forecasts(have)
    observed = have.visits.values[:: have.shares.shape[1]]
    errors = (observed - expected) / np.sqrt(variance)
    there = ~np.isnan(observed)
    errors = np.where(there & (np.cumsum(there, axis=1) > 1), errors, np.nan)
    own = scaled(errors.transpose(0, 2, 1), have.model.own_df).transpose(0, 2, 1)
    return OneStep(own, have.people.age[:, None] + have.times, have.people.setting)


def learn_intervals(
    times: ArrayLike,
    values: ArrayLike,
    covariates: Mapping[str, Any],
    *,
    biomarkers: Sequence[str],
    known: BiomarkerSet,
    prior: Literal["population", "flat"] = "population",
    enough: int = ENOUGH,
) -> BiomarkerSet:
    """`known` with conformal tables of these histories (by age third and setting) in place of those it had for
    `biomarkers`: what `fhir-twin calibrate` does, for plain arrays. Test it on people who were not in it."""
    keys = tuple(biomarkers)
    found = one_step(times, values, covariates, biomarkers=keys, known=known, prior=prior)
    visits = found.z.shape[1]
    settings = np.repeat(np.array(found.setting), visits).tolist()
    tables = {key: row for key, row in known.calibration.items() if key[0] not in keys}
    for i, key in enumerate(keys):
        tables |= calibrate(found.z[:, :, i].ravel(), found.age.ravel(), settings, key, enough=enough)
    return replace(known, calibration=tables)


def _forecasts(have: Histories) -> tuple[Array, Array]:
    """Mean and variance (P, V, k) of each value before it was seen, over the mixture of slope regimes."""
    done = have.filter(trace=True)
    assert done.trace is not None
    people, regimes = have.shares.shape

    def split(name: str) -> Array:
        array = getattr(done.trace, name)
        return np.asarray(array.reshape(people, regimes, *array.shape[1:]))

    before, spread, density = split("before"), split("spread"), np.nan_to_num(split("density")).sum(axis=3)
    logs = np.log(have.shares)[:, :, None] + np.cumsum(density, axis=2) - density
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.einsum("prv,prvk->pvk", weights, before)
    off = before - expected[:, None]
    return expected, np.einsum("prv,prvk->pvk", weights, spread**2 + off * off)
