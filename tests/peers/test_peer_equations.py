"""Risk equations against cvd-risk (PyPI, MIT): 2,000 random people each. `make peers` installs it."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest

from fhir_twin.dynamics.equations.registry import calculate

validation = pytest.importorskip("cvd_risk.core.validation", reason="needs cvd-risk (make peers)")
REGIONS = ("low", "moderate", "high", "very_high")


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """It warns in its log outside the paper's age range, where ours refuses; none of these people is there."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def person(rng: random.Random, low: int, high: int) -> dict[str, Any]:
    return {
        "age": rng.randint(low, high),
        "sex": rng.choice(("female", "male")),
        "systolic_bp": float(rng.randint(95, 195)),
        "total_cholesterol": rng.uniform(3, 9.5),
        "hdl_cholesterol": rng.uniform(0.6, 2.4),
        "smoking": rng.random() < 0.5,
        "region": rng.choice(REGIONS),
        "diabetes": rng.random() < 0.5,
    }


def ours(p: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"age": p["age"], "sex": p["sex"], "smoker": p["smoking"], "sbp": p["systolic_bp"], **more}


@pytest.mark.parametrize(
    ("equation", "module", "name", "low", "high"),
    [("score2_10y_cvd", "score2", "SCORE2", 40, 69), ("score2_op_10y_cvd", "score2op", "SCORE2OP", 70, 89)],
)
def test_score2(equation: str, module: str, name: str, low: int, high: int) -> None:
    models = pytest.importorskip(f"cvd_risk.models.{module}.{module}")
    model, rng = getattr(models, name)(), random.Random(1)
    for _ in range(2000):
        p = person(rng, low, high)
        if equation == "score2_10y_cvd":
            p["diabetes"] = False  # SCORE2 itself is for people without
        given = ours(
            p,
            total_cholesterol_mmol=p["total_cholesterol"],
            hdl_mmol=p["hdl_cholesterol"],
            region=p["region"].replace("_", "-"),
            diabetes=p["diabetes"],
        )
        theirs = model.calculate(validation.PatientData(**p)).risk_score / 100
        assert float(calculate(equation, **given)) == pytest.approx(theirs, abs=1e-12)


def test_framingham_2008() -> None:
    models = pytest.importorskip("cvd_risk.models.framingham.framingham")
    model, rng = models.Framingham(), random.Random(2)
    for _ in range(2000):
        p = person(rng, 30, 74) | {"antihypertensive": rng.random() < 0.5}
        given = ours(
            p,
            total_cholesterol=p["total_cholesterol"] * 38.67,
            hdl=p["hdl_cholesterol"] * 38.67,
            bp_treated=p["antihypertensive"],
            diabetes=p["diabetes"],
        )
        theirs = model.calculate(validation.PatientData(**p)).risk_score / 100
        assert float(calculate("framingham_2008_10y_cvd", **given)) == pytest.approx(theirs, abs=1e-12)
