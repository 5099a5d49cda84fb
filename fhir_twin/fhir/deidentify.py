"""Records without who they are (PL-1): HIPAA Safe Harbor by an allow-list: what is not known to be harmless goes.

Kept: codes of public systems, quantities, statuses, dates as years (or shifted), sex, state. Gone: names, identifiers,
addresses, narrative, notes, free text, displays, attachments, extensions, local codes, meta, who wrote it. Ids and
references become keyed hashes, the same for one person throughout.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from fhir_twin.fhir.changes import subject_of

_TYPES_WORDS = """
    Patient Observation Condition MedicationRequest MedicationStatement Medication AllergyIntolerance Procedure
    Encounter Immunization FamilyMemberHistory DiagnosticReport ServiceRequest RiskAssessment
"""
TYPES = frozenset(_TYPES_WORDS.split())
_PUBLIC = (
    "http://loinc.org", "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://hl7.org/fhir/", "http://terminology.hl7.org/", "http://unitsofmeasure.org", "http://www.ama-assn.org/go/cpt",
    "urn:oid:2.16.840.1.113883.6.238",
)  # fmt: skip
# Words that FHIR itself defines; any other text under any element goes.
_FHIR_WORDS = """
    final amended corrected preliminary registered cancelled entered-in-error unknown active completed stopped on-hold
    draft intended not-taken not-done in-progress preparation aborted finished planned arrived triaged onleave partial
    suspended revoked appended health-unknown proposal plan order original-order reflex-order filler-order
    instance-order option directive male female other high low unable-to-assess routine urgent asap stat
    medication food environment biologic allergy intolerance s min h d wk mo a
    mon tue wed thu fri sat sun MORN AFT EVE NIGHT HS WAKE AC PC
"""
_FHIR = frozenset(_FHIR_WORDS.split())
_REFERENCES_WORDS = """
    subject patient encounter medicationReference hasMember derivedFrom result partOf basedOn
"""
_REFERENCES = frozenset(_REFERENCES_WORDS.split())
_NEVER_WORDS = """
    text identifier name telecom address contact photo note comment extension modifierExtension meta
    implicitRules language author performer recorder asserter requester participant generalPractitioner
    managingOrganization serviceProvider location content attachment presentedForm data url communication link
    instantiatesUri description patientInstruction conclusion lotNumber sentences multipleBirthInteger
    multipleBirthBoolean device
"""
_NEVER = frozenset(_NEVER_WORDS.split())
_CODE = re.compile(r"[A-Za-z0-9.\-_:+]{1,40}\Z")
_UNIT = re.compile(r"[A-Za-z0-9%/\[\]{}.*^µ°' ()_-]{1,30}\Z")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2}(T[0-9:.]+(Z|[+-]\d{2}:\d{2})?)?)?)?\Z")
Dates = Literal["year", "shift"]
OLDEST = 89


@dataclass(frozen=True, slots=True)
class Mask:
    """key: secret; who holds it can link the export to other exports, nobody can go back. dates: "year" is Safe Harbor;
    "shift" moves all dates of a person by one number of days (1 to 365 back): an expert has to determine that this is
    enough. today: for ages; 90 and older are one group."""

    key: bytes
    today: date
    dates: Dates = "year"

    def id(self, reference: str) -> str:
        """A keyed hash of "Type/id"."""
        return hmac.new(self.key, reference.encode(), hashlib.sha256).hexdigest()[:32]

    def shift(self, person: str) -> timedelta:
        number = int.from_bytes(
            hmac.new(self.key, b"shift" + person.encode(), hashlib.sha256).digest()[:4], "big"
        )
        return timedelta(days=1 + number % 365)


def deidentify(resource: Mapping[str, Any], mask: Mask) -> dict[str, Any] | None:
    """None for a type that is not exported, or a resource without an id or without its person."""
    type_, id_ = resource.get("resourceType"), resource.get("id")
    if type_ not in TYPES or not isinstance(id_, str):
        return None
    person = _plain(subject_of(resource)) if type_ not in ("Medication",) else ""
    if type_ != "Medication" and not person.startswith("Patient/"):
        return None
    kept = _object(resource, mask, person)
    kept |= {"resourceType": type_, "id": mask.id(f"{type_}/{id_}")}
    if type_ == "Patient":
        kept |= _person(resource, mask)
    return kept


def _person(patient: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """Year of birth (90 and older as 90), state of residence."""
    found: dict[str, Any] = {}
    born = patient.get("birthDate")
    if isinstance(born, str) and born[:4].isdigit():
        found["birthDate"] = str(max(int(born[:4]), mask.today.year - OLDEST - 1))
    addresses = patient.get("address")
    first = (
        addresses[0] if isinstance(addresses, list) and addresses and isinstance(addresses[0], dict) else {}
    )
    state = first.get("state")
    if isinstance(state, str) and re.fullmatch(r"[A-Z]{2}", state):
        found["address"] = [{"state": state}]
    return found


def _object(given: Mapping[str, Any], mask: Mask, person: str) -> dict[str, Any]:
    kept = {}
    for key, value in given.items():
        if key in _NEVER or key.startswith("_") or key in ("id", "resourceType", "birthDate", "contained"):
            continue
        found = _value(key, value, mask, person)
        if found not in (None, {}, []):
            kept[key] = found
    return kept


def _value(key: str, value: Any, mask: Mask, person: str) -> Any:
    if isinstance(value, list):
        return [v for v in (_value(key, each, mask, person) for each in value) if v not in (None, {}, [])]
    if isinstance(value, dict):
        if "reference" in value or key in _REFERENCES:
            reference = _plain(str(value.get("reference", "")))
            return _reference(reference, mask) if key in _REFERENCES and reference else None
        if "system" in value and "code" in value and "value" not in value:
            return _coding(value)
        if "value" in value and ("unit" in value or "code" in value or "system" in value):
            return _quantity(value)
        return _object(value, mask, person)
    if isinstance(value, str):
        return _string(value, mask, person)
    return value if isinstance(value, bool | int | float) or value is None or _is_number(value) else None


def _string(value: str, mask: Mask, person: str) -> str | None:
    if _DATE.match(value):
        return _date(value, mask, person)
    return value if value in _FHIR else None


def _coding(value: Mapping[str, Any]) -> dict[str, Any] | None:
    system, code = value.get("system"), value.get("code")
    if (
        not isinstance(system, str)
        or not system.startswith(_PUBLIC)
        or not isinstance(code, str)
        or not _CODE.match(code)
    ):
        return None
    return {"system": system, "code": code}  # no display: it is free text


def _quantity(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: value[k] for k in ("value",) if _is_number(value.get(k))}
    for key, pattern in (("unit", _UNIT), ("code", _UNIT), ("comparator", re.compile(r"[<>]=?\Z"))):
        text = value.get(key)
        if isinstance(text, str) and pattern.match(text):
            kept[key] = text
    if value.get("system") == "http://unitsofmeasure.org":
        kept["system"] = value["system"]
    return kept


def _date(value: str, mask: Mask, person: str) -> str | None:
    if mask.dates == "year" or len(value) < 10:
        return value[:4]
    try:
        return (date.fromisoformat(value[:10]) - mask.shift(person)).isoformat()
    except ValueError:
        return value[:4]


def _reference(reference: str, mask: Mask) -> dict[str, str] | None:
    type_ = reference.split("/")[0]
    return {"reference": f"{type_}/{mask.id(reference)}"} if type_ in TYPES else None


def _plain(reference: str) -> str:
    """ "Type/id" of a literal reference, whatever its base and version; "" else."""
    match = re.search(r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?\Z", reference)
    return match[1] if match else ""


def _is_number(value: Any) -> bool:
    return not isinstance(value, str | bool | dict | list) and value is not None
