"""Stage 2, Chart -> CodedChart: codes for what is only text, and groups, classes and facts that rules can name."""

from fhir_twin.coding.chart import code_chart
from fhir_twin.coding.check import check_concept_maps
from fhir_twin.coding.coder import Coder
from fhir_twin.coding.maps import ConceptMaps, load_concept_maps

__all__ = ["Coder", "ConceptMaps", "check_concept_maps", "code_chart", "load_concept_maps"]
