"""Draft orders of a CDS Hooks call, and proposals as its suggestions."""

from __future__ import annotations

from typing import Any

from fhir_twin.fhir.elements import system_uri
from fhir_twin.fhir.references import swap_references
from fhir_twin.fhir.write_context import WriteOptions, context_of
from fhir_twin.fhir.write_requests import write_request
from fhir_twin.fhir.write_text import with_text
from fhir_twin.model.codes import Coding
from fhir_twin.model.order_rules import DraftOrder
from fhir_twin.model.plan import Plan, Recommendation

Json = dict[str, Any]
DRUG_ORDER = "MedicationRequest"
# Who wrote it and where it stands says nothing about whether it is safe; a draft of ours is judged like any other.
_ASIDE = ("meta", "identifier", "authoredOn", "statusReason", "intent", "status", "doNotPerform")
# Where the orders of each type say what is ordered.
_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "ServiceRequest": (("code",), ("orderDetail",)),
    "DeviceRequest": (("codeCodeableConcept",), ("codeReference",)),
    "NutritionOrder": (
        ("oralDiet", "type"),
        ("supplement", "type"),
        ("enteralFormula", "baseFormulaType"),
    ),
    "VisionPrescription": (("lensSpecification", "product"),),
    "CommunicationRequest": (("category",),),
}


def as_if_signed(resource: Json) -> Json:
    """A draft order as it would be once signed, for judging it; other resources as they are."""
    if resource.get("resourceType") != DRUG_ORDER:
        return resource
    kept = {k: v for k, v in resource.items() if k not in _ASIDE}
    return {**kept, "status": "active", "intent": "order"}


def read_order(resource: Json) -> DraftOrder:
    """An order that is no drug, in its own words, whatever is odd in it. Notes and reasons are not read."""
    type_ = str(resource.get("resourceType", ""))
    concepts = [c for path in _NAMES.get(type_, (("code",),)) for c in _at(resource, path)]
    words = list(dict.fromkeys(w for c in concepts for w in _words(c)))
    codes = [
        c for concept in concepts for c in _list(concept.get("coding")) if isinstance(c.get("code"), str)
    ]
    codings = tuple(Coding(system_uri(_text(c.get("system"))), c["code"].strip(), "") for c in codes)
    label = words[0] if words else next((c.code for c in codings), "")
    return DraftOrder(f"{type_}/{resource.get('id')}", type_, label[:200], tuple(words), codings)


def _at(resource: Json, path: tuple[str, ...]) -> list[Json]:
    found: list[Json] = [resource]
    for name in path:
        found = [value for each in found for value in _list(each.get(name))]
    return found


def _list(value: Any) -> list[Json]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, dict)]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _words(concept: Json) -> list[str]:
    """Text first, then displays (of a reference too)."""
    given = (
        concept.get("text"),
        concept.get("display"),
        *(c.get("display") for c in _list(concept.get("coding"))),
    )
    return [text for value in given if (text := _text(value))]


def as_suggestion(
    rec: Recommendation, plan: Plan, base: str, options: WriteOptions, *, intent: str = "proposal"
) -> Json:
    """The proposal as a resource that a CDS Hooks client may create (CR-4): draft, no id, and every reference is to
    something that is on the server. intent: that of the draft orders it is offered beside."""
    context = context_of(plan.subject, plan.as_of, plan.model_version, base, options)
    resource = write_request(rec, context, {})
    if "intent" in resource:
        resource["intent"] = intent
    swapped: Json = swap_references(resource, _only_on_server)
    return with_text(swapped)


def _only_on_server(reference: Json) -> Json | None:
    """Our Device and Goals are not there (yet): their identifier says who they are."""
    if not str(reference["reference"]).startswith("urn:"):
        return reference
    kept = {k: v for k, v in reference.items() if k != "reference"}
    return kept if "identifier" in kept else None
