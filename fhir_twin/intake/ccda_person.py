"""recordTarget -> Patient (CD-7: exactly one)."""

from __future__ import annotations

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.systems import US_CORE_BIRTHSEX, US_CORE_ETHNICITY, US_CORE_RACE
from fhir_twin.intake.ccda_types import Clerk
from fhir_twin.intake.ccda_xml import SDTC, V3, Node, attribute, each, find, words
from fhir_twin.intake.hl7v2_patient import CDC_RACE, Person
from fhir_twin.intake.hl7v2_types import Json, kept
from fhir_twin.intake.site import made_id

SSN = "http://hl7.org/fhir/sid/us-ssn"
_OMB = {"1002-5", "2028-9", "2054-5", "2076-8", "2106-3", "2135-2", "2186-5"}


def read_record_target(clerk: Clerk, root: Node) -> Person:
    """Raises InvalidInput when the document is about none or several, or names its patient by nothing."""
    targets = each(root, "recordTarget", "patientRole")
    if len(targets) != 1:
        raise InvalidInput("the document must be about exactly one patient (recordTarget)")
    role = targets[0]
    identifiers = clerk.identifiers(role)
    keys = [f"{i['system']}|{i['value']}" for i in identifiers if i["system"] != SSN]
    if not keys:
        keys = [f"{i['system']}|{i['value']}" for i in identifiers]
        clerk.note("warning", "value", "the patient is known by a national number only", "recordTarget")
    if not keys:
        raise InvalidInput("the document does not identify its patient")
    person = find(role, "patient")
    details = _details(clerk, person) if person is not None else {}
    patient = kept(
        resourceType="Patient",
        id=made_id("Patient", keys[0]),
        identifier=identifiers,
        address=[a for n in each(role, "addr") if (a := clerk.address(n))],
        telecom=[t for n in each(role, "telecom") if (t := clerk.telecom(n))],
        **details,
    )
    return Person(keys[0], tuple(dict.fromkeys(keys)), patient)


def _details(clerk: Clerk, person: Node) -> Json:
    born = clerk.moment(find(person, "birthTime"))
    dead = person.find(f"{{{SDTC}}}deceasedTime")
    died = clerk.moment(dead)
    said = attribute(person.find(f"{{{SDTC}}}deceasedInd"), "value").lower()
    return kept(
        name=[n for node in each(person, "name") if (n := clerk.name(node))],
        gender=clerk.table("gender", find(person, "administrativeGenderCode")),
        birthDate=born[:10],
        deceasedDateTime=died,
        deceasedBoolean={"true": True, "false": False}.get(said) if not died else None,
        maritalStatus=clerk.concept(find(person, "maritalStatusCode")),
        communication=[
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]}}
            for n in each(person, "languageCommunication", "languageCode")
            if (code := attribute(n, "code"))
        ],
        extension=[*_races(person), *_ethnicity(person)],
    )


def _races(person: Node) -> list[Json]:
    nodes = [*each(person, "raceCode"), *person.findall(f"{{{SDTC}}}raceCode")]
    nodes = [n for n in nodes if attribute(n, "code")]
    return _omb(US_CORE_RACE, nodes)


def _ethnicity(person: Node) -> list[Json]:
    return _omb(US_CORE_ETHNICITY, [n for n in each(person, "ethnicGroupCode") if attribute(n, "code")])


def _omb(url: str, nodes: list[Node]) -> list[Json]:
    if not nodes:
        return []
    parts: list[Json] = [
        {
            "url": "ombCategory" if attribute(n, "code") in _OMB else "detailed",
            "valueCoding": kept(
                system=CDC_RACE, code=attribute(n, "code"), display=attribute(n, "displayName")
            ),
        }
        for n in nodes
    ]
    text = "; ".join(attribute(n, "displayName") or attribute(n, "code") for n in nodes)
    return [{"url": url, "extension": [*parts, {"url": "text", "valueString": text}]}]


def birth_sex(root: Node) -> list[Json]:
    """The Birth Sex observation (…22.4.200) of the social history, as US Core's extension."""
    for node in root.iter(f"{{{V3}}}observation"):
        code = attribute(find(node, "code"), "code")
        value = attribute(find(node, "value"), "code").upper()
        if code == "76689-9" and value in ("M", "F", "UNK", "OTH", "ASKU"):
            return [{"url": US_CORE_BIRTHSEX, "valueCode": value}]
    return []


def display_of(node: Node | None) -> str:
    """An organisation's name, for Provenance."""
    return words(find(node, "name")) if node is not None else ""
