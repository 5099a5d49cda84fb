"""What we can propose, as FHIR knowledge: one PlanDefinition, an ActivityDefinition per intervention, one Library.

They are derived from mappings/interventions, carry its citations, and a CarePlan's `instantiatesCanonical` points to
the PlanDefinition (CP-19). Version = the knowledge digest, so that a plan names the exact knowledge it rests on.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from fhir_twin.fhir.systems import HOME
from fhir_twin.fhir.write_elements import compact
from fhir_twin.model.codes import SNOMED
from fhir_twin.model.intervention import Dose, Evidence, Intervention, Interventions

Json = dict[str, Any]
PLAN_ID = "prevention"
LIBRARY_ID = "interventions"
_KINDS = {
    "medication": "MedicationRequest",
    "stop": "MedicationRequest",
    "lifestyle": "ServiceRequest",
    "test": "ServiceRequest",
    "screening": "ServiceRequest",
    "referral": "ServiceRequest",
    "education": "CommunicationRequest",
}


def canonical(type_: str, id_: str, version: str = "") -> str:
    """`url|version` of one of ours; the bare url without a version."""
    url = f"{HOME}/{type_}/{id_}"
    return f"{url}|{version}" if version else url


def definitions(interventions: Interventions, version: str, date: str) -> dict[tuple[str, str], Json]:
    """All definition resources by (type, id). date: ISO date of the knowledge's release."""
    found = {("PlanDefinition", PLAN_ID): plan_definition(interventions, version, date)}
    found["Library", LIBRARY_ID] = library(interventions, version, date)
    for item in interventions.items:
        found["ActivityDefinition", item.key] = activity_definition(item, version, date)
    return found


def plan_definition(interventions: Interventions, version: str, date: str) -> Json:
    """The whole choice: any number of the interventions, each with its indication and its evidence."""
    return {
        **_head("PlanDefinition", PLAN_ID, version, date),
        "title": "Prevention of cardiovascular, kidney and metabolic disease",
        "type": _coding("http://terminology.hl7.org/CodeSystem/plan-definition-type", "clinical-protocol"),
        "description": "The options that fhir-twin simulates for an adult, filtered by safety, ranked by expected "
        "benefit. Applying it gives a draft CarePlan of intent proposal.",
        "usage": "Decision support; a clinician decides on each proposal.",
        "library": [canonical("Library", LIBRARY_ID, version)],
        "action": [_action(item, version) for item in interventions.items],
    }


def activity_definition(item: Intervention, version: str, date: str) -> Json:
    """One intervention at its starting dose."""
    dose = next((d for d in item.doses if d.key == item.starter), None)
    kind = _KINDS[item.kind]
    return compact(
        {
            **_head("ActivityDefinition", item.key, version, date),
            "title": item.title,
            "description": item.patient_text or item.title,
            "purpose": item.indication_text,
            "relatedArtifact": _artifacts(item),
            "kind": kind,
            "intent": "proposal",
            "doNotPerform": True if item.kind == "stop" else None,
            **_code(item, dose, kind),
            "dosage": [{"text": dose.text}] if dose and dose.text and kind == "MedicationRequest" else [],
        }
    )


def library(interventions: Interventions, version: str, date: str) -> Json:
    """The logic in machine-readable form: each intervention's indication as the predicate that is evaluated."""
    logic = {item.key: item.indication for item in interventions.items}
    content = json.dumps(logic, sort_keys=True, default=_jsonable).encode()
    return {
        **_head("Library", LIBRARY_ID, version, date),
        "title": "Indications of the interventions",
        "type": _coding("http://terminology.hl7.org/CodeSystem/library-type", "logic-library"),
        "description": "Predicates over the coded chart and the twin; legend: mappings/safety/README.md.",
        "content": [{"contentType": "application/json", "data": b64encode(content).decode()}],
    }


def _action(item: Intervention, version: str) -> Json:
    return compact(
        {
            "title": item.title,
            "description": item.indication_text,
            "documentation": _artifacts(item),
            "condition": [_condition(item)] if item.indication else [],
            "type": _coding("http://terminology.hl7.org/CodeSystem/action-type", "create"),
            "definitionCanonical": canonical("ActivityDefinition", item.key, version),
        }
    )


def _condition(item: Intervention) -> Json:
    """exp-1 wants an expression; ours is the predicate itself, in its own language."""
    expression = json.dumps(item.indication, sort_keys=True, default=_jsonable)
    language = "application/vnd.fhir-twin.predicate+json"
    words = {"description": item.indication_text} if item.indication_text else {}
    return {"kind": "applicability", "expression": {**words, "language": language, "expression": expression}}


def _code(item: Intervention, dose: Dose | None, kind: str) -> Json:
    coding = dose.code if dose and dose.code else next(iter(item.codes), None)
    text = dose.label if dose and dose.label else item.title
    codings = [{"system": coding.system, "code": coding.code, "display": coding.display}] if coding else []
    concept = compact({"coding": codings, "text": text})
    if kind == "MedicationRequest":
        return {"productCodeableConcept": concept}
    return {"code": concept} if coding is None or coding.system == SNOMED else {"code": {"text": text}}


def _artifacts(item: Intervention) -> list[Json]:
    return [_artifact(evidence) for evidence in item.evidence if evidence.verified]


def _artifact(evidence: Evidence) -> Json:
    url = f"https://doi.org/{evidence.doi}" if evidence.doi else evidence.url
    if not url and evidence.pmid:
        url = f"https://pubmed.ncbi.nlm.nih.gov/{evidence.pmid}/"
    words = {"display": evidence.claim, "citation": evidence.text or evidence.claim}
    return compact({"type": "citation", **words, "url": url})


def _head(type_: str, id_: str, version: str, date: str) -> Json:
    return {
        "resourceType": type_,
        "id": id_,
        "url": canonical(type_, id_),
        "version": version,
        "name": "".join(word.capitalize() for word in f"{id_}-{type_}".split("-")),
        "status": "active",
        "experimental": False,
        "date": date,
        "publisher": "fhir-twin",
    }


def _coding(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _jsonable(value: object) -> object:
    if isinstance(value, tuple | frozenset | set):
        return sorted(value, key=str) if not isinstance(value, tuple) else list(value)
    if hasattr(value, "items"):
        return dict(value.items())
    return str(value)
