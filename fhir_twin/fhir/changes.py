"""A changed resource, by its JSON: whose it is, which version, when it was true, whether it is ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.moments import moment
from fhir_twin.fhir.read_gate import is_adopted, is_own
from fhir_twin.model.change import Change

Resource = Mapping[str, Any]


def version_of(resource: Resource) -> str:
    """meta.versionId, else lastUpdated, else a hash of the content: equal only for the same state of it."""
    meta = resource.get("meta")
    held = meta if isinstance(meta, dict) else {}
    for key in ("versionId", "lastUpdated"):
        if isinstance(held.get(key), str) and 0 < len(held[key]) <= 64:
            return str(held[key])
    return hashlib.sha256(dump_json(resource)).hexdigest()[:32]


def is_ours(resource: Resource) -> bool:
    """Written by fhir-twin and not made an order by anybody since: no news about the patient."""
    plain = dict(resource)
    return is_own(plain, frozenset()) and not is_adopted(plain)


def subject_of(resource: Resource) -> str:
    """The literal reference to its patient, "" when none."""
    if resource.get("resourceType") == "Patient" and isinstance(resource.get("id"), str):
        return f"Patient/{resource['id']}"
    for key in ("subject", "patient"):
        held = resource.get(key)
        if isinstance(held, dict) and isinstance(held.get("reference"), str):
            return str(held["reference"])
    return ""


def time_of(resource: Resource, zone: datetime) -> datetime | None:
    """When an Observation was true of the patient, None when it does not say. zone: for times without one."""
    for key in ("effectiveDateTime", "effectiveInstant", "issued"):
        text = resource.get(key)
        found = moment(text, zone.tzinfo) if isinstance(text, str) and zone.tzinfo else None
        if found is not None:
            return found.start
    return None


def as_change(resource: Resource, number: int = 0) -> Change:
    """A whole resource as a change. It has a type and an id."""
    return Change(
        str(resource["resourceType"]), str(resource["id"]), version_of(resource), False, resource, number
    )


def versions(bundle: Resource) -> dict[str, str]:
    """Version by "Type/id" of everything in a collection."""
    found = {}
    for resource in resources(bundle):
        type_, id_ = resource.get("resourceType"), resource.get("id")
        if isinstance(type_, str) and isinstance(id_, str) and len(f"{type_}/{id_}") <= 160:
            found[f"{type_}/{id_}"] = version_of(resource)
    return found


def resources(bundle: Resource) -> Iterable[Resource]:
    """The resources of a Bundle's entries."""
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        held = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(held, dict):
            yield held


def without(bundle: Resource, references: frozenset[str]) -> dict[str, Any]:
    """A collection of all but the named resources ("Observation/7")."""
    kept = [e for e in bundle.get("entry") or () if _reference(e) not in references]
    return {"resourceType": "Bundle", "type": "collection", "entry": kept}


def joined(bundle: Resource, more: Iterable[Resource]) -> dict[str, Any]:
    """The collection with further resources at its end; one that it holds already is replaced."""
    added = [{"resource": dict(r)} for r in more]
    new = frozenset(_reference(e) for e in added)
    old = [e for e in bundle.get("entry") or () if _reference(e) not in new]
    return {"resourceType": "Bundle", "type": "collection", "entry": [*old, *added]}


def _reference(entry: Mapping[str, Any]) -> str:
    held = entry.get("resource") or {}
    return f"{held.get('resourceType', '')}/{held.get('id', '')}"
