"""Simulate people from the published constants, then recover them: the intervals must hold what they promise.

The simulator below is written from the equations of motion, not with the filter's code (evidence: issue 5, "done when":
coverage 95 +- 2 % for state and personal response; selection must not be booked as drug effect).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.assimilation.assimilate import adapted_mean, advance, start_memory
from fhir_twin.assimilation.visits import Group
from fhir_twin.dynamics.forecast import forecast, subset
from fhir_twin.dynamics.intervals import GRID, calibrate, conformal_quantiles, coverage, interpolate
from fhir_twin.dynamics.prior import level_prior, visit_variance
from fhir_twin.model.twin import Profile, TreatmentTerm
from mappings import Source

KNOWN = subset(load_biomarkers(Source()), ("sbp", "ldl", "egfr"))
PROFILE = Profile(
    60.0, "male", None, "unknown", False, False, False, False, None, frozenset(), frozenset(), frozenset()
)
Z95 = 1.959963985
AGE = 60.0


@dataclass
class Person:
    groups: list[Group]
    truth: np.ndarray  # usual values at the end, model scale
    response: float
    slope: float
    readings: np.ndarray
    start: float


def simulate(rng: np.random.Generator, visits: int, select: float | None = None) -> Person:
    """One person: three biomarkers, a drug for SBP from `start` on. select: the drug starts right after the first SBP
    reading above it (never, if there is none)."""
    times = np.sort(rng.uniform(0.0, 6.0, visits))
    times[0] = 0.0
    levels, sds = zip(*(level_prior(m, PROFILE, AGE) for m in KNOWN.models), strict=True)
    cov = KNOWN.level_correlation * np.outer(sds, sds)
    b = rng.multivariate_normal(levels, cov)
    regime = KNOWN.models[2].slopes[int(rng.uniform() > 0.84)]
    slope = rng.normal(regime.mean, regime.sd)
    effect = next(t for t in KNOWN.models[0].treatments if t.drug_class == "ace-inhibitor")
    s = np.array([rng.normal(0, m.fluctuation_sd) for m in KNOWN.models])
    start, groups, before, response, last = (3.0 if select is None else np.inf), [], [], 0.0, 0.0
    drawn = False
    for when in np.append(times, 6.0):
        for i, m in enumerate(KNOWN.models):
            f = np.exp(-(when - last) / m.fluctuation_tau)
            s[i] = s[i] * f + rng.normal(0, m.fluctuation_sd * np.sqrt(1 - f * f))
        last = when
        usual = b + s
        usual[0] += KNOWN.models[0].ageing["male"] * when
        usual[2] += slope * when
        if when > start and not drawn:
            response, drawn = rng.normal(adapted_mean(effect, float(np.exp(usual[0]))), effect.spread), True
        if when > start:
            usual[0] += response * (1 - np.exp(-(when - start) / effect.onset))
        if when == 6.0:
            break
        for i, m in enumerate(KNOWN.models):
            variance = visit_variance(m, "office", 1, AGE + when)
            value = usual[i] + rng.normal(0, np.sqrt(variance))
            groups.append(Group(i, int(when * 365.25), when, value, variance, 0, ()))
            if i == 0:
                before.append(np.exp(value))
                if select is not None and start == np.inf and np.exp(value) > select:
                    start = when + 1e-3
    return Person(groups, usual, response, slope, np.array(before), start)


def recover(person: Person):
    terms: tuple[TreatmentTerm, ...] = ()
    if np.isfinite(person.start):
        effect = next(t for t in KNOWN.models[0].treatments if t.drug_class == "ace-inhibitor")
        terms = (
            TreatmentTerm(
                "sbp",
                "ace-inhibitor",
                person.start,
                np.inf,
                effect.onset,
                effect.mean,
                effect.spread,
                (),
                effect.mean,
            ),
        )
    memory = start_memory(KNOWN, PROFILE, AGE, 0.0, terms)
    return advance(memory, person.groups, KNOWN, PROFILE, 6.0)


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(20260101)
    simulated = [simulate(rng, 8) for _ in range(1200)]
    return [(p, recover(p)) for p in simulated]


@pytest.mark.slow
def test_state_and_personal_response_are_covered_95_plus_minus_2(people) -> None:
    inside = np.array(
        [np.abs(p.truth - r.mean) < Z95 * np.sqrt(np.diagonal(r.covariance)) for p, r in people]
    )
    assert 0.93 <= inside.mean() <= 0.97
    assert (np.abs(inside.mean(axis=0) - 0.95) < 0.025).all()
    columns = [r.layout.names.index("sbp:ace-inhibitor") for _, r in people]
    z = np.array(
        [
            (p.response - r.state[c]) / np.sqrt(r.state_covariance[c, c])
            for (p, r), c in zip(people, columns, strict=True)
        ]
    )
    assert 0.93 <= (np.abs(z) < Z95).mean() <= 0.97


@pytest.mark.slow
def test_the_response_is_learned_not_only_assumed(people) -> None:
    """Estimates go with the truth, and are less spread than the trial prior: shrunk, but moved by the data."""
    c = people[0][1].layout.names.index("sbp:ace-inhibitor")
    truth = np.array([p.response for p, _ in people])
    mean = np.array([r.state[c] for _, r in people])
    sd = np.array([np.sqrt(r.state_covariance[c, c]) for _, r in people])
    assert np.corrcoef(truth, mean)[0, 1] > 0.2
    prior = np.array([r.memory.terms[0].mean for _, r in people])
    slope = np.polyfit(mean - prior, truth - prior, 1)[0]  # 1 = shrunk by as much as is right
    assert abs(slope - 1.0) < 0.25
    assert sd.mean() < 0.95 * KNOWN.models[0].treatments[0].spread
    assert abs((truth - mean).mean()) < 4 * (truth - mean).std() / len(people) ** 0.5


@pytest.mark.slow
def test_the_slope_regimes_find_rapid_decliners(people) -> None:
    c = people[0][1].layout.names.index("egfr:slope")
    truth = np.array([p.slope for p, _ in people])
    found = np.array([r.state[c] for _, r in people])
    assert np.corrcoef(truth, found)[0, 1] > 0.8
    assert abs((truth - found).mean()) < 0.003


@pytest.mark.slow
def test_selection_is_not_booked_as_drug_effect() -> None:
    """Drugs start because one reading was high. Before-after overstates the effect; the twin does not."""
    rng = np.random.default_rng(5)
    treated = [
        p for p in (simulate(rng, 8, select=145.0) for _ in range(700)) if np.isfinite(p.start) and p.response
    ]
    naive, ours, truth = [], [], []
    for person in treated:
        times = np.array([g.time for g in person.groups if g.row == 0])
        after = person.readings[times > person.start]
        if len(after):
            high = person.readings[times <= person.start][-1]
            result = recover(person)
            naive.append(np.log(after.mean() / high))
            ours.append(result.state[result.layout.names.index("sbp:ace-inhibitor")])
            truth.append(person.response)
    bias_naive, bias = np.mean(naive) - np.mean(truth), np.mean(ours) - np.mean(truth)
    standard_error = np.std(np.array(ours) - truth) / len(truth) ** 0.5
    assert len(truth) > 200
    assert bias_naive < -0.03  # regression to the mean: half as much again as the drug does
    assert abs(bias) < 4 * standard_error + 0.003


def test_public_forecast_is_the_same_model() -> None:
    """forecast() and the twin's own run agree to rounding."""
    rng = np.random.default_rng(3)
    person = simulate(rng, 6, select=1e9)
    times = np.array(sorted({g.time for g in person.groups}))
    values = np.exp(np.array([[g.value for g in person.groups if g.time == t] for t in times]))
    answer = forecast(
        times[None], values[None], {"age": [AGE], "sex": ["male"], "setting": "office"}, [6.0],
        biomarkers=KNOWN.keys, known=KNOWN, of="usual",
    )  # fmt: skip
    result = recover(person)
    np.testing.assert_allclose(answer.log_mean[0, 0], result.mean, atol=1e-9)
    np.testing.assert_allclose(answer.log_sd[0, 0] ** 2, np.diagonal(result.covariance), atol=1e-9)


def test_next_values_fall_into_80_percent_intervals() -> None:
    """Forecast of a held-out visit in people drawn from the model itself."""
    rng = np.random.default_rng(8)
    simulated = [simulate(rng, 9, select=1e9) for _ in range(900)]
    times = np.array([sorted({g.time for g in p.groups}) for p in simulated])
    values = np.exp(np.array([[g.value for g in p.groups] for p in simulated]).reshape(len(simulated), 9, 3))
    answer = forecast(
        times[:, :-1], values[:, :-1], {"age": AGE, "sex": "male", "setting": "office"}, times[:, -1:],
        biomarkers=KNOWN.keys, known=KNOWN,
    )  # fmt: skip
    inside = (values[:, -1] > answer.quantiles[:, 0, :, 0]) & (values[:, -1] < answer.quantiles[:, 0, :, 2])
    assert (np.abs(inside.mean(axis=0) - 0.8) < 0.04).all()


def test_conformal_tables_repair_heavy_tails_and_wrong_noise() -> None:
    """Residuals of Student-t type, scaled wrongly by age: after calibration 80 % intervals hold 80 % in each third."""
    rng = np.random.default_rng(2)
    ages = rng.uniform(30, 90, 6000)
    scale = np.where(ages < 50, 0.7, np.where(ages < 65, 1.0, 1.5))
    z = rng.standard_t(4, 6000) * scale
    settings = np.where(rng.uniform(size=6000) < 0.5, "office", "home")
    learn, test = np.arange(6000) < 4000, np.arange(6000) >= 4000
    table = calibrate(z[learn], ages[learn], settings[learn].tolist(), "sbp")
    third = np.where(ages < 50, "young", np.where(ages < 65, "middle", "old"))
    rows = np.array([table["sbp", t, s] for t, s in zip(third, settings, strict=True)])
    low, high = rows[:, GRID.index(0.1)], rows[:, GRID.index(0.9)]
    held = coverage(low[test], high[test], z[test], third[test].tolist())
    assert all(abs(share - 0.8) < 0.04 for share, _ in held.values())
    raw = coverage(np.full(6000, -1.2816), np.full(6000, 1.2816), z, third.tolist())
    assert raw["young"][0] > 0.84 and raw["old"][0] < 0.76


def test_split_conformal_coverage_is_at_least_nominal() -> None:
    """Finite-sample guarantee: E[coverage of the outer 95 %] >= nominal, over many small calibration sets."""
    rng = np.random.default_rng(4)
    held = []
    for _ in range(400):
        row = conformal_quantiles(rng.normal(size=120))
        low, high = interpolate(row, (0.1, 0.9))
        held.append(((fresh := rng.normal(size=400)) > low).mean() - (fresh > high).mean())
    assert np.mean(held) == pytest.approx(0.8, abs=0.02) and np.mean(held) >= 0.795


@pytest.mark.slow
def test_home_and_office_are_covered_95_plus_minus_2() -> None:
    """800 people read at home and in the office: the usual pressure and the personal difference are both held."""
    model = subset(load_biomarkers(Source()), ("sbp",))
    (sbp,) = model.models
    assert sbp.offset is not None
    rng = np.random.default_rng(7)
    mean, sd = level_prior(sbp, PROFILE, AGE)
    inside = []
    for _ in range(800):
        level, away = rng.normal(mean, sd), rng.normal(0, sbp.offset.sd)
        s, last, groups = rng.normal(0, sbp.fluctuation_sd), 0.0, []
        for when in np.sort(rng.uniform(0, 4, 10)):
            keep = np.exp(-(when - last) / sbp.fluctuation_tau)
            s, last = s * keep + rng.normal(0, sbp.fluctuation_sd * np.sqrt(1 - keep**2)), when
            home = bool(rng.uniform() < 0.5)
            variance = visit_variance(sbp, "home" if home else "office", 1, AGE + when)
            value = level + s + sbp.ageing["male"] * when + home * away + rng.normal(0, np.sqrt(variance))
            groups.append(Group(0, int(when * 365.25), float(when), value, variance, 0, (), away=home))
        found = advance(start_memory(model, PROFILE, AGE, 0.0, ()), groups, model, PROFILE, float(last))
        c = found.layout.offsets[0][1]
        usual = level + s + sbp.ageing["male"] * last + away * any(g.away for g in groups)
        inside.append(
            (
                abs(found.mean[0] - usual) < Z95 * np.sqrt(found.covariance[0, 0]),
                abs(found.state[c] - away) < Z95 * np.sqrt(found.state_covariance[c, c]),
            )
        )
    held = np.mean(inside, axis=0)
    assert (np.abs(held - 0.95) <= 0.02).all()
