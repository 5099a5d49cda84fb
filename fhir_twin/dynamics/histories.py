"""Histories as callers give them (arrays, people first) made ready for the filter: the twin's model without a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fhir_twin.dynamics.cohort import People, assay_effects, read_people, visit_noise
from fhir_twin.dynamics.kalman import Belief, Filtered, Loading, Robust, Visits, kalman_filter
from fhir_twin.dynamics.layout import Layout, build_layout
from fhir_twin.dynamics.prior import ageing_rates, prior_belief, slope_regimes
from fhir_twin.dynamics.state_space import exposure
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Profile, TreatmentTerm

LONGEST = 150.0  # years, of an age and of a history with its forecasts
FLAT = 3.0  # SD of a level that says nothing (log scale: a factor of 20 either way)


@dataclass(frozen=True, slots=True, repr=False)
class Histories:
    """P people, V visits, k biomarkers, R slope regimes. times (P, V) and at (P, A): years from each person's first
    visit; drift (P, k): known ageing per year; visits, start: of P x R people, regimes fastest; shares (P, R); drugs:
    response terms with each person's start (P,); shift (P, k): mean difference of the person's setting to the office;
    away (P, k): 1 where there is one."""

    model: BiomarkerSet
    layout: Layout
    people: People
    times: Array
    at: Array
    drift: Array
    start: Belief
    shares: Array
    visits: Visits
    drugs: list[tuple[TreatmentTerm, Array]]
    shift: Array
    away: Array

    def filter(self, *, trace: bool = False) -> Filtered:
        return kalman_filter(
            self.start, self.layout.dynamics, self.layout.design, self.visits, robust=Robust(), trace=trace
        )


def read_histories(
    times: ArrayLike,
    values: ArrayLike,
    covariates: Mapping[str, Any],
    keys: tuple[str, ...],
    known: BiomarkerSet,
    *,
    at: ArrayLike | None = None,
    prior: Literal["population", "flat"] = "population",
) -> Histories:
    """Arguments as `forecast.forecast` takes them; at None: nothing is forecast. Raises InvalidInput."""
    model = subset(known, keys)
    if prior not in ("population", "flat"):
        raise InvalidInput("prior: must be population or flat")
    t, y, goal = _arrays(times, values, at, len(keys))
    if prior == "population":
        _same_units(y, model)
    people = read_people(covariates, len(t))
    # slopes and ageing count from the first visit
    zero = np.nan_to_num(np.fmin.reduce(np.column_stack([t, goal]), axis=1, initial=np.nan))
    t, goal = t - zero[:, None], goal - zero[:, None]
    if max(np.nanmax(a, initial=0.0) for a in (t, goal)) > LONGEST:
        raise InvalidInput(f"times, at: must be in years; these span more than {LONGEST:g}")
    people = replace(people, age=people.age + zero)
    if np.any((people.age < 0.0) | (people.age > LONGEST)):
        raise InvalidInput(
            f"covariates: age (years at time 0) gives one outside 0-{LONGEST:g} at the first visit"
        )
    drugs = _drugs(covariates.get("drugs"), model, zero)
    layout = build_layout(model, tuple(term for term, _ in drugs))
    rates = [ageing_rates(model.models, p.sex) for p in people.profiles]
    drift = np.array(rates).reshape(len(t), len(keys))
    factor, own, bias = assay_effects(model, people, y)
    noise = visit_noise(model, people, t) * factor + own
    shift, away = _settings(model, people)
    observed = np.log(y) - bias - shift[:, None, :] - drift[:, None, :] * np.nan_to_num(t)[..., None]
    start, shares = _start(model, layout, people, prior)
    many = _repeater(shares.shape[1])
    slopes = [Loading(r, c, many(np.nan_to_num(t))) for r, c in layout.slopes]
    doses = [
        Loading(r, c, many(exposed(np.nan_to_num(t), begin, term.onset)))
        for (r, c, term), (_, begin) in zip(layout.terms, drugs, strict=True)
    ]
    homes = [
        Loading(r, c, many(np.repeat(away[:, r : r + 1], t.shape[1], axis=1)))
        for r, c in layout.offsets
        if away[:, r].any()
    ]
    visits = Visits(many(t), many(observed), many(noise), None, (*slopes, *doses, *homes))
    return Histories(model, layout, people, t, goal, drift, start, shares, visits, drugs, shift, away)


def _settings(model: BiomarkerSet, people: People) -> tuple[Array, Array]:
    """By how much each person's values differ from the office's on average (P, k); 1 where they are from outside it."""
    shifts = [[m.shift(setting) for m in model.models] for setting in people.setting]
    away = np.array([[x is not None for x in row] for row in shifts], dtype=np.float64)
    shape = (len(people.setting), len(model.models))
    return np.array([[x or 0.0 for x in row] for row in shifts]).reshape(shape), away.reshape(shape)


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


def _numbers(given: ArrayLike, name: str) -> Array:
    """Raises InvalidInput for what is no array of numbers (dates, words, rows of different length)."""
    try:
        found = np.asarray(given)
        if found.dtype.kind in "mM":
            raise TypeError
        return found.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}: must be numbers in rows of equal length; NaN pads") from None


def _arrays(times: ArrayLike, values: ArrayLike, at: ArrayLike | None, k: int) -> tuple[Array, Array, Array]:
    t, y = _numbers(times, "times"), _numbers(values, "values")
    goal = np.empty((len(t) if t.ndim else 0, 0)) if at is None else _numbers(at, "at")
    y = y[..., None] if y.ndim == 2 and k == 1 else y
    if t.ndim != 2 or y.shape != (*t.shape, k):
        raise InvalidInput(f"values: shape must be times' (people, visits) with {k} biomarkers last")
    goal = np.broadcast_to(goal, (len(t), goal.shape[-1])) if goal.ndim == 1 else goal
    if goal.ndim != 2 or len(goal) != len(t):
        raise InvalidInput("at: shape must be (times,) or (people, times)")
    if np.any(t[:, 1:] < np.fmax.accumulate(t, axis=1)[:, :-1]):
        raise InvalidInput("times: must rise along each person's visits")
    if np.isinf(t).any() or np.isinf(goal).any():
        raise InvalidInput("times, at: must be finite; NaN pads")
    if np.any(~np.isnan(y) & np.isnan(t)[..., None]):
        raise InvalidInput("times: a value has no time")
    last = np.max(np.where(np.isnan(t), -np.inf, t), axis=1, initial=-np.inf)
    if np.any(goal < last[:, None] - 1e-9):
        raise InvalidInput("at: must not lie before the last visit")
    if np.any(y <= 0) or np.isinf(y).any():
        raise InvalidInput("values: must be positive and finite, in canonical units")
    return t, y, goal


def _same_units(values: Array, model: BiomarkerSet) -> None:
    """One odd value is an outlier, which the filter sees to; where most are impossible, the unit is another one."""
    for i, m in enumerate(model.models):
        analyte, column = model.analytes.get(m.key), values[..., i]
        given = column[~np.isnan(column)]
        if analyte is not None and given.size:
            low, high = analyte.plausible
            if np.mean((given < low) | (given > high)) > 0.5:
                raise InvalidInput(
                    f"values: most of {m.key} lie outside {low:g}-{high:g}: must be in {m.unit}"
                )


def _drugs(given: Any, model: BiomarkerSet, zero: Array) -> list[tuple[TreatmentTerm, Array]]:
    """A response term per biomarker and class. Its start differs between people, so the term's own is not used. A class
    that moves none of the biomarkers has none."""
    if not isinstance(given, Mapping | None):
        raise InvalidInput(
            "covariates: drugs must be {class: start in years, or one per person; NaN = never}"
        )
    found = []
    for drug_class, starts in (given or {}).items():
        start = _numbers(starts, f"covariates: drugs, {drug_class}")
        if start.shape not in ((), (1,), zero.shape):
            raise InvalidInput(f"covariates: drugs, {drug_class}: must have one start per person")
        begin = np.broadcast_to(np.maximum(start, -LONGEST), zero.shape) - zero
        for m in model.models:
            for e in m.treatments:
                if e.drug_class == drug_class:
                    term = TreatmentTerm(
                        m.key, drug_class, -np.inf, np.inf, e.onset, e.mean, e.spread, (), e.mean
                    )
                    found.append((term, begin))
    return found


def exposed(times: Array, begin: Array, onset: float) -> Array:
    """Share of the drug's effect (P, T) at `times` for people who started at `begin` (P,), NaN = never."""
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
    count, m = len(means), layout.design.shape[1]
    belief = Belief(
        np.array(means).reshape(count, m),
        np.array(covariances).reshape(count, m, m),
        np.zeros(count),
        np.zeros((count, len(model.models)), dtype=np.int64),
    )
    return belief, np.array(shares).reshape(len(shares), -1 if shares else 1)


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


def _repeater(copies: int) -> Any:
    return lambda array: np.repeat(array, copies, axis=0)
