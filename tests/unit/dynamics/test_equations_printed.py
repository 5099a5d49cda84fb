"""Worked cases: values that the papers, forms or packages print, and formulas written out a second time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fhir_twin.dynamics.equations.coefficients import rows
from fhir_twin.dynamics.equations.registry import calculate

GOFF = {
    "age": 55,
    "total_cholesterol": 213,
    "hdl": 50,
    "sbp": 120,
    "bp_treated": False,
    "diabetes": False,
    "smoker": False,
}


@pytest.mark.parametrize(
    ("sex", "race", "printed"),
    [
        ("female", "white", 0.021),
        ("female", "black", 0.030),
        ("male", "white", 0.053),
        ("male", "black", 0.061),
    ],
)
def test_pce_worked_example_of_the_guideline(sex: str, race: str, printed: float) -> None:
    """Goff 2013, table A (white man: printed 5.3 %, every program gives 5.4 %: the coefficients are rounded)."""
    assert float(calculate("pce_10y_ascvd", sex=sex, race=race, **GOFF)) == pytest.approx(printed, abs=0.0011)


def test_pce_other_race_is_calculated_as_white() -> None:
    assert float(calculate("pce_10y_ascvd", sex="male", race="other", **GOFF)) == float(
        calculate("pce_10y_ascvd", sex="male", race="white", **GOFF)
    )


@pytest.mark.parametrize(
    ("inputs", "printed"),
    [
        (
            {"age": 61, "sex": "female", "total_cholesterol": 180, "hdl": 47, "sbp": 124, "bp_treated": False}
            | {"smoker": True, "diabetes": False},
            0.1048,
        ),
        (
            {"age": 53, "sex": "male", "total_cholesterol": 161, "hdl": 55, "sbp": 125, "bp_treated": True}
            | {"smoker": False, "diabetes": True},
            0.1562,
        ),
    ],
)
def test_framingham_worked_examples_of_the_paper(inputs: dict[str, Any], printed: float) -> None:
    assert float(calculate("framingham_2008_10y_cvd", **inputs)) == pytest.approx(printed, abs=0.0001)


def test_score2_written_out_for_one_man() -> None:
    given = {"age": 50, "sex": "male", "smoker": True, "sbp": 140, "diabetes": False}
    a, s, t, h = -2.0, 1.0, -0.5, 0.0
    lp = 0.3742 * a + 0.6012 + 0.2777 * s + 0.1458 * t - 0.2698 * h - 0.0755 * a - 0.0255 * a * s
    lp += -0.0281 * a * t + 0.0426 * a * h
    u = 1 - 0.9605 ** math.exp(lp)
    expected = 1 - math.exp(-math.exp(-0.5699 + 0.7476 * math.log(-math.log(1 - u))))
    answer = calculate("score2_10y_cvd", **given, total_cholesterol_mmol=5.5, hdl_mmol=1.3, region="low")
    assert float(answer) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("sex", "region", "printed"),
    [
        ("male", "low", 0.059),
        ("male", "very-high", 0.140),
        ("female", "low", 0.042),
        ("female", "very-high", 0.137),
    ],
)
def test_score2_figures_of_the_abstract(sex: str, region: str, printed: float) -> None:
    """SCORE2 paper, abstract: smoker of 50, 140 mmHg, total cholesterol 5.5, HDL 1.3 mmol/L."""
    given = {"age": 50, "sex": sex, "smoker": True, "sbp": 140, "diabetes": False, "region": region}
    answer = calculate("score2_10y_cvd", **given, total_cholesterol_mmol=5.5, hdl_mmol=1.3)
    assert round(float(answer), 3) == printed


@pytest.mark.parametrize("sex", ["male", "female"])
def test_score2_families_rise_with_the_region(sex: str) -> None:
    base = {"sex": sex, "smoker": True, "sbp": 140, "total_cholesterol_mmol": 5.5, "hdl_mmol": 1.3}
    regions = np.array(["low", "moderate", "high", "very-high"])
    extra = {"age_at_diagnosis": 55, "hba1c_mmol_mol": 53, "egfr": 80}
    for values in (
        calculate("score2_10y_cvd", **base, age=55, diabetes=False, region=regions),
        calculate("score2_op_10y_cvd", **base, age=75, diabetes=False, region=regions),
        calculate("score2_diabetes_10y_cvd", **base, **extra, age=60, region=regions),
    ):
        assert (np.diff(np.asarray(values)) > 0).all()


def test_score2_diabetes_is_score2_for_the_reference_person() -> None:
    """At 60 years, with HbA1c 31, ln eGFR 4.5 and diagnosis at 50, every extra term is zero."""
    base = {
        "age": 60,
        "sex": "female",
        "smoker": False,
        "sbp": 120,
        "total_cholesterol_mmol": 6.0,
        "hdl_mmol": 1.3,
    }
    plain = calculate("score2_10y_cvd", **base, diabetes=True, region="high")
    special = calculate(
        "score2_diabetes_10y_cvd",
        **{**base, "age_at_diagnosis": 50, "hba1c_mmol_mol": 31, "egfr": math.exp(4.5), "region": "high"},
    )
    assert float(special) == pytest.approx(float(plain), abs=1e-12)


def test_ckd_epi_2021_example() -> None:
    """Creatinine 1.2 mg/dL, man of 55: 71 (Inker 2021)."""
    assert round(float(calculate("ckd_epi_2021_creatinine", creatinine=1.2, age=55, sex="male"))) == 71


@pytest.mark.parametrize(
    ("age", "flags", "sex", "points"),
    [
        (60, (), "male", 0),
        (60, (), "female", 1),
        (65, (), "male", 1),
        (75, (), "male", 2),
        (80, ("heart_failure", "hypertension", "diabetes", "stroke", "vascular_disease"), "female", 9),
    ],
)
def test_cha2ds2_vasc(age: int, flags: tuple[str, ...], sex: str, points: int) -> None:
    names = ("heart_failure", "hypertension", "diabetes", "stroke", "vascular_disease")
    given = {name: name in flags for name in names}
    assert float(calculate("cha2ds2_vasc", age=age, sex=sex, **given)) == points


def test_has_bled_ends() -> None:
    names = (
        "uncontrolled_hypertension",
        "abnormal_kidney",
        "abnormal_liver",
        "stroke",
        "bleeding",
        "labile_inr",
    )
    names += ("drugs", "alcohol")
    assert float(calculate("has_bled", age=65, **dict.fromkeys(names, False))) == 0
    assert float(calculate("has_bled", age=66, **dict.fromkeys(names, True))) == 9


def test_findrisc_official_form() -> None:
    healthy = {
        "age": 40,
        "sex": "male",
        "bmi": 22,
        "waist": 90,
        "active_daily": True,
        "vegetables_daily": True,
    }
    healthy |= {"bp_medication": False, "high_glucose": False, "family": "none"}
    assert float(calculate("findrisc", **healthy)) == 0
    worst = {
        "age": 66,
        "sex": "female",
        "bmi": 31,
        "waist": 89,
        "active_daily": False,
        "vegetables_daily": False,
    }
    worst |= {"bp_medication": True, "high_glucose": True, "family": "close"}
    assert float(calculate("findrisc", **worst)) == 4 + 3 + 4 + 2 + 1 + 2 + 5 + 5
    assert float(calculate("findrisc_10y_diabetes", **healthy)) == 0.01
    assert float(calculate("findrisc_10y_diabetes", **worst)) == 0.5
    edge = healthy | {"bmi": 30, "waist": 102, "age": 54.9}
    assert float(calculate("findrisc", **edge)) == 2 + 1 + 3
    assert (
        float(calculate("findrisc_10y_diabetes", **(healthy | {"age": 60, "waist": 100, "bmi": 27})))
        == 1 / 25
    )


def test_martin_hopkins_table_is_complete() -> None:
    """180 cells, their published sum, and never rising with non-HDL cholesterol."""
    cells = np.array(
        [[float(v) for k, v in r.items() if k != "triglycerides"] for r in rows("martin-hopkins")]
    )
    assert cells.shape == (30, 6)
    assert cells.sum() == pytest.approx(949.4, abs=1e-9)
    assert (np.diff(cells, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("tg", "non_hdl", "factor"),
    [(49, 90, 3.5), (50, 90, 4.0), (350, 140, 7.5), (100, 150, 4.8), (500, 230, 6.7), (399.9, 219.9, 6.5)],
)
def test_martin_hopkins_cells(tg: float, non_hdl: float, factor: float) -> None:
    ldl = float(calculate("ldl_martin_hopkins", total_cholesterol=non_hdl + 50, hdl=50, triglycerides=tg))
    assert ldl == pytest.approx(non_hdl - tg / factor, abs=1e-9)


def test_ldl_formulas_written_out() -> None:
    given = {"total_cholesterol": 200, "hdl": 50, "triglycerides": 150}
    assert float(calculate("ldl_friedewald", **given)) == 120
    sampson = 200 / 0.948 - 50 / 0.971 - (150 / 8.56 + 150 * 150 / 2140 - 150**2 / 16100) - 9.44
    assert float(calculate("ldl_sampson", **given)) == pytest.approx(sampson, abs=1e-12)
    assert calculate("ldl_friedewald", **(given | {"triglycerides": 401})).reasons() == (
        "triglycerides must be at most 400 mg/dL",
    )
    assert calculate("ldl_sampson", **(given | {"hdl": 210})).reasons() == (
        "hdl must be below total_cholesterol",
    )


def test_body_and_glucose() -> None:
    assert float(calculate("bmi", weight=81, height=180)) == pytest.approx(25.0)
    assert float(calculate("bsa_mosteller", weight=80, height=180)) == pytest.approx(2.0)
    assert float(calculate("bsa_du_bois", weight=70, height=170)) == pytest.approx(1.81, abs=0.005)
    assert float(calculate("eag", hba1c=7.0)) == pytest.approx(154.2)
    assert float(calculate("fib4", age=60, ast=40, alt=25, platelets=200)) == pytest.approx(2.4)


def test_warfarin_iwpc_written_out() -> None:
    given = {
        "age": 67,
        "height": 170,
        "weight": 80,
        "race": "asian",
        "enzyme_inducer": False,
        "amiodarone": True,
    }
    root = 5.6044 - 0.2614 * 6 + 0.0087 * 170 + 0.0128 * 80 - 0.8677 - 0.9357 - 0.1092 - 0.5503
    answer = calculate("warfarin_iwpc", **given, vkorc1="A/G", cyp2c9="*1/*3")
    assert float(answer) == pytest.approx(root**2, abs=1e-9)
    clinical = 4.0376 - 0.2546 * 6 + 0.0118 * 170 + 0.0134 * 80 - 0.6752 - 0.5695
    assert float(calculate("warfarin_iwpc_clinical", **given)) == pytest.approx(clinical**2, abs=1e-9)


@pytest.mark.parametrize(
    ("egfr", "uacr", "gfr", "albuminuria", "risk"),
    [
        (90, 29.9, "G1", "A1", "low"),
        (89.9, 30, "G2", "A2", "moderate"),
        (59.9, 10, "G3a", "A1", "moderate"),
        (44.9, 300, "G3b", "A2", "very high"),
        (44.9, 10, "G3b", "A1", "high"),
        (95, 301, "G1", "A3", "high"),
        (29, 5, "G4", "A1", "very high"),
        (14, 5, "G5", "A1", "very high"),
    ],
)
def test_kdigo_heat_map(egfr: float, uacr: float, gfr: str, albuminuria: str, risk: str) -> None:
    assert calculate("kdigo_gfr_category", egfr=egfr).label() == gfr
    assert calculate("kdigo_albuminuria_category", uacr=uacr).label() == albuminuria
    assert calculate("kdigo_risk", egfr=egfr, uacr=uacr).label() == risk


@pytest.mark.parametrize(
    ("given", "stage"),
    [
        ({}, 0),
        ({"bmi": 24.0}, 0),
        ({"bmi": 24.0, "asian": True}, 1),
        ({"waist": 88.0}, 1),
        ({"hba1c": 5.8}, 1),
        ({"triglycerides": 135.0}, 2),
        ({"dbp": 80.0}, 2),
        ({"uacr": 40.0}, 2),
        ({"cvd_risk_10y": 0.2}, 3),
        ({"egfr": 25.0}, 3),
        ({"clinical_cvd": True, "bmi": 30.0}, 4),
    ],
)
def test_ckm_stages(given: dict[str, Any], stage: int) -> None:
    assert float(calculate("ckm_stage", sex="female", **given)) == stage
