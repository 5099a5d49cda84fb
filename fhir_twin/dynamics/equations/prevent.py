"""PREVENT: cardiovascular risk without race (Khan et al., Circulation 2024;149:430, supplement S12).

    p = 1 / (1 + exp(-lp)),  lp = sum(coefficient x term) + constant

Models base, uacr, hba1c, sdi, full; horizons 10 and 30 years; outcomes cvd (total), ascvd, heart-failure, chd,
stroke; coefficients in mappings/outcomes/prevent.csv. Primary prevention only: callers refuse known CVD.
The optional inputs (uacr, hba1c, sdi) have a published "missing" term, so None is allowed for them.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs, Result, read_inputs

MODELS = ("base", "uacr", "hba1c", "sdi", "full")
YEARS = (10, 30)
OUTCOMES = ("cvd", "ascvd", "heart-failure", "chd", "stroke")
MMOL = 0.02586
CITATION = "Khan SS et al. PREVENT equations. Circulation 2024;149:430-449."
DOI = "10.1161/CIRCULATIONAHA.123.067626"

_BASE = (
    Input("sex", kind="sex"),
    Input("total_cholesterol", "mg/dL", low=130, high=320),
    Input("hdl", "mg/dL", low=20, high=100),
    Input("sbp", "mmHg", low=90, high=200),
    Input("bmi", "kg/m2", low=18.5, high=40, open_high=True),
    Input("egfr", "mL/min/1.73 m2", low=15, high=150),
    Input("diabetes", kind="flag"),
    Input("smoker", kind="flag", words="current smoker"),
    Input("bp_treated", kind="flag", words="takes a blood-pressure-lowering drug"),
    Input("statin", kind="flag", words="takes a statin"),
)
_UACR = Input("uacr", "mg/g", low=0.1, high=25000, optional=True)
_HBA1C = Input("hba1c", "%", low=4.5, high=15, optional=True)
_SDI = Input("sdi", "decile 1-10", low=1, high=10, optional=True, words="social deprivation index, decile")
_EXTRA = {"base": (), "uacr": (_UACR,), "hba1c": (_HBA1C,), "sdi": (_SDI,), "full": (_UACR, _HBA1C, _SDI)}


def inputs(model: str, years: int) -> tuple[Input, ...]:
    """The inputs of one model with their valid ranges (age 30-79 for 10 years, 30-59 for 30 years)."""
    return (Input("age", "years", low=30, high=79 if years == 10 else 59), *_BASE, *_EXTRA[model])


def terms(v: Inputs) -> dict[str, Array]:
    """The design terms, each of the inputs' shape. Optional inputs that are absent count as missing."""
    age, sbp, bmi, egfr = (v["age"] - 55.0) / 10.0, v["sbp"], v["bmi"], v["egfr"]
    non_hdl = (v["total_cholesterol"] - v["hdl"]) * MMOL - 3.5
    hdl = (v["hdl"] * MMOL - 1.3) / 0.3
    sbp_high = (np.maximum(sbp, 110.0) - 130.0) / 20.0
    bmi_high = (np.maximum(bmi, 30.0) - 30.0) / 5.0
    egfr_low = (np.minimum(egfr, 60.0) - 60.0) / -15.0
    diabetes, smoking = v["diabetes"], v["smoker"]
    return {
        "age": age,
        "age-squared": age * age,
        "non-hdl": non_hdl,
        "hdl": hdl,
        "sbp-low": (np.minimum(sbp, 110.0) - 110.0) / 20.0,
        "sbp-high": sbp_high,
        "diabetes": diabetes,
        "smoking": smoking,
        "bmi-low": (np.minimum(bmi, 30.0) - 25.0) / 5.0,
        "bmi-high": bmi_high,
        "egfr-low": egfr_low,
        "egfr-high": (np.maximum(egfr, 60.0) - 90.0) / -15.0,
        "bp-treatment": v["bp_treated"],
        "statin": v["statin"],
        "treated-sbp": v["bp_treated"] * sbp_high,
        "treated-non-hdl": v["statin"] * non_hdl,
        "age-x-non-hdl": age * non_hdl,
        "age-x-hdl": age * hdl,
        "age-x-sbp-high": age * sbp_high,
        "age-x-diabetes": age * diabetes,
        "age-x-smoking": age * smoking,
        "age-x-bmi-high": age * bmi_high,
        "age-x-egfr-low": age * egfr_low,
        "constant": np.ones_like(age),
        **_optional(v),
    }


def _optional(v: Inputs) -> dict[str, Array]:
    absent = np.full_like(v["age"], np.nan)
    uacr, hba1c, sdi = (v.get(name, absent) for name in ("uacr", "hba1c", "sdi"))
    a1c = np.where(np.isnan(hba1c), 0.0, hba1c - 5.3)
    return {
        "ln-uacr": np.where(np.isnan(uacr), 0.0, np.log(np.where(uacr > 0, uacr, 1.0))),
        "uacr-missing": np.isnan(uacr).astype(np.float64),
        "hba1c-diabetes": a1c * v["diabetes"],
        "hba1c-no-diabetes": a1c * (1.0 - v["diabetes"]),
        "hba1c-missing": np.isnan(hba1c).astype(np.float64),
        "sdi-4-6": ((sdi >= 4) & (sdi <= 6)).astype(np.float64),
        "sdi-7-10": (sdi >= 7).astype(np.float64),
        "sdi-missing": np.isnan(sdi).astype(np.float64),
    }


def linear_predictor(
    values: Inputs,
    model: str,
    years: int,
    outcomes: tuple[str, ...] = OUTCOMES,
    design: dict[str, Array] | None = None,
) -> Array:
    """lp, shape (..., outcomes). values as `read_inputs` gives them (sex: 1 = female); ranges are not checked.

    design: `terms(values)` when the caller has it already."""
    names, numbers = coefficients.prevent(model, years, outcomes)
    built = terms(values) if design is None else design
    stacked = np.stack([built[name] for name in names], axis=-1)
    woman = values["sex"][..., None] == 1.0
    if woman.all() or not woman.any():
        return np.asarray(stacked @ numbers[:, int(woman.all())])
    return np.asarray(np.where(woman, stacked @ numbers[:, 1], stacked @ numbers[:, 0]))


def logistic(lp: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-lp)))


def _formula(model: str, years: int, outcome: str, v: Inputs) -> Array:
    return logistic(linear_predictor(v, model, years, (outcome,)))[..., 0]


def equation(model: str, years: int, outcome: str) -> Equation:
    """One of the 50 equations. Raises ValueError for an unknown model, horizon or outcome."""
    if model not in MODELS or years not in YEARS or outcome not in OUTCOMES:
        raise ValueError(f"PREVENT has no equation {model!r}, {years} years, {outcome!r}")
    return Equation(
        name=f"prevent_{model}_{years}y_{outcome.replace('-', '_')}",
        title=f"PREVENT {model} {years} y, {outcome}",
        inputs=inputs(model, years),
        formula=partial(_formula, model, years, outcome),
        unit="probability",
        citation=CITATION,
        doi=DOI,
    )


def prevent(outcome: str = "cvd", model: str = "base", years: int = 10, **given: object) -> Result:
    """Risk of `outcome` within `years` years; inputs as `inputs(model, years)` names them."""
    return equation(model, years, outcome)(**given)


__all__ = [
    "MODELS",
    "OUTCOMES",
    "YEARS",
    "equation",
    "inputs",
    "linear_predictor",
    "prevent",
    "read_inputs",
    "terms",
]
