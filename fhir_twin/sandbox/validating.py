"""$validate: our own checks of a resource, as an OperationOutcome (200 also when it is not valid)."""

from __future__ import annotations

from typing import Any

from fhir_twin.sandbox.problems import Problem, Resource, outcome
from fhir_twin.sandbox.writing import checked, known_type


def validate(body: Any) -> Resource:
    """body: the resource, or Parameters with one named `resource`. Raises Problem when there is none."""
    resource = body
    if isinstance(body, dict) and body.get("resourceType") == "Parameters":
        named = [p for p in body.get("parameter", []) if isinstance(p, dict) and p.get("name") == "resource"]
        resource = named[0].get("resource") if named else None
    if not isinstance(resource, dict):
        raise Problem(400, "required", "no resource to validate")
    try:
        checked(known_type(resource.get("resourceType")), resource)
    except Problem as problem:
        return problem.outcome()
    return outcome("information", "informational", "no issues found by the checks that the sandbox has")
