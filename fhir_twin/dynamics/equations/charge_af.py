"""CHARGE-AF simple model: 5-year risk of a first atrial fibrillation (Alonso et al., J Am Heart Assoc 2013;2:e000102).

    p = 1 - S0^exp(sum_i b_i x_i / step_i - mean)

Developed in ARIC, CHS and Framingham (white and African American, 46 to 94 years), validated in AGES and Rotterdam.
Numbers in mappings/outcomes/charge-af.toml. For people without atrial fibrillation.
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

FLAGS = ("white", "smoker", "bp_treated", "diabetes", "heart_failure", "myocardial_infarction")


def _formula(v: Inputs) -> Array:
    numbers = coefficients.table("charge-af")
    steps = numbers["steps"]
    lp = sum(b * v[name] / steps.get(name, 1.0) for name, b in numbers["terms"].items())
    return np.asarray(1.0 - numbers["survival"] ** np.exp(lp - numbers["mean"]))


CHARGE_AF = Equation(
    name="charge_af_5y",
    title="CHARGE-AF simple model, 5 y atrial fibrillation",
    inputs=(
        Input("age", "years", low=46, high=94),
        Input("height", "cm", low=130, high=220),
        Input("weight", "kg", low=30, high=250),
        Input("sbp", "mmHg", low=80, high=240),
        Input("dbp", "mmHg", low=40, high=140),
        *(Input(name, kind="flag") for name in FLAGS),
    ),
    formula=_formula,
    unit="probability",
    citation="Alonso A et al. J Am Heart Assoc 2013;2:e000102.",
    doi="10.1161/JAHA.112.000102",
)
