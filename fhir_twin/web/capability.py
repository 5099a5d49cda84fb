"""Our CapabilityStatement: what this service really does today (FA-1, cpb-14)."""

from __future__ import annotations

from typing import Any

from fhir_twin import __version__
from fhir_twin.fhir.systems import HOME
from fhir_twin.web.capability_dates import RELEASED
from fhir_twin.web.facade_made import TYPES as MADE
from fhir_twin.web.facade_search import PARAMETERS
from fhir_twin.web.operation_definitions import OPERATIONS, operation_id


def capability_statement(base: str) -> dict[str, Any]:
    """R4 CapabilityStatement of kind instance. The service is a FHIR *client*; as a server it offers only this."""
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{base}/fhir/metadata",
        "version": __version__,
        "name": "FhirTwin",
        "title": "fhir-twin",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "software": {"name": "fhir-twin", "version": __version__, "releaseDate": RELEASED},
        "implementation": {
            "description": "fhir-twin: patient digital twin and draft care plans",
            "url": base,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "instantiates": ["http://hl7.org/fhir/CapabilityStatement/terminology-server"],
        "rest": [
            {
                "mode": "server",
                "documentation": "Plans are written to the FHIR server that the patient lives on. Here: knowledge, "
                "terminology, and a JSON API under /api (POST /api/patients/{id}/run).",
                "security": {
                    "cors": False,
                    "service": [{"coding": [{"system": _SECURITY, "code": "SMART-on-FHIR"}]}],
                    "description": "SMART access tokens, or an API key for engines (X-API-Key).",
                },
                "resource": [
                    *(_served(name, operations) for name, operations in SERVED),
                    *(_made(name) for name in MADE),
                    _patient(),
                    {
                        "type": "OperationDefinition",
                        "interaction": [{"code": "read"}, {"code": "search-type"}],
                    },
                ],
                "operation": [{"name": "versions", "definition": f"{_BASE}/CapabilityStatement-versions"}],
            },
            {
                "mode": "client",
                "documentation": "Reads the patient's record; writes drafts of intent proposal by transaction.",
                "resource": [
                    {"type": name, "interaction": [{"code": code} for code in codes]} for name, codes in USED
                ],
                "interaction": [{"code": "transaction"}],
            },
        ],
    }


_BASE = "http://hl7.org/fhir/OperationDefinition"


def _served(name: str, operations: tuple[str, ...]) -> dict[str, Any]:
    codes = INTERACTIONS.get(name, ())
    value: dict[str, Any] = {"type": name}
    if codes:
        value["interaction"] = [{"code": code} for code in codes]
    if operations:
        value["operation"] = [{"name": op, "definition": f"{_BASE}/{name}-{op}"} for op in operations]
    return value


_SECURITY = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_TOKENS = frozenset({"_id", "identifier", "status", "intent", "lifecycle-status"})


def _made(name: str) -> dict[str, Any]:
    """What was made for patients: read and searched, never written by others."""
    kinds = {"_lastUpdated": "date", "patient": "reference", "subject": "reference", "target": "reference"}
    return {
        "type": name,
        "interaction": [{"code": code} for code in ("read", "vread", "search-type")],
        "versioning": "versioned",
        "readHistory": False,
        "searchParam": [{"name": p, "type": "token" if p in _TOKENS else kinds[p]} for p in PARAMETERS[name]],
    }


def _patient() -> dict[str, Any]:
    return {
        "type": "Patient",
        "documentation": "Patients live on their own server; here only our operations on them.",
        "operation": [
            {"name": op, "definition": f"{HOME}/OperationDefinition/{operation_id(op)}"} for op in OPERATIONS
        ],
    }


INTERACTIONS = {
    "PlanDefinition": ("read", "search-type"),
    "ActivityDefinition": ("read", "search-type"),
    "Library": ("read", "search-type"),
    "CodeSystem": ("read", "search-type"),
    "ValueSet": ("read", "search-type"),
    "ConceptMap": ("read", "search-type"),
}
SERVED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("PlanDefinition", ("apply",)),
    ("ActivityDefinition", ()),
    ("Library", ()),
    ("CodeSystem", ("lookup", "validate-code", "subsumes")),
    ("ValueSet", ("expand", "validate-code")),
    ("ConceptMap", ("translate",)),
)
_READ = ("read", "search-type")
_WRITTEN = ("read", "search-type", "create", "update")
USED = (
    *((name, _READ) for name in (
        "Patient", "Observation", "Condition", "Medication", "MedicationStatement", "AllergyIntolerance", "Procedure",
        "Encounter", "DiagnosticReport", "Immunization", "FamilyMemberHistory", "Consent", "DocumentReference",
    )),
    *((name, _WRITTEN) for name in (
        "Device", "Goal", "MedicationRequest", "ServiceRequest", "NutritionOrder", "CommunicationRequest",
        "RequestGroup", "RiskAssessment", "DetectedIssue", "GuidanceResponse", "CarePlan", "Provenance",
    )),
)  # fmt: skip
