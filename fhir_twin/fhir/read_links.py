"""What one resource says about another, gathered before the readers run: encounter classes, panels of members."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir.bundle import Entry
from fhir_twin.fhir.context import Context
from fhir_twin.model.codes import Concept


def encounter_classes(entries: Iterable[Entry]) -> dict[str, str]:
    """ "Encounter/id" -> v3-ActCode class (AMB, IMP, EMER ...)."""
    found = {}
    for entry in entries:
        given = entry.raw.get("class") if entry.type == "Encounter" else None
        if isinstance(given, dict) and isinstance(given.get("code"), str):
            found[f"Encounter/{entry.id}" if entry.id else entry.place] = elements.tidy(given["code"]).upper()
    return found


def panels(entries: Iterable[Entry], context: Context) -> dict[str, Concept]:
    """ "Observation/id" of each member -> the code of the panel that lists it in hasMember (OB-10)."""
    found: dict[str, Concept] = {}
    for entry in entries:
        members = entry.raw.get("hasMember") if entry.type == "Observation" else None
        if not isinstance(members, list):
            continue
        code = elements.concept(context.convert(entry.raw.get("code"), s.CodeableConcept))
        for member in members:
            target = context.index.target(context.convert(member, s.Reference), "Observation")
            if target and not elements.is_empty(code):
                found.setdefault(target, code)
    return found
