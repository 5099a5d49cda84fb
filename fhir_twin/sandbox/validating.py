"""$validate: our own checks of a resource, as an OperationOutcome (200 also when it is not valid)."""

from __future__ import annotations

from typing import Any

from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.sandbox.problems import Problem, Resource


def validate(body: Any) -> Resource:
    """body: the resource, or Parameters with one named `resource`. Raises Problem when there is none."""
    resource = body
    if isinstance(body, dict) and body.get("resourceType") == "Parameters":
        named = [p for p in body.get("parameter", []) if isinstance(p, dict) and p.get("name") == "resource"]
        resource = named[0].get("resource") if named else None
    if not isinstance(resource, dict):
        raise Problem(400, "required", "no resource to validate")
    return to_outcome(validate_resource(resource))
