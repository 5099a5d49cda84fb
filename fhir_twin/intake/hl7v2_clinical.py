"""AL1, IAM -> AllergyIntolerance; DG1 -> Condition; PR1 -> Procedure (V2-9)."""

from __future__ import annotations

from fhir_twin.fhir.systems import (
    ALLERGY_CLINICAL,
    ALLERGY_VERIFICATION,
    CONDITION_CATEGORY,
    CONDITION_CLINICAL,
    CONDITION_VERIFICATION,
)
from fhir_twin.intake.hl7v2 import Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.site import made_id


def _one_code(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def read_allergy(scribe: Scribe, segment: Segment, person: str, key: str) -> Json | None:
    """AL1 (a snapshot: what is absent is not resolved) or IAM (with action codes)."""
    detailed = segment.name == "IAM"
    code = scribe.concept(segment.first(3))
    if not code:
        scribe.note("warning", "required", "an allergy without a code or text was left out", segment, "3")
        return None
    entity = scribe.entity(segment.first(7)) if detailed else {}
    identity = (entity["system"], entity["value"]) if entity else (key, _words(code))
    table = scribe.site.tables
    action = segment.v(6).upper() if detailed else ""
    status = segment.v(17).upper() if detailed else ""
    verification = "entered-in-error" if action == "D" else table.get("allergy-verification", status)
    clinical = "inactive" if status == "I" else "active"
    onset = segment.v(11) if detailed else segment.v(6)
    category = table.get("allergy-category", segment.v(2).upper())
    return kept(
        resourceType="AllergyIntolerance",
        id=made_id("AllergyIntolerance", *identity),
        identifier=[entity] if entity else None,
        clinicalStatus=None if verification == "entered-in-error" else _one_code(ALLERGY_CLINICAL, clinical),
        verificationStatus=_one_code(ALLERGY_VERIFICATION, verification) if verification else None,
        type_=table.get("allergy-type", segment.v(9).upper()) if detailed else "",
        category=[category] if category else None,
        criticality=table.get("allergy-criticality", segment.v(4).upper()),
        code=code,
        patient={"reference": f"Patient/{person}"},
        onsetDateTime=scribe.moment(onset, segment, "11" if detailed else "6"),
        recordedDate=scribe.moment(segment.v(13), segment, "13") if detailed else "",
        reaction=_reactions(scribe, segment),
    )


def _reactions(scribe: Scribe, segment: Segment) -> list[Json]:
    severity = scribe.site.tables.get("reaction-severity", segment.v(4).upper())
    said = [scribe.concept(rep) if rep.c(2) or rep.c(3) else {"text": rep.all()} for rep in segment.reps(5)]
    return [kept(manifestation=[m], severity=severity) for m in said if m]


def _words(code: Json) -> str:
    coding = code.get("coding", [{}])[0]
    return (
        f"{coding.get('system', '')}|{coding['code']}"
        if coding.get("code")
        else str(code.get("text", "")).lower()
    )


def _named(scribe: Scribe, segment: Segment, what: str) -> Json:
    """DG1 and PR1 alike: method (2), code (3), words (4). Empty, and said, when there is neither code nor text."""
    method = scribe.site.tables.system(segment.v(2)) if segment.v(2) else ""
    code = scribe.concept(segment.first(3), guess=method)
    if words := segment.first(4).all():
        code.setdefault("text", words)
    if not code:
        scribe.note("warning", "required", f"{what} without code and text was left out", segment, "3")
    return code


def read_diagnosis(scribe: Scribe, dg1: Segment, person: str, key: str, encounter: str) -> Json | None:
    """A diagnosis of a visit; clinicalStatus is active as the IG gives none and con-3 wants one."""
    code = _named(scribe, dg1, "a diagnosis")
    if not code:
        return None
    entity = scribe.entity(dg1.first(20))
    identity = (entity["system"], entity["value"]) if entity else (key, encounter, _words(code))
    wrong = dg1.v(21).upper() == "D"
    kind = scribe.site.tables.get("diagnosis-verification", dg1.v(6).upper())
    verification = "entered-in-error" if wrong else kind
    asserter = scribe.person(dg1.first(16))
    return kept(
        resourceType="Condition",
        id=made_id("Condition", *identity),
        identifier=[entity] if entity else None,
        clinicalStatus=None if wrong else _one_code(CONDITION_CLINICAL, "active"),
        verificationStatus=_one_code(CONDITION_VERIFICATION, verification) if verification else None,
        category=[_one_code(CONDITION_CATEGORY, "encounter-diagnosis")],
        code=code,
        subject={"reference": f"Patient/{person}"},
        encounter={"reference": f"Encounter/{encounter}"} if encounter else None,
        onsetDateTime=scribe.moment(dg1.v(5), dg1, "5"),
        recordedDate=scribe.moment(dg1.v(19), dg1, "19"),
        asserter=asserter or None,
    )


def read_procedure(scribe: Scribe, pr1: Segment, person: str, key: str, encounter: str) -> Json | None:
    """A procedure that was done; PR1-20 = D says that it was entered in error."""
    code = _named(scribe, pr1, "a procedure")
    if not code:
        return None
    entity = scribe.entity(pr1.first(19))
    when = scribe.moment(pr1.v(5), pr1, "5")
    identity = (entity["system"], entity["value"]) if entity else (key, encounter, _words(code), when)
    return kept(
        resourceType="Procedure",
        id=made_id("Procedure", *identity),
        identifier=[entity] if entity else None,
        status="entered-in-error" if pr1.v(20).upper() == "D" else "completed",
        code=code,
        subject={"reference": f"Patient/{person}"},
        encounter={"reference": f"Encounter/{encounter}"} if encounter else None,
        performedDateTime=when,
        performer=[{"actor": who} for n in (11, 12) for rep in pr1.reps(n) if (who := scribe.person(rep))],
        reasonCode=[scribe.concept(pr1.first(15))] if pr1.first(15) else None,
    )
