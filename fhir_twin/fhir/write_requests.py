"""Proposals: MedicationRequest, ServiceRequest, NutritionOrder, CommunicationRequest (PR-1 to PR-4).

Always draft, always intent proposal (CP-1); "stop" and "avoid" carry doNotPerform.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_twin.fhir.identity import Identity, item_identifier, parse_source
from fhir_twin.fhir.write_context import Context, refer
from fhir_twin.fhir.write_elements import (
    clean,
    compact,
    concept,
    line,
    note,
    number,
    reference,
    references,
)
from fhir_twin.fhir.write_goal import cited
from fhir_twin.fhir.write_words import expected_words, sentence, standing_words
from fhir_twin.model.codes import NDC, RXNORM, SNOMED, UCUM
from fhir_twin.model.plan import Recommendation

Json = dict[str, Any]

PERTAINS_TO_GOAL = "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal"
RATIONALE = "http://hl7.org/fhir/uv/cpg/StructureDefinition/cpg-rationale"
_CATEGORY = {
    "test": (SNOMED, "108252007", "Laboratory procedure"),
    "lifestyle": (SNOMED, "409063005", "Counseling"),
    "education": (SNOMED, "409073007", "Education"),
}
_DIETS = ("diet", "salt", "sodium", "nutrition")
_DOSE_UNITS = {
    "mg": "mg",
    "g": "g",
    "ug": "ug",
    "mcg": "ug",
    "mL": "mL",
    "ml": "mL",
    "unit": "[IU]",
    "units": "[IU]",
}


def request_type(rec: Recommendation) -> str:
    """The R4 type that carries this proposal."""
    drug = any(c.system in (RXNORM, NDC) for c in rec.code.codings)
    if rec.kind == "medication" or (rec.kind == "stop" and (drug or _ordered_drug(rec))):
        return "MedicationRequest"
    if rec.kind == "education":
        return "CommunicationRequest"
    words = set(rec.key.replace("/", "-").split("-"))
    # A NutritionOrder cannot say "do not" (PR-1): advice against something stays a ServiceRequest.
    if rec.kind == "lifestyle" and words & set(_DIETS) and not rec.stop:
        return "NutritionOrder"
    return "ServiceRequest"


def request_item(rec: Recommendation) -> str:
    """A proposal made anew after it was declined is another item: the declined one stays as it is."""
    return f"proposal/{rec.key}" if rec.round == 1 else f"proposal/{rec.key}#{rec.round}"


def request_identity(rec: Recommendation, context: Context) -> Identity:
    return context.identity(request_type(rec), request_item(rec))


def write_request(rec: Recommendation, context: Context, goals: dict[str, Json]) -> Json:
    """The proposal as a draft. goals: reference to each goal by key."""
    writer = {
        "MedicationRequest": _medication_request,
        "NutritionOrder": _nutrition_order,
        "CommunicationRequest": _communication_request,
        "ServiceRequest": _service_request,
    }[request_type(rec)]
    shared = context.start(request_type(rec), request_item(rec))
    shared["identifier"].append(item_identifier(request_identity(rec, context), rec.key))
    shared["extension"] = [
        {"url": RATIONALE, "valueMarkdown": clean(_why(rec))} if _why(rec) else {},
        *({"url": PERTAINS_TO_GOAL, "valueReference": goals[g]} for g in rec.goals if g in goals),
    ]
    return compact({**shared, "status": "draft", **writer(rec, context)})


def rationale_notes(rec: Recommendation) -> list[Json]:
    """Why, what to expect, harms, cautions, monitoring, evidence: the proposal read alone must be safe."""
    parts = [
        _join("Why", (reason.text for reason in rec.why)),
        _join("Expected", expected_words(rec)),
        _join("Harms", rec.harms),
        _join("Caution", (c.text for c in rec.cautions)),
        _join("Monitor", rec.monitoring),
        _join("Assumed", rec.assumptions),
        _join("Would change this", rec.what_would_change),
        _join("Compared", standing_words(rec)),
        _join("Preference", rec.preference),
        _join("Evidence", (cited(c) for c in rec.citations)),
        f"Strength {rec.strength or 'not graded'}, certainty {rec.certainty or 'not graded'}",
    ]
    return note("\n".join(p for p in parts if p))


def _join(label: str, texts: Iterable[str]) -> str:
    said = sentence(map(line, texts))
    return f"{label}: {said}" if said else ""


def _why(rec: Recommendation) -> str:
    return sentence(line(reason.text) for reason in rec.why)


def _ordered_drug(rec: Recommendation) -> bool:
    places = [parse_source(s) for s in (rec.replaces, *rec.sources) if s]
    return any(p and p.type in ("MedicationRequest", "MedicationStatement") for p in places)


def _evidence(rec: Recommendation) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*rec.sources, *(s for r in (*rec.why, *rec.cautions) for s in r.sources))))


def _reasons(rec: Recommendation) -> list[Json]:
    return references((*rec.addresses, *_evidence(rec)), "Condition", "Observation")


def _inputs(rec: Recommendation) -> list[Json]:
    """Every input that is a real resource and not already given as a reason."""
    given = {r.get("reference") for r in _reasons(rec)}
    return [r for r in references(_evidence(rec)) if "reference" in r and r["reference"] not in given]


def _medication_request(rec: Recommendation, context: Context) -> Json:
    replaced = parse_source(rec.replaces) if rec.replaces else None
    prior = reference(rec.replaces) if replaced and replaced.type == "MedicationRequest" else {}
    return {
        "intent": "proposal",
        "doNotPerform": True if rec.stop or rec.kind == "stop" else None,
        "medicationCodeableConcept": concept(rec.code, rec.title),
        "subject": context.subject,
        "supportingInformation": _inputs(rec),
        "authoredOn": context.when,
        "requester": refer(context.device, "fhir-twin"),
        "reasonReference": _reasons(rec),
        "note": rationale_notes(rec),
        "dosageInstruction": [] if rec.stop else _dosage(rec),
        "priorPrescription": prior,
    }


def _dosage(rec: Recommendation) -> list[Json]:
    dose: Json = {"text": clean(rec.dose_text)}
    if rec.dose_amount is not None:
        unit = line(rec.dose_unit)
        ucum = _DOSE_UNITS.get(unit, "")
        amount = {
            "value": number(rec.dose_amount),
            "unit": unit,
            "system": UCUM if ucum else "",
            "code": ucum,
        }
        dose["doseAndRate"] = [{"doseQuantity": amount}]
    timing = _timing(rec.dose_per_day)
    if timing:
        dose["timing"] = {"repeat": timing}
    return [d for d in [compact(dose)] if d]


def _timing(per_day: float | None) -> Json:
    """How often, as whole numbers: 2 a day, or 1 every 7 days. {} when it cannot be said exactly."""
    if per_day is None or per_day <= 0:
        return {}
    if per_day >= 1:
        return {"frequency": int(per_day), "period": 1, "periodUnit": "d"} if per_day == int(per_day) else {}
    days = 1.0 / per_day
    if abs(days - round(days)) > 0.01:
        return {}
    return {"frequency": 1, "period": round(days), "periodUnit": "d"}


def _service_request(rec: Recommendation, context: Context) -> Json:
    known = _CATEGORY.get(rec.kind)
    category: Json = {"text": rec.kind.capitalize()}
    if known:
        category["coding"] = [{"system": known[0], "code": known[1], "display": known[2]}]
    return {
        "intent": "proposal",
        "doNotPerform": True if rec.stop or rec.kind == "stop" else None,
        "category": [category],
        "code": concept(rec.code, rec.title),
        "subject": context.subject,
        "authoredOn": context.when,
        "requester": refer(context.device, "fhir-twin"),
        "reasonReference": _reasons(rec),
        "supportingInfo": _inputs(rec),
        "note": rationale_notes(rec),
        "patientInstruction": clean(rec.patient_text),
    }


def _nutrition_order(rec: Recommendation, context: Context) -> Json:
    """No reason fields and no orderer for software (PR-4): the reasons stand in the note."""
    return {
        "intent": "proposal",
        "patient": context.subject,
        "dateTime": context.when,
        "oralDiet": {
            "type": [concept(rec.code, rec.title)],
            "instruction": clean(rec.patient_text) or clean(rec.title),
        },
        "note": rationale_notes(rec),
    }


def _communication_request(rec: Recommendation, context: Context) -> Json:
    """R4 gives it no intent element."""
    words = clean(rec.patient_text) or clean(rec.title)
    return {
        "doNotPerform": True if rec.stop else None,
        "category": [{"text": "Education"}],
        "subject": context.subject,
        "about": _inputs(rec),
        "payload": [{"contentString": words}] if words else [],
        "authoredOn": context.when,
        "recipient": [context.subject],
        "sender": refer(context.device, "fhir-twin"),
        "reasonCode": [concept(rec.code, rec.title)],
        "reasonReference": _reasons(rec),
        "note": rationale_notes(rec),
    }
