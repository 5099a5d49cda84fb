"""Every registered equation: batch = one by one, refusals name the input, nothing silent, documentation complete."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhir_twin.dynamics.equations.equation import Equation, Input
from fhir_twin.dynamics.equations.registry import EQUATIONS, calculate
from fhir_twin.errors import InvalidInput

NAMES = sorted(EQUATIONS)
# Where the published range is open-ended, a clinically plausible one to draw from.
PLAUSIBLE = {
    "uacr": (1.0, 3000.0),
    "ast": (10.0, 200.0),
    "alt": (10.0, 200.0),
    "platelets": (50.0, 400.0),
    "creatinine": (0.4, 8.0),
    "cystatin_c": (0.4, 5.0),
    "total_cholesterol": (130.0, 320.0),
    "hdl": (25.0, 90.0),
    "triglycerides": (40.0, 390.0),
    "weight": (40.0, 160.0),
    "bmi": (19.0, 39.0),
    "waist": (60.0, 130.0),
    "hba1c": (5.0, 10.0),
    "fasting_glucose": (70.0, 200.0),
    "sbp": (95.0, 190.0),
    "dbp": (50.0, 110.0),
    "cvd_risk_10y": (0.0, 0.5),
    "albumin": (2.0, 5.0),
    "phosphate": (2.0, 6.0),
    "calcium": (7.0, 11.0),
    "bicarbonate": (15.0, 32.0),
    "egfr": (16.0, 59.0),
    "age_at_diagnosis": (20.0, 65.0),
    "sdi": (1.0, 10.0),
}


def _one(item: Input, rng: np.random.Generator) -> Any:
    if item.kind == "sex":
        return ("female", "male")[rng.integers(2)]
    if item.kind == "choice":
        return item.choices[rng.integers(len(item.choices))]
    if item.kind == "flag":
        return bool(rng.integers(2))
    low, high = PLAUSIBLE.get(item.name, (item.low, item.high))
    low, high = max(low, item.low), min(high, item.high)
    assert np.isfinite([low, high]).all(), item.name
    return float(rng.uniform(low, high))


def _people(equation: Equation, n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    return [{i.name: _one(i, rng) for i in equation.inputs} for _ in range(n)]


@pytest.mark.parametrize("name", NAMES)
def test_batch_equals_one_by_one_and_answers_inside_the_range(name: str) -> None:
    equation = EQUATIONS[name]
    people = _people(equation, 6)
    single = np.array([float(equation(**p)) for p in people])
    assert np.isfinite(single).all()
    batch = {i.name: np.array([p[i.name] for p in people], dtype=object) for i in equation.inputs}
    np.testing.assert_allclose(np.asarray(equation(**batch)), single, rtol=1e-12)
    shaped = {k: v.reshape(3, 2) for k, v in batch.items()}
    assert equation(**shaped).value.shape == (3, 2)


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_probabilities(name: str) -> None:
    equation = EQUATIONS[name]
    values = [float(equation(**p)) for p in _people(equation, 10)]
    if equation.unit == "probability":
        assert min(values) >= 0.0 and max(values) <= 1.0
    if equation.labels:
        assert {equation(**p).label() for p in _people(equation, 10)} <= set(equation.labels)


@pytest.mark.parametrize("name", NAMES)
def test_every_input_missing_or_out_of_range_is_refused_by_name(name: str) -> None:
    equation = EQUATIONS[name]
    person = _people(equation, 1)[0]
    for item in equation.inputs:
        if not item.optional:
            result = equation(**{**person, item.name: None})
            assert np.isnan(float(result))
            assert f"{item.name} is not known" in result.reasons()
        for edge, step in ((item.low, -1.0), (item.high, 1.0)):
            if item.kind == "number" and np.isfinite(edge):
                result = equation(**{**person, item.name: edge + step * 0.001 * max(abs(edge), 1.0)})
                assert np.isnan(float(result))
                assert item.name in [r.name for r in result.refusals]


@pytest.mark.parametrize("name", NAMES)
def test_one_refused_person_does_not_spoil_the_others(name: str) -> None:
    equation = EQUATIONS[name]
    people = _people(equation, 3)
    required = next(i.name for i in equation.inputs if not i.optional)
    people[1][required] = None
    batch = {i.name: np.array([p[i.name] for p in people], dtype=object) for i in equation.inputs}
    result = equation(**batch)
    np.testing.assert_array_equal(result.refused, [False, True, False])
    assert result.reasons((0,)) == ()
    assert result.reasons((1,)) == (f"{required} is not known",)


def test_registry_keys_are_the_names() -> None:
    assert all(name == equation.name for name, equation in EQUATIONS.items())
    assert len(EQUATIONS) >= 81


def test_unknown_equation_and_input_are_errors() -> None:
    with pytest.raises(KeyError):
        calculate("tea_leaves")
    with pytest.raises(TypeError, match="unknown input mood"):
        calculate("bmi", weight=80, height=180, mood=1)


def test_one_unreadable_entry_refuses_one_person() -> None:
    answer = calculate("bmi", weight=[80.0, "heavy", None, [1]], height=180)
    assert answer.value[0] > 20 and np.isnan(answer.value[1:]).all()
    assert answer.reasons((1,)) == answer.reasons((3,)) == ("weight must be a number",)
    assert answer.reasons((2,)) == ("weight is not known",)


def test_the_page_of_inputs_is_current() -> None:
    """docs/equation-inputs.md is made from the registry: run docs/make_equations.py after a change."""
    folder = Path(__file__).parents[3] / "docs"
    assert runpy.run_path(str(folder / "make_equations.py"))["page"]() == (
        folder / "equation-inputs.md"
    ).read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_reasons_alone_are_those_of_the_answer(name: str) -> None:
    equation = EQUATIONS[name]
    good = _people(equation, 1)[0]
    cases = [good]
    for item in equation.inputs:
        cases += [
            {**good, item.name: value}
            for value in (None, "x", float("nan"), -1e9, 1e9, item.low, item.high, True)
        ]
    for given in cases:
        assert equation.reasons(**given) == equation(**given).reasons()
    with pytest.raises(TypeError, match="unknown input"):
        equation.reasons(**good, shoe_size=43)


def test_arrays_that_do_not_broadcast_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"weight \(2,\), height \(3,\)"):
        calculate("bmi", weight=[80, 81], height=[170, 171, 172])


def test_a_ckm_stage_from_another_unit_is_refused() -> None:
    """15 per cent as 15, and 48 mmol/mol as 48 %, would both be a higher stage."""
    for name, value in (("cvd_risk_10y", 15.0), ("hba1c", 48.0)):
        found = calculate("ckm_stage", sex="female", bmi=22.0, **{name: value})
        assert np.isnan(float(found)) and name in found.reasons()[0]
