"""A desired Bundle as one CarePlan with everything it needs contained: the answer of PlanDefinition/$apply (OP-5).

Contained resources carry no meta (AI-5 forbids labels there, R4 dom-4 forbids versions), and refer to each other
by "#id".
"""

from __future__ import annotations

from typing import Any

from fhir_twin.errors import NotEnoughData

Json = dict[str, Any]


def contained_plan(bundle: Json) -> Json:
    """The CarePlan of `bundle`, self-contained. Raises NotEnoughData when the plan was refused (no CarePlan)."""
    entries = [e for e in bundle.get("entry", []) if e["resource"]["resourceType"] != "Provenance"]
    plans = [e for e in entries if e["resource"]["resourceType"] == "CarePlan"]
    if not plans:
        raise NotEnoughData("no plan can be made for this patient; the run's report says why")
    [plan] = plans
    inner = [e for e in entries if e is not plan]
    names = {e["fullUrl"]: f"#{_local(e, i)}" for i, e in enumerate(inner)}
    shell = _renamed({k: v for k, v in plan["resource"].items() if k != "identifier"}, names)
    shell["contained"] = [_inside(e, names) for e in inner]
    used = _used(shell)
    shell["contained"] = [r for r in shell["contained"] if f"#{r['id']}" in used]
    ordered = {"resourceType": "CarePlan", "meta": shell.get("meta"), "text": shell.get("text")}
    return {k: v for k, v in {**ordered, "contained": shell["contained"], **shell}.items() if v is not None}


def _local(entry: Json, number: int) -> str:
    return f"{entry['resource']['resourceType'].lower()}-{number}"


def _inside(entry: Json, names: dict[str, str]) -> Json:
    resource: Json = _renamed(entry["resource"], names)
    kept = {k: v for k, v in resource.items() if k not in ("meta", "identifier", "text")}
    return {"resourceType": kept.pop("resourceType"), "id": names[entry["fullUrl"]][1:], **kept}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        target = value.get("reference")
        if isinstance(target, str) and target in names:
            return {
                "reference": names[target],
                **({"display": value["display"]} if "display" in value else {}),
            }
        return {k: _renamed(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(v, names) for v in value]
    return value


def _used(value: Any) -> set[str]:
    """Every "#id" that anything refers to (dom-3: nothing contained without a reference)."""
    if isinstance(value, dict):
        found = {value["reference"]} if str(value.get("reference", "")).startswith("#") else set()
        return found.union(*(_used(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(_used(v) for v in value))
    return set()
