"""The page: patients, and one patient's twin and plan. Server-rendered; works with scripts off."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, render_template

from fhir_twin.model.scenario import Trajectory
from fhir_twin.pipeline import Run
from fhir_twin.service import TwinService
from fhir_twin.web.charts import Series, chart, series_of

blueprint = Blueprint("pages", __name__)
LISTED = 100


@blueprint.get("/")
def index() -> Response:
    """The first patients of the server."""
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    ids = list(itertools.islice(service.source.patients(), LISTED + 1))
    return _page("index.html", patients=ids[:LISTED], more=len(ids) > LISTED, server=service.source.base)


@blueprint.get("/patients/<patient>")
def one(patient: str) -> Response:
    """One patient's twin and plan, computed now; nothing is written."""
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    outcome = service.run_one(patient, datetime.now(UTC), dry_run=True)
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
