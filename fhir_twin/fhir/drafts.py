"""Draft orders of a CDS Hooks call, and proposals as its suggestions."""

from __future__ import annotations

from typing import Any

from fhir_twin.fhir.references import swap_references
from fhir_twin.fhir.write_context import WriteOptions, context_of
from fhir_twin.fhir.write_requests import write_request
from fhir_twin.fhir.write_text import with_text
from fhir_twin.model.plan import Plan, Recommendation

Json = dict[str, Any]
DRUG_ORDER = "MedicationRequest"
# Who wrote it and where it stands says nothing about whether it is safe; a draft of ours is judged like any other.
_ASIDE = ("meta", "identifier", "authoredOn", "statusReason", "intent", "status", "doNotPerform")


def as_if_signed(resource: Json) -> Json:
    """A draft order as it would be once signed, for judging it; other resources as they are."""
    if resource.get("resourceType") != DRUG_ORDER:
        return resource
    kept = {k: v for k, v in resource.items() if k not in _ASIDE}
    return {**kept, "status": "active", "intent": "order"}


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
