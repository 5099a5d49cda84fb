"""/openapi.json: the JSON API, the feeds and the state of the service (OpenAPI 3.1); a test holds it to the routes.

The FHIR face describes itself: /fhir/metadata and the OperationDefinitions there.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from fhir_twin import __version__
from fhir_twin.web.answers import json_response

Json = dict[str, Any]
blueprint = Blueprint("openapi", __name__)
ID = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
SEAMS = ["chart", "coded", "twin", "proposals", "trajectories", "plan", "output"]
_OUTCOME_REF = {"$ref": "#/components/schemas/OperationOutcome"}


def _json(schema: Json, text: str, kind: str = "application/json") -> Json:
    return {"description": text, "content": {kind: {"schema": schema}}}


def _errors(*codes: int) -> Json:
    words = {
        400: "The request cannot be understood.",
        401: "The API key is missing or wrong.",
        403: "Not allowed.",
        404: "There is no such thing.",
        405: "Not with this method.",
        406: "There is no such format.",
        409: "In conflict with something else.",
        413: "Larger than this server accepts.",
        415: "Another content type is needed.",
        422: "Understood, but nothing can be made of it.",
        500: "An error of ours.",
        502: "The FHIR server failed.",
        503: "Try again later.",
        504: "The FHIR server is late.",
    }
    return {str(c): _json(_OUTCOME_REF, words[c], "application/fhir+json") for c in codes}


_ISSUE = {
    "type": "object",
    "required": ["severity", "code", "diagnostics"],
    "properties": {
        "severity": {"enum": ["fatal", "error", "warning", "information"]},
        "code": {"type": "string"},
        "diagnostics": {"type": "string"},
        "expression": {"type": "string"},
        "stage": {"type": "string"},
    },
}
_OUTCOME = {
    "type": "object",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["severity", "code"],
                "properties": {
                    "severity": {"enum": ["fatal", "error", "warning", "information"]},
                    "code": {"type": "string"},
                },
            },
        },
    },
}
_RUN = {
    "type": "object",
    "description": "What became of the patient; the seams that were asked for (show) stand beside it.",
    "required": ["state", "issues"],
    "properties": {
        "patient": {"type": "string"},
        "state": {"enum": ["written", "unchanged", "dry-run", "not-written", "refused", "failed"]},
        "seconds": {"type": "object", "additionalProperties": {"type": "number"}},
        "issues": {"type": "array", "items": {"$ref": "#/components/schemas/Issue"}},
        **{seam: {"type": ["object", "array", "null"]} for seam in SEAMS},
    },
}
_OPTIONS: list[Json] = [
    {
        "name": "dryRun",
        "in": "query",
        "schema": {"type": "boolean"},
        "description": "Write nothing (default: false).",
    },
    {
        "name": "asOf",
        "in": "query",
        "schema": {"type": "string", "examples": ["2026-11-01"]},
        "description": "ISO 8601 date or time; what is later is not looked at. Default: now.",
    },
    {
        "name": "show",
        "in": "query",
        "schema": {"type": "string", "examples": ["twin,plan"]},
        "description": f"Which seams to answer with, by comma: {', '.join(SEAMS)}. Default: plan.",
    },
]
_BODY = {
    "description": "The same as in the query, each in one place only.",
    "required": False,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "dryRun": {"type": "boolean"},
                    "asOf": {"type": "string"},
                    "show": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"enum": SEAMS}}]},
                },
            }
        }
    },
}
_BUNDLE = {
    "type": "object",
    "required": ["resourceType", "type"],
    "properties": {
        "resourceType": {"const": "Bundle"},
        "type": {
            "enum": ["collection", "searchset", "transaction", "batch", "document", "message", "history"]
        },
        "entry": {"type": "array", "items": {"type": "object"}},
    },
}


def _paths() -> Json:
    return {
        "/health": {
            "get": _operation("health", "The process answers", {"200": _json({"type": "object"}, "It does.")})
        },
        "/ready": {
            "get": _operation(
                "ready",
                "Knowledge is loaded and the FHIR server answers",
                {"200": _json({"type": "object"}, "Ready."), **_errors(401, 503)},
            )
        },
        "/openapi.json": {
            "get": _operation("openapi", "This document", {"200": _json({"type": "object"}, "OpenAPI 3.1.")})
        },
        "/api/patients": {
            "get": _operation(
                "patients",
                "Ids of the server's patients",
                {
                    "200": _json(
                        {
                            "type": "object",
                            "required": ["patients"],
                            "properties": {"patients": {"type": "array", "items": {"type": "string"}}},
                        },
                        "The ids.",
                    ),
                    **_errors(401, 403, 404, 500, 502, 503, 504),
                },
            )
        },
        "/api/patients/{patient}/run": {
            "parameters": [
                {
                    "name": "patient",
                    "in": "path",
                    "required": True,
                    "schema": ID,
                    "description": "Id on the server.",
                }
            ],
            "post": {
                **_operation(
                    "runPatient",
                    "Fetch, twin, plan, and (unless dryRun) write",
                    {
                        "200": _json({"$ref": "#/components/schemas/Run"}, "Done."),
                        **_errors(400, 401, 403, 404, 409, 413, 415, 422, 500, 502, 503, 504),
                    },
                ),
                "parameters": _OPTIONS,
                "requestBody": _BODY,
            },
        },
        "/api/run": {
            "post": {
                **_operation(
                    "runBundle",
                    "A Bundle to a plan; nothing is fetched, nothing is written",
                    {
                        "200": _json({"$ref": "#/components/schemas/Run"}, "Done."),
                        **_errors(400, 401, 403, 413, 415, 422, 500),
                    },
                ),
                "parameters": _OPTIONS,
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/fhir+json": {"schema": {"$ref": "#/components/schemas/Bundle"}},
                        "application/json": {"schema": {"$ref": "#/components/schemas/Bundle"}},
                    },
                },
            }
        },
        "/hl7v2": {
            "post": {
                **_operation(
                    "hl7v2",
                    "Take one HL7 v2 message; the answer is its acknowledgement (option feeds)",
                    {
                        "200": _acknowledgement("AA or CA: it is on disk."),
                        "204": {"description": "On disk; the sender wants no answer."},
                        "400": _acknowledgement("AR, or no message at all."),
                        "422": _acknowledgement("AE: the content is wrong."),
                        "503": _acknowledgement("AR: try again later."),
                        **_errors(401, 403, 413, 415, 500),
                    },
                ),
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/hl7-v2": {"schema": {"type": "string"}},
                        "text/plain": {"schema": {"type": "string"}},
                    },
                },
            }
        },
        "/ccda": {
            "post": {
                **_operation(
                    "ccda",
                    "Take one C-CDA document (option feeds)",
                    {
                        "200": _json(_OUTCOME_REF, "Kept before.", "application/fhir+json"),
                        "202": _json(_OUTCOME_REF, "Kept.", "application/fhir+json"),
                        **_errors(400, 401, 403, 413, 415, 422, 500, 503),
                    },
                ),
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/xml": {"schema": {"type": "string"}},
                        "text/xml": {"schema": {"type": "string"}},
                    },
                },
            }
        },
    }


def _acknowledgement(text: str) -> Json:
    """HL7 v2, or an OperationOutcome where the request was not even a message."""
    kinds = {
        "application/hl7-v2": {"schema": {"type": "string"}},
        "application/fhir+json": {"schema": _OUTCOME_REF},
    }
    return {"description": text, "content": kinds}


def _operation(name: str, summary: str, answers: Json) -> Json:
    return {"operationId": name, "summary": summary, "responses": answers}


def document(base: str = "") -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fhir-twin",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Patient digital twins and draft care plans. Decision support for clinicians: every plan "
            "is a draft that a clinician must review. The FHIR face is described by /fhir/metadata.",
        },
        "servers": [{"url": base or "/"}],
        "security": [{}, {"key": []}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "schemas": {"OperationOutcome": _OUTCOME, "Issue": _ISSUE, "Run": _RUN, "Bundle": _BUNDLE},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The document."""
    return json_response(document())
