"""SCORE2, SCORE2-OP and SCORE2-Diabetes: 10-year cardiovascular disease by European risk region (2021, 2023).

    u = 1 - S0^exp(lp - mean);  p = 1 - exp(-exp(s1 + s2 ln(-ln(1 - u))))

Ages 40-69 (SCORE2, SCORE2-Diabetes) and 70-89 (OP), no known cardiovascular disease; cholesterol in mmol/L.
Numbers in mappings/outcomes/score2.toml.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

REGIONS = ("low", "moderate", "high", "very-high")
CITATIONS = {
    "score2": "SCORE2 working group. SCORE2 risk prediction algorithms. Eur Heart J 2021;42:2439-2454.",
    "op": "SCORE2-OP working group. SCORE2-OP. Eur Heart J 2021;42:2455-2467.",
    "diabetes": "SCORE2-Diabetes working group. SCORE2-Diabetes. Eur Heart J 2023;44:2544-2556.",
}


def _terms(kind: str, v: Inputs) -> dict[str, Array]:
    total, hdl, sbp = v["total_cholesterol_mmol"] - 6.0, v["hdl_mmol"], v["sbp"]
    if kind == "op":
        base = {"age": v["age"] - 73.0, "sbp": sbp - 150.0, "total": total, "hdl": hdl - 1.4}
    else:
        base = {
            "age": (v["age"] - 60.0) / 5.0,
            "sbp": (sbp - 120.0) / 20.0,
            "total": total,
            "hdl": (hdl - 1.3) / 0.5,
        }
    base["smoker"] = v["smoker"]
    base["diabetes"] = np.ones_like(v["age"]) if kind == "diabetes" else v["diabetes"]
    if kind == "diabetes":
        base["diagnosis"] = (v["age_at_diagnosis"] - 50.0) / 5.0
        base["hba1c"] = (v["hba1c_mmol_mol"] - 31.0) / 9.34
        base["egfr"] = (np.log(v["egfr"]) - 4.5) / 0.15
    return base


def _value(name: str, base: dict[str, Array]) -> Array:
    """A term, or the product "a-x-b" of two."""
    first, _, second = name.partition("-x-")
    return base[first] * base[second] if second else base[first]


def _formula(kind: str, v: Inputs) -> Array:
    tables, base = coefficients.table("score2")[kind], _terms(kind, v)
    risks = []
    for sex in ("male", "female"):
        numbers = tables[sex]
        lp = sum(c * _value(name, base) for name, c in numbers["terms"].items())
        log_hazard = lp - numbers["mean"] + np.log(-np.log(numbers["survival"]))
        scales = np.array([tables["regions"][r][sex] for r in REGIONS])
        region = np.where(np.isnan(v["region"]), 0.0, v["region"]).astype(int)
        risks.append(-np.expm1(-np.exp(scales[region, 0] + scales[region, 1] * log_hazard)))
    return np.asarray(np.where(v["sex"] == 1.0, risks[1], risks[0]))


def _inputs(kind: str) -> tuple[Input, ...]:
    low, high = (70, 89) if kind == "op" else (40, 69)
    shared = (
        Input("age", "years", low=low, high=high, open_high=False),
        Input("sex", kind="sex"),
        Input("smoker", kind="flag", words="current smoker"),
        Input("sbp", "mmHg", low=60, high=300),
        Input("total_cholesterol_mmol", "mmol/L", low=1, high=20),
        Input("hdl_mmol", "mmol/L", low=0.1, high=8),
        Input("region", kind="choice", choices=REGIONS, words="European risk region"),
    )
    if kind != "diabetes":
        return (*shared, Input("diabetes", kind="flag"))
    return (
        *shared,
        Input("age_at_diagnosis", "years", low=0, high=69),
        Input("hba1c_mmol_mol", "mmol/mol", low=15, high=200),
        Input("egfr", "mL/min/1.73 m2", low=5, high=200),
    )


def equation(kind: str) -> Equation:
    """kind: score2 | op | diabetes. SCORE2-Diabetes is for people with type 2 diabetes."""
    stem = {"score2": "score2", "op": "score2_op", "diabetes": "score2_diabetes"}[kind]
    return Equation(
        name=f"{stem}_10y_cvd",
        title=stem.upper().replace("_", "-") + ", 10 y CVD",
        inputs=_inputs(kind),
        formula=partial(_formula, kind),
        unit="probability",
        citation=CITATIONS[kind],
    )
