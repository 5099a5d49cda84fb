"""Small synthetic records for the reading tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhir_twin.fhir.read import read_chart
from fhir_twin.model.chart import Chart

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ME = {"reference": "Patient/p1"}
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
Resource = dict[str, Any]


def patient(**more: Any) -> Resource:
    return {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-05-04", **more}


def coded(code: str, system: str = LOINC, text: str = "", display: str = "") -> Resource:
    given: Resource = {"coding": [{"system": system, "code": code}]}
    if display:
        given["coding"][0]["display"] = display
    return {**given, "text": text} if text else given


def quantity(value: Any, unit: str = "mg/dL", **more: Any) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit, **more}


def observation(code: str = "2160-0", **more: Any) -> Resource:
    base = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": coded(code),
        "subject": ME,
        "effectiveDateTime": "2025-03-04T10:00:00+02:00",
    }
    return {**base, **more}


def resource(kind: str, **more: Any) -> Resource:
    return {"resourceType": kind, "id": f"{kind.lower()}-1", "subject": ME, **more}


def about_patient(kind: str, **more: Any) -> Resource:
    """For types that call the subject `patient`."""
    return {"resourceType": kind, "id": f"{kind.lower()}-1", "patient": ME, **more}


def bundle(*resources: Resource, kind: str = "collection") -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": r} for r in resources]}


def chart(*resources: Resource, person: Resource | None = None, as_of: datetime = AS_OF) -> Chart:
    return read_chart(bundle(person or patient(), *resources), as_of)


def words(given: Chart) -> str:
    """All issue texts, to search in."""
    return "\n".join(f"{i.severity} {i.code} {i.diagnostics} {i.expression}" for i in given.issues)
