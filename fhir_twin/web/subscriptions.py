"""/hooks: where a FHIR server sends its notifications (SB-4). Stored first, then answered; worked on later.

Each subscription has its own address and its own secret in the Authorization header, so the API key is not asked for
here. POST with a notification Bundle, an empty body or a resource; PUT and DELETE with type and id as HAPI sends them.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import UnsupportedMediaType

from fhir_twin.errors import Issue, NotFound
from fhir_twin.transport.urls import ID, TYPE
from fhir_twin.web.answers import outcome_response
from fhir_twin.worker.notices import Inbox

blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")
_TYPES = frozenset({"", "application/fhir+json", "application/json", "application/json+fhir", "text/json"})


@blueprint.post("/<id_>")
def notify(id_: str) -> Response:
    """A notification Bundle, a resource, or nothing (then we ask what is new)."""
    return _take(id_)


@blueprint.route("/<id_>/<type_>/<resource_id>", methods=["PUT", "POST", "DELETE"])
def notify_resource(id_: str, type_: str, resource_id: str) -> Response:
    """One resource by its own address; DELETE says that it is gone."""
    if not TYPE.match(type_) or not ID.match(resource_id):
        raise NotFound("there is nothing at this address")
    return _take(id_, (type_, resource_id) if request.method == "DELETE" else None)


def _take(id_: str, gone: tuple[str, str] | None = None) -> Response:
    inbox: Inbox | None = current_app.extensions["fhir-twin"].get("inbox")
    if inbox is None:
        raise NotFound("this service watches no server")
    body = request.get_data()
    if body and request.mimetype not in _TYPES:
        raise UnsupportedMediaType
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    inbox.take(id_, secret if scheme.lower() == "bearer" else "", body, gone)
    return outcome_response((Issue("information", "informational", "received"),), 200)
