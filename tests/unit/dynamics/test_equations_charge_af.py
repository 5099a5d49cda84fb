"""CHARGE-AF against the printed formula, worked by hand."""

from __future__ import annotations

from math import isnan

import pytest

from fhir_twin.dynamics.equations.registry import calculate

MAN = {
    "age": 60, "height": 170, "weight": 80, "sbp": 130, "dbp": 80, "white": True, "smoker": False,
    "bp_treated": False, "diabetes": False, "heart_failure": False, "myocardial_infarction": False,
}  # fmt: skip


def risk(**changed: float | bool) -> float:
    value = calculate("charge_af_5y", **{**MAN, **changed}).value
    assert value is not None
    return float(value)


def test_by_hand() -> None:
    """60 years: 11.86283 - 12.58156; 75 years treated with heart failure and 150 mmHg: 14.63383 - 12.58156."""
    assert risk() == pytest.approx(0.013824, abs=2e-6)
    old = risk(age=75, sbp=150, bp_treated=True, heart_failure=True)
    assert old == pytest.approx(0.199387, abs=2e-6)


@pytest.mark.parametrize(
    "factor", ["smoker", "bp_treated", "diabetes", "heart_failure", "myocardial_infarction"]
)
def test_every_factor_raises_it(factor: str) -> None:
    assert risk(**{factor: True}) > risk()


def test_outside_the_ages_of_its_cohorts_nothing_is_said() -> None:
    assert isnan(risk(age=40))
