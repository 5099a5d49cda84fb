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
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fhir_twin.dynamics.cohort import People, read_people, visit_noise
from fhir_twin.dynamics.intervals import quantile_scores
from fhir_twin.dynamics.kalman import Belief, Loading, Robust, Visits, kalman_filter
from fhir_twin.dynamics.layout import Layout, build_layout
from fhir_twin.dynamics.prior import ageing_rates, prior_belief, slope_regimes
from fhir_twin.dynamics.state_space import exposure, propagate
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Profile, TreatmentTerm

LEVELS = (0.1, 0.5, 0.9)
FLAT = 3.0  # SD of a level that says nothing (log scale: a factor of 20 either way)


@dataclass(frozen=True, slots=True, repr=False)
class Forecast:
    """mean (P, A, k): median on the natural scale; quantiles (P, A, k, q) at `levels`; log_mean and log_sd
    (P, A, k): the Gaussian on the model scale before calibration."""

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

    times (P, V): years, rising; NaN pads short histories. values (P, V, k) in canonical units, NaN = not observed;
    (P, V) when k = 1. at (P, A) or (A,): years, not before the last visit. covariates, each optional: "age" (P,) in
    years at time 0, "sex" (P,) "female"/"male"/other, "groups" (P,) sets of condition groups, "setting" (P,) or one,
    "readings" averaged per value, "drugs" {class: (P,) start, NaN = never}. What is missing is not assumed: the prior
    is then the mixture over it. of: the next measurement (with its noise) or the usual value. prior "flat": the level
    is learned from the first value only. Raises InvalidInput, naming what does not fit."""
    keys = tuple(biomarkers)
    model = subset(known, keys)
    t, y, goal = _arrays(times, values, at, len(keys))
    people = read_people(covariates, len(t))
    zero = np.fmin.reduce(
        np.column_stack([t, goal[:, :1]]), axis=1
    )  # slopes and ageing count from the first visit
    t, goal = t - zero[:, None], goal - zero[:, None]
    people = replace(people, age=people.age + zero)
    drugs = _drugs(covariates.get("drugs", {}), model, zero)
    layout = build_layout(model, tuple(term for term, _ in drugs))
    drift = np.array([ageing_rates(model.models, p.sex) for p in people.profiles])
    noise = visit_noise(model, people, t)
    observed = np.log(y) - drift[:, None, :] * np.nan_to_num(t)[..., None]
    start, shares = _start(model, layout, people, prior)
    regimes = shares.shape[1]
    many = _repeater(regimes)
    slopes = [Loading(r, c, many(np.nan_to_num(t))) for r, c in layout.slopes]
    doses = [
        Loading(r, c, many(_exposed(np.nan_to_num(t), begin, term.onset)))
        for (r, c, term), (_, begin) in zip(layout.terms, drugs, strict=True)
    ]
    visits = Visits(many(t), many(observed), many(noise), None, (*slopes, *doses))
    done = kalman_filter(start, layout.dynamics, layout.design, visits, robust=Robust())
    log_weights = np.log(shares) + done.log_likelihood.reshape(-1, regimes)
    mean, variance = _read(done.belief, layout, log_weights, goal, drugs)
    mean += drift[:, None, :] * goal[..., None]
    if of == "measurement":
        variance += visit_noise(model, people, goal)
    spread = np.sqrt(variance)
    scores = _scores(model if calibrated else replace(model, calibration={}), people, goal, tuple(levels))
    quantiles = np.exp(mean[..., None] + spread[..., None] * scores)
    return Forecast(keys, tuple(levels), np.exp(mean), quantiles, mean, spread)


def subset(known: BiomarkerSet, keys: Sequence[str]) -> BiomarkerSet:
    """The joint model of some biomarkers only: an exact marginal of the whole one. Biomarkers that are not in the
    twin's state but have a model of their own (`known.others`) are independent of the rest."""
    every = (*known.models, *known.others)
    names = [m.key for m in every]
    unknown = [k for k in keys if k not in names]
    if unknown or not keys or len(set(keys)) < len(keys):
        raise InvalidInput(f"biomarkers: not modelled: {', '.join(unknown) or 'none given, or one twice'}")
    index = [names.index(k) for k in keys]
    return replace(
        known,
        models=tuple(every[i] for i in index),
        level_correlation=_pick(known.level_correlation, index),
        fluctuation_correlation=_pick(known.fluctuation_correlation, index),
    )


def _pick(correlation: Array, index: list[int]) -> Array:
    """Rows and columns of `index`; what lies beyond the matrix is independent."""
    whole = np.eye(max(len(correlation), max(index) + 1))
    whole[: len(correlation), : len(correlation)] = correlation
    return whole[np.ix_(index, index)]


def _arrays(times: ArrayLike, values: ArrayLike, at: ArrayLike, k: int) -> tuple[Array, Array, Array]:
    t, y = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    y = y[..., None] if y.ndim == 2 and k == 1 else y
    goal = np.asarray(at, dtype=np.float64)
    if t.ndim != 2 or y.shape != (*t.shape, k):
        raise InvalidInput(f"values: shape must be times' (people, visits) with {k} biomarkers last")
    goal = np.broadcast_to(goal, (len(t), goal.shape[-1])) if goal.ndim == 1 else goal
    if goal.ndim != 2 or len(goal) != len(t):
        raise InvalidInput("at: shape must be (times,) or (people, times)")
    steps = np.diff(np.where(np.isnan(t), -np.inf, t), axis=1)
    if np.any(steps[~np.isnan(t[:, 1:]) & ~np.isnan(t[:, :-1])] < 0):
        raise InvalidInput("times: must rise along each person's visits")
    last = np.max(np.where(np.isnan(t), -np.inf, t), axis=1, initial=-np.inf)
    if np.isnan(goal).any() or np.any(goal < last[:, None] - 1e-9):
        raise InvalidInput("at: must not lie before the last visit")
    if np.any(y <= 0):
        raise InvalidInput("values: must be positive, in canonical units")
    return t, y, goal


def _drugs(
    given: Mapping[str, ArrayLike], model: BiomarkerSet, zero: Array
) -> list[tuple[TreatmentTerm, Array]]:
    """A response term per biomarker and class. Its start differs between people, so the term's own is not used."""
    found = []
    for drug_class, starts in given.items():
        begin = np.broadcast_to(np.asarray(starts, dtype=np.float64), zero.shape) - zero
        for m in model.models:
            for e in m.treatments:
                if e.drug_class == drug_class:
                    term = TreatmentTerm(
                        m.key, drug_class, -np.inf, np.inf, e.onset, e.mean, e.spread, (), e.mean
                    )
                    found.append((term, begin))
    return found


def _exposed(times: Array, begin: Array, onset: float) -> Array:
    since = np.where(np.isnan(begin)[:, None], -1.0, times - np.nan_to_num(begin)[:, None])
    return exposure(since, onset)


def _start(
    model: BiomarkerSet, layout: Layout, people: People, prior: str
) -> tuple[Belief, NDArray[np.float64]]:
    """One belief per person and slope regime, and the regimes' shares (P, regimes)."""
    cache: dict[tuple[Any, ...], tuple[list[Array], list[Array], list[float]]] = {}
    means, covariances, shares = [], [], []
    for age, profile in zip(people.age, people.profiles, strict=True):
        key = (None if np.isnan(age) else int(age), profile.sex, profile.groups)
        if key not in cache:
            cache[key] = _regimes(model, layout, profile, key[0], prior)
        m, c, w = cache[key]
        means += m
        covariances += c
        shares.append(w)
    count = len(means)
    belief = Belief(
        np.array(means),
        np.array(covariances),
        np.zeros(count),
        np.zeros((count, len(model.models)), dtype=np.int64),
    )
    return belief, np.array(shares)


def _regimes(
    model: BiomarkerSet, layout: Layout, profile: Profile, age: float | None, prior: str
) -> tuple[list[Array], list[Array], list[float]]:
    mean, covariance = prior_belief(model, layout, profile, age)
    n = len(model.models)
    if prior == "flat":
        covariance[:n, :n] = np.eye(n) * FLAT**2
    for row, column, term in layout.terms:
        effect = next(e for e in model.models[row].treatments if e.drug_class == term.drug_class)
        mean[column], covariance[column, column] = effect.mean, effect.spread**2
    beliefs = [(1.0, mean, covariance)]
    for row, column in layout.slopes:
        split = []
        for share, mu, p in beliefs:
            for regime in slope_regimes(model.models[row], profile):
                mu_r, p_r = mu.copy(), p.copy()
                mu_r[column], p_r[column, column] = regime.mean, regime.sd**2
                split.append((share * regime.share, mu_r, p_r))
        beliefs = split
    return [b[1] for b in beliefs], [b[2] for b in beliefs], [b[0] for b in beliefs]


def _read(
    belief: Belief,
    layout: Layout,
    log_weights: Array,
    goal: Array,
    drugs: list[tuple[TreatmentTerm, Array]],
) -> tuple[Array, Array]:
    """Mean and variance (P, A, k) at `goal`, over the mixture of regimes."""
    people, regimes = log_weights.shape
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean, variance = (np.empty((*goal.shape, layout.design.shape[0])) for _ in range(2))
    for a in range(goal.shape[1]):
        gap = np.maximum(np.repeat(goal[:, a], regimes) - belief.time, 0.0)
        mu, p = propagate(layout.dynamics, belief.mean, belief.covariance, gap)
        load = np.broadcast_to(layout.design, (people, *layout.design.shape)).copy()
        for row, column in layout.slopes:
            load[:, row, column] = goal[:, a]
        for (row, column, term), (_, begin) in zip(layout.terms, drugs, strict=True):
            load[:, row, column] = _exposed(goal[:, a : a + 1], begin, term.onset)[:, 0]
        load = np.repeat(load, regimes, axis=0)
        each = np.einsum("pkm,pm->pk", load, mu).reshape(people, regimes, -1)
        own = np.einsum("pkm,pmn,pkn->pk", load, p, load).reshape(people, regimes, -1)
        mean[:, a] = np.einsum("pr,prk->pk", weights, each)
        off = each - mean[:, a][:, None]
        variance[:, a] = np.einsum("pr,prk->pk", weights, own + off * off)
    return mean, variance


def _scores(model: BiomarkerSet, people: People, goal: Array, levels: tuple[float, ...]) -> Array:
    """Standardised quantiles (P, A, k, q): normal ones, or those of the calibration table."""
    scores = np.empty((*goal.shape, len(model.models), len(levels)))
    ages = people.age[:, None] + goal
    for i, m in enumerate(model.models):
        scores[:, :, i] = quantile_scores(model.calibration, m.key, ages, people.setting, levels)
    return scores


def _repeater(copies: int) -> Any:
    return lambda array: np.repeat(array, copies, axis=0)
