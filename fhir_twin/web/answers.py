"""FHIR, JSON and OperationOutcome answers; JSON written by orjson."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request
from werkzeug.exceptions import NotAcceptable

from fhir_twin.errors import Issue
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.fhir.xml import to_xml
from fhir_twin.model.plain import to_plain
from fhir_twin.web.formats import wants_xml

FHIR_JSON = "application/fhir+json; charset=utf-8"
FHIR_XML = "application/fhir+xml; charset=utf-8"


def json_response(value: Any, status: int = 200) -> Response:
    """Any of our values as JSON."""
    return Response(orjson.dumps(to_plain(value)), status, mimetype="application/json")


def fhir_response(resource: dict[str, Any], status: int = 200) -> Response:
    """A FHIR resource (Decimals written with their digits), as JSON or, where that was asked for, XML (FA-3)."""
    if _xml_wanted(status):
        return Response(to_xml(resource), status, content_type=FHIR_XML)
    return Response(orjson.dumps(resource, default=to_plain), status, content_type=FHIR_JSON)


def _xml_wanted(status: int) -> bool:
    """An error is told even to those who asked for a format that there is none of: in JSON."""
    try:
        return request.path.startswith(("/fhir", "/metadata")) and wants_xml()
    except NotAcceptable:
        if status < 400:
            raise
        return False


def outcome_response(issues: tuple[Issue, ...], status: int) -> Response:
    return fhir_response(to_outcome(issues), status)
