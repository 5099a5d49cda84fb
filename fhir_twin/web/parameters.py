"""Operation parameters in and out (OP-1 to OP-4): from a query or a Parameters resource; a Parameters answer."""

from __future__ import annotations

from typing import Any

from flask import request

from fhir_twin.errors import InvalidInput
from fhir_twin.web.bodies import parameters_body

Json = dict[str, Any]


def given_parameters(known: frozenset[str], *, many: frozenset[str] = frozenset()) -> Json:
    """Each parameter once (those in `many`: a list). Raises InvalidInput for what is unknown, twice or malformed."""
    found: Json = {name: list(values) for name, values in request.args.lists()}
    if request.method == "POST":
        body = parameters_body()
        for part in body.get("parameter") or []:
            if not isinstance(part, dict) or not isinstance(part.get("name"), str):
                raise InvalidInput("every parameter needs a name")
            found.setdefault(part["name"], []).append(_value(part))
    for name in ("_format", "_pretty"):
        found.pop(name, None)
    if set(found) - known:
        raise InvalidInput("unknown parameter; known are " + ", ".join(sorted(known)))
    if any(len(values) > 1 for name, values in found.items() if name not in many):
        raise InvalidInput("a parameter is given twice")
    return {name: values if name in many else values[0] for name, values in found.items()}


def _value(part: Json) -> Any:
    values = [v for k, v in part.items() if k.startswith("value") or k == "resource"]
    if len(values) != 1:
        raise InvalidInput("every parameter needs one value")
    return values[0]


def text(given: Json, name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be a string")
    return value


def flag(given: Json, name: str) -> bool:
    value = given.get(name, False)
    if isinstance(value, bool):
        return value
    if str(value).lower() not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false")
    return str(value).lower() == "true"


def whole(given: Json, name: str) -> int | None:
    """A whole number from 0, None when not given."""
    if name not in given:
        return None
    try:
        number = int(str(given[name]))
    except ValueError:
        number = -1
    if number < 0:
        raise InvalidInput(f"{name} must be a whole number from 0")
    return number


def coding_of(given: Json, system_name: str = "system") -> tuple[str, str, str, str]:
    """(system, code, version, display) from code + system, coding, or codeableConcept's first coding (OP-4)."""
    forms = [name for name in ("code", "coding", "codeableConcept") if name in given]
    if len(forms) != 1:
        raise InvalidInput("give exactly one of code, coding, codeableConcept")
    if forms == ["code"]:
        system = text(given, system_name)
        if not system:
            raise InvalidInput(f"code without {system_name}")
        version = text(given, "version") or text(given, "systemVersion")
        return system, text(given, "code"), version, text(given, "display")
    value = given[forms[0]]
    if forms == ["codeableConcept"]:
        codings = value.get("coding") if isinstance(value, dict) else None
        value = codings[0] if isinstance(codings, list) and codings else None
    if not isinstance(value, dict) or not value.get("code") or not value.get("system"):
        raise InvalidInput(f"{forms[0]} needs a code and a system")
    return tuple(str(value.get(k, "")) for k in ("system", "code", "version", "display"))  # type: ignore[return-value]


def answer(*parts: tuple[str, Any]) -> Json:
    """A Parameters resource; a part is (name, value) or (name, [parts]); None and "" are left out."""
    return {
        "resourceType": "Parameters",
        "parameter": [_part(n, v) for n, v in parts if v not in (None, "", [])],
    }


def _part(name: str, value: Any) -> Json:
    if isinstance(value, list):
        return {"name": name, "part": [_part(n, v) for n, v in value if v not in (None, "", [])]}
    if isinstance(value, bool):
        return {"name": name, "valueBoolean": value}
    if isinstance(value, dict):
        return {"name": name, "valueCoding": value}
    kind = "valueCode" if name in ("code", "outcome", "equivalence") else "valueString"
    kind = "valueUri" if name in ("source", "system") else kind
    return {"name": name, kind: str(value)}
