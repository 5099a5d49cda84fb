"""Behaviour rules: what must hold for everybody, whatever the numbers (metamorphic tests)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario, Trajectory
from fhir_twin.simulation import load_interventions, load_outcomes, simulate
from fhir_twin.simulation.reference import plain_profile, plain_twin
from mappings import Source

SOURCE = Source()
KNOWN = load_biomarkers(SOURCE)
OPTIONS = load_interventions(SOURCE)
OUTCOMES = load_outcomes(SOURCE)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PEOPLE = st.fixed_dictionaries(
    {
        "age": st.floats(32, 78),
        "sex": st.sampled_from(["female", "male"]),
        "smoker": st.booleans(),
        "diabetic": st.booleans(),
        "sbp": st.floats(112, 185),
        "total-cholesterol": st.floats(150, 300),
        "hdl": st.floats(28, 80),
        "egfr": st.floats(20, 110),
        "bmi": st.floats(21, 38),
    }
)


def _run(person: dict[str, Any], *choices: tuple[Choice, ...], draws: int = 200, spread: float = 1e-4) -> Any:
    values = {k: v for k, v in person.items() if k in KNOWN.keys}
    values.setdefault("ldl", 0.7 * (values["total-cholesterol"] - values["hdl"]))
    groups = ["diabetes", "diabetes-type-2"] if person.get("diabetic") else []
    facts = {"age": person["age"], "sex": person["sex"], "smoker": person["smoker"], "groups": groups}
    twin = plain_twin(KNOWN, values, plain_profile(facts), spread=spread)
    scenarios = (CONTINUE, *(Scenario(f"s{i}", f"s{i}", c) for i, c in enumerate(choices)))
    return simulate(twin, scenarios, KNOWN, OPTIONS, OUTCOMES, draws=draws)


def _risk(trajectory: Trajectory, outcome: str = "cvd") -> float:
    return next(r.probability for r in trajectory.risks if r.outcome == outcome and r.horizon_years == 10.0)


@pytest.mark.parametrize(
    ("outcome", "worse"),
    [
        ("cvd", lambda p: p | {"sbp": p["sbp"] + 10}),
        ("ascvd", lambda p: p | {"sbp": p["sbp"] + 10}),
        ("heart-failure", lambda p: p | {"sbp": p["sbp"] + 10}),
        ("cvd", lambda p: p | {"smoker": True}),
        ("cvd", lambda p: p | {"diabetic": True}),
        ("cvd", lambda p: p | {"egfr": min(p["egfr"], 60) - 4}),
        ("ascvd", lambda p: p | {"hdl": p["hdl"] - 5, "total-cholesterol": p["total-cholesterol"]}),
        ("heart-failure", lambda p: p | {"bmi": max(p["bmi"], 30) + 1.5}),
    ],
)
@given(person=PEOPLE)
@FEW
def test_a_worse_value_never_lowers_the_risk(
    outcome: str, worse: Callable[[dict[str, Any]], dict[str, Any]], person: dict[str, Any]
) -> None:
    person = person | {"sbp": min(person["sbp"], 185.0), "bmi": min(person["bmi"], 38.0)}
    assert _risk(_run(worse(person))[0], outcome) >= _risk(_run(person)[0], outcome) - 1e-9


@given(person=PEOPLE)
@FEW
def test_every_beneficial_option_lowers_its_risk(person: dict[str, Any]) -> None:
    """On average over draws no option with a trial benefit raises cvd; composites move with their parts."""
    choices = [(Choice(key),) for key in ("statin", "ezetimibe", "ccb-dhp", "smoking-cessation", "dash-diet")]
    for trajectory in _run(person, *choices)[1:]:
        for change in trajectory.changes:
            assert change.difference <= 1e-12, (trajectory.scenario.choices, change.outcome)


@given(person=PEOPLE)
@FEW
def test_more_is_more_but_less_than_the_sum(person: dict[str, Any]) -> None:
    """Two options together beat each alone, and hazards fall by less than the sum of both (ratios multiply). Risks near
    one do not: there 1 - exp(-H) is flat, and two options gain more than the sum of one each."""
    a, b = Choice("statin", "high"), Choice("ccb-dhp")
    trajectories = _run(person, (a,), (b,), (a, b))
    now, *hazards = (-math.log1p(-_risk(t, "cvd")) for t in trajectories)
    a_gain, b_gain, both_gain = (now - h for h in hazards)
    assert max(a_gain, b_gain) < both_gain < a_gain + b_gain


@given(person=PEOPLE)
@FEW
def test_relative_benefit_is_alike_absolute_benefit_grows_with_risk(person: dict[str, Any]) -> None:
    """Same pressure, different baseline risk (smoking): same hazard ratios, larger absolute gain."""
    calm, smoking = person | {"smoker": False}, person | {"smoker": True}
    one, two = _run(calm, (Choice("ccb-dhp"),))[1], _run(smoking, (Choice("ccb-dhp"),))[1]
    for first, second in zip(one.relative, two.relative, strict=True):
        assert first.ratio == pytest.approx(second.ratio, rel=1e-9)
    assert two.changes[0].difference < one.changes[0].difference


@given(person=PEOPLE)
@FEW
def test_higher_dose_beats_lower_dose(person: dict[str, Any]) -> None:
    low, moderate, high = _run(person, *((Choice("statin", d),) for d in ("low", "moderate", "high")))[1:]
    changes = [next(c.difference for c in t.changes if c.outcome == "ascvd") for t in (low, moderate, high)]
    assert changes[0] > changes[1] > changes[2]


@given(person=PEOPLE)
@FEW
def test_order_of_choices_and_other_scenarios_change_nothing(person: dict[str, Any]) -> None:
    a, b = Choice("statin", "high"), Choice("ccb-dhp")
    _, ab, ba = _run(person, (a, b), (b, a))
    alone = _run(person, (a, b))[1]
    for first, second, third in zip(ab.changes, ba.changes, alone.changes, strict=True):
        assert first.difference == pytest.approx(second.difference, abs=1e-12)
        assert first == third


@given(person=PEOPLE, spread=st.sampled_from([0.01, 0.05, 0.12]))
@FEW
def test_intervals_hold_the_mean_and_grow_with_uncertainty(person: dict[str, Any], spread: float) -> None:
    person = person | {"egfr": 80.0, "sbp": 140.0}
    sure, unsure = _run(person, spread=1e-4, draws=1000)[0], _run(person, spread=spread, draws=1000)[0]
    for risk in unsure.risks:
        assert risk.low <= risk.probability <= risk.high or risk.outcome == "death"
    width = {t: r.high - r.low for t, r in ((0, sure.risks[0]), (1, unsure.risks[0]))}
    assert width[0] < width[1]


def test_draws_converge() -> None:
    """1,000 antithetic draws give the mean of 20,000 within a hundredth of the change."""
    person = {
        "age": 60.0,
        "sex": "male",
        "smoker": True,
        "diabetic": False,
        "sbp": 150.0,
        "total-cholesterol": 230.0,
    }
    person |= {"hdl": 42.0, "egfr": 70.0, "bmi": 29.0}
    few = _run(person, (Choice("statin", "high"),), draws=1000, spread=0.05)[1].changes
    many = _run(person, (Choice("statin", "high"),), draws=20000, spread=0.05)[1].changes
    for a, b in zip(few, many, strict=True):
        assert a.difference == pytest.approx(b.difference, rel=0.015, abs=1e-9)
        assert np.sign(a.difference) == np.sign(b.difference)
