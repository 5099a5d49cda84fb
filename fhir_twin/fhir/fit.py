"""Fit the desired Bundle to what a server can hold: types it lacks, references it does not know (TX-6, HP-1).

What is taken out stays in words: the CarePlan's narrative has all of it, and a reference keeps its label.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from fhir_twin.fhir.digest import lasting_name, name_of
from fhir_twin.fhir.identity import Identity, identity_of, parse_source
from fhir_twin.fhir.references import references_in, swap_references

Json = dict[str, Any]


def without_types(desired: Json, offered: Callable[[str], bool]) -> tuple[Json, list[Identity], bool]:
    """(Bundle of offered types only, identities left out, whether Provenance was left out)."""
    kept, dropped, no_provenance = [], [], False
    for entry in desired.get("entry", []):
        resource = entry["resource"]
        if offered(resource["resourceType"]):
            kept.append(entry)
        elif (identity := identity_of(resource)) is not None:
            dropped.append(identity)
        else:
            no_provenance = True
    if dropped:
        expanded = [_expanded(e["resource"], desired, dropped) for e in kept]
        gone = {name_of(i) for i in dropped}
        resources = [swap_references(r, lambda ref: _labelled(ref, gone)) for r in expanded]
        kept = [{**e, "resource": r} for e, r in zip(kept, resources, strict=True)]
    return {**desired, "entry": kept}, dropped, no_provenance


def outside_references(bundle: Json) -> dict[str, list[str]]:
    """Ids by type of what the Bundle refers to on the server, our own resources left out."""
    found: dict[str, dict[str, None]] = {}
    for entry in bundle.get("entry", []):
        for reference in references_in(entry["resource"]):
            parsed = parse_source(reference["reference"])
            if parsed is not None and not lasting_name(reference, "").startswith("own:"):
                found.setdefault(parsed.type, {})[parsed.id] = None
    return {type_: list(ids) for type_, ids in sorted(found.items())}


def without_references(bundle: Json, missing: Collection[str]) -> Json:
    """References to `missing` ("Type/id") as identifier and label only, so that nothing dangles."""

    def swap(reference: Json) -> Json | None:
        parsed = parse_source(reference["reference"])
        if parsed is None or parsed.reference not in missing or "identifier" in reference:
            return reference
        named = {"system": "urn:ietf:rfc:3986", "value": f"urn:fhir-twin:unresolved:{parsed.versioned}"}
        return {"identifier": named, "display": reference.get("display", parsed.versioned)}

    entries = [{**e, "resource": swap_references(e["resource"], swap)} for e in bundle.get("entry", [])]
    return {**bundle, "entry": entries}


def with_label(bundle: Json, code: str) -> Json:
    """The same Bundle with `code` wherever the label AIAST stands (AI-1)."""

    def relabel(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("code") == "AIAST" and "ObservationValue" in str(value.get("system")):
                return {"system": value["system"], "code": code}
            return {k: relabel(v) for k, v in value.items()}
        return [relabel(v) for v in value] if isinstance(value, list) else value

    return {**bundle, "entry": [relabel(e) for e in bundle.get("entry", [])]}


def _labelled(reference: Json, gone: set[str]) -> Json | None:
    if lasting_name(reference, "") not in gone:
        return reference
    return {"display": reference["display"]} if reference.get("display") else None


def _expanded(resource: Json, desired: Json, dropped: list[Identity]) -> Json:
    """A CarePlan whose choices cannot be written names the proposals themselves as activities."""
    groups = {name_of(i): i for i in dropped if i.type == "RequestGroup"}
    if resource["resourceType"] != "CarePlan" or not groups:
        return resource
    members = {
        name_of(i): list(references_in(e["resource"].get("action", [])))
        for e in desired["entry"]
        if (i := identity_of(e["resource"])) is not None and i.type == "RequestGroup"
    }
    activities: list[Json] = []
    for activity in resource.get("activity", []):
        name = lasting_name(activity["reference"], "")
        activities += [{"reference": m} for m in members[name]] if name in groups else [activity]
    return {**resource, "activity": activities}
