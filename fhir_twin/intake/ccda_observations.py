"""Results, vital signs, social history -> Observation and DiagnosticReport (CD-5)."""

from __future__ import annotations

from fhir_twin.fhir.systems import OBSERVATION_CATEGORY, V3_INTERPRETATION
from fhir_twin.intake.ccda_problems import notes
from fhir_twin.intake.ccda_types import Clerk, absent, is_negated
from fhir_twin.intake.ccda_xml import Node, attribute, each, find
from fhir_twin.intake.hl7v2_types import Json, kept
from fhir_twin.model.codes import LOINC

# Observations whose code is only ASSERTION: template -> the LOINC question that is asserted (C-CDA 1.1 documents).
ASSERTED = {
    "2.16.840.1.113883.10.20.15.3.8": ("82810-3", "Pregnancy status"),
    "2.16.840.1.113883.10.20.22.4.78": ("72166-2", "Tobacco smoking status"),
    "2.16.840.1.113883.10.22.4.78": ("72166-2", "Tobacco smoking status"),
    "2.16.840.1.113883.10.20.22.4.85": ("11367-0", "History of Tobacco use"),
}


def read_organizer(clerk: Clerk, organizer: Node, category: str) -> list[Json]:
    """The observations of a battery, and a DiagnosticReport for laboratory batteries."""
    start, end, _ = clerk.span(find(organizer, "effectiveTime"))
    found: list[Json] = []
    for node in each(organizer, "component", "observation"):
        made = read_observation(clerk, node, category, start or end)
        found += [made] if made is not None else []
    code = clerk.concept(find(organizer, "code"))
    if category != "laboratory" or not found or not code:
        return found
    status = clerk.site.tables.get("cda-result-status", attribute(find(organizer, "statusCode"), "code"))
    what = str(code.get("coding", [{}])[0].get("code", ""))
    report = kept(
        resourceType="DiagnosticReport",
        id=clerk.resource_id("DiagnosticReport", organizer, what, start),
        identifier=clerk.identifiers(organizer),
        status=status or "unknown",
        category=[{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
        code=code,
        subject=clerk.subject,
        effectiveDateTime=start,
        result=[{"reference": f"Observation/{o['id']}"} for o in found],
    )
    return [*found, report]


def read_observation(clerk: Clerk, node: Node, category: str, when: str = "") -> Json | None:
    """when: the battery's time, for an observation without its own."""
    code = clerk.concept(find(node, "code"))
    value = find(node, "value")
    if not code or attribute(find(node, "code"), "code") == "ASSERTION":
        code = _assertion(node) or code
    if not code:
        clerk.note("information", "incomplete", "an observation without a code was not kept", category)
        return None
    start, end, _ = clerk.span(find(node, "effectiveTime"))
    made = clerk.value(value) if value is not None else {"dataAbsentReason": absent(None)}
    if is_negated(node):
        made = {"dataAbsentReason": absent(None)}
    time: Json = {"effectivePeriod": {"start": start, "end": end}} if start and end and end > start else {}
    what = str(code.get("coding", [{}])[0].get("code") or code.get("text", ""))
    flags = [
        kept(coding=[kept(system=V3_INTERPRETATION, code=c, display=attribute(n, "displayName"))])
        for n in each(node, "interpretationCode")
        if (c := attribute(n, "code"))
    ]
    return kept(
        resourceType="Observation",
        id=clerk.resource_id("Observation", node, what, start or when),
        identifier=clerk.identifiers(node),
        status=_status(clerk, node, made),
        category=[{"coding": [{"system": OBSERVATION_CATEGORY, "code": category}]}],
        code=code,
        subject=clerk.subject,
        **(time or {"effectiveDateTime": start or end or when}),
        **made,
        interpretation=flags,
        method=clerk.concept(find(node, "methodCode")),
        bodySite=clerk.concept(find(node, "targetSiteCode")),
        referenceRange=[
            r for n in each(node, "referenceRange", "observationRange") if (r := _range(clerk, n))
        ],
        note=notes(clerk, node),
    )


def _assertion(node: Node) -> Json:
    """The question behind an assertion, by its template; {} when the template names none."""
    for template in each(node, "templateId"):
        if (found := ASSERTED.get(attribute(template, "root"))) is not None:
            return {"coding": [{"system": LOINC, "code": found[0], "display": found[1]}], "text": found[1]}
    return {}


def _status(clerk: Clerk, node: Node, value: Json) -> str:
    code = attribute(find(node, "statusCode"), "code")
    found = clerk.site.tables.get("cda-result-status", code)
    if found == "registered" and "dataAbsentReason" not in value:
        return "preliminary"  # not completed, yet there is a value
    return found or ("unknown" if code else "final")  # CDA: without a statusCode an event is complete


def _range(clerk: Clerk, node: Node) -> Json:
    """Only the normal range (interpretation N or none said)."""
    meaning = attribute(find(node, "interpretationCode"), "code")
    if meaning not in ("", "N"):
        return {}
    value = find(node, "value")
    low, high = (clerk.amount(find(value, end)) if value is not None else {} for end in ("low", "high"))
    return kept(low=low, high=high, text=clerk.text(find(node, "text")))
