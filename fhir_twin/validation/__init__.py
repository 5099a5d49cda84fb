"""Scientific checks that a clinician can read: are the equations right, the intervals honest, the trials met?"""

from fhir_twin.validation.checks import Check, Figure, Series, run_checks

__all__ = ["Check", "Figure", "Series", "run_checks"]
