"""Every equation by name. `EQUATIONS["prevent_base_10y_cvd"](age=50, sex="female", ...)` -> Result.

Names are stable. `inputs` of an Equation document name, unit, range and kind of every argument; arguments
may be scalars or arrays that broadcast. `calculate(name, **inputs)` is the same in one call.
"""

from __future__ import annotations

from typing import Any

from fhir_twin.dynamics.equations import kfre, prevent
from fhir_twin.dynamics.equations.equation import Equation, Result


def _all() -> tuple[Equation, ...]:
    return (
        *(prevent.equation(m, y, o) for m in prevent.MODELS for y in prevent.YEARS for o in prevent.OUTCOMES),
        *(kfre.equation(n, y) for n in (4, 6, 8) for y in (2, 5)),
    )


EQUATIONS: dict[str, Equation] = {e.name: e for e in _all()}


def calculate(name: str, **given: Any) -> Result:
    """Raises KeyError for an unknown equation, TypeError for an unknown input."""
    return EQUATIONS[name](**given)
