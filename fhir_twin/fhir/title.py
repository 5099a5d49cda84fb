"""What a resource is, in a few words, for a list that a person reads."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_PLACES = (
    ("title",), ("medicationCodeableConcept",), ("code",), ("description",), ("oralDiet", "type"), ("reasonCode",),
    ("prediction", "outcome"), ("deviceName", "name"), ("moduleCanonical",), ("detail",),
)  # fmt: skip


def title_of(resource: Json) -> str:
    """ "atorvastatin 40 mg once daily"; the type where the resource has no words of its own."""
    for place in _PLACES:
        words = _words(_walk(resource, place))
        if words:
            return words if len(words) <= 120 else words[:119].rstrip() + "\u2026"
    return str(resource.get("resourceType", ""))


def _walk(value: Any, place: tuple[str, ...]) -> Any:
    for step in place:
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(step) if isinstance(value, dict) else None
    return value[0] if isinstance(value, list) and value else value


def _words(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        codings = value.get("coding")
        first = codings[0] if isinstance(codings, list) and codings and isinstance(codings[0], dict) else {}
        found = value.get("text") or first.get("display") or first.get("code")
        return " ".join(found.split()) if isinstance(found, str) else ""
    return ""
