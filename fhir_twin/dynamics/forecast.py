"""The filter as a small public interface: histories in, calibrated forecasts out. Batch first, canonical units.

    from fhir_twin.assimilation import load_biomarkers
    from fhir_twin.dynamics.forecast import forecast
    from mappings import Source

    answer = forecast(times, values, {"age": age, "sex": sex}, at, biomarkers=("sbp",), known=load_biomarkers(Source()))
    answer.mean, answer.quantiles

This is the model of the twin itself (same priors, noise, regimes, gate); only the chart is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from fhir_twin.dynamics.cohort import People, visit_noise
from fhir_twin.dynamics.histories import Histories, exposed, read_histories, subset
from fhir_twin.dynamics.intervals import own_scale, quantile_scores
from fhir_twin.dynamics.kalman import Belief, Filtered
from fhir_twin.dynamics.state_space import propagate
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array

__all__ = ["LEVELS", "Forecast", "forecast", "subset"]

LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, repr=False)
class Forecast:
    """mean (P, A, k): median on the natural scale; quantiles (P, A, k, q) at `levels`; log_mean and log_sd
    (P, A, k): the Gaussian on the model scale, before the own spread and the calibration."""

    biomarkers: tuple[str, ...]
    levels: tuple[float, ...]
    mean: Array
    quantiles: Array
    log_mean: Array
    log_sd: Array


def forecast(
    times: ArrayLike,
    values: ArrayLike,
    covariates: Mapping[str, Any],
    at: ArrayLike,
    *,
    biomarkers: Sequence[str],
    known: BiomarkerSet,
    levels: Sequence[float] = LEVELS,
    of: Literal["measurement", "usual"] = "measurement",
    prior: Literal["population", "flat"] = "population",
    calibrated: bool = True,
) -> Forecast:
    """Forecast `biomarkers` at times `at` from irregular, partly missing histories.

    times (P, V): years, rising; NaN pads short histories. values (P, V, k) in canonical units, NaN = not observed; (P,
    V) when k = 1. at (P, A) or (A,): years, not before the last visit; NaN pads, and gives NaN. covariates, each
    optional: "age" (P,) in years at time 0, "sex" (P,) "female"/"male"/other, "groups" (P,) sets of condition groups,
    "setting" (P,) or one, "readings" averaged per value, "drugs" {class: (P,) start, NaN = never}, "assay" {biomarker:
    key, or (P,), or (P, V) of them; "" the usual one} of the values given (the forecast is of the usual assay). What
    is missing is not assumed: the prior is then the mixture over it. of: the next measurement (with its noise) or the
    usual value. prior "flat": the level is learned from the first value only. calibrated=False: quantiles of the plain
    Gaussian, without the person's own spread and the calibration tables. Raises InvalidInput, naming what does not
    fit."""
    keys, wanted = tuple(biomarkers), _levels(levels)
    if of not in ("measurement", "usual"):
        raise InvalidInput("of: must be measurement or usual")
    have = read_histories(times, values, covariates, keys, known, at=() if at is None else at, prior=prior)
    model, people, goal, shares = have.model, have.people, have.at, have.shares
    regimes = shares.shape[1]
    done = have.filter()
    log_weights = np.log(shares) + done.log_likelihood.reshape(-1, regimes)
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean, variance = _read(done.belief, have, weights)
    mean += have.drift[:, None, :] * goal[..., None]
    if of == "measurement":
        mean += have.shift[:, None, :]
        variance += visit_noise(model, people, goal)
    spread = np.sqrt(variance)
    if of == "measurement" and calibrated:
        scores = _scores(model, people, goal, wanted, done, weights)
    else:
        scores = np.broadcast_to(ndtri(np.array(wanted)), (*goal.shape, len(keys), len(wanted)))
    quantiles = np.exp(mean[..., None] + spread[..., None] * scores)
    return Forecast(keys, wanted, np.exp(mean), quantiles, mean, spread)


def _levels(given: Sequence[float]) -> tuple[float, ...]:
    try:
        levels = tuple(float(x) for x in np.atleast_1d(np.asarray(given, dtype=np.float64)))
    except (TypeError, ValueError):
        levels = (np.nan,)
    if not all(0.0 < x < 1.0 for x in levels):
        raise InvalidInput("levels: must be numbers between 0 and 1")
    return levels


def _read(belief: Belief, have: Histories, weights: Array) -> tuple[Array, Array]:
    """Mean and variance (P, A, k) at `have.at`, over the mixture of regimes with `weights` (P, regimes), office scale;
    of those who are measured outside the office the office-equivalent of that."""
    people, regimes = weights.shape
    layout, goal = have.layout, have.at
    mean, variance = (np.empty((*goal.shape, layout.design.shape[0])) for _ in range(2))
    for a in range(goal.shape[1]):
        gap = np.maximum(np.repeat(goal[:, a], regimes) - belief.time, 0.0)
        mu, p = propagate(layout.dynamics, belief.mean, belief.covariance, gap)
        load = np.broadcast_to(layout.design, (people, *layout.design.shape)).copy()
        for row, column in layout.slopes:
            load[:, row, column] = goal[:, a]
        for (row, column, term), (_, begin) in zip(layout.terms, have.drugs, strict=True):
            load[:, row, column] = exposed(goal[:, a : a + 1], begin, term.onset)[:, 0]
        for row, column in layout.offsets:
            load[:, row, column] = have.away[:, row]
        load = np.repeat(load, regimes, axis=0)
        each = np.einsum("pkm,pm->pk", load, mu).reshape(people, regimes, load.shape[1])
        own = np.einsum("pkm,pmn,pkn->pk", load, p, load).reshape(people, regimes, load.shape[1])
        mean[:, a] = np.einsum("pr,prk->pk", weights, each)
        off = each - mean[:, a][:, None]
        variance[:, a] = np.einsum("pr,prk->pk", weights, own + off * off)
    return mean, variance


def _scores(
    model: BiomarkerSet,
    people: People,
    goal: Array,
    levels: tuple[float, ...],
    done: Filtered,
    weights: Array,
) -> Array:
    """Standardised quantiles (P, A, k, q): Student's or those of the calibration table, times the own scale."""
    scores = np.empty((*goal.shape, len(model.models), len(levels)))
    ages = people.age[:, None] + goal
    count, regimes = weights.shape
    squares = np.einsum("pr,prk->pk", weights, done.squares.reshape(count, regimes, len(model.models)))
    seen = done.belief.seen[::regimes]
    tested = np.maximum(seen - 1, 0)
    for i, m in enumerate(model.models):
        scale, df = own_scale(squares[:, i], tested[:, i], model.own_df)
        each = quantile_scores(model.calibration, m.key, ages, people.setting, levels, df)
        scores[:, :, i] = each * scale[:, None, None]
        scores[seen[:, i] == 0, :, i] = ndtri(np.array(levels))  # the prior alone: nothing personal to scale
    return scores
