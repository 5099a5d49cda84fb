"""KFRE against its own definition written out by hand, and its scope (eGFR below 60)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fhir_twin.dynamics.equations.registry import calculate

MAN = {"age": 60, "sex": "male", "egfr": 30.0, "uacr": 300.0, "region": "north-america"}


def test_four_variables_written_out() -> None:
    lp = (
        -0.2201 * (6.0 - 7.036)
        + 0.2467 * (1 - 0.5642)
        - 0.5567 * (6.0 - 7.222)
        + 0.4510 * (math.log(300) - 5.137)
    )
    assert float(calculate("kfre_4_5y", **MAN)) == pytest.approx(1 - 0.9240 ** math.exp(lp), abs=1e-12)
    assert float(calculate("kfre_4_2y", **MAN)) == pytest.approx(1 - 0.9750 ** math.exp(lp), abs=1e-12)
    elsewhere = float(calculate("kfre_4_5y", **{**MAN, "region": "elsewhere"}))
    assert elsewhere == pytest.approx(1 - 0.9365 ** math.exp(lp), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "more", "printed"),
    [
        ("kfre_4_2y", {}, 0.01247073),
        ("kfre_4_5y", {}, 0.03842137),
        ("kfre_6_2y", {"diabetes": True, "hypertension": True}, 0.0119651),
        ("kfre_6_5y", {"diabetes": True, "hypertension": True}, 0.03688339),
        ("kfre_4_2y", {"age": 72, "sex": "female", "egfr": 28.0, "uacr": 800.0}, 0.09997874),
    ],
)
def test_values_that_another_package_prints(name: str, more: dict[str, object], printed: float) -> None:
    """R package kfre (CRAN), vignette: man of 55, eGFR 45, UACR 120 mg/g, North America, and a woman of 72."""
    given = {"age": 55, "sex": "male", "egfr": 45.0, "uacr": 120.0, "region": "north-america", **more}
    assert float(calculate(name, **given)) == pytest.approx(printed, abs=1e-7)


def test_at_the_means_the_risk_is_one_minus_baseline_survival() -> None:
    """Every term is centred: a cohort-average person has exactly 1 - S0 (8 variables: all but sex at the mean)."""
    given = {
        "age": 70.36,
        "egfr": 36.11,
        "uacr": math.exp(5.137),
        "region": "north-america",
        "albumin": 3.997,
        "phosphate": 3.916,
        "bicarbonate": 25.57,
        "calcium": 9.355,
    }
    women = -math.log1p(-float(calculate("kfre_8_5y", **given, sex="female")))
    men = -math.log1p(-float(calculate("kfre_8_5y", **given, sex="male")))
    at_mean = math.exp((1 - 0.5642) * math.log(women) + 0.5642 * math.log(men))
    assert at_mean == pytest.approx(-math.log(0.9301), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"egfr": 60.0}, "egfr"),
        ({"egfr": 0.0}, "egfr"),
        ({"uacr": None}, "uacr"),
        ({"region": "mars"}, "region"),
    ],
)
def test_refuses_by_name(change: dict[str, object], name: str) -> None:
    result = calculate("kfre_4_5y", **{**MAN, **change})
    assert np.isnan(float(result))
    assert [r.name for r in result.refusals] == [name]


def test_worse_kidneys_more_risk() -> None:
    egfr = np.linspace(10, 59, 30)
    assert (np.diff(np.asarray(calculate("kfre_4_5y", **{**MAN, "egfr": egfr}))) < 0).all()
    uacr = np.geomspace(1, 5000, 30)
    assert (np.diff(np.asarray(calculate("kfre_4_5y", **{**MAN, "uacr": uacr}))) > 0).all()
