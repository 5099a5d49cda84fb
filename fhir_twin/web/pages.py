"""The pages' blueprint, and the list of patients to choose from (without a login: loopback only).

Server-rendered; works with scripts off. What belongs to one patient is in page_*.py.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for

from fhir_twin.errors import InvalidInput
from fhir_twin.service import TwinService
from fhir_twin.web.session_store import hand_out, local_session

blueprint = Blueprint("pages", __name__)
LISTED = 50


@blueprint.route("/", methods=["GET", "POST"])
def index() -> Response:
    """Patients of the configured server; a search is a POST, so that no name is in an address."""
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    words = " ".join(request.form.get("q", "").split()) if request.method == "POST" else ""
    rows, more = service.directory(words, most=LISTED)
    born = {r.id: _age(r.birth_date) for r in rows}
    return page("index.html", rows=rows, more=more, words=words, ages=born, server=service.source.base)


def _age(birth_date: str) -> str:
    try:
        born = datetime.fromisoformat(f"{birth_date}-01-01"[:10]).replace(tzinfo=UTC)
    except ValueError:
        return ""
    years = int((datetime.now(UTC) - born).days / 365.25)
    return f"{years}" if 0 <= years <= 130 else ""


@blueprint.post("/open")
def open_patient() -> Response:
    """From the list: the patient's id in the body."""
    return _opened(request.form.get("patient", ""))


@blueprint.get("/patients/<patient>")
def choose(patient: str) -> Response:
    """Without a login (loopback only): a session on this patient, and its page."""
    return _opened(patient)


def _opened(patient: str) -> Response:
    if not patient:
        raise InvalidInput("say which patient")
    ticket = local_session(patient)
    answer = redirect(url_for("pages.twin", tag=ticket.tag), 303)
    return hand_out(ticket, answer)  # type: ignore[arg-type]


def page(template: str, status: int = 200, **values: object) -> Response:
    """An HTML answer."""
    return Response(render_template(template, **values), status, mimetype="text/html")
