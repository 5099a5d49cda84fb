"""When no plan is made, and when only safety is looked at (evidence: the equations' ranges and common sense)."""

from __future__ import annotations

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.twin import Twin
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.rules.view import PatientView

ADULT = 18.0
OLDEST = 110.0  # older than nearly anybody ever was


def refusal(coded: CodedChart, twin: Twin) -> str:
    """Why no plan can be made; "" when one can. Consent first: nothing else is even looked at."""
    chart = coded.chart
    denied = consent_refusal(chart.consents, chart.as_of)
    if denied:
        return denied
    if chart.patient.deceased or twin.profile.deceased:
        return "the patient has died"
    if chart.patient.replaced_by:
        return "this record was merged into another one"
    if twin.profile.age is None:
        return "no birth date: nearly every rule depends on age"
    if twin.profile.age < ADULT:
        return "the patient is younger than 18; the rules and equations are for adults"
    return ""


def only_safety(patient: PatientView) -> str:
    """Why only safety findings are shown and nothing is proposed for long-term benefit; "" otherwise."""
    if patient.pregnant():
        return "pregnancy: only safety is checked; the risk equations do not hold"
    if patient.age is not None and patient.age >= OLDEST:
        return f"an age of {int(patient.age)} cannot be right: only safety is checked until it is mended"
    if patient.sources("hospice", "now"):
        return "hospice care: only safety is checked; long-term prevention is not proposed"
    return ""
