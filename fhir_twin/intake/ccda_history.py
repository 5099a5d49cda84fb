"""Procedures and family history."""

from __future__ import annotations

from fhir_twin.intake.ccda_problems import TEMPLATES, notes
from fhir_twin.intake.ccda_types import Clerk, is_negated, related
from fhir_twin.intake.ccda_xml import SDTC, Node, attribute, each, find
from fhir_twin.intake.hl7v2_types import Json, kept

AGE, DEATH = f"{TEMPLATES}31", f"{TEMPLATES}47"
INDICATION = f"{TEMPLATES}19"


def read_procedure(clerk: Clerk, node: Node) -> Json | None:
    """Procedure, act or observation of the procedures section; plans (INT, RQO ...) are no history."""
    if attribute(node, "moodCode").upper() not in ("EVN", ""):
        clerk.note(
            "information", "informational", "planned procedures are not part of the record", "procedures"
        )
        return None
    code = clerk.concept(find(node, "code"))
    if not code:
        clerk.note("information", "incomplete", "a procedure without a code was not kept", "procedures")
        return None
    start, end, _ = clerk.span(find(node, "effectiveTime"))
    status = clerk.site.tables.get("cda-procedure-status", attribute(find(node, "statusCode"), "code"))
    what = str(code.get("coding", [{}])[0].get("code") or code.get("text", ""))
    performers = [{"actor": w} for n in each(node, "performer", "assignedEntity") if (w := clerk.somebody(n))]
    return kept(
        resourceType="Procedure",
        id=clerk.resource_id("Procedure", node, what, start),
        identifier=clerk.identifiers(node),
        status="not-done" if is_negated(node) else status or "unknown",
        code=code,
        subject=clerk.subject,
        **(
            {"performedPeriod": {"start": start, "end": end}}
            if start and end > start
            else {"performedDateTime": start}
        ),
        performer=performers,
        bodySite=[c for n in each(node, "targetSiteCode") if (c := clerk.concept(n))],
        reasonCode=[r for n in related(node, INDICATION) if (r := clerk.concept(find(n, "value")))],
        note=notes(clerk, node),
    )


def read_family(clerk: Clerk, organizer: Node) -> Json | None:
    """One relative with the conditions that are told of them (CD-7: never the patient's own)."""
    subject = find(organizer, "subject", "relatedSubject")
    if subject is None:
        clerk.note(
            "warning", "incomplete", "family history without a relative was not kept", "family history"
        )
        return None
    relation = clerk.concept(find(subject, "code"))
    if not relation:
        clerk.note(
            "warning", "incomplete", "family history without a relationship was not kept", "family history"
        )
        return None
    person = find(subject, "subject")
    conditions = [c for n in each(organizer, "component", "observation") if (c := _condition(clerk, n))]
    told_dead = any(related(n, DEATH) for n in each(organizer, "component", "observation"))
    what = str(relation.get("coding", [{}])[0].get("code") or relation.get("text", ""))
    return kept(
        resourceType="FamilyMemberHistory",
        id=clerk.resource_id("FamilyMemberHistory", organizer, what),
        identifier=clerk.identifiers(organizer),
        status="completed",
        patient=clerk.subject,
        relationship=relation,
        condition=conditions,
        **_relative(clerk, person, told_dead),
    )


def _relative(clerk: Clerk, person: Node | None, told_dead: bool) -> Json:
    if person is None:
        return {"deceasedBoolean": True} if told_dead else {}
    gender = clerk.table("gender", find(person, "administrativeGenderCode"))
    said = attribute(person.find(f"{{{SDTC}}}deceasedInd"), "value").lower()
    died = clerk.moment(person.find(f"{{{SDTC}}}deceasedTime"))
    dead: Json = {}
    if died:
        dead = {"deceasedDate": died[:10]}
    elif told_dead or said in ("true", "false"):
        dead = {"deceasedBoolean": told_dead or said == "true"}
    shown = {"male": "Male", "female": "Female", "other": "Other"}
    sex = {
        "coding": [
            kept(system="http://hl7.org/fhir/administrative-gender", code=gender, display=shown.get(gender))
        ]
    }
    return kept(sex=sex if gender else None, bornDate=clerk.moment(find(person, "birthTime"))[:10], **dead)


def _condition(clerk: Clerk, node: Node) -> Json:
    code = clerk.concept(find(node, "value"))
    if not code or is_negated(node):
        return {}
    age = next((a for n in related(node, AGE) if (a := clerk.amount(find(n, "value")))), {})
    return kept(
        code=code,
        contributedToDeath=True if related(node, DEATH) else None,
        onsetAge=age if age.get("code") in ("a", "mo", "wk", "d", "min", "h") else None,
    )
