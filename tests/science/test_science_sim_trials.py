"""Trial replication: the simulation gives back what the trials printed, over their own follow-up.

Two kinds: the trials whose ratio we use (arithmetic: onset, composites, adherence must not distort it) and trials
that were not used (SPRINT, IMPROVE-IT, FOURIER, CLEAR Outcomes), where the route by biomarker predicts the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.model.intervention import Dose, Effect, EventEffect, Intervention, Interventions
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario
from fhir_twin.simulation import load_interventions, load_outcomes, simulate
from fhir_twin.simulation.reference import plain_profile, plain_twin
from mappings import Source

SOURCE = Source()
KNOWN = load_biomarkers(SOURCE)
OPTIONS = load_interventions(SOURCE)
OUTCOMES = load_outcomes(SOURCE)


def _by_biomarker(biomarker: str, change: float, outcomes: tuple[str, ...]) -> Interventions:
    """A made-up drug that moves one biomarker by exactly `change` and acts through it alone."""
    drug = Intervention(
        key="drug",
        title="Drug",
        kind="medication",
        codes=(),
        doses=(Dose("standard", "drug"),),
        onset_years=0.02,
        effects=(Effect(biomarker, "absolute", change, 0.0, ("test",)),),
        events=tuple(EventEffect(o, via=biomarker) for o in outcomes),
    )
    return Interventions((drug,))


def _cohort(n: int, **fixed: Any) -> list[Any]:
    """Trial-like people: 50-75 years, both sexes, a third smokers."""
    rng = np.random.default_rng(11)
    people = []
    for i in range(n):
        values = {
            "sbp": rng.normal(148, 10),
            "total-cholesterol": rng.normal(225, 20),
            "hdl": rng.normal(48, 8),
            "ldl": rng.normal(148, 15),
            "egfr": rng.normal(78, 10),
            "bmi": rng.normal(28, 3),
        }
        groups = fixed.get("groups", ())
        facts = {"age": float(rng.uniform(50, 75)), "sex": ("female", "male")[i % 2], "smoker": i % 3 == 0}
        ends = {"bmi": (20, 38), "egfr": (62, 120), "hdl": (28, 80)}
        values = {k: float(np.clip(v, *ends.get(k, (90, 300)))) for k, v in values.items()}
        values |= fixed.get("values", {})
        people.append(plain_twin(KNOWN, values, plain_profile(facts | {"groups": groups}), spread=0.01))
    return people


def _hazard_ratio(people: list[Any], options: Interventions, key: str, outcome: str, years: float) -> float:
    """Of the cohort: ratio of mean cumulative hazards over the trial's follow-up."""
    now, then = [], []
    for twin in people:
        scenarios = (
            replace(CONTINUE, horizon_years=years),
            Scenario(key, key, (Choice(key, options.get(key).starter),), years),
        )
        for found, trajectory in zip(
            (now, then), simulate(twin, scenarios, KNOWN, options, OUTCOMES, draws=200), strict=True
        ):
            risk = next(r for r in trajectory.risks if r.outcome == outcome)
            assert risk.horizon_years == years
            found.append(-np.log1p(-risk.probability))
    return float(np.sum(then) / np.sum(now))


def test_ctt_one_mmol_of_ldl() -> None:
    """CTT 2010: major vascular events 0.78 (0.76-0.80) per mmol/L over 4.8 years."""
    drug = _by_biomarker("ldl", -38.67, ("mi", "stroke", "ascvd"))
    assert 0.76 <= _hazard_ratio(_cohort(40), drug, "drug", "ascvd", 4.8) <= 0.80


def test_ctt_first_year_is_about_half() -> None:
    drug = _by_biomarker("ldl", -38.67, ("mi", "stroke", "ascvd"))
    first = np.log(_hazard_ratio(_cohort(20), drug, "drug", "ascvd", 1.0))
    later = np.log(0.75)
    assert 0.4 <= first / later <= 0.6


def test_bplttc_five_mmhg() -> None:
    """BPLTTC 2021, no known disease: 0.91 (0.89-0.94), all 0.90; stroke 0.87, coronary 0.93, heart failure 0.86."""
    drug = _by_biomarker("sbp", -5.0, ("mi", "stroke", "heart-failure"))
    people = _cohort(40)
    assert 0.87 <= _hazard_ratio(people, drug, "drug", "cvd", 4.0) <= 0.94
    for outcome, printed in (("stroke", 0.87), ("mi", 0.93), ("heart-failure", 0.86)):
        assert _hazard_ratio(people[:10], drug, "drug", outcome, 4.0) == pytest.approx(printed, abs=0.01)


def test_sprint_is_predicted() -> None:
    """SPRINT 2015 (not used by us): 14.8 mmHg lower for 3.26 years, hazard ratio 0.75 (0.64-0.89)."""
    drug = _by_biomarker("sbp", -14.8, ("mi", "stroke", "heart-failure"))
    people = _cohort(30, values={"sbp": 139.0})
    assert 0.64 <= _hazard_ratio(people, drug, "drug", "cvd", 3.26) <= 0.89


def test_improve_it_is_predicted() -> None:
    """IMPROVE-IT 2015: LDL 69.5 to 53.7 mg/dL, primary outcome 0.936 (0.89-0.99). Known disease."""
    (twin,) = _cohort(1, groups=("ascvd",), values={"ldl": 69.5})
    scenario = Scenario("e", "e", (Choice("ezetimibe"),))
    (trajectory,) = simulate(twin, (scenario,), KNOWN, OPTIONS, OUTCOMES)
    assert trajectory.risks == ()
    effect = next(r for r in trajectory.relative if r.outcome == "ascvd")
    assert 0.89 <= effect.ratio <= 0.99


@pytest.mark.parametrize(
    ("key", "ldl", "years", "low", "high"),
    [("pcsk9-inhibitor", 92.0, 2.2, 0.73, 0.88), ("bempedoic-acid", 139.0, 3.33, 0.79, 0.96)],
)
def test_fourier_and_clear_outcomes_are_predicted(
    key: str, ldl: float, years: float, low: float, high: float
) -> None:
    """FOURIER 2017 (CV death, heart attack or stroke, 2.2 years) and CLEAR Outcomes 2023 (40 months): the fall in LDL
    and the ratios of the statin trials give what they printed."""
    people = _cohort(8, values={"ldl": ldl})
    assert low <= _hazard_ratio(people, OPTIONS, key, "ascvd", years) <= high


@pytest.mark.parametrize(
    ("key", "outcome", "groups", "low", "high"),
    [
        ("sglt2-inhibitor", "heart-failure", ("diabetes", "diabetes-type-2"), 0.74, 0.81),
        ("sglt2-inhibitor", "kidney-failure", ("diabetes", "diabetes-type-2", "ckd"), 0.58, 0.69),
        ("glp1-ra", "mi", ("diabetes", "diabetes-type-2"), 0.79, 0.94),
        ("finerenone", "kidney-failure", ("diabetes", "diabetes-type-2", "ckd"), 0.67, 0.88),
        ("finerenone", "cvd", ("diabetes", "diabetes-type-2", "ckd"), 0.78, 0.95),
    ],
)
def test_class_ratios_of_outcome_trials(
    key: str, outcome: str, groups: tuple[str, ...], low: float, high: float
) -> None:
    """Over 2.5 years (about the trials' length) the cohort's hazard ratio lies in the printed interval."""
    people = _cohort(8, groups=groups, values={"egfr": 45.0, "uacr": 300.0, "hba1c": 7.8})
    assert low <= _hazard_ratio(people, OPTIONS, key, outcome, 2.5) <= high


def test_dpp_relative_effects() -> None:
    """DPP 2002: lifestyle 0.42, metformin 0.69 of the hazard of diabetes in prediabetes."""
    (twin,) = _cohort(1, groups=("prediabetes", "obesity"), values={"bmi": 34.0, "hba1c": 6.0})
    scenarios = tuple(Scenario(k, k, (Choice(k),)) for k in ("weight-loss", "metformin"))
    lifestyle, metformin = simulate(twin, scenarios, KNOWN, OPTIONS, OUTCOMES)
    for trajectory, printed in ((lifestyle, 0.42), (metformin, 0.69)):
        effect = next(r for r in trajectory.relative if r.outcome == "diabetes")
        assert effect.ratio == pytest.approx(printed, abs=0.005)


def test_canoy_long_term_fall_of_pressure() -> None:
    """Canoy 2022: from 12 months on, active treatment against placebo lowers systolic pressure by 5.1 mmHg."""
    people = _cohort(20)
    falls = []
    for twin in people:
        for key in ("ace-inhibitor", "arb", "ccb-dhp", "thiazide"):
            (t,) = simulate(twin, (Scenario(key, key, (Choice(key),)),), KNOWN, OPTIONS, OUTCOMES, draws=200)
            falls.append(next(change for name, change, *_ in t.biomarker_changes if name == "sbp"))
    assert np.mean(falls) == pytest.approx(-5.1, abs=0.4)
