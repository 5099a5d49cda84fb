"""Simulation: options for a patient, and what the twin says would follow from each."""

from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.simulation.information import MeasurementValue, measurement_value
from fhir_twin.simulation.load import load_interventions
from fhir_twin.simulation.load_outcomes import load_outcomes
from fhir_twin.simulation.scenarios import propose_scenarios
from fhir_twin.simulation.simulate import simulate
from fhir_twin.simulation.what_if import choice_of, scenario_of, sensitivity, what_if

__all__ = [
    "Interventions",
    "MeasurementValue",
    "Outcomes",
    "choice_of",
    "load_interventions",
    "load_outcomes",
    "measurement_value",
    "propose_scenarios",
    "scenario_of",
    "sensitivity",
    "simulate",
    "what_if",
]
