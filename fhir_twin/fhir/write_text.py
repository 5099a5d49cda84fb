"""A narrative for every resource that we write, taken from what it says itself: a proposal must not be mistaken for
an order where only its text is shown (PR-1: "do not" is shown loudly)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_twin.fhir.narrative import bullets, narrative, paragraph, strong, text

Json = dict[str, Any]

_HEADS = {
    "Goal": "PROPOSED GOAL, not yet agreed with patient or clinician",
    "MedicationRequest": "DRAFT PROPOSAL, not an order",
    "ServiceRequest": "DRAFT PROPOSAL, not an order",
    "NutritionOrder": "DRAFT PROPOSAL, not an order",
    "CommunicationRequest": "DRAFT PROPOSAL, not yet agreed by a clinician",
    "RequestGroup": "DRAFT PROPOSAL, a choice for the clinician",
    "RiskAssessment": "Simulated by software, not yet reviewed",
    "DetectedIssue": "Found by software, not yet reviewed",
    "GuidanceResponse": "Questions to be answered",
    "Device": "Software",
    "Provenance": "Where this came from",
}


def with_text(resource: Json) -> Json:
    """A copy with a generated narrative."""
    type_ = str(resource["resourceType"])
    head = f"DO NOT: {_HEADS[type_]}" if resource.get("doNotPerform") else _HEADS[type_]
    lines = [text(line) for line in _lines(resource) if line.strip()]
    return {
        "resourceType": type_,
        "text": narrative(paragraph(strong(head)), bullets(lines)),
        **{k: v for k, v in resource.items() if k != "resourceType"},
    }


def _lines(resource: Json) -> Iterator[str]:
    yield from (
        _words(resource[name])
        for name in ("description", "medicationCodeableConcept", "code")
        if name in resource
    )
    yield from (_words(t) for t in resource.get("oralDiet", {}).get("type", []))
    yield from (_words(c) for c in resource.get("reasonCode", []))
    yield from (d.get("text", "") for d in resource.get("dosageInstruction", []))
    yield from (p.get("contentString", "") for p in resource.get("payload", []))
    for action in resource.get("action", []):
        yield action.get("title", "")
        yield from (a.get("title", "") for a in action.get("action", []))
    for prediction in resource.get("prediction", []):
        value = f"{prediction['probabilityDecimal']} %: " if "probabilityDecimal" in prediction else ""
        yield f"{_words(prediction.get('outcome', {}))}: {value}{prediction.get('rationale', '')}"
    yield f"Severity {resource['severity']}" if "severity" in resource else ""
    yield from str(resource.get("detail", "")).split("\n")
    yield from (f"{d['name']}" for d in resource.get("deviceName", []))
    yield from (f"{_words(v.get('type', {}))} version {v['value']}" for v in resource.get("version", []))
    yield from (a["who"].get("display", "") for a in resource.get("agent", [])[:1])
    for note in resource.get("note", []):
        yield from note["text"].split("\n")


def _words(concept: Json) -> str:
    codings = concept.get("coding", [])
    return str(concept.get("text") or next((c.get("display") or c.get("code") for c in codings), ""))
