"""Published risk equations, vectorised, batch first. Each module is one equation and its citation."""

from fhir_twin.dynamics.equations.ckd_epi import (
    ckd_epi_2021_creatinine,
    ckd_epi_2021_creatinine_cystatin,
)

__all__ = ["ckd_epi_2021_creatinine", "ckd_epi_2021_creatinine_cystatin"]
