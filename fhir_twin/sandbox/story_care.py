"""Problems, drugs, allergies, relatives and events of a story -> FHIR R4 resources. Legend: patients/README.md."""

from __future__ import annotations

from collections.abc import Callable

from fhir_twin.model.codes import RXNORM
from fhir_twin.sandbox.story_resources import Line, Person, Resource, coded, concept, quantity

_THO = "http://terminology.hl7.org/CodeSystem"
_NAMES = {"FTH": "father", "MTH": "mother", "BRO": "brother", "SIS": "sister"}


def _problem(line: Line, person: Person) -> list[Resource]:
    status, _, ended = line.field(3).partition(" to ")
    found: Resource = {
        **person.named("Condition", line),
        "clinicalStatus": coded(f"{_THO}/condition-clinical", status or "active"),
        "verificationStatus": coded(f"{_THO}/condition-ver-status", line.field(4) or "confirmed"),
        "category": [coded(f"{_THO}/condition-category", "problem-list-item")],
        "code": concept(line.field(2), line.field(1)),
        "subject": person.reference,
    }
    if line.field(0):
        found["onsetDateTime"] = person.day(line.field(0))
    if ended:
        found["abatementDateTime"] = person.day(ended)
    if line.field(5):
        found["note"] = [{"text": line.field(5)}]
    return [found]


def _drug(line: Line, person: Person) -> list[Resource]:
    kind = line.field(4) or "active"
    drug = {"medicationCodeableConcept": concept(line.field(2), line.field(1), RXNORM)}
    dosage = [{"text": line.field(3)}] if line.field(3) else []
    start = person.day(line.field(0))
    if kind == "statement":
        found = {
            **person.named("MedicationStatement", line),
            "status": "active",
            **drug,
            "subject": person.reference,
        }
        found |= {"effectivePeriod": {"start": start}, "informationSource": person.reference}
        return [found | ({"dosage": dosage} if dosage else {})]
    found = {**person.named("MedicationRequest", line), "status": kind, "intent": "order", **drug}
    found |= {"subject": person.reference, "authoredOn": start}
    return [found | ({"dosageInstruction": dosage} if dosage else {})]


def _allergy(line: Line, person: Person) -> list[Resource]:
    found: Resource = {
        **person.named("AllergyIntolerance", line),
        "clinicalStatus": coded(f"{_THO}/allergyintolerance-clinical", "active"),
        "verificationStatus": coded(f"{_THO}/allergyintolerance-verification", "confirmed"),
        "code": concept(line.field(2), line.field(1)),
        "patient": person.reference,
        "recordedDate": person.day(line.field(0)),
    }
    if line.field(3):
        words, _, code = line.field(3).partition(" snomed:")
        found["reaction"] = [{"manifestation": [concept(code, words)]}]
    if line.field(4):
        found["criticality"] = line.field(4)
    if line.field(5):
        found["type"] = line.field(5)
    return [found]


def _relative(line: Line, person: Person) -> list[Resource]:
    role, words, age = line.field(0), line.field(1), line.field(2)
    condition: Resource = {"code": concept(line.field(3), words)}
    if age:
        condition["onsetAge"] = {"value": int(age), "unit": "years", **_UCUM_YEARS}
    return [
        {
            **person.named("FamilyMemberHistory", line),
            "status": "completed",
            "patient": person.reference,
            "relationship": coded(f"{_THO}/v3-RoleCode", role, _NAMES.get(role, "")),
            "condition": [condition],
        }
    ]


_UCUM_YEARS = {"system": "http://unitsofmeasure.org", "code": "a"}


def _event(line: Line, person: Person) -> list[Resource]:
    kind = line.field(1)
    return [person.named(kind, line) | _EVENTS[kind](line, person)]


def _procedure(line: Line, person: Person) -> Resource:
    code = concept(line.field(3), line.field(2))
    return {
        "status": "completed",
        "code": code,
        "subject": person.reference,
        "performedDateTime": person.day(line.field(0)),
    }


def _immunization(line: Line, person: Person) -> Resource:
    code = concept(line.field(3), line.field(2), "http://hl7.org/fhir/sid/cvx")
    day = person.day(line.field(0))
    return {
        "status": "completed",
        "vaccineCode": code,
        "patient": person.reference,
        "occurrenceDateTime": day,
    }


def _report(line: Line, person: Person) -> Resource:
    code = concept(line.field(3), line.field(2), "http://loinc.org")
    day = person.day(line.field(0))
    found = {"status": "final", "code": code, "subject": person.reference, "effectiveDateTime": day}
    return found | {"conclusion": line.field(4)}


def _order(line: Line, person: Person) -> Resource:
    code = concept(line.field(3), line.field(2))
    found = {"status": "active", "intent": "order", "code": code, "subject": person.reference}
    return found | {"authoredOn": person.day(line.field(0))}


def _goal(line: Line, person: Person) -> Resource:
    """text: "LOINC value unit", an upper limit."""
    measure, limit, unit = line.field(4).split()
    target = {"measure": coded("http://loinc.org", measure), "detailQuantity": quantity(f"<{limit}", unit)}
    found = {"lifecycleStatus": "active", "description": {"text": line.field(2)}, "subject": person.reference}
    return found | {"startDate": person.day(line.field(0)), "target": [target]}


def _consent(line: Line, person: Person) -> Resource:
    """words: permit or deny; code: the purpose (v3-ActReason); text: the scope."""
    purpose = {"system": f"{_THO}/v3-ActReason", "code": line.field(3)}
    return {
        "status": "active",
        "scope": coded(f"{_THO}/consentscope", line.field(4)),
        "category": [coded("http://loinc.org", "59284-0", "Patient Consent")],
        "patient": person.reference,
        "dateTime": person.day(line.field(0)),
        "policyRule": coded(f"{_THO}/v3-ActCode", "OPTIN"),
        "provision": {"type": line.field(2), "purpose": [purpose]},
    }


def _encounter(line: Line, person: Person) -> Resource:
    day = person.moment(line.field(0))
    return {
        "status": "finished",
        "class": {"system": f"{_THO}/v3-ActCode", "code": line.field(3)},
        "type": [{"text": line.field(2)}],
        "subject": person.reference,
        "period": {"start": day, "end": day},
    }


_EVENTS: dict[str, Callable[[Line, Person], Resource]] = {
    "Procedure": _procedure,
    "Immunization": _immunization,
    "DiagnosticReport": _report,
    "ServiceRequest": _order,
    "Goal": _goal,
    "Consent": _consent,
    "Encounter": _encounter,
}
CARE: dict[str, Callable[[Line, Person], list[Resource]]] = {
    "problems": _problem,
    "drugs": _drug,
    "allergies": _allergy,
    "family": _relative,
    "events": _event,
}
