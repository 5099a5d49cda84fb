"""Pooled Cohort Equations 2013: 10-year ASCVD (Goff et al., Circulation 2014;129:S49).

    p = 1 - S0^exp(lp - mean), lp in natural logarithms of age, cholesterol, HDL and systolic pressure

Four groups; people who are neither white nor black are calculated as white, as the guideline says. Primary
prevention only. Numbers in mappings/outcomes/pce.toml.
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

RACES = ("white", "black", "other")
GROUPS = ("male-white", "female-white", "male-black", "female-black")


def _terms(v: Inputs) -> dict[str, Array]:
    age, total, hdl, sbp = (np.log(v[n]) for n in ("age", "total_cholesterol", "hdl", "sbp"))
    treated = v["bp_treated"]
    return {
        "age": age,
        "age-squared": age * age,
        "total": total,
        "age-x-total": age * total,
        "hdl": hdl,
        "age-x-hdl": age * hdl,
        "sbp-treated": treated * sbp,
        "sbp-untreated": (1.0 - treated) * sbp,
        "age-x-sbp-treated": treated * age * sbp,
        "age-x-sbp-untreated": (1.0 - treated) * age * sbp,
        "smoker": v["smoker"],
        "age-x-smoker": age * v["smoker"],
        "diabetes": v["diabetes"],
    }


def _formula(v: Inputs) -> Array:
    terms = _terms(v)
    which = v["sex"] + 2.0 * (v["race"] == 1.0)
    answer = np.full_like(v["age"], np.nan)
    for number, group in enumerate(GROUPS):
        numbers = coefficients.table("pce")[group]
        lp = sum(c * terms[name] for name, c in numbers["terms"].items())
        answer = np.where(which == number, 1.0 - numbers["survival"] ** np.exp(lp - numbers["mean"]), answer)
    return np.asarray(answer)


PCE = Equation(
    name="pce_10y_ascvd",
    title="Pooled Cohort Equations 2013, 10 y ASCVD",
    inputs=(
        Input("age", "years", low=40, high=79),
        Input("sex", kind="sex"),
        Input("race", kind="choice", choices=RACES),
        Input("total_cholesterol", "mg/dL", low=130, high=320),
        Input("hdl", "mg/dL", low=20, high=100),
        Input("sbp", "mmHg", low=90, high=200),
        Input("bp_treated", kind="flag"),
        Input("diabetes", kind="flag"),
        Input("smoker", kind="flag", words="current smoker"),
    ),
    formula=_formula,
    unit="probability",
    citation="Goff DC et al. 2013 ACC/AHA guideline. Circulation 2014;129(suppl 2):S49-S73.",
)
