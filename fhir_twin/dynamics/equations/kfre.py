"""Kidney failure risk equations (Tangri et al., JAMA 2011;305:1553 and 2016;315:164), only for eGFR < 60.

    p = 1 - S0^exp(sum of coefficient x (variable - mean))

4, 6 and 8 variables; 2 and 5 years; North America or elsewhere; numbers in mappings/outcomes/kfre.toml.
Adults with CKD stages G3a-G5 not on dialysis and without a transplant: callers check the last two.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

REGIONS = ("north-america", "elsewhere")
CITATION = "Tangri N et al. Multinational assessment of kidney failure risk equations. JAMA 2016;315:164-174."
DOI = "10.1001/jama.2015.18202"

_FOUR = (
    Input("age", "years", low=18, high=110),
    Input("sex", kind="sex"),
    Input("egfr", "mL/min/1.73 m2", low=0, high=60, open_low=True, open_high=True),
    Input("uacr", "mg/g", low=0, high=25000, open_low=True),
)
_SIX = (Input("diabetes", kind="flag"), Input("hypertension", kind="flag"))
_EIGHT = (
    Input("albumin", "g/dL", low=0, high=10, open_low=True),
    Input("phosphate", "mg/dL", low=0, high=20, open_low=True),
    Input("bicarbonate", "mmol/L", low=0, high=60, open_low=True),
    Input("calcium", "mg/dL", low=0, high=25, open_low=True),
)
_EXTRA = {4: (), 6: _SIX, 8: _EIGHT}


def _formula(variables: int, years: int, v: Inputs) -> Array:
    numbers = coefficients.table("kfre")[f"variables_{variables}"]
    design = {
        **v,
        "age": v["age"] / 10.0,
        "male": 1.0 - v["sex"],
        "egfr": v["egfr"] / 5.0,
        "uacr": np.log(v["uacr"]),
    }
    lp = sum(t["coefficient"] * (design[t["name"]] - t["mean"]) for t in numbers["term"])
    survival = np.where(v["region"] == 0.0, *(numbers["survival"][r][str(years)] for r in REGIONS))
    return np.asarray(1.0 - survival ** np.exp(lp))


def equation(variables: int, years: int) -> Equation:
    """Inputs: `region` ("north-america" | "elsewhere") and the clinical ones. years: 2 or 5."""
    region = Input("region", kind="choice", choices=REGIONS)
    return Equation(
        name=f"kfre_{variables}_{years}y",
        title=f"KFRE {variables} variables, {years} years",
        inputs=(*_FOUR, *_EXTRA[variables], region),
        formula=partial(_formula, variables, years),
        unit="probability",
        citation=CITATION,
        doi=DOI,
    )
