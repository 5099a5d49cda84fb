"""PREVENT against printed values and its valid ranges (outside: refused, naming the input)."""

from __future__ import annotations

import numpy as np
import pytest

from fhir_twin.dynamics.equations import prevent
from fhir_twin.dynamics.equations.coefficients import rows
from fhir_twin.dynamics.equations.registry import EQUATIONS, calculate

# The worked example of the paper's supplement, as printed by the R packages preventr and CVrisk.
WOMAN = {
    "age": 50,
    "sex": "female",
    "sbp": 160,
    "bp_treated": True,
    "total_cholesterol": 200,
    "hdl": 45,
    "statin": False,
    "diabetes": True,
    "smoker": False,
    "egfr": 90,
    "bmi": 35,
}


@pytest.mark.parametrize(
    ("years", "outcome", "printed"),
    [
        (10, "cvd", 0.147),
        (10, "ascvd", 0.092),
        (10, "heart_failure", 0.081),
        (30, "cvd", 0.530),
        (30, "ascvd", 0.354),
        (30, "heart_failure", 0.390),
    ],
)
def test_printed_example(years: int, outcome: str, printed: float) -> None:
    assert float(calculate(f"prevent_base_{years}y_{outcome}", **WOMAN)) == pytest.approx(printed, abs=0.0005)


@pytest.mark.parametrize("name", [n for n in EQUATIONS if n.startswith("prevent")])
def test_batch_equals_one_by_one(name: str) -> None:
    ages = np.array([30.0, 41.5, 59.0])
    sexes = np.array(["female", "male", "female"])
    batch = np.asarray(calculate(name, **{**WOMAN, "age": ages, "sex": sexes}))
    single = [
        float(calculate(name, **{**WOMAN, "age": a, "sex": s})) for a, s in zip(ages, sexes, strict=True)
    ]
    np.testing.assert_allclose(batch, single, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("age", 30, 79),
        ("total_cholesterol", 130, 320),
        ("hdl", 20, 100),
        ("sbp", 90, 200),
        ("egfr", 15, 150),
    ],
)
def test_range_ends_are_inside_and_beyond_is_refused_by_name(name: str, low: float, high: float) -> None:
    for inside in (low, high):
        assert np.isfinite(float(calculate("prevent_base_10y_cvd", **{**WOMAN, name: inside})))
    for outside in (low - 0.01, high + 0.01):
        result = calculate("prevent_base_10y_cvd", **{**WOMAN, name: outside})
        assert np.isnan(float(result))
        assert [r.name for r in result.refusals] == [name]


def test_bmi_upper_end_is_open() -> None:
    assert np.isfinite(float(calculate("prevent_base_10y_cvd", **{**WOMAN, "bmi": 39.99})))
    assert calculate("prevent_base_10y_cvd", **{**WOMAN, "bmi": 40}).reasons() == (
        "bmi must be below 40 kg/m2",
    )


def test_thirty_years_only_up_to_59() -> None:
    assert calculate("prevent_base_30y_cvd", **{**WOMAN, "age": 60}).reasons() == (
        "age must be at most 59 years",
    )


def test_missing_input_is_refused_and_never_assumed() -> None:
    result = calculate("prevent_base_10y_cvd", **{**WOMAN, "smoker": None})
    assert result.reasons() == ("smoker is not known",)
    assert np.isnan(float(result))


def test_optional_inputs_use_the_published_missing_term() -> None:
    """Missing UACR counts as ln(UACR) = 0 plus the published "missing" coefficient, nothing else."""
    row = next(
        r for r in rows("prevent") if (r["model"], r["years"], r["term"]) == ("uacr", "10", "uacr-missing")
    )
    at_one = float(calculate("prevent_uacr_10y_cvd", **WOMAN, uacr=1))
    without = float(calculate("prevent_uacr_10y_cvd", **WOMAN))
    assert np.log(without / (1 - without)) - np.log(at_one / (1 - at_one)) == pytest.approx(
        float(row["female-cvd"]), abs=1e-9
    )
    assert float(calculate("prevent_uacr_10y_cvd", **WOMAN, uacr=300)) > at_one


def test_unreadable_input_is_refused_not_raised() -> None:
    assert calculate("prevent_base_10y_cvd", **{**WOMAN, "sex": "unknown"}).reasons() == (
        "sex must be female, male",
    )
    assert calculate("prevent_base_10y_cvd", **{**WOMAN, "diabetes": 2}).reasons() == (
        "diabetes must be true, false",
    )
    with pytest.raises(TypeError, match="unknown input colour"):
        calculate("prevent_base_10y_cvd", **WOMAN, colour="red")


@pytest.mark.parametrize("outcome", prevent.OUTCOMES)
@pytest.mark.parametrize("sex", ["female", "male"])
def test_higher_pressure_smoking_and_diabetes_raise_risk(outcome: str, sex: str) -> None:
    base = {**WOMAN, "sex": sex, "sbp": 130, "diabetes": False, "bp_treated": False}
    risk = float(prevent.prevent(outcome, **base))
    for worse in ({"sbp": 150}, {"smoker": True}, {"diabetes": True}, {"egfr": 45}, {"age": 55}):
        assert float(prevent.prevent(outcome, **{**base, **worse})) > risk


def test_registry_names_every_model_horizon_and_outcome() -> None:
    assert sum(n.startswith("prevent") for n in EQUATIONS) == 50
    assert all(e.citation and e.unit and e.inputs for e in EQUATIONS.values())
