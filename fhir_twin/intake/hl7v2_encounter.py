"""PV1, PV2 and the event -> Encounter (V2-6)."""

from __future__ import annotations

from fhir_twin.intake.hl7v2 import Segment
from fhir_twin.intake.hl7v2_types import IDENTIFIER_TYPES, Json, Scribe, as_code, kept
from fhir_twin.intake.site import made_id

CLASS = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CLASS_V2 = "http://terminology.hl7.org/CodeSystem/v2-0004"
ROLE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_SHOWN = {"IMP": "inpatient encounter", "EMER": "emergency", "AMB": "ambulatory", "PRENC": "pre-admission"}
_PARTICIPANTS = ((7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM"))


def read_encounter(
    scribe: Scribe, pv1: Segment, pv2: Segment | None, person: str, key: str, event: str
) -> Json | None:
    """The visit of a PV1; None when it has neither number nor beginning to be known again by.

    event: the trigger of an ADT message, "" for others: what they say of a visit never changes its status."""
    number = pv1.first(19)
    given = scribe.identifier(number) if number else {}
    start = scribe.moment(pv1.v(44), pv1, "44")
    end = scribe.moment(pv1.v(45), pv1, "45")
    if given:
        given.setdefault("type", {"coding": [{"system": IDENTIFIER_TYPES, "code": "VN"}]})
        identity = (given["system"], given["value"])
    elif start:
        identity = (key, start)
    else:
        scribe.note(
            "information", "incomplete", "a visit without number and admission time was not kept", pv1, "19"
        )
        return None
    return kept(
        resourceType="Encounter",
        id=made_id("Encounter", *identity),
        identifier=[given] if given else None,
        status=_status(scribe, event, pv1, end),
        class_=_class(scribe, pv1),
        type_=[scribe.concept(pv1.first(18))] if pv1.first(18) else None,
        serviceType=scribe.concept(pv1.first(10)) if pv1.first(10) else None,
        subject={"reference": f"Patient/{person}"},
        participant=_participants(scribe, pv1),
        period=kept(start=start, end=end if not start or end >= start or len(end) != len(start) else ""),
        reasonCode=[scribe.concept(pv2.first(3))] if pv2 is not None and pv2.first(3) else None,
        hospitalization=_hospitalization(scribe, pv1),
        location=[{"location": {"display": place}}] if (place := _place(pv1)) else None,
    )


def _status(scribe: Scribe, event: str, pv1: Segment, end: str) -> str:
    found = scribe.site.tables.get("encounter-status", event) if event else ""
    if found in ("", "unknown"):
        return "finished" if end else "unknown"
    if (
        found == "planned"
        and event == "A04"
        and scribe.site.tables.get("encounter-class", pv1.v(2)) == "EMER"
    ):
        return "arrived"  # who is registered in an emergency department is there
    return found


def _class(scribe: Scribe, pv1: Segment) -> Json:
    code = as_code(pv1.v(2).upper())
    known = scribe.site.tables.get("encounter-class", code)
    if known:
        return {"system": CLASS, "code": known, "display": _SHOWN[known]}
    return {"system": CLASS_V2, "code": code or "U"}


def _participants(scribe: Scribe, pv1: Segment) -> list[Json]:
    return [
        {"type": [{"coding": [{"system": ROLE, "code": role}]}], "individual": who}
        for n, role in _PARTICIPANTS
        for rep in pv1.reps(n)
        if (who := scribe.person(rep))
    ]


def _hospitalization(scribe: Scribe, pv1: Segment) -> Json:
    return kept(
        admitSource=scribe.concept(pv1.first(14)) if pv1.first(14) else None,
        dischargeDisposition=scribe.concept(pv1.first(36)) if pv1.first(36) else None,
    )


def _place(pv1: Segment) -> str:
    """PL as words: facility, building, floor, point of care, room, bed."""
    rep = pv1.first(3)
    return ", ".join(words for n in (4, 7, 8, 1, 2, 3) if (words := rep.c(n)))
