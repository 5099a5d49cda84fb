"""Between the R5 form that the test cases are written in and R4, as far as the cases need it.

To R4: ConceptMap.relationship -> equivalence, sourceScope -> source. From R4: the R5 elements of an expansion that R4
carries in extensions. (https://hl7.org/fhir/R5/versions.html#extensions)
"""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]
_EXPANSION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion"
_RELATIONSHIP = {
    "related-to": "relatedto", "equivalent": "equivalent", "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower", "not-related-to": "disjoint",
}  # fmt: skip
_BACK = {v: k for k, v in _RELATIONSHIP.items()}


def to_r4(resource: Json) -> Json:
    resource = copy.deepcopy(resource)
    if resource.get("resourceType") == "ConceptMap":
        for side in ("source", "target"):
            for kind in ("Canonical", "Uri"):
                if f"{side}Scope{kind}" in resource:
                    resource[f"{side}{kind}"] = resource.pop(f"{side}Scope{kind}")
        for group in resource.get("group", ()):
            for element in group.get("element", ()):
                for target in element.get("target", ()):
                    if "relationship" in target:
                        target["equivalence"] = _RELATIONSHIP.get(target.pop("relationship"), "relatedto")
    if resource.get("resourceType") == "Parameters":
        for part in resource.get("parameter", ()):
            if "resource" in part:
                part["resource"] = to_r4(part["resource"])
    return resource


def from_r4(resource: Json, operation: str) -> Json:
    resource = copy.deepcopy(resource)
    if resource.get("resourceType") == "ValueSet" and "expansion" in resource:
        expansion = resource["expansion"]
        declared = _taken(expansion, f"{_EXPANSION}.property")
        if declared:
            expansion["property"] = [_parts(e) for e in declared]
        stack = list(expansion.get("contains", ()))
        while stack:
            row = stack.pop()
            stack += row.get("contains", ())
            found = _taken(row, f"{_EXPANSION}.contains.property")
            if found:
                row["property"] = [_parts(e) for e in found]
    return resource


def _taken(element: Json, url: str) -> list[Json]:
    found = [e for e in element.get("extension", ()) if e.get("url") == url]
    rest = [e for e in element.get("extension", ()) if e.get("url") != url]
    element.pop("extension", None)
    if rest:
        element["extension"] = rest
    return found


def _parts(extension: Json) -> Json:
    found: Json = {}
    for part in extension.get("extension", ()):
        key = next(k for k in part if k.startswith("value"))
        found[part["url"] if part["url"] != "value" else key] = part[key]
    return found
