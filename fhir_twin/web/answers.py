"""JSON and OperationOutcome answers, written by orjson."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response

from fhir_twin.errors import Issue
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.model.plain import to_plain

FHIR_JSON = "application/fhir+json; charset=utf-8"


def json_response(value: Any, status: int = 200) -> Response:
    """Any of our values as JSON."""
    return Response(orjson.dumps(to_plain(value)), status, mimetype="application/json")


def fhir_response(resource: dict[str, Any], status: int = 200) -> Response:
    """A FHIR resource (Decimals written with their digits)."""
    return Response(orjson.dumps(resource, default=to_plain), status, content_type=FHIR_JSON)


def outcome_response(issues: tuple[Issue, ...], status: int) -> Response:
    return fhir_response(to_outcome(issues), status)
