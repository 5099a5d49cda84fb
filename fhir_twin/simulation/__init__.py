"""Simulation: options for a patient, and what the twin says would follow from each."""

from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.simulation.load import load_interventions
from fhir_twin.simulation.load_outcomes import load_outcomes
from fhir_twin.simulation.scenarios import propose_scenarios
from fhir_twin.simulation.simulate import simulate

__all__ = [
    "Interventions",
    "Outcomes",
    "load_interventions",
    "load_outcomes",
    "propose_scenarios",
    "simulate",
]
