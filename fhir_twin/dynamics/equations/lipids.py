"""LDL cholesterol from a lipid panel: Friedewald 1972, Martin-Hopkins 2013, Sampson 2020. All in mg/dL.

Friedewald      TC - HDL - TG/5                                      triglycerides up to 400
Martin-Hopkins  TC - HDL - TG/f, f from a table of 180 cells         by triglycerides and non-HDL cholesterol
Sampson         TC/0.948 - HDL/0.971 - (TG/8.56 + TG nonHDL/2140 - TG^2/16100) - 9.44       up to 800
"""

from __future__ import annotations

from functools import cache

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Formula, Input, Inputs, Mask


def _friedewald(v: Inputs) -> Array:
    return v["total_cholesterol"] - v["hdl"] - v["triglycerides"] / 5.0


@cache
def _table() -> tuple[Array, Array, Array]:
    """(triglyceride lower ends (30,), non-HDL lower ends (6,), factors (30, 6))."""
    rows = coefficients.rows("martin-hopkins")
    columns = [c for c in rows[0] if c != "triglycerides"]
    factors = np.array([[float(r[c]) for c in columns] for r in rows])
    return np.array([float(r["triglycerides"]) for r in rows]), np.array([float(c) for c in columns]), factors


def _martin_hopkins(v: Inputs) -> Array:
    rows, columns, factors = _table()
    non_hdl = v["total_cholesterol"] - v["hdl"]
    row = np.clip(np.searchsorted(rows, v["triglycerides"], side="right") - 1, 0, len(rows) - 1)
    column = np.clip(np.searchsorted(columns, non_hdl, side="right") - 1, 0, len(columns) - 1)
    return np.asarray(non_hdl - v["triglycerides"] / factors[row, column])


def _sampson(v: Inputs) -> Array:
    total, hdl, tg = v["total_cholesterol"], v["hdl"], v["triglycerides"]
    return total / 0.948 - hdl / 0.971 - (tg / 8.56 + tg * (total - hdl) / 2140.0 - tg * tg / 16100.0) - 9.44


def _no_rest(v: Inputs) -> Mask:
    return np.asarray(v["hdl"] >= v["total_cholesterol"])


def _equation(stem: str, title: str, formula: Formula, low: float, high: float, citation: str) -> Equation:
    return Equation(
        name=f"ldl_{stem}",
        title=f"LDL cholesterol, {title}",
        inputs=(
            Input("total_cholesterol", "mg/dL", low=0, high=2000, open_low=True),
            Input("hdl", "mg/dL", low=0, high=500, open_low=True),
            Input("triglycerides", "mg/dL", low=low, high=high, open_low=low == 0.0),
        ),
        formula=formula,
        unit="mg/dL",
        citation=citation,
        scopes=(("hdl must be below total_cholesterol", _no_rest),),
    )


FRIEDEWALD = _equation(
    "friedewald", "Friedewald", _friedewald, 0.0, 400.0, "Friedewald WT et al. Clin Chem 1972;18:499-502."
)
MARTIN_HOPKINS = _equation(
    "martin_hopkins",
    "Martin-Hopkins",
    _martin_hopkins,
    7.0,
    13975.0,
    "Martin SS et al. JAMA 2013;310:2061-2068.",
)
SAMPSON = _equation(
    "sampson", "Sampson (NIH 2)", _sampson, 0.0, 800.0, "Sampson M et al. JAMA Cardiol 2020;5:540-548."
)
