"""The CDS services we offer and the data they ask for (CH-1, CH-4). Prefetch uses reads and plain searches only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_twin import __version__

PATIENT_KEY = "patient"
# prefetch key -> resource type; the first are those without which nothing safe can be said.
SEARCHED: dict[str, str] = {
    "observations": "Observation",
    "conditions": "Condition",
    "medications": "MedicationRequest",
    "allergies": "AllergyIntolerance",
    "statements": "MedicationStatement",
    "procedures": "Procedure",
    "immunizations": "Immunization",
    "family": "FamilyMemberHistory",
    "goals": "Goal",
    "carePlans": "CarePlan",
    "consents": "Consent",
    "serviceRequests": "ServiceRequest",
}
ESSENTIAL = ("Observation", "Condition", "MedicationRequest", "AllergyIntolerance")
_EXTRA = {"Observation": "&_sort=-date&_count=1000", "MedicationRequest": "&_count=500"}


@dataclass(frozen=True, slots=True)
class CdsService:
    """id is part of the address; one per hook."""

    id: str
    hook: str
    title: str
    description: str

    def as_json(self) -> dict[str, Any]:
        prefetch = {PATIENT_KEY: "Patient/{{context.patientId}}"}
        for key, type_ in SEARCHED.items():
            prefetch[key] = f"{type_}?patient={{{{context.patientId}}}}{_EXTRA.get(type_, '')}"
        return {
            "id": self.id,
            "hook": self.hook,
            "title": self.title,
            "description": self.description,
            "version": __version__,
            "prefetch": prefetch,
            "usageRequirements": "FHIR R4. Without prefetch it reads the record itself: send fhirServer and "
            "fhirAuthorization. For adults; every proposal is a draft that a clinician must review.",
        }


SERVICES: dict[str, CdsService] = {
    s.id: s
    for s in (
        CdsService(
            "fhir-twin-patient-view",
            "patient-view",
            "Patient twin: draft plan and dangers",
            "Dangers in what the patient takes now, and a ranked draft plan with reasons, from the patient's own data.",
        ),
        CdsService(
            "fhir-twin-order-select",
            "order-select",
            "Patient twin: check of a selected order",
            "Contraindication, interaction, duplicate, dose for the kidneys, genes and better alternatives for the "
            "drugs that were just selected; contrast, radiation and repeats for other orders.",
        ),
        CdsService(
            "fhir-twin-order-sign",
            "order-sign",
            "Patient twin: check before signing",
            "Contraindication, interaction, duplicate, dose for the kidneys, genes and better alternatives for the "
            "drugs that are about to be signed; contrast, radiation and repeats for other orders.",
        ),
    )
}
