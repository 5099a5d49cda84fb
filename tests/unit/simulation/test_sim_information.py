"""The value of the next measurement, against cases that can be thought through."""

from __future__ import annotations

import numpy as np
import pytest

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.model.scenario import Choice, Scenario
from fhir_twin.simulation import load_interventions, load_outcomes
from fhir_twin.simulation.information import _expected, _value, measurement_value
from fhir_twin.simulation.reference import plain_profile, plain_twin
from mappings import Source

KNOWN, OPTIONS, OUTCOMES = load_biomarkers(Source()), load_interventions(Source()), load_outcomes(Source())
VALUES = {"sbp": 140.0, "total-cholesterol": 210.0, "hdl": 45.0, "ldl": 140.0, "egfr": 80.0, "bmi": 28.0}
STATIN = Scenario("s", "s", (Choice("statin", "high"),))


def _twin(spread: float = 0.05, **changes):  # type: ignore[no-untyped-def]
    facts = {"age": 58.0, "sex": "male", "smoker": True} | changes
    return plain_twin(KNOWN, VALUES, plain_profile(facts), spread=spread)


def test_normal_theory_is_met() -> None:
    """B = theta, y = theta + noise of the same variance: half is explained; the loss integral gives the worth."""
    rng = np.random.default_rng(2)
    theta = 0.01 * rng.standard_normal(200_000)
    seen = theta + 0.01 * rng.standard_normal(200_000)
    found = _value("x", theta, _expected(theta, seen), 0.0)
    assert found.explained == pytest.approx(0.5, abs=0.01)
    assert found.left == pytest.approx(0.01 * np.sqrt(0.5), rel=0.02)
    assert found.worth == pytest.approx(0.01 * np.sqrt(0.5) / np.sqrt(2 * np.pi), rel=0.03)
    assert found.changes == pytest.approx(0.5, abs=0.02)


def test_noise_explains_nothing() -> None:
    rng = np.random.default_rng(3)
    found = _value("x", rng.standard_normal(1000), _expected(*rng.standard_normal((2, 1000))), 5.0)
    assert found.explained < 0.01 and found.worth < 1e-3


def test_ldl_matters_for_a_statin_and_resting_pulse_does_not() -> None:
    rows = {r.input: r for r in measurement_value(_twin(0.2), STATIN, KNOWN, OPTIONS, OUTCOMES)}
    assert rows["ldl"].explained > 0.05 > 5 * rows["heart-rate"].explained
    assert all(0 <= r.explained <= 1 and r.left <= r.spread and r.worth >= 0 for r in rows.values())


def test_the_surer_the_twin_the_less_a_measurement_is_worth() -> None:
    def explained(spread: float) -> float:
        rows = measurement_value(_twin(spread), STATIN, KNOWN, OPTIONS, OUTCOMES)
        return next(r.explained for r in rows if r.input == "ldl")

    assert explained(0.005) < explained(0.05) < explained(0.2)


def test_without_an_absolute_risk_there_is_no_value() -> None:
    assert measurement_value(_twin(groups=("ascvd",)), STATIN, KNOWN, OPTIONS, OUTCOMES) == ()


def test_worth_peaks_where_the_decision_is_open() -> None:
    """With the bar at the expected benefit a result may tip the scales; far from it none does."""
    twin = _twin(0.2)
    benefit = measurement_value(twin, STATIN, KNOWN, OPTIONS, OUTCOMES)[0].benefit
    at, far = (
        max(r.worth for r in measurement_value(twin, STATIN, KNOWN, OPTIONS, OUTCOMES, bar=b))
        for b in (benefit, benefit + 0.5)
    )
    assert at > 1e-4 and far == 0.0
