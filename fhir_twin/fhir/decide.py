"""A person's decisions as FHIR: the draft request accepted, edited or declined; a Goal set; a preference stated.

What is changed keeps the digest of the draft (fhir/digest.py), so that later runs see that a person decided and leave
it alone (ID-3), and `read_fate` reads the answer back. Nothing here activates the CarePlan: that stays a draft.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.identity import identity_of, item_of
from fhir_twin.fhir.references import swap_references
from fhir_twin.fhir.systems import GOAL_PRIORITY, HOME, OBSERVATION_CATEGORY, V3_ACT_REASON
from fhir_twin.fhir.withdraw import REASON, STATUS_REASON
from fhir_twin.fhir.write_elements import clean, compact, instant, line, number
from fhir_twin.model.codes import LOINC, UCUM
from fhir_twin.model.decision import Decision

Json = dict[str, Any]
PREFERENCES = f"{HOME}/CodeSystem/preference"
PREFERENCE_CODE = ("75773-2", "Goals, preferences, and priorities for medical treatment [Reported]")
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_DECLINED = {"MedicationRequest": "cancelled"}
_WITH_STATUS_REASON = frozenset({"MedicationRequest", "CommunicationRequest"})
PRIORITIES = {
    "high-priority": "High Priority",
    "medium-priority": "Medium Priority",
    "low-priority": "Low Priority",
}
LIFECYCLE = ("proposed", "accepted", "active", "on-hold", "completed", "cancelled")
REQUESTS = frozenset({"MedicationRequest", "ServiceRequest", "NutritionOrder", "CommunicationRequest"})


@dataclass(frozen=True, slots=True)
class GoalTarget:
    """What is measured (LOINC code and name), and the number to reach in a unit (words and UCUM)."""

    code: str
    name: str
    comparator: str
    value: Decimal
    unit: str
    ucum: str


def is_request_for(resource: Json, item: str) -> bool:
    """A proposal of ours for `item` (Recommendation.key)."""
    return (
        resource.get("resourceType") in REQUESTS
        and identity_of(resource) is not None
        and item_of(resource) == item
    )


def decided(resource: Json, decision: Decision, by: str, when: datetime) -> Json:
    """The request as a person decided on it. by: a reference like "Practitioner/1", "" = not known.

    Accepted: status active (intent stays proposal: the order itself is signed in the EHR). Declined: cancelled or
    revoked with the reason. Server metadata is left out."""
    type_ = str(resource["resourceType"])
    meta = {k: v for k, v in resource.get("meta", {}).items() if k in ("profile", "security", "tag")}
    kept = {**resource, "meta": meta}
    if decision.action == "accept":
        return compact({**_without_reason(kept), "status": "active", **_edited(kept, decision, by, when)})
    words = line(f"{decision.reason}{': ' if decision.reason and decision.note else ''}{decision.note}")
    if not words:
        raise InvalidInput("a proposal is declined with a reason")
    taken = {**_without_reason(kept), "status": _DECLINED.get(type_, "revoked")}
    if type_ in _WITH_STATUS_REASON:
        return compact({**taken, "statusReason": {"text": words}})
    others = taken.get("extension", [])
    why = {"url": STATUS_REASON, "valueCodeableConcept": {"text": words}}
    return compact({**taken, "extension": [*others, why]})


def _without_reason(resource: Json) -> Json:
    """Without an earlier answer's reason, and without our own notice of withdrawal."""
    kept = {k: v for k, v in resource.items() if k != "statusReason"}
    if "extension" in kept:
        kept["extension"] = [e for e in kept["extension"] if e.get("url") != STATUS_REASON]
    if "note" in kept:
        kept["note"] = [n for n in kept["note"] if n.get("text") != REASON]
    return kept


def _edited(resource: Json, decision: Decision, by: str, when: datetime) -> Json:
    changed: Json = {}
    if decision.dose and resource["resourceType"] == "MedicationRequest":
        changed["dosageInstruction"] = [{"text": clean(decision.dose)}]
    words = [f"Edited by a clinician: {decision.dose}"] if decision.dose else []
    words += [decision.note] if decision.note else []
    if words and resource["resourceType"] in REQUESTS:
        author = {"authorReference": {"reference": by}} if by else {}
        added = {**author, "time": instant(when), "text": clean("\n".join(words))}
        changed["note"] = [*resource.get("note", []), added]
    return changed


def standalone(resource: Json) -> Json:
    """The same with references inside a transaction (urn:uuid) kept as identifiers only, to be sent by itself."""

    def swap(reference: Json) -> Json | None:
        if not reference["reference"].startswith("urn:"):
            return reference
        rest = {k: v for k, v in reference.items() if k != "reference"}
        return rest or None

    pointed: Json = swap_references(resource, swap)
    return pointed


def goal(
    before: Json | None,
    *,
    patient: str,
    words: str,
    status: str,
    priority: str,
    targets: tuple[GoalTarget, ...],
    by: str,
    when: datetime,
) -> Json:
    """A Goal as a person set it: an existing one changed in these elements only, or a new one.

    targets: what is to be reached; () leaves the targets of an existing goal as they are. Raises InvalidInput for an
    unknown status or priority, or for a goal that says nothing."""
    known = all(t.comparator in ("", "<", "<=", ">", ">=") for t in targets)
    if status not in LIFECYCLE or priority not in ("", *PRIORITIES) or not known:
        raise InvalidInput("status, priority or comparator of the goal is none of those offered")
    if not line(words):
        raise InvalidInput("a goal needs words")
    changed: Json = (
        dict(before)
        if before is not None
        else {"resourceType": "Goal", "subject": {"reference": f"Patient/{patient}"}}
    )
    changed["meta"] = {
        k: v for k, v in changed.get("meta", {}).items() if k in ("profile", "security", "tag")
    }
    changed["lifecycleStatus"] = status
    changed["statusDate"] = when.date().isoformat()
    if line(words) != line(str((changed.get("description") or {}).get("text", ""))):
        changed["description"] = {"text": line(words)}
    if priority:
        changed["priority"] = {
            "coding": [{"system": GOAL_PRIORITY, "code": priority, "display": PRIORITIES[priority]}]
        }
    if before is None:
        changed["startDate"] = when.date().isoformat()
        if by:
            changed["expressedBy"] = {"reference": by}
    if targets:
        listed = changed.get("target")
        before_targets = [t for t in listed if isinstance(t, dict)] if isinstance(listed, list) else []
        changed["target"] = [_target(t, before_targets) for t in targets]
    return compact(changed)


def _target(target: GoalTarget, before: list[Json]) -> Json:
    """In place of the target of the same measure, whose due date stays."""
    same = next((t for t in before if target.code in _codes(t.get("measure"))), {})
    kept = {k: v for k, v in same.items() if not k.startswith("detail")}
    measure = {
        "coding": [{"system": LOINC, "code": target.code, "display": target.name}],
        "text": target.name,
    }
    detail = {
        "value": number(target.value),
        "comparator": target.comparator,
        "unit": target.unit,
        "system": UCUM,
        "code": target.ucum,
    }
    return {"measure": measure, **kept, "detailQuantity": compact(detail)}


def _codes(measure: Any) -> set[str]:
    codings = measure.get("coding") if isinstance(measure, dict) else None
    return (
        {str(c.get("code")) for c in codings if isinstance(c, dict)} if isinstance(codings, list) else set()
    )


def preference(key: str, label: str, *, stated: bool, patient: str, by: str, when: datetime) -> Json:
    """A statement of what the patient asks for, or that it no longer holds (docs/preferences.md).

    label: for a statement the words of it; to take one back the word that it is about."""
    answer: Json = (
        {
            "valueCodeableConcept": {
                "coding": [{"system": PREFERENCES, "code": key, "display": label}],
                "text": label,
            }
        }
        if stated
        else {"valueString": f"No preference: {label}"}
    )
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": OBSERVATION_CATEGORY, "code": "survey", "display": "Survey"}]}],
        "code": {"coding": [{"system": LOINC, "code": PREFERENCE_CODE[0], "display": PREFERENCE_CODE[1]}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": instant(when),
        **({"performer": [{"reference": by}]} if by else {}),
        **answer,
    }


def decision_provenance(targets: list[str], by: str, when: datetime, *, organization: str) -> Json:
    """Who decided, when, about what. targets: "MedicationRequest/12". A person's name is never guessed: without a login
    it says so."""
    who: Json = {"reference": by} if by else {"display": "A user of fhir-twin who was not logged in"}
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
        "recorded": instant(when),
        "activity": {"coding": [{"system": OPERATION, "code": "UPDATE", "display": "revise"}]},
        "reason": [{"coding": [{"system": V3_ACT_REASON, "code": "TREAT", "display": "treatment"}]}],
        "agent": [
            {
                "type": {"coding": [{"system": PARTICIPANT, "code": "author", "display": "Author"}]},
                "who": who,
                "onBehalfOf": {"display": organization},
            }
        ],
    }
