"""Choosing the patient when the login named none (SL-10): never a guess, and a new session for the one chosen."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from fhir_twin.errors import Forbidden, LoginRequired, NotFound
from fhir_twin.model.scopes import read_scopes
from fhir_twin.transport.pull import ServerSource
from fhir_twin.transport.urls import ID
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.session_access import open_services
from fhir_twin.web.session_store import KIND, hand_out, make_session, web_state

blueprint = Blueprint("smart_pick", __name__)
SHOWN = 20


@blueprint.get("/s/<tag>/pick")
@session_page("read", patientless=True)
def pick(session: PageSession) -> Response:
    """Search by name or id, with the login's own rights."""
    if session.patient:
        return make_response(redirect(url_for("pages.twin"), 303))
    words = request.args.get("q", "").strip()[:100]
    may_search = _may_search(session)
    found = _search(session, words) if words and may_search else []
    page = render_template(
        "smart_pick.html", session=session, words=words, found=found, may_search=may_search
    )
    return Response(page, mimetype="text/html")


@blueprint.post("/s/<tag>/pick")
@session_page("read", patientless=True)
def picked(session: PageSession) -> Response:
    """A session on the chosen patient takes the place of this one."""
    if session.patient:
        raise Forbidden("this session has its patient already; another patient needs a new launch")
    patient = request.form.get("patient", "").strip()
    source = session.service.source
    if not ID.match(patient) or not isinstance(source, ServerSource):
        raise NotFound("there is no such patient")
    if source.server.read("Patient", patient) is None:
        raise NotFound("there is no such patient on this server, or this login may not see it")
    kept = web_state().take(KIND, session.tag, now=time.time())
    if kept is None:
        raise LoginRequired("this session has ended")
    open_services().drop(session.tag)
    value = {k: v for k, v in kept.items() if k not in ("secret", "csrf", "made", "ends")}
    ticket = make_session({**value, "patient": patient}, ends=float(kept["ends"]))
    return hand_out(ticket, make_response(redirect(url_for("pages.twin", tag=ticket.tag), 303)))


def _may_search(session: PageSession) -> bool:
    kept = web_state().get(KIND, session.tag, now=time.time())
    scope = read_scopes(str(kept.value["scope"])) if kept else None
    return scope is not None and scope.may("Patient", "s")


def _search(session: PageSession, words: str) -> list[dict[str, str]]:
    source = session.service.source
    if not isinstance(source, ServerSource):
        return []
    page = source.server.search_page("Patient", {"name": words, "_count": str(SHOWN)}, private=True)
    rows = [e.get("resource") for e in page.get("entry") or () if isinstance(e, dict)]
    return [_row(r) for r in rows if isinstance(r, dict) and r.get("resourceType") == "Patient"][:SHOWN]


def _row(patient: dict[str, Any]) -> dict[str, str]:
    names = patient.get("name")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], dict) else {}
    given = name.get("given")
    parts = [*(given if isinstance(given, list) else ()), name.get("family")]
    shown = name.get("text") or " ".join(p for p in parts if isinstance(p, str))
    return {
        "id": str(patient.get("id", "")),
        "name": str(shown or "(no name)"),
        "born": str(patient.get("birthDate", "")),
        "sex": str(patient.get("gender", "")),
    }
