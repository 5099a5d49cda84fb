"""Who a resource of ours is: deterministic identifiers, urn:uuid names for transactions, and source references.

A key is the hash of (server base, patient, programme, what the item means): the same in every run, on every
machine, and free of patient data (ID-1, ID-2, ID-9). A *generation* above 1 exists when a clinician took the
earlier one over (ID-3).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass, replace

from fhir_twin.fhir.systems import identifier_system

PROGRAMME = "plan"
KIND_OF_TYPE = {
    "Device": "device",
    "Goal": "goal",
    "MedicationRequest": "medication-request",
    "ServiceRequest": "service-request",
    "NutritionOrder": "nutrition-order",
    "CommunicationRequest": "communication-request",
    "RequestGroup": "request-group",
    "RiskAssessment": "risk",
    "DetectedIssue": "finding",
    "GuidanceResponse": "guidance",
    "CarePlan": "care-plan",
    "DocumentReference": "document",
}
# The order in which resources are written one by one: what is referred to comes first (standards.md 1.8).
WRITE_ORDER = (*KIND_OF_TYPE, "Provenance")

_GENERATION = re.compile(r"^([0-9a-f]{32})(?:-g([1-9][0-9]{0,5}))?$")
_SOURCE = re.compile(r"^([A-Z][A-Za-z]{2,40})/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?$")


@dataclass(frozen=True, slots=True)
class Identity:
    """One item of ours on one server. `key`: 32 hex digits."""

    type: str
    system: str
    key: str
    generation: int = 1

    @property
    def value(self) -> str:
        return self.key if self.generation == 1 else f"{self.key}-g{self.generation}"

    @property
    def urn(self) -> str:
        """urn:uuid (version 5, lower case) of this identity: its fullUrl inside a transaction."""
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{self.system}|{self.value}')}"

    @property
    def query(self) -> str:
        """For conditional requests: "identifier=system|value", nothing else (interop.md E5)."""
        return f"identifier={self.system}|{self.value}"

    def at(self, generation: int) -> Identity:
        return replace(self, generation=generation)

    def as_json(self) -> dict[str, str]:
        return {"use": "official", "system": self.system, "value": self.value}


def identity(base: str, patient: str, type_: str, item: str) -> Identity:
    """Identity of `item` (its stable meaning, "goal/ldl") of type `type_` for patient id `patient`.

    Devices belong to no patient: pass ""."""
    base = base.rstrip("/")
    parts = "\x1f".join((base, patient, PROGRAMME, type_, item))
    key = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Identity(type_, identifier_system(base, KIND_OF_TYPE[type_]), key)


def identity_of(resource: dict[str, object]) -> Identity | None:
    """The identity that `resource` carries, None when it is not one of ours (or its identifiers are odd)."""
    type_ = resource.get("resourceType")
    identifiers = resource.get("identifier")
    if not isinstance(type_, str) or not isinstance(identifiers, list):
        return None
    ending = f"/ids/fhir-twin-{KIND_OF_TYPE.get(type_, '-')}"
    for one in identifiers:
        system, value = (one.get("system"), one.get("value")) if isinstance(one, dict) else (None, None)
        if isinstance(system, str) and isinstance(value, str) and system.endswith(ending):
            match = _GENERATION.match(value)
            if match:
                return Identity(type_, system, match[1], int(match[2] or 1))
    return None


def item_identifier(own: Identity, item: str) -> dict[str, str]:
    """Which proposal this is, in words that a later run can read (the key is a hash): "<key>/<item>"."""
    base = own.system.removesuffix(f"/ids/fhir-twin-{KIND_OF_TYPE[own.type]}")
    return {"use": "secondary", "system": identifier_system(base, "item"), "value": f"{own.key}/{item}"}


def item_of(resource: dict[str, object]) -> str:
    """What `item_identifier` said, without the number of equal keys ("statin~2"); "" when it says nothing."""
    identifiers = resource.get("identifier")
    for one in identifiers if isinstance(identifiers, list) else ():
        system, value = (one.get("system"), one.get("value")) if isinstance(one, dict) else (None, None)
        if isinstance(system, str) and system.endswith("/ids/fhir-twin-item") and isinstance(value, str):
            return re.sub(r"~[0-9]+$", "", value.partition("/")[2])
    return ""


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A source of the record, taken apart: "Observation/123/_history/2"."""

    type: str
    id: str
    version: str = ""

    @property
    def reference(self) -> str:
        """Relative and without version: "Observation/123"."""
        return f"{self.type}/{self.id}"

    @property
    def versioned(self) -> str:
        return f"{self.reference}/_history/{self.version}" if self.version else self.reference


def parse_source(source: str) -> SourceRef | None:
    """A real server reference, or None: urn:uuid, "#contained" and anything else cannot be referred to."""
    match = _SOURCE.match(source)
    return SourceRef(match[1], match[2], match[3] or "") if match else None


def patient_id(subject: str) -> str:
    """The bare id of `subject` ("Patient/12", "Patient/12/_history/3", "12"); "" when there is none."""
    parsed = parse_source(subject)
    if parsed is not None:
        return parsed.id if parsed.type == "Patient" else ""
    return subject if re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", subject) else ""
