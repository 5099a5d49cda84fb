"""Problem and allergy entries -> Condition and AllergyIntolerance (CD-2, CD-3)."""

from __future__ import annotations

from fhir_twin.fhir.systems import (
    ALLERGY_CLINICAL,
    ALLERGY_VERIFICATION,
    CONDITION_CATEGORY,
    CONDITION_CLINICAL,
    CONDITION_VERIFICATION,
    DATA_ABSENT_REASON,
)
from fhir_twin.intake.ccda_types import Clerk, is_negated, related
from fhir_twin.intake.ccda_xml import V3, Node, attribute, each, find
from fhir_twin.intake.hl7v2_types import Json, kept
from fhir_twin.model.codes import SNOMED

TEMPLATES = "2.16.840.1.113883.10.20.22.4."
PROBLEM, ALLERGY = f"{TEMPLATES}4", f"{TEMPLATES}7"
STATUS, SEVERITY, REACTION, CRITICALITY = (f"{TEMPLATES}{n}" for n in (6, 8, 9, 145))
COMMENT = f"{TEMPLATES}64"
# A negated allergy observation without a substance: "no known ...", by its kind (C-CDA on FHIR).
NO_KNOWN = {
    "416098002": ("409137002", "No known drug allergy"),
    "414285001": ("429625007", "No known food allergy"),
    "426232007": ("428607008", "No known environmental allergy"),
}
NO_KNOWN_ALLERGY = ("716186003", "No known allergy")
# Substances that mean "any": negated, they say that nothing of the kind is known.
ANY_SUBSTANCE = {
    "105590001": "",
    "410942007": "416098002",
    "255620007": "414285001",
    "762766007": "414285001",
}


def _code(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def observations_of(entry: Node, template: str) -> list[tuple[Node | None, Node]]:
    """(concern act or None, observation) for each observation of an entry that carries `template`."""
    found: list[tuple[Node | None, Node]] = []
    for act in each(entry, "act"):
        for relation in each(act, "entryRelationship"):
            found += [(act, o) for o in each(relation, "observation") if _is(o, template)]
    found += [(None, o) for o in each(entry, "observation") if _is(o, template)]
    return found


def _is(node: Node, template: str) -> bool:
    roots = {attribute(t, "root") for t in each(node, "templateId")}
    return template in roots or (
        not any(r.startswith(TEMPLATES) for r in roots) and find(node, "value") is not None
    )


def read_problem(clerk: Clerk, concern: Node | None, node: Node, category: str) -> Json | None:
    """One Problem Observation is one Condition; negated means refuted, an end means that it is over."""
    code = clerk.concept(find(node, "value"))
    if not code:
        text = clerk.text(find(node, "text"))
        code = {"text": text} if text else {}
    if not code:
        clerk.note("information", "incomplete", "a problem without code and text was not kept", category)
        return None
    start, end, ended = clerk.span(find(node, "effectiveTime"))
    negated = is_negated(node)
    abatement: Json = {"abatementDateTime": end} if end else {}
    if ended and not end:
        unknown = {"url": DATA_ABSENT_REASON, "valueCode": "unknown"}
        abatement = {"_abatementDateTime": {"extension": [unknown]}}
    clinical = _clinical(clerk, concern, node, ended)
    if clinical == "active" and abatement:  # con-4: what has abated is not active
        clinical = "resolved"
    what = _key(code)
    return kept(
        resourceType="Condition",
        id=clerk.resource_id("Condition", node, what, start),
        identifier=clerk.identifiers(node),
        clinicalStatus=_code(CONDITION_CLINICAL, clinical),
        verificationStatus=_code(CONDITION_VERIFICATION, "refuted" if negated else "confirmed"),
        category=[_code(CONDITION_CATEGORY, category)],
        code=code,
        subject=clerk.subject,
        onsetDateTime=start,
        **abatement,
        recordedDate=clerk.author_time(node) or (clerk.author_time(concern) if concern is not None else ""),
        note=notes(clerk, node),
    )


def _clinical(clerk: Clerk, concern: Node | None, node: Node, ended: bool) -> str:
    """An end in the observation, else its status observation, else the concern's status (CD-3)."""
    for status in related(node, STATUS):
        found = clerk.table("problem-status", find(status, "value"))
        if found and not (found == "active" and ended):
            return found
    if ended:
        return "resolved"
    said = attribute(find(concern, "statusCode"), "code") if concern is not None else ""
    return {"completed": "resolved", "aborted": "inactive", "suspended": "inactive"}.get(said, "active")


def _key(code: Json) -> str:
    coding = code.get("coding", [{}])[0]
    return str(coding.get("code") or code.get("text", "").lower())


def notes(clerk: Clerk, node: Node) -> list[Json]:
    """Comment activities."""
    return [{"text": text} for n in related(node, COMMENT) if (text := clerk.text(find(n, "text")))]


def read_allergy(clerk: Clerk, concern: Node | None, node: Node) -> Json | None:
    """One Allergy Observation; "no known allergies" keeps its meaning."""
    kind = find(node, "value")
    entities = each(node, "participant", "participantRole", "playingEntity")
    code = next((c for e in entities if (c := clerk.concept(find(e, "code")))), {})
    if not code:
        name = next((t for e in entities if (t := clerk.text(find(e, "name")))), "")
        code = {"text": name} if name else {}
    negated = is_negated(node)
    given = next((c["code"] for c in code.get("coding", ()) if c["code"] in ANY_SUBSTANCE), "")
    if negated and (not code or given):
        meant = ANY_SUBSTANCE.get(given, "") or attribute(kind, "code")
        number, display = NO_KNOWN.get(meant, NO_KNOWN_ALLERGY)
        code = {"coding": [{"system": SNOMED, "code": number, "display": display}], "text": display}
        negated = False
    if not code:
        clerk.note("information", "incomplete", "an allergy without a substance was not kept", "allergies")
        return None
    start, _, ended = clerk.span(find(node, "effectiveTime"))
    what = clerk.table("allergy-kind", kind).split(" ")
    clinical = _clinical(clerk, concern, node, ended)
    return kept(
        resourceType="AllergyIntolerance",
        id=clerk.resource_id("AllergyIntolerance", node, _key(code)),
        identifier=clerk.identifiers(node),
        clinicalStatus=_code(ALLERGY_CLINICAL, clinical),
        verificationStatus=_code(ALLERGY_VERIFICATION, "refuted" if negated else "confirmed"),
        type_=what[0],
        category=[c for c in what[1:] if c],
        criticality=_criticality(clerk, node),
        code=code,
        patient=clerk.subject,
        onsetDateTime=start,
        recordedDate=clerk.author_time(node),
        reaction=[r for n in related(node, REACTION) if (r := _reaction(clerk, n))],
        note=notes(clerk, node),
    )


def _criticality(clerk: Clerk, node: Node) -> str:
    for relation in each(node, "entryRelationship", "observation"):
        if attribute(find(relation, "code"), "code") == "82606-5":
            return clerk.table("criticality", find(relation, "value"))
    return ""


def _reaction(clerk: Clerk, node: Node) -> Json:
    said = clerk.concept(find(node, "value")) or (
        {"text": t} if (t := clerk.text(find(node, "text"))) else {}
    )
    if not said:
        return {}
    severity = next(
        (s for n in related(node, SEVERITY) if (s := clerk.table("severity", find(n, "value")))), ""
    )
    start, _, _ = clerk.span(find(node, "effectiveTime"))
    return kept(manifestation=[said], severity=severity, onset=start)


def foreign_subject(node: Node) -> bool:
    """The entry says that it is about somebody else (CD-7): its data are not the patient's."""
    return any(find(s, "relatedSubject") is not None for s in node.iter(f"{{{V3}}}subject"))
