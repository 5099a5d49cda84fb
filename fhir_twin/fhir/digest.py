"""What a resource of ours says, in three short hashes kept on the resource itself (decision 0020).

    core     what is proposed (drug, dose, target ...): decides whether a clinician is bothered again
    content  all but times and server metadata: decides whether a run has anything to write (ID-7, ID-9)
    seal     everything a person could change: tells whether somebody else has edited it (ID-3)

All three see through what servers do to a resource on the way: versions cut from references (HP-5), urn:uuid turned
into ids, decimals and white space written differently, `meta` added.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from fhir_twin.fhir.identity import Identity, parse_source
from fhir_twin.fhir.narrative import plain_text
from fhir_twin.fhir.references import is_reference
from fhir_twin.fhir.systems import identifier_system, is_own_identifier_system

Json = dict[str, Any]

_SERVER = frozenset({"id", "meta", "implicitRules", "resourceType"})
# Which document a document replaces is history, not content.
_HISTORY = frozenset({"relatesTo"})
_TIMES = """
    created authored authoredOn recorded dateTime occurrenceDateTime identifiedDateTime startDate dueDate date
    whenPeriod period creation
"""
# An attachment's data is the narrative with its date, and the narrative is compared as text.
_VOLATILE = frozenset((*_TIMES.split(), "data"))
# A release of the knowledge or the model that changes no advice changes no content: the resource goes on naming the
# version that it was last written under, and no clinician's list is rewritten.
_CANONICAL = frozenset({"instantiatesCanonical", "moduleCanonical"})
_DEVICE = "fhir-twin-device"
_CORE = {
    "Goal": ("description", "target"),
    "MedicationRequest": ("medicationCodeableConcept", "dosageInstruction", "doNotPerform"),
    "ServiceRequest": ("code", "doNotPerform"),
    "NutritionOrder": ("oralDiet",),
    "CommunicationRequest": ("reasonCode", "doNotPerform"),
    "RequestGroup": ("action",),
    "RiskAssessment": ("method",),
    "DetectedIssue": ("code", "severity", "implicated"),
    "GuidanceResponse": ("dataRequirement",),
    "CarePlan": ("goal", "activity", "supportingInfo"),
    "Device": ("version",),
    "DocumentReference": ("type",),
}
# In these, only references to our own proposals and findings are the core: a new laboratory value among the
# inputs, or a risk that moved, is no new proposal.
_OWN_ONLY = frozenset({"CarePlan", "RequestGroup"})
_HASH = "[0-9a-f]{16}"
_STATED = re.compile(rf"^({_HASH})\.({_HASH})\.({_HASH})$")
_CONTENT_SYSTEM = re.compile(r"/ids/fhir-twin-content$")
_NO_CORES: Mapping[str, str] = MappingProxyType({})
_EMPTY: tuple[Any, ...] = ({}, [], "", None)


@dataclass(frozen=True, slots=True)
class Digest:
    core: str
    content: str
    seal: str

    def __str__(self) -> str:
        return f"{self.core}.{self.content}.{self.seal}"


def digest(resource: Json, base: str, cores: Mapping[str, str] = _NO_CORES) -> Digest:
    """The digest of `resource` on the server at `base`.

    cores: core hash by lasting name (without generation) of what `resource` refers to, so that a plan's core
    changes with its parts'."""
    type_ = str(resource.get("resourceType", ""))
    core = {field: resource[field] for field in _CORE.get(type_, ()) if field in resource}
    return Digest(
        _hash(_Form(base, _VOLATILE, cores, core=True, own_only=type_ in _OWN_ONLY).of(core)),
        _hash(_Form(base, _VOLATILE).of(resource, top=True)),
        _hash(_Form(base, frozenset()).of(resource, top=True)),
    )


def stated(resource: Json) -> Digest | None:
    """The digest that the resource says it had when we last wrote it; None when it carries none."""
    for one in _identifiers(resource):
        match = _STATED.match(str(one.get("value", "")))
        if match and _CONTENT_SYSTEM.search(str(one.get("system", ""))):
            return Digest(match[1], match[2], match[3])
    return None


def with_digest(resource: Json, value: Digest, base: str) -> Json:
    """A copy of `resource` that states `value`."""
    others = [i for i in _identifiers(resource) if not _CONTENT_SYSTEM.search(str(i.get("system", "")))]
    own = {"use": "secondary", "system": identifier_system(base, "content"), "value": str(value)}
    return {**resource, "identifier": [*others, own]}


def name_of(identity: Identity) -> str:
    """The lasting name that `lasting_name` gives a reference to it."""
    return f"own:{identity.system}|{identity.value}"


def lasting_name(reference: Json, base: str) -> str:
    """What a Reference means, whatever form a server gave it: "Goal:<key>-g2" for ours, else "Type/id"."""
    logical = reference.get("identifier")
    if isinstance(logical, dict) and is_own_identifier_system(str(logical.get("system", ""))):
        return f"own:{logical.get('system')}|{logical.get('value')}"
    text = str(reference.get("reference", "")).removeprefix(base.rstrip("/") + "/")
    parsed = parse_source(text) if "://" not in text else None
    return parsed.reference if parsed else text


def _identifiers(resource: Json) -> list[Json]:
    found = resource.get("identifier")
    return [i for i in found if isinstance(i, dict)] if isinstance(found, list) else []


def _hash(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Form:
    """The canonical form of a resource: equal for equal meaning."""

    base: str
    skip: frozenset[str]
    cores: Mapping[str, str] = field(default_factory=lambda: _NO_CORES)
    core: bool = False
    own_only: bool = False

    def of(self, value: Any, *, top: bool = False) -> Any:
        if isinstance(value, dict):
            if is_reference(value):
                return self._reference(value)
            members = {k: self._member(k, v, top) for k, v in value.items() if k not in self.skip}
            return {k: v for k, v in members.items() if v not in _EMPTY}
        if isinstance(value, list):
            return [v for v in (self.of(v) for v in value) if v not in _EMPTY]
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return f"{Decimal(str(value)).normalize():f}"
        return _same_instant(" ".join(value.split())) if isinstance(value, str) else value

    def _member(self, key: str, value: Any, top: bool) -> Any:
        if key in _CANONICAL and self.skip:
            value = _unversioned(value)
        if not top:
            return self.of(value)
        if key in _SERVER or (self.skip and key in _HISTORY):
            return None
        if key == "text" and isinstance(value, dict):
            return [value.get("status"), plain_text(str(value.get("div", "")), volatile=not self.skip)]
        if key == "identifier" and isinstance(value, list):
            value = [i for i in value if not _CONTENT_SYSTEM.search(str(i.get("system", "")))]
        return self.of(value)

    def _reference(self, value: Json) -> str:
        name = lasting_name(value, self.base)
        if self.skip and _DEVICE in name:
            return _DEVICE  # another model version is another Device, but no other advice
        if not self.core:
            return name
        own = name.startswith("own:")
        if self.own_only and (not own or "fhir-twin-risk" in name):
            return ""
        lasting = re.sub(r"-g\d+$", "", name)
        return f"{lasting}#{self.cores.get(lasting, '')}" if own else name


def _unversioned(value: Any) -> Any:
    """A canonical (or several) without "|version"."""
    if isinstance(value, list):
        return [_unversioned(v) for v in value]
    return value.split("|")[0] if isinstance(value, str) else value


def _same_instant(text: str) -> str:
    """Times that servers write in two ways: "+00:00" and "Z", with and without ".000"."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.0+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        return text
    return match[1] + ("Z" if match[2] in ("+00:00", "-00:00") else match[2])
