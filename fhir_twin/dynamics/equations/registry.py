"""Every equation by name. `EQUATIONS["prevent_base_10y_cvd"](age=50, sex="female", ...)` -> Result.

Names are stable. `inputs` of an Equation document name, unit, range and kind of every argument; arguments
may be scalars or arrays that broadcast. `calculate(name, **inputs)` is the same in one call.
"""

from __future__ import annotations

from typing import Any

from fhir_twin.dynamics.equations import body, kfre, lipids, prevent, score2, scores, staging, warfarin
from fhir_twin.dynamics.equations.charge_af import CHARGE_AF
from fhir_twin.dynamics.equations.ckd_epi import ckd_epi_2021_creatinine, ckd_epi_2021_creatinine_cystatin
from fhir_twin.dynamics.equations.equation import Equation, Input, Result
from fhir_twin.dynamics.equations.framingham import FRAMINGHAM
from fhir_twin.dynamics.equations.pce import PCE

_CKD_EPI = "Inker LA et al. New creatinine- and cystatin C-based equations. N Engl J Med 2021;385:1737-1749."
_CREATININE = Input("creatinine", "mg/dL", low=0, high=50, open_low=True)
_CYSTATIN = Input("cystatin_c", "mg/L", low=0, high=20, open_low=True)
_PERSON = (Input("age", "years", low=18, high=120), Input("sex", kind="sex"))

CKD_EPI = (
    Equation(
        name="ckd_epi_2021_creatinine",
        title="CKD-EPI 2021, creatinine",
        inputs=(_CREATININE, *_PERSON),
        formula=lambda v: ckd_epi_2021_creatinine(v["creatinine"], v["age"], v["sex"] == 1.0),
        unit="mL/min/1.73 m2",
        citation=_CKD_EPI,
    ),
    Equation(
        name="ckd_epi_2021_creatinine_cystatin",
        title="CKD-EPI 2021, creatinine and cystatin C",
        inputs=(_CREATININE, _CYSTATIN, *_PERSON),
        formula=lambda v: ckd_epi_2021_creatinine_cystatin(
            v["creatinine"], v["cystatin_c"], v["age"], v["sex"] == 1.0
        ),
        unit="mL/min/1.73 m2",
        citation=_CKD_EPI,
    ),
)


def _all() -> tuple[Equation, ...]:
    return (
        *(prevent.equation(m, y, o) for m in prevent.MODELS for y in prevent.YEARS for o in prevent.OUTCOMES),
        PCE,
        CHARGE_AF,
        FRAMINGHAM,
        *(score2.equation(kind) for kind in ("score2", "op", "diabetes")),
        *(kfre.equation(n, y) for n in (4, 6, 8) for y in (2, 5)),
        *CKD_EPI,
        *scores.EQUATIONS,
        *body.EQUATIONS,
        *(lipids.FRIEDEWALD, lipids.MARTIN_HOPKINS, lipids.SAMPSON),
        *(warfarin.equation(kind) for kind in ("pharmacogenetic", "clinical")),
        *staging.EQUATIONS,
    )


EQUATIONS: dict[str, Equation] = {e.name: e for e in _all()}


def calculate(name: str, **given: Any) -> Result:
    """Raises KeyError for an unknown equation, TypeError for an unknown input."""
    return EQUATIONS[name](**given)
