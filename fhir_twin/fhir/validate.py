"""validate: what the R4B model classes check, and what they let through (MDL-4, MDL-5). The only user of
fhir.resources.

The classes check structure and data types; they carry code lists and reference targets as notes only, so those are
compared here; invariants, narrative and ids are `validate_rules`' business. They model R4B (4.3.0): for all that we
write it is the same as R4, and types or elements that R4 has not are refused (MDL-3). Nothing here changes a resource:
the classes are lossy (MDL-6), so what is sent is always the dict that was checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, get_args

from fhir_twin.errors import Issue
from fhir_twin.fhir.validate_rules import rule_issues
from fhir_twin.fhir.validate_walk import fault, foreign_elements, walk

Json = dict[str, Any]

# In R4B (or R5) but not in R4 (MDL-3).
NOT_R4 = frozenset(
    {
        "SubscriptionTopic",
        "SubscriptionStatus",
        "Citation",
        "NutritionProduct",
        "Ingredient",
        "ClinicalUseDefinition",
        "PackagedProductDefinition",
        "RegulatedAuthorization",
        "ManufacturedItemDefinition",
        "AdministrableProductDefinition",
        "EvidenceReport",
    }
)
_PLACE = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_NO_URNS: Mapping[str, str] = MappingProxyType({})


def validate_resource(resource: Json, urns: Mapping[str, str] = _NO_URNS) -> tuple[Issue, ...]:
    """Every fault of one resource; () when it may be written. urns: type by urn:uuid, for references inside a Bundle.

    Diagnostics name the rule, expressions the place; neither holds a value."""
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not re.fullmatch(r"[A-Z][A-Za-z]{1,60}", type_):
        return (fault("structure", "the resource says no type", ""),)
    if type_ in NOT_R4:
        return (fault("not-supported", "R4 has no such resource type", type_),)
    try:
        model = _model(type_)
    except LookupError:
        return (fault("not-supported", "unknown resource type", type_),)
    parsed, issues = _parse(model, resource, type_)
    if parsed is not None:
        issues += walk(parsed, type_, urns)
    issues += foreign_elements(resource, type_)
    issues += rule_issues(resource)
    return tuple(dict.fromkeys(issues))


def validate_bundle(bundle: Json) -> tuple[Issue, ...]:
    """Every fault of a Bundle and of each resource in it, references between entries included."""
    issues: list[Issue] = []
    entries = [e for e in bundle.get("entry", []) if isinstance(e, dict)]
    urns: dict[str, str] = {}
    for i, entry in enumerate(entries):
        name = entry.get("fullUrl")
        if isinstance(name, str) and name in urns:
            issues.append(fault("duplicate", "two entries have one fullUrl (bdl-7)", f"Bundle.entry[{i}]"))
        if isinstance(name, str):
            urns[name] = str(entry.get("resource", {}).get("resourceType", ""))
    shell = {**bundle, "entry": [{k: v for k, v in e.items() if k != "resource"} for e in entries]}
    parsed, faults = _parse(_model("Bundle"), shell, "Bundle")
    issues += faults
    issues += walk(parsed, "Bundle", urns) if parsed is not None else []
    if bundle.get("type") in ("transaction", "batch") and any("request" not in e for e in entries):
        issues.append(fault("invariant", "every entry of a transaction needs a request (bdl-3)", "Bundle"))
    for i, entry in enumerate(entries):
        if isinstance(entry.get("resource"), dict):
            found = validate_resource(entry["resource"], urns)
            issues += [_at(issue, f"Bundle.entry[{i}].resource") for issue in found]
    return tuple(dict.fromkeys(issues))


@cache
def _model(type_: str) -> Any:
    """The R4B class of a resource type. Raises LookupError when there is none."""
    from fhir.resources.R4B import get_fhir_model_class  # here, because loading it costs 0.2 s

    try:
        model = get_fhir_model_class(type_)
    except (ValueError, LookupError, ImportError, AttributeError) as error:
        raise LookupError(type_) from error
    if "meta" not in model.model_fields:
        raise LookupError(f"{type_} is a data type")
    return model


def _parse(model: Any, resource: Json, place: str) -> tuple[Any, list[Issue]]:
    from pydantic import ValidationError

    try:
        return model.model_validate(resource), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return None, [fault("structure", _rule(f), _path(place, f.get("loc", ()))) for f in found]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The classes let some faults escape as bare errors; their text may quote values.
        return None, [fault("structure", f"the model class refuses it ({type(error).__name__})", place)]


def _rule(fault: Any) -> str:
    return f"not a valid R4 element: {str(fault.get('type', 'value_error')).replace('_', ' ')}"


def _path(place: str, parts: Any) -> str:
    names = [f"[{p}]" if isinstance(p, int) else f".{_PLACE.sub('', str(p))}" for p in parts]
    return place + "".join(names)


def _at(issue: Issue, place: str) -> Issue:
    return Issue(
        issue.severity, issue.code, issue.diagnostics, f"{place} {issue.expression}".strip(), issue.stage
    )


@dataclass(frozen=True, slots=True)
class Element:
    """One member of a type, in the order of its definition. kind: boolean | integer | decimal | string | xhtml |
    resource, or for complex types the name that `elements` takes."""

    name: str
    many: bool
    kind: str


@cache
def elements(kind: str) -> dict[str, Element]:
    """Members of a resource type ("CarePlan") or of a complex kind, in XML order. Raises LookupError."""
    model = _complex(kind) if "." in kind else _model(kind)
    fields = model.model_fields
    named = ((field.alias or name, field) for name, field in fields.items())
    by_name = {name: field for name, field in named if not name.startswith("_")}
    return {n: _element(n, by_name[n]) for n in model.elements_sequence() if n in by_name}


def _complex(kind: str) -> Any:
    module, _, name = kind.rpartition(".")
    if not module.startswith("fhir.resources.R4B."):
        raise LookupError(kind)
    return getattr(import_module(module), name)


def _element(name: str, field: Any) -> Element:
    found = str(field.annotation)
    inner = list(_classes(field.annotation))
    klass = next((str(c._model_klass) for c in inner if hasattr(c, "_model_klass")), "")
    if klass:
        kind = "resource" if klass.endswith(("resource.Resource", "resource.DomainResource")) else klass
    elif "Xhtml" in found:
        kind = "xhtml"
    else:
        primitive = next((k for k in (bool, int, Decimal) if k in inner), str)
        kind = {bool: "boolean", int: "integer", Decimal: "decimal", str: "string"}[primitive]
    return Element(name, "List[" in found, kind)


def _classes(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)
