"""Invented lives, drawn from the twin's own generative model, for many people at once (numpy, people first).

    log usual value = level + fluctuation + walk + known ageing + slope x time + drug responses
    measured value  = usual value x exp(visit noise)

on a monthly grid: fluctuations are an Ornstein-Uhlenbeck process with the exact monthly transition. Cardiovascular
events follow the PREVENT base equation at the untreated values, its yearly hazard times the trial ratio of what the
drugs changed (risk equations give no treatment effects); death follows the life table. Diagnoses and drug starts follow
`synthetic/cohort.toml`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhir_twin.dynamics.equations import prevent
from fhir_twin.dynamics.prior import ageing_rates, level_prior, slope_regimes
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Profile
from fhir_twin.population.synth_design import Choice, ClinicDesign

NEVER = 10**6
EVENTS = {"mi": "chd", "stroke": "stroke", "heart-failure": "heart-failure"}
Months = NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class Lives:
    """P people over M months. age: years at month 0; usual (P, M, n): log usual values; diagnosed, started, events:
    key -> month (NEVER); death (P,): month; race ...: index into the design's choices; decile: 0 = not recorded."""

    sex: NDArray[np.bool_]  # True = female
    age: Array
    usual: Array
    diagnosed: dict[str, Months]
    started: tuple[Months, ...]
    events: dict[str, Months]
    death: Months
    race: Months
    ethnicity: Months
    language: Months
    smoking: Months
    decile: Months
    height: Array


def draw_lives(
    design: ClinicDesign, knowledge: Knowledge, rng: np.random.Generator, count: int, months: int
) -> Lives:
    """Everything about `count` people that is true of them; what is written down of it is another matter."""
    sex = rng.random(count) < design.female
    age = _ages(design, rng, count) - months / 12.0
    smoking = _pick(design.smoking, rng, count)
    untreated = _untreated(knowledge.biomarkers, rng, sex, age, months)
    usual, diagnosed, started = _treated(design, knowledge.biomarkers, rng, untreated)
    smokers = np.array([c.code in ("449868002", "77176002") for c in design.smoking])[smoking]
    events, death = _events(knowledge, rng, sex, age, smokers, untreated, usual, diagnosed)
    decile = np.where(rng.random(count) < design.deprivation_recorded, rng.integers(1, 11, count), 0)
    return Lives(
        sex, age, usual, diagnosed, started, events, death,
        _pick(design.race, rng, count), _pick(design.ethnicity, rng, count), _pick(design.language, rng, count),
        smoking, decile, rng.normal(np.where(sex, 162.0, 176.0), 7.0),
    )  # fmt: skip


def _ages(design: ClinicDesign, rng: np.random.Generator, count: int) -> Array:
    low, high, weight = (np.array(c) for c in zip(*design.ages, strict=True))
    band = rng.choice(len(weight), count, p=weight / weight.sum())
    return np.asarray(rng.uniform(low[band], high[band]))


def _pick(choices: tuple[Choice, ...], rng: np.random.Generator, count: int) -> Months:
    weight = np.array([c.weight for c in choices])
    return np.asarray(rng.choice(len(choices), count, p=weight / weight.sum()), dtype=np.int64)


def _profile(female: bool) -> Profile:
    none: frozenset[str] = frozenset()
    sex = "female" if female else "male"
    return Profile(None, sex, None, "unknown", False, False, False, False, None, none, none, none)  # type: ignore[arg-type]


def _untreated(
    known: BiomarkerSet, rng: np.random.Generator, sex: NDArray[np.bool_], age: Array, months: int
) -> Array:
    """log usual values (P, M, n) without any drug. Total cholesterol is the sum of its parts (Friedewald)."""
    count, n, step = len(sex), len(known.models), 1.0 / 12.0
    mean, sd = np.empty((count, n)), np.empty((count, n))
    cache: dict[tuple[bool, int], list[tuple[float, float]]] = {}
    for i in range(count):
        key = (bool(sex[i]), int(max(age[i], 18)))
        if key not in cache:
            cache[key] = [level_prior(m, _profile(key[0]), float(key[1])) for m in known.models]
        mean[i], sd[i] = np.array(cache[key]).T
    level = mean + rng.standard_normal((count, n)) @ _root(known.level_correlation) * sd
    spread = np.array([m.fluctuation_sd for m in known.models])
    keep = np.exp(-step / np.array([m.fluctuation_tau for m in known.models]))
    root = _root(known.fluctuation_correlation)
    walk = np.array([m.walk for m in known.models]) * np.sqrt(step)
    drift = np.array([ageing_rates(known.models, "male"), ageing_rates(known.models, "female")])[sex * 1]
    drift = drift + _slopes(known, rng, sex)
    usual = np.empty((count, months, n))
    s = rng.standard_normal((count, n)) @ root * spread
    w = np.zeros((count, n))
    for month in range(months):
        usual[:, month] = level + s + w + drift * (month * step)
        s = s * keep + rng.standard_normal((count, n)) @ root * (spread * np.sqrt(1 - keep**2))
        w += rng.standard_normal((count, n)) * walk
    return _sum_of_parts(known, usual)


def _sum_of_parts(known: BiomarkerSet, usual: Array) -> Array:
    keys = known.keys
    if {"total-cholesterol", "ldl", "hdl", "triglycerides"} <= set(keys):
        ldl, hdl, tg = (np.exp(usual[..., keys.index(k)]) for k in ("ldl", "hdl", "triglycerides"))
        usual[..., keys.index("total-cholesterol")] = np.log(ldl + hdl + np.minimum(tg, 400.0) / 5.0)
    return usual


def _slopes(known: BiomarkerSet, rng: np.random.Generator, sex: NDArray[np.bool_]) -> Array:
    slopes = np.zeros((len(sex), len(known.models)))
    for i, model in enumerate(known.models):
        if not model.slopes:
            continue
        for female in (False, True):
            regimes = slope_regimes(model, _profile(female))
            here = np.flatnonzero(sex == female)
            which = rng.choice(len(regimes), len(here), p=[r.share for r in regimes])
            mean, sd = (np.array([getattr(r, name) for r in regimes])[which] for name in ("mean", "sd"))
            slopes[here, i] = mean + sd * rng.standard_normal(len(here))
    return slopes


def _treated(
    design: ClinicDesign, known: BiomarkerSet, rng: np.random.Generator, untreated: Array
) -> tuple[Array, dict[str, Months], tuple[Months, ...]]:
    """Diagnoses follow the untreated value, drugs the diagnosis, responses the drugs."""
    count, months, _ = untreated.shape
    usual, diagnosed = untreated.copy(), {}
    for condition in design.conditions:
        value = np.exp(untreated[..., known.keys.index(condition.biomarker)])
        holds = condition.sign * (value - condition.limit) > 0
        seen = holds & (rng.random((count, months)) < condition.diagnosed / 12.0)
        seen[:, 0] |= holds[:, 0] & (
            rng.random(count) < condition.diagnosed
        )  # known before the record begins
        diagnosed[condition.key] = np.where(seen.any(axis=1), seen.argmax(axis=1), NEVER).astype(np.int64)
    started = []
    for drug in design.drugs:
        begins = diagnosed[drug.condition] + rng.integers(0, 6, count)
        begins = np.where((rng.random(count) < drug.chance) & (begins < months), begins, NEVER)
        started.append(begins.astype(np.int64))
        _respond(known, rng, usual, drug.drug_class, begins)
    return _sum_of_parts(known, usual), diagnosed, tuple(started)


def _respond(
    known: BiomarkerSet, rng: np.random.Generator, usual: Array, drug_class: str, begins: Months
) -> None:
    since = (np.arange(usual.shape[1]) - begins[:, None]) / 12.0
    for i, model in enumerate(known.models):
        for effect in model.treatments:
            if effect.drug_class == drug_class and model.key != "total-cholesterol":
                own = np.minimum(effect.mean + effect.spread * rng.standard_normal(len(begins)), 0.0)
                grown = -np.expm1(-np.maximum(since, 0.0) / max(effect.onset, 1e-6))
                usual[..., i] += own[:, None] * grown


def _events(
    knowledge: Knowledge,
    rng: np.random.Generator,
    sex: NDArray[np.bool_],
    age: Array,
    smokers: NDArray[np.bool_],
    untreated: Array,
    usual: Array,
    diagnosed: dict[str, Months],
) -> tuple[dict[str, Months], Months]:
    """First event of each kind and death, by yearly hazards; a death ends everything."""
    known, count, months = knowledge.biomarkers, *untreated.shape[:2]
    events = {key: np.full(count, NEVER, dtype=np.int64) for key in EVENTS}
    death = np.full(count, NEVER, dtype=np.int64)
    table = {k: np.array(v) for k, v in dict(knowledge.outcomes.mortality).items()}
    column = {name: known.keys.index(key) for name, key in _INPUTS.items()}
    for start in range(0, months, 12):
        width = min(12, months - start)
        now = {name: np.exp(untreated[:, start, i]) for name, i in column.items()}
        inputs = {
            "age": np.clip(age + start / 12.0, 30.0, 79.0), "sex": sex * 1.0, "smoker": smokers * 1.0,
            "total_cholesterol": np.clip(now["total_cholesterol"], 130, 320), "hdl": np.clip(now["hdl"], 20, 100),
            "sbp": np.clip(now["sbp"], 90, 200), "bmi": np.clip(now["bmi"], 18.5, 39.9),
            "egfr": np.clip(now["egfr"], 15, 150), "diabetes": (diagnosed["diabetes-type-2"] <= start) * 1.0,
            "bp_treated": np.zeros(count), "statin": np.zeros(count),
        }  # fmt: skip
        names = tuple(EVENTS.values())
        risk = prevent.logistic(prevent.linear_predictor(inputs, "base", 10, names))
        old = np.clip(age + start / 12.0 - 79.0, 0.0, None)
        years = np.clip((age + start / 12.0).astype(int) - 18, 0, len(table["female"]) - 1)
        dies = np.where(sex, table["female"][years], table["male"][years]) * (width / 12.0)
        falls = (rng.random(count) < dies) & (death == NEVER)
        death[falls] = (start + np.floor(rng.random(count) * width))[falls]
        for k, key in enumerate(EVENTS):
            hazard = -np.log1p(-risk[:, k]) / 10.0 * np.exp(0.07 * old) * (width / 12.0)
            hazard = hazard * _trial_ratio(knowledge, key, untreated[:, start], usual[:, start])
            when = start + np.floor(rng.random(count) * width)
            falls = (rng.random(count) < -np.expm1(-hazard)) & (events[key] == NEVER) & (when < death)
            events[key][falls] = when[falls]
    return events, death


_INPUTS = {
    "total_cholesterol": "total-cholesterol",
    "hdl": "hdl",
    "sbp": "sbp",
    "bmi": "bmi",
    "egfr": "egfr",
}


def _trial_ratio(knowledge: Knowledge, outcome: str, before: Array, after: Array) -> Array:
    """Hazard ratio of what drugs changed, by the trials' ratio per unit of each biomarker."""
    keys, ratio = knowledge.biomarkers.keys, np.ones(len(before))
    for row in knowledge.outcomes.trial_ratios:
        if row.outcome == outcome and row.biomarker in keys:
            i = keys.index(row.biomarker)
            change = np.exp(after[:, i]) - np.exp(before[:, i])
            ratio = ratio * row.ratio ** np.clip(change / row.per, 0.0, None)
    return ratio


def _root(correlation: Array) -> Array:
    """C = L L'; rows of standard normals times L' have correlation C."""
    return np.asarray(np.linalg.cholesky(correlation + 1e-9 * np.eye(len(correlation)))).T
