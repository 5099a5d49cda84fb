"""What became of our own earlier proposals: still open, accepted, declined, or withdrawn by ourselves.

Our output is never read as data about the patient (CP-4); what a clinician did to it is worth knowing all the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fhir_twin.fhir.context import Context
from fhir_twin.fhir.digest import digest, stated
from fhir_twin.fhir.identity import KIND_OF_TYPE, identity_of, item_of
from fhir_twin.fhir.withdraw import REASON, STATUS_REASON
from fhir_twin.model.chart import Proposal

Json = dict[str, Any]
TYPES = frozenset({"MedicationRequest", "ServiceRequest", "NutritionOrder", "CommunicationRequest"})
_ACCEPTED = frozenset({"active", "on-hold", "completed"})
# "rejected" is no request status of R4, but servers send it.
_DECLINED = frozenset({"cancelled", "revoked", "rejected", "stopped", "entered-in-error"})


def read_fate(raw: Json, source: str, context: Context) -> Proposal | None:
    """The fate of a proposal of ours; None for anything else, for what changed after as_of, and for a status that
    tells nothing."""
    own = identity_of(raw)
    if own is None or own.type not in TYPES:
        return None
    status = str(raw.get("status", "")).strip().lower()
    when = _when(raw, source, context)
    if when is not None and when > context.as_of:
        return None
    reason = _reason(raw)
    base = own.system.removesuffix(f"/ids/fhir-twin-{KIND_OF_TYPE[own.type]}")
    said = stated(raw)
    ours = reason == REASON or (said is not None and said.seal == digest(raw, base).seal)
    if status == "draft":
        fate = "open"
    elif status in _ACCEPTED:
        fate, ours = "accepted", False
    elif status in _DECLINED:
        fate = "withdrawn" if ours else "declined"
    else:
        return None
    words = "" if ours else reason
    return Proposal(source, own.value, own.type, status, fate, item_of(raw), words, when, ours)  # type: ignore[arg-type]


def _when(raw: Json, source: str, context: Context) -> datetime | None:
    """When the server last saw it change; when it was authored where the server does not say."""
    meta = raw.get("meta")
    updated = meta.get("lastUpdated") if isinstance(meta, dict) else None
    for text in (updated, raw.get("authoredOn"), raw.get("dateTime")):
        if isinstance(text, str):
            found = context.when(text, source, "meta.lastUpdated")
            if found is not None:
                return found.point
    return None


def _reason(raw: Json) -> str:
    """statusReason, or the extension where R4 has no such element."""
    words = _words(raw.get("statusReason"))
    extensions = raw.get("extension")
    for each in extensions if isinstance(extensions, list) else ():
        if isinstance(each, dict) and each.get("url") == STATUS_REASON:
            words = words or _words(each.get("valueCodeableConcept"))
    return words


def _words(concept: Any) -> str:
    """Text, else the first display, of a CodeableConcept; on one line, and not a letter of 100 lines."""
    if not isinstance(concept, dict):
        return ""
    codings = concept.get("coding")
    shown = [c.get("display") for c in codings if isinstance(c, dict)] if isinstance(codings, list) else []
    text = next((t for t in (concept.get("text"), *shown) if isinstance(t, str) and t.strip()), "")
    return " ".join(text.split())[:200]
