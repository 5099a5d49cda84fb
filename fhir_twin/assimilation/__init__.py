"""Assimilation: a coded chart becomes the twin's state, with the contribution of every source."""

from fhir_twin.assimilation.build import build_twin
from fhir_twin.assimilation.load import load_biomarkers
from fhir_twin.model.biomarker import BiomarkerSet

__all__ = ["BiomarkerSet", "build_twin", "load_biomarkers"]
