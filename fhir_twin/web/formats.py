"""JSON or XML: what a FHIR client asked for by `_format` or Accept, and what it sent (FA-3)."""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import NotAcceptable, UnsupportedMediaType

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.xml import from_xml
from fhir_twin.web.bodies import json_body

Json = dict[str, Any]
_XML = ("application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir")
_JSON = ("application/fhir+json", "application/json", "text/json", "application/json+fhir")


def wants_xml() -> bool:
    """Raises NotAcceptable (406) for a format that is neither, or another version of FHIR than 4.0."""
    named = request.args.get("_format", "").strip().replace(" ", "+").lower()
    if named:
        kind = named.partition(";")[0]
        if kind in ("xml", *_XML):
            return True
        if kind in ("json", *_JSON):
            return False
        raise NotAcceptable
    accept = request.headers.get("Accept", "")
    version = accept.partition("fhirVersion=")[2].partition(",")[0].strip().strip("\"'")
    if version and version.partition(";")[0] not in ("4.0", "4.0.1"):
        raise NotAcceptable
    best = request.accept_mimetypes.best_match([*_JSON, *_XML, "text/html"])
    if best is None and accept:
        raise NotAcceptable
    return best in _XML


def resource_body() -> Json:
    """The resource of the body, from JSON or XML. Raises InvalidInput, UnsupportedMediaType."""
    if request.mimetype in _XML:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType
        return from_xml(request.get_data())
    body = json_body()
    if not isinstance(body, dict) or not isinstance(body.get("resourceType"), str):
        raise InvalidInput("the body must be a FHIR resource")
    return body
