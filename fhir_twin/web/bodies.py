"""Request bodies: strict JSON, or a refusal that says what is wrong. Nothing of a body is ever guessed."""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.parse import parse_json

# A form is what `curl -d` calls JSON when nobody names a type; its content still has to be JSON.
_TYPES = frozenset(
    {"", "application/json", "application/fhir+json", "application/json+fhir", "application/x-www-form-urlencoded"}
)  # fmt: skip
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


def json_body() -> Any:
    """The body's JSON value, decimals with their digits; None when there is no body.

    Raises UnsupportedMediaType (415) for another type, charset or content coding than plain UTF-8 JSON, InvalidInput
    for what `parse_json` refuses (NaN, doubled keys, deep nesting ...)."""
    data = request.get_data()  # not `request.data`: that is empty for a form, and its wishes would be lost
    if not data:
        return None
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if request.mimetype not in _TYPES or charset not in _CHARSETS or coding != "identity":
        raise UnsupportedMediaType
    return parse_json(data, what="request body")


def parameters_body() -> dict[str, Any]:
    """A Parameters resource of the body. Raises InvalidInput when it is something else."""
    body = json_body()
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise InvalidInput("the body must be a Parameters resource in JSON")
    parts = body.get("parameter")
    if parts is not None and not isinstance(parts, list):
        raise InvalidInput("parameter must be a list")
    return body
