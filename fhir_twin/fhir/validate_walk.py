"""Code lists and reference targets, which the model classes know but do not compare (MDL-5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_twin.errors import Issue
from fhir_twin.fhir.identity import parse_source
from fhir_twin.fhir.outcome import ISSUE_CODES

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


def walk(model: Any, place: str, urns: Mapping[str, str]) -> list[Issue]:
    """Faults of a parsed model and all that it holds. urns: type by urn:uuid."""
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
                issues.append(fault("code-invalid", "not a code of the required value set", spot))
            if hasattr(type(one), "model_fields"):
                if targets and type(one).__name__ == "Reference":
                    issues += _target(one, targets, spot, urns)
                issues += walk(one, spot, urns)
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
            yield fault("not-found", "refers to nothing in this Bundle", place)
            return
        type_ = urns[text]
    else:
        parsed = parse_source(text)
        if parsed is None:
            yield fault("value", "not a relative reference", place)
            return
        type_ = parsed.type
    if "Resource" not in targets and type_ not in targets:
        yield fault("structure", "refers to a type that this element does not allow", place)


def foreign_elements(value: Any, place: str) -> list[Issue]:
    if isinstance(value, dict):
        bad = [
            fault("not-supported", "R4 has no such element", f"{place}.{k}")
            for k in value
            if k in _NOT_R4_ELEMENTS
        ]
        return bad + [i for k, v in value.items() for i in foreign_elements(v, f"{place}.{k}")]
    if isinstance(value, list):
        return [i for n, v in enumerate(value) for i in foreign_elements(v, f"{place}[{n}]")]
    return []


def fault(code: str, words: str, place: str) -> Issue:
    return Issue("error", code, words, place, "write")
