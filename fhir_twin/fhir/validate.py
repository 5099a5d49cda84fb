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
from functools import cache
from types import MappingProxyType
from typing import Any

from fhir_twin.errors import Issue
from fhir_twin.fhir.identity import parse_source
from fhir_twin.fhir.outcome import ISSUE_CODES
from fhir_twin.fhir.validate_rules import rule_issues

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
_NOT_R4_ELEMENTS = frozenset({"valueCodeableReference", "valueRatioRange"})
_OBSERVATION_STATUS = frozenset(
    {
        "registered",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "cancelled",
        "entered-in-error",
        "unknown",
    }
)
# Required bindings that the classes do not carry, or cut short ("final", "amended", "+").
_MORE_CODES: dict[tuple[str, str], frozenset[str]] = {
    ("OperationOutcomeIssue", "code"): ISSUE_CODES,
    ("Quantity", "comparator"): frozenset({"<", "<=", ">=", ">"}),
    ("Observation", "status"): _OBSERVATION_STATUS,
    ("RiskAssessment", "status"): _OBSERVATION_STATUS,
    ("DetectedIssue", "status"): _OBSERVATION_STATUS,
}
_CUT_SHORT = frozenset({"+", "etc."})
_PLACE = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_NO_URNS: Mapping[str, str] = MappingProxyType({})


def validate_resource(resource: Json, urns: Mapping[str, str] = _NO_URNS) -> tuple[Issue, ...]:
    """Every fault of one resource; () when it may be written. urns: type by urn:uuid, for references inside a Bundle.

    Diagnostics name the rule, expressions the place; neither holds a value."""
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not re.fullmatch(r"[A-Z][A-Za-z]{1,60}", type_):
        return (_issue("structure", "the resource says no type", ""),)
    if type_ in NOT_R4:
        return (_issue("not-supported", "R4 has no such resource type", type_),)
    try:
        model = _model(type_)
    except LookupError:
        return (_issue("not-supported", "unknown resource type", type_),)
    parsed, issues = _parse(model, resource, type_)
    if parsed is not None:
        issues += _walk(parsed, type_, urns)
    issues += _foreign_elements(resource, type_)
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
            issues.append(_issue("duplicate", "two entries have one fullUrl (bdl-7)", f"Bundle.entry[{i}]"))
        if isinstance(name, str):
            urns[name] = str(entry.get("resource", {}).get("resourceType", ""))
    shell = {**bundle, "entry": [{k: v for k, v in e.items() if k != "resource"} for e in entries]}
    parsed, faults = _parse(_model("Bundle"), shell, "Bundle")
    issues += faults
    issues += _walk(parsed, "Bundle", urns) if parsed is not None else []
    if bundle.get("type") in ("transaction", "batch") and any("request" not in e for e in entries):
        issues.append(_issue("invariant", "every entry of a transaction needs a request (bdl-3)", "Bundle"))
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
        return None, [_issue("structure", _rule(f), _path(place, f.get("loc", ()))) for f in found]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The classes let some faults escape as bare errors; their text may quote values.
        return None, [_issue("structure", f"the model class refuses it ({type(error).__name__})", place)]


def _rule(fault: Any) -> str:
    return f"not a valid R4 element: {str(fault.get('type', 'value_error')).replace('_', ' ')}"


def _path(place: str, parts: Any) -> str:
    names = [f"[{p}]" if isinstance(p, int) else f".{_PLACE.sub('', str(p))}" for p in parts]
    return place + "".join(names)


def _walk(model: Any, place: str, urns: Mapping[str, str]) -> list[Issue]:
    """Code lists and reference targets, which the classes know but do not compare."""
    issues: list[Issue] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name, None)
        if value is None or name.endswith("__ext"):
            continue
        notes = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        where = f"{place}.{field.alias or name}"
        allowed = _MORE_CODES.get((type(model).__name__, name)) or _whole_list(notes)
        targets = notes.get("enum_reference_types")
        for i, one in enumerate(value if isinstance(value, list) else [value]):
            spot = f"{where}[{i}]" if isinstance(value, list) else where
            if isinstance(one, str) and allowed and one not in allowed:
                issues.append(_issue("code-invalid", "not a code of the required value set", spot))
            if hasattr(type(one), "model_fields"):
                if targets and type(one).__name__ == "Reference":
                    issues += _target(one, targets, spot, urns)
                issues += _walk(one, spot, urns)
    return issues


def _whole_list(notes: Any) -> frozenset[str]:
    listed = frozenset(notes.get("enum_values") or ())
    return frozenset() if listed & _CUT_SHORT else listed


def _target(reference: Any, targets: Any, place: str, urns: Mapping[str, str]) -> Iterator[Issue]:
    """The target's type must be one that the element allows; a reference must lead somewhere."""
    text = getattr(reference, "reference", None)
    if not text or text.startswith("#"):
        return
    if text.startswith("urn:"):
        if text not in urns:
            yield _issue("not-found", "refers to nothing in this Bundle", place)
            return
        type_ = urns[text]
    else:
        parsed = parse_source(text)
        if parsed is None:
            yield _issue("value", "not a relative reference", place)
            return
        type_ = parsed.type
    if "Resource" not in targets and type_ not in targets:
        yield _issue("structure", "refers to a type that this element does not allow", place)


def _foreign_elements(value: Any, place: str) -> list[Issue]:
    if isinstance(value, dict):
        bad = [
            _issue("not-supported", "R4 has no such element", f"{place}.{k}")
            for k in value
            if k in _NOT_R4_ELEMENTS
        ]
        return bad + [i for k, v in value.items() for i in _foreign_elements(v, f"{place}.{k}")]
    if isinstance(value, list):
        return [i for n, v in enumerate(value) for i in _foreign_elements(v, f"{place}[{n}]")]
    return []


def _issue(code: str, words: str, place: str) -> Issue:
    return Issue("error", code, words, place, "write")


def _at(issue: Issue, place: str) -> Issue:
    return Issue(
        issue.severity, issue.code, issue.diagnostics, f"{place} {issue.expression}".strip(), issue.stage
    )
