"""Taking a proposal of ours back: never deleted, its status says so, with the reason (CP-2, ID-6; table 1.1)."""

from __future__ import annotations

from typing import Any

from fhir_twin.fhir.narrative import paragraph, strong

Json = dict[str, Any]

REASON = "No longer proposed: the patient's data or the knowledge behind it changed (fhir-twin)"
STATUS_REASON = "http://hl7.org/fhir/StructureDefinition/request-statusReason"

_STATUS = {
    "CarePlan": ("status", "revoked"),
    "MedicationRequest": ("status", "cancelled"),
    "ServiceRequest": ("status", "revoked"),
    "NutritionOrder": ("status", "revoked"),
    "CommunicationRequest": ("status", "revoked"),
    "RequestGroup": ("status", "revoked"),
    "Goal": ("lifecycleStatus", "cancelled"),
    "RiskAssessment": ("status", "cancelled"),
    "DetectedIssue": ("status", "cancelled"),
    "GuidanceResponse": ("status", "success"),
    "DocumentReference": ("status", "superseded"),
}


def can_withdraw(type_: str) -> bool:
    return type_ in _STATUS


def is_withdrawn(resource: Json) -> bool:
    place, status = _STATUS.get(str(resource.get("resourceType")), ("status", ""))
    return resource.get(place) == status


def withdrawn(resource: Json) -> Json:
    """`resource` as withdrawn, ready to be sent under its id."""
    type_ = str(resource["resourceType"])
    place, status = _STATUS[type_]
    taken = {**resource, place: status}
    if type_ in ("MedicationRequest", "CommunicationRequest"):
        taken["statusReason"] = {"text": REASON}
    elif type_ == "Goal":
        taken["statusReason"] = REASON
    elif type_ in ("ServiceRequest", "NutritionOrder"):  # where R4 allows the extension
        taken = _extended(taken)
    elif type_ in ("CarePlan", "RequestGroup", "RiskAssessment", "GuidanceResponse"):
        taken["note"] = [*_list(resource, "note"), {"text": REASON}]
    elif type_ == "DetectedIssue":
        taken["detail"] = f"{resource.get('detail', '')}\n{REASON}".strip()
    if type_ == "GuidanceResponse":
        taken.pop("dataRequirement", None)
    return _marked(taken)


def _extended(resource: Json) -> Json:
    reason = {"url": STATUS_REASON, "valueCodeableConcept": {"text": REASON}}
    others = [e for e in _list(resource, "extension") if e.get("url") != STATUS_REASON]
    return {**resource, "extension": [*others, reason]}


def _marked(resource: Json) -> Json:
    """The narrative must not go on looking like an open proposal."""
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    if (
        not isinstance(text, dict)
        or not isinstance(div, str)
        or ">" not in div
        or div.rstrip().endswith("/>")
    ):
        return resource
    opening, rest = div.split(">", 1)
    notice = paragraph(strong(f"WITHDRAWN. {REASON}."))
    return {**resource, "text": {**text, "div": f"{opening}>{notice}{rest}"}}


def _list(resource: Json, name: str) -> list[Json]:
    found = resource.get(name)
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []
