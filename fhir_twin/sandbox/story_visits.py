"""The Encounters at which a story's values were taken: one per day and place."""

from __future__ import annotations

from fhir_twin.sandbox.story_resources import Line, Person, Resource

CLASSES = {"office": ("AMB", "ambulatory"), "inpatient": ("IMP", "inpatient encounter")}


def visits(lines: list[Line], person: Person) -> list[Resource]:
    """Encounters for all values that were not taken at home, in order of their days."""
    days = {
        (line.field(0), line.place)
        for line in lines
        if line.table in ("bp", "results") and line.place in CLASSES
    }
    return [_visit(day, place, person) for day, place in sorted(days)]


def _visit(day: str, place: str, person: Person) -> Resource:
    code, display = CLASSES[place]
    when = person.moment(day)
    return {
        "resourceType": "Encounter",
        "id": person.visit_id(day, place),
        "status": "finished",
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": code,
            "display": display,
        },
        "subject": person.reference,
        "period": {"start": when, "end": when},
    }
