"""PID, PD1 and NK1 -> Patient (V2-5). The patient's key is PID-3.1 with its authority, never PID-3.1 alone (H5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_twin.fhir.systems import US_CORE_ETHNICITY, US_CORE_RACE
from fhir_twin.intake.hl7v2 import Rep, Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.site import made_id

CDC_RACE = "urn:oid:2.16.840.1.113883.6.238"
BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
MAIDEN = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
MARITAL = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
CONTACT_ROLE = "http://terminology.hl7.org/CodeSystem/v2-0131"
_MARITAL_V3 = frozenset("ADILMPSTUW") - {"A", "P", "U"}  # the codes that both code systems spell alike
# Identifier types (table 0203) that name a person at one authority; the first found is the key. "" = no type given.
PERSON_TYPES = ("MR", "PI", "PT", "PN", "JHN", "NH", "NI", "MRT", "EI", "U", "")
# Types that name an account, a visit or a card, never a person.
NO_PERSON = frozenset({"AN", "VN", "BC", "CC", "XX", "NPI", "ANON", "ANC"})
# Types that name a person to others than the sender: the key only where there is no better one.
LAST_RESORT = frozenset({"SS", "DL", "PPN", "MC", "MA", "MB", "HC", "TAX", "RI"})


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """key: "system|value" of the identifier that decides who this is. aliases: all that name the same person.
    patient: the resource. cleared: elements that the sender asks to empty."""

    key: str
    aliases: tuple[str, ...]
    patient: Json
    cleared: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return str(self.patient["id"])


def person_key(scribe: Scribe, reps: list[Rep]) -> tuple[str, tuple[str, ...]]:
    """(key, all keys) of the repetitions of PID-3 or MRG-1; ("", ()) when none names a person."""
    found: list[tuple[int, str]] = []
    for rep in reps:
        kind = rep.c(5).upper()
        given = scribe.identifier(rep)
        if not given or kind in NO_PERSON:
            continue
        rank = PERSON_TYPES.index(kind) if kind in PERSON_TYPES else len(PERSON_TYPES)
        rank = 100 if kind in LAST_RESORT else rank
        found.append((rank, f"{given['system']}|{given['value']}"))
    if not found:
        return "", ()
    if better := [each for each in found if each[0] < 100]:
        found = better
    else:
        scribe.note(
            "warning", "value", "the patient is known by a national or insurance number only", at="PID-3"
        )
    ordered = [key for _, key in sorted(found, key=lambda each: each[0])]
    return ordered[0], tuple(dict.fromkeys(ordered))


def read_person(scribe: Scribe, pid: Segment, following: list[Segment]) -> Person | None:
    """The person of a PID segment; None (and an issue) without an identifier that names one."""
    reps = pid.reps(3) or pid.reps(2) or pid.reps(4)
    if not pid.reps(3) and reps:
        scribe.note(
            "warning", "value", "PID-3 is empty; the patient is known by PID-2 or PID-4 only", pid, "3"
        )
    key, aliases = person_key(scribe, reps)
    if not key:
        scribe.note("error", "required", "no identifier in PID-3 names the patient", pid, "3")
        return None
    identifiers = [scribe.identifier(rep) for n in (3, 2, 4) for rep in pid.reps(n)]
    social = scribe.identifier(pid.first(19))
    if social:
        social["type"] = {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS"}]
        }
        identifiers.append(social)
    patient = kept(
        resourceType="Patient",
        id=made_id("Patient", key),
        extension=_extensions(scribe, pid),
        identifier=_once(identifiers),
        name=[n for rep in (*pid.reps(5), *pid.reps(9)) if (n := scribe.name(rep))],
        telecom=[t for n in (13, 14, 40) for rep in pid.reps(n) if (t := _telecom(scribe, rep, n))],
        gender=_gender(scribe, pid),
        address=[a for rep in pid.reps(11) if (a := scribe.address(rep))],
        communication=_language(scribe, pid),
        maritalStatus=_marital(scribe, pid),
        contact=[c for s in following if s.name == "NK1" and (c := _contact(scribe, s))],
        **_birth(scribe, pid),
        **_death(scribe, pid),
        **_twin_birth(pid),
    )
    return Person(key, aliases, patient, _cleared(pid))


def _once(identifiers: list[Json]) -> list[Json]:
    seen: dict[tuple[Any, Any], Json] = {}
    for each in identifiers:
        if each:
            seen.setdefault((each.get("system"), each.get("value")), each)
    return list(seen.values())


_CLEARABLE = {
    5: "name",
    7: "birthDate",
    8: "gender",
    11: "address",
    13: "telecom",
    16: "maritalStatus",
    15: "communication",
}


def _cleared(pid: Segment) -> tuple[str, ...]:
    """V2-2: `""` empties an element; an empty field leaves it as it is."""
    cleared = [name for n, name in _CLEARABLE.items() if pid.deleted(n)]
    if pid.deleted(29) or pid.deleted(30):
        cleared += ["deceasedBoolean", "deceasedDateTime"]
    return tuple(cleared)


def _telecom(scribe: Scribe, rep: Rep, n: int) -> Json:
    found = scribe.telecom(rep)
    if found and "use" not in found and n in (13, 14) and found["system"] != "email":
        found["use"] = "home" if n == 13 else "work"
    return found


def _gender(scribe: Scribe, pid: Segment) -> str:
    code = pid.v(8).upper()
    found = scribe.site.tables.get("gender", code[:1]) if code else ""
    if code and (not found or (len(code) > 1 and code not in ("MALE", "FEMALE", "OTHER", "UNKNOWN"))):
        scribe.note("warning", "code-invalid", "the sex is no code of table 0001; it was left out", pid, "8")
        return ""
    return found


def _birth(scribe: Scribe, pid: Segment) -> Json:
    when = scribe.moment(pid.v(7), pid, "7")
    if len(when) <= 10:
        return kept(birthDate=when)
    return {"birthDate": when[:10], "_birthDate": {"extension": [{"url": BIRTH_TIME, "valueDateTime": when}]}}


def _death(scribe: Scribe, pid: Segment) -> Json:
    """Either of PID-29 and PID-30; a date wins, and contradicts an N."""
    when, said = scribe.moment(pid.v(29), pid, "29"), pid.v(30).upper()
    if when:
        if said == "N":
            scribe.note("warning", "conflict", "PID-29 gives a time of death, PID-30 says alive", pid, "30")
        return {"deceasedDateTime": when}
    return {"deceasedBoolean": said == "Y"} if said in ("Y", "N") else {}


def _twin_birth(pid: Segment) -> Json:
    if pid.v(25).isdigit():
        return {"multipleBirthInteger": int(pid.v(25)[:3])}
    return {"multipleBirthBoolean": pid.v(24).upper() == "Y"} if pid.v(24).upper() in ("Y", "N") else {}


def _language(scribe: Scribe, pid: Segment) -> list[Json]:
    rep = pid.first(15)
    return [{"language": scribe.concept(rep)}] if rep else []


def _marital(scribe: Scribe, pid: Segment) -> Json:
    rep = pid.first(16)
    if not rep:
        return {}
    code = rep.c(1).upper()
    if code in _MARITAL_V3:
        return kept(coding=[kept(system=MARITAL, code=code, display=rep.c(2))], text=rep.c(2))
    return scribe.concept(rep, guess="http://terminology.hl7.org/CodeSystem/v2-0002")


def _extensions(scribe: Scribe, pid: Segment) -> list[Json]:
    found = []
    tables = scribe.site.tables
    races = [(rep, tables.get("race", rep.c(1))) for rep in pid.reps(10)]
    known = [(rep.c(1), display) for rep, display in races if display]
    words = "; ".join(rep.c(2) or display or rep.c(1) for rep, display in races)
    if races:
        omb = [
            {"url": "ombCategory", "valueCoding": {"system": CDC_RACE, "code": c, "display": d}}
            for c, d in known[:5]
        ]
        found.append({"url": US_CORE_RACE, "extension": [*omb, {"url": "text", "valueString": words}]})
    if rep := pid.first(22):
        code = tables.get("ethnicity", rep.c(1).upper())
        display = {"2135-2": "Hispanic or Latino", "2186-5": "Not Hispanic or Latino"}.get(code, "")
        coding = {"system": CDC_RACE, "code": code, "display": display}
        omb = [{"url": "ombCategory", "valueCoding": coding}] if code else []
        text = rep.c(2) or display or rep.c(1)
        found.append({"url": US_CORE_ETHNICITY, "extension": [*omb, {"url": "text", "valueString": text}]})
    if maiden := pid.first(6).c(1):
        found.append({"url": MAIDEN, "valueString": maiden})
    return found


def _contact(scribe: Scribe, nk1: Segment) -> Json:
    return kept(
        relationship=[
            r for n in (3, 7) for rep in nk1.reps(n) if (r := scribe.concept(rep, guess=CONTACT_ROLE))
        ],
        name=scribe.name(nk1.first(2)) if nk1.first(2) else None,
        telecom=[t for n in (5, 6) for rep in nk1.reps(n) if (t := scribe.telecom(rep))],
        address=scribe.address(nk1.first(4)) if nk1.first(4) else None,
    )
