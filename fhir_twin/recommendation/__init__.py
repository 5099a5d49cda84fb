"""The last stage: what to do, in what order, why, what was rejected, and what must be asked first."""

from fhir_twin.model.guidelines import Guidelines
from fhir_twin.recommendation.check import check_guidelines
from fhir_twin.recommendation.load import load_guidelines
from fhir_twin.recommendation.recommend import recommend

__all__ = ["Guidelines", "check_guidelines", "load_guidelines", "recommend"]
