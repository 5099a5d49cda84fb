"""The page: patients, and one patient's twin and plan. Server-rendered; works with scripts off."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, redirect, render_template, url_for

from fhir_twin.model.scenario import Trajectory
from fhir_twin.pipeline import Run
from fhir_twin.service import TwinService
from fhir_twin.web.charts import Series, chart, series_of
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.session_store import hand_out, local_session

blueprint = Blueprint("pages", __name__)
LISTED = 100


@blueprint.get("/")
def index() -> Response:
    """The first patients of the server."""
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    ids = list(itertools.islice(service.source.patients(), LISTED + 1))
    return _page("index.html", patients=ids[:LISTED], more=len(ids) > LISTED, server=service.source.base)


@blueprint.get("/patients/<patient>")
def choose(patient: str) -> Response:
    """Without a login (loopback only): a session on this patient, and its page."""
    ticket = local_session(patient)
    answer = redirect(url_for("pages.twin", tag=ticket.tag), 303)
    return hand_out(ticket, answer)  # type: ignore[arg-type]


@blueprint.get("/s/<tag>/")
@session_page()
def twin(session: PageSession) -> Response:
    """The session's patient: twin and plan, computed now; nothing is written."""
    outcome = session.service.run_one(session.patient, datetime.now(UTC), dry_run=True)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.run is not None
    return _page(
        "patient.html", o=outcome, run=outcome.run, plan=outcome.run.plan, charts=charts(outcome.run)
    )


def charts(run: Run) -> list[tuple[str, str, str, Series]]:
    """(biomarker, unit, SVG, series) for each biomarker that was ever observed."""
    future: Trajectory | None = next((t for t in run.trajectories if t.scenario.key == "continue"), None)
    made = []
    for key, unit in zip(run.twin.biomarkers, run.twin.units, strict=True):
        if run.twin.used(key):
            series = series_of(run.twin, key, future)
            made.append((key, unit, chart(series, key, unit, run.twin.as_of), series))
    return made


def _page(template: str, **values: object) -> Response:
    return Response(render_template(template, **values), mimetype="text/html")
