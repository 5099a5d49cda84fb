"""Framingham general cardiovascular disease 2008: 10 years (D'Agostino et al., Circulation 2008;117:743).

    p = 1 - S0^exp(lp - mean), lp in natural logarithms

Age 30-74 without cardiovascular disease. Numbers in mappings/outcomes/framingham.toml.
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs


def _formula(v: Inputs) -> Array:
    sbp, treated = np.log(v["sbp"]), v["bp_treated"]
    terms = {
        "age": np.log(v["age"]),
        "total": np.log(v["total_cholesterol"]),
        "hdl": np.log(v["hdl"]),
        "sbp-treated": treated * sbp,
        "sbp-untreated": (1.0 - treated) * sbp,
        "smoker": v["smoker"],
        "diabetes": v["diabetes"],
    }
    risks = []
    for sex in ("male", "female"):
        numbers = coefficients.table("framingham")[sex]
        lp = sum(c * terms[name] for name, c in numbers["terms"].items())
        risks.append(1.0 - numbers["survival"] ** np.exp(lp - numbers["mean"]))
    return np.asarray(np.where(v["sex"] == 1.0, risks[1], risks[0]))


FRAMINGHAM = Equation(
    name="framingham_2008_10y_cvd",
    title="Framingham general CVD 2008, 10 y",
    inputs=(
        Input("age", "years", low=30, high=74),
        Input("sex", kind="sex"),
        Input("total_cholesterol", "mg/dL", low=100, high=405),
        Input("hdl", "mg/dL", low=10, high=100),
        Input("sbp", "mmHg", low=90, high=200),
        Input("bp_treated", kind="flag"),
        Input("diabetes", kind="flag"),
        Input("smoker", kind="flag", words="current smoker"),
    ),
    formula=_formula,
    unit="probability",
    citation="D'Agostino RB et al. General cardiovascular risk profile. Circulation 2008;117:743-753.",
)
