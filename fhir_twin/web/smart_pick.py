"""Choosing the patient when the login named none (SL-10): never a guess, and a new session for the one chosen."""

from __future__ import annotations

import time

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from fhir_twin.errors import Forbidden, LoginRequired, NotFound
from fhir_twin.model.directory import PatientRow
from fhir_twin.model.scopes import read_scopes
from fhir_twin.service import Directory
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
    """The form; nobody is listed before words were given."""
    if session.patient:
        return make_response(redirect(url_for("pages.twin"), 303))
    return _form(session)


@blueprint.post("/s/<tag>/pick/search")
@session_page("read", patientless=True)
def search(session: PageSession) -> Response:
    """By name, birth date or identifier, with the login's own rights. A POST: no name is in an address."""
    return _form(session, " ".join(request.form.get("q", "").split())[:200])


def _form(session: PageSession, words: str = "") -> Response:
    may_search, source = _may_search(session), session.service.source
    rows: tuple[PatientRow, ...] = ()
    if words and may_search and isinstance(source, Directory):
        rows, _ = source.directory(words, most=SHOWN)
    page = render_template("smart_pick.html", session=session, words=words, rows=rows, may_search=may_search)
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
