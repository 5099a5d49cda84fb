"""FHIR terminology operations on the imported releases, exact R4 parameter names (standards 5.2).

The answers are worked out in terminology.fhir; here is HTTP: parameters from the query or a Parameters resource in JSON
or XML, the answer in the format asked for, an OperationOutcome when there is none. A negative answer of $validate-code
and $translate is a 200 with result=false (OP-3); an unknown system or code of $lookup is a 404.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app, request

from fhir_twin import log
from fhir_twin.errors import InvalidInput, NotFound
from fhir_twin.web.answers import fhir_response
from fhir_twin.web.catalogue import TYPES, Catalogue
from fhir_twin.web.formats import resource_body, wants_xml
from fhir_twin.web.shelf import OpenShelf
from terminology.fhir import operations
from terminology.fhir.batch import batch
from terminology.fhir.operations import Asker
from terminology.fhir.problem import TxError, outcome
from terminology.store import Terminology

blueprint = Blueprint("terminology", __name__, url_prefix="/fhir")
Json = dict[str, Any]
Operation = Callable[[Asker, list[Any]], Json]
BOTH = {"methods": ["GET", "POST"]}
_FORMAT = ("_format", "_pretty", "_summary", "_elements")


def library() -> Terminology:
    """The releases that are there now; opened (and ICD-10-CM imported) at the first question."""
    return _shelf().now()[0]


def catalogue() -> Catalogue:
    return _shelf().now()[1]


def _shelf() -> OpenShelf:
    found: OpenShelf = current_app.extensions["fhir-twin"]["shelf"]
    return found


@blueprint.route("/CodeSystem/$lookup", **BOTH)
def lookup() -> Response:
    return _run(operations.lookup)


@blueprint.route("/CodeSystem/$validate-code", **BOTH)
def validate_in_system() -> Response:
    return _run(operations.validate_in_system)


@blueprint.route("/CodeSystem/<id_>/$validate-code", **BOTH)
def validate_in_one_system(id_: str) -> Response:
    return _run(operations.validate_in_system, _canonical("CodeSystem", id_, "url"))


@blueprint.route("/CodeSystem/$subsumes", **BOTH)
def subsumes() -> Response:
    return _run(operations.subsumes)


@blueprint.route("/CodeSystem/<id_>/$subsumes", **BOTH)
def subsumes_in_one(id_: str) -> Response:
    return _run(operations.subsumes, _canonical("CodeSystem", id_, "system"))


@blueprint.route("/ValueSet/$expand", **BOTH)
def expand() -> Response:
    return _run(operations.expand)


@blueprint.route("/ValueSet/<id_>/$expand", **BOTH)
def expand_one(id_: str) -> Response:
    return _run(operations.expand, _canonical("ValueSet", id_, "url"))


@blueprint.route("/ValueSet/$validate-code", **BOTH)
def validate_in_value_set() -> Response:
    return _run(operations.validate_in_value_set)


@blueprint.post("/<any(CodeSystem, ValueSet):type_>/$batch-validate-code")
def validate_many(type_: str) -> Response:
    """Not R4's: HL7's terminology ecosystem asks many questions at once with it."""
    operation = operations.validate_in_system if type_ == "CodeSystem" else operations.validate_in_value_set
    return _run(lambda asker, given: batch(lambda one: operation(asker, one), given))


@blueprint.route("/ValueSet/<id_>/$validate-code", **BOTH)
def validate_in_one_value_set(id_: str) -> Response:
    return _run(operations.validate_in_value_set, _canonical("ValueSet", id_, "url"))


@blueprint.route("/ConceptMap/$translate", **BOTH)
def translate() -> Response:
    return _run(lambda asker, given: operations.translate(asker, given, library()))


@blueprint.route("/ConceptMap/<id_>/$translate", **BOTH)
def translate_by_one(id_: str) -> Response:
    more = _canonical("ConceptMap", id_, "url")
    return _run(lambda asker, given: operations.translate(asker, given, library()), more)


@blueprint.get("/<any(CodeSystem, ValueSet, ConceptMap):type_>")
def search(type_: str) -> Response:
    """Resources of a type; the releases stand among the CodeSystems, without content."""
    return fhir_response(catalogue().search(type_))


@blueprint.get("/<any(CodeSystem, ValueSet, ConceptMap):type_>/<id_>")
def read(type_: str, id_: str) -> Response:
    if id_.startswith("$"):
        raise NotFound(f"{type_} has no such operation")
    return fhir_response(catalogue().read(type_, id_))


def _canonical(type_: str, id_: str, name: str) -> list[Json]:
    """What an operation on an instance adds to its parameters."""
    head = catalogue().head(type_, id_)
    version = str(head.get("version") or "")
    named = {"ValueSet": "valueSetVersion", "ConceptMap": "conceptMapVersion", "CodeSystem": "version"}[type_]
    found = [{"name": name, "valueUri": str(head["url"])}]
    return [*found, {"name": named, "valueString": version}] if version else found


def _run(operation: Operation, more: list[Json] | None = None) -> Response:
    wants_xml()  # a format that there is none of is refused before any work
    prefer = request.headers.get("Prefer", "")
    asker = Asker(
        library(), datetime.now(UTC).isoformat(timespec="seconds"),
        request.headers.get("Accept-Language", ""), "handling=lenient" in prefer,
    )  # fmt: skip
    shelf, given = library(), [*_given(), *(more or [])]
    path = request.path.removeprefix("/fhir/") if more is None else ""  # our own ids mean nothing elsewhere
    try:
        if shelf.upstream is None or not path:
            answer, by = operation(asker, given), "local"
        else:
            answer = shelf.upstream.operation(path, given, lambda: operation(asker, given))
            by = shelf.upstream.answered_by
        response = fhir_response(answer)
    except TxError as error:
        by, response = "local", fhir_response(outcome(error.issues), error.status)
    log.event("terminology.answered", route=request.endpoint or "?", server=by, status=response.status_code)
    response.headers["X-Terminology-Answered-By"] = by
    return response


def _given() -> list[Any]:
    """Parameters of the query, then those of the body."""
    found: list[Any] = [
        _typed(name, value)
        for name, values in request.args.lists()
        if name not in _FORMAT
        for value in values
    ]
    if request.method == "POST":
        body = resource_body()
        if body["resourceType"] in TYPES and body["resourceType"] in request.path:
            name = body["resourceType"][0].lower() + body["resourceType"][1:]
            return [*found, {"name": name, "resource": body}]
        if body["resourceType"] != "Parameters":
            raise InvalidInput("the body must be a Parameters resource")
        parts = body.get("parameter")
        if parts is not None and not isinstance(parts, list):
            raise InvalidInput("parameter must be a list")
        found += parts or []
    return found


_KINDS = {
    "url": "valueUri", "system": "valueUri", "source": "valueUri", "target": "valueUri", "targetsystem": "valueUri",
    "code": "valueCode", "codeA": "valueCode", "codeB": "valueCode", "property": "valueCode",
    "displayLanguage": "valueCode",
}  # fmt: skip


def _typed(name: str, value: str) -> Json:
    """A query parameter as Parameters.parameter, of the type that the operation defines."""
    if value in ("true", "false") and name not in _KINDS:
        return {"name": name, "valueBoolean": value == "true"}
    if name in ("count", "offset") and value.isascii() and value.isdigit() and len(value) < 10:
        return {"name": name, "valueInteger": int(value)}
    return {"name": name, _KINDS.get(name, "valueString"): value}
