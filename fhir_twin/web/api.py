"""The JSON API: /health, /ready, /metadata, and running one patient."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app, request

from fhir_twin import __version__
from fhir_twin.errors import InvalidInput, Issue, TwinError
from fhir_twin.model.plain import to_plain
from fhir_twin.pipeline import run
from fhir_twin.service import Outcome, TwinService, moment_of
from fhir_twin.storage.store import Store
from fhir_twin.web.answers import fhir_response, json_response, outcome_response
from fhir_twin.web.bodies import json_body
from fhir_twin.web.capability import capability_statement
from fhir_twin.web.terminology_capability import terminology_capabilities
from fhir_twin.web.terminology_capability import versions as fhir_versions
from fhir_twin.web.terminology_ops import library

blueprint = Blueprint("api", __name__)
SEAMS = ("chart", "coded", "twin", "proposals", "trajectories", "plan", "output")


def service() -> TwinService:
    found: TwinService = current_app.extensions["fhir-twin"]["service"]
    return found


@blueprint.get("/health")
def health() -> Response:
    """The process answers. Says nothing of the FHIR server: see /ready."""
    return json_response({"status": "ok", "version": __version__})


@blueprint.get("/ready")
def ready() -> Response:
    """Knowledge is loaded and the FHIR server answers its capability statement: 200, else 503."""
    checks: dict[str, str] = {"knowledge": service().knowledge.version}
    try:
        checks["server"] = service().check()
    except TwinError as error:
        issue = Issue("error", "transient", f"the FHIR server cannot be used: {error.message}", stage="serve")
        return outcome_response((issue, *error.issues), 503)
    store: Store | None = current_app.extensions["fhir-twin"].get("store")
    if store is not None:
        checks["store"] = store.ready()
    return json_response({"status": "ready", **checks})


@blueprint.get("/metadata")
@blueprint.get("/fhir/metadata")
def metadata() -> Response:
    mode = request.args.get("mode", "full")
    if mode not in ("full", "normative", "terminology"):
        raise InvalidInput("mode is full, normative or terminology")
    base = request.url_root.rstrip("/")
    if mode == "terminology":
        return fhir_response(terminology_capabilities(library(), base))
    return fhir_response(capability_statement(base))


@blueprint.get("/fhir/$versions")
def versions() -> Response:
    return fhir_response(fhir_versions())


@blueprint.get("/api/patients")
def patients() -> Response:
    """Ids of the server's patients."""
    return json_response({"patients": list(service().source.patients())})


@blueprint.post("/api/patients/<patient>/run")
def run_patient(patient: str) -> Response:
    """Fetch, twin, plan and (unless dryRun) write. Parameters in the query or a JSON body: dryRun, asOf, show."""
    options = _options()
    outcome = service().run_one(patient, options["as_of"], dry_run=options["dry_run"])
    if outcome.error is not None:
        raise outcome.error
    return json_response(_outcome(outcome, options["show"]))


@blueprint.post("/api/run")
def run_bundle() -> Response:
    """A Bundle in the body to a plan in the answer; nothing is fetched and nothing is written."""
    bundle = json_body()
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InvalidInput("the body must be a FHIR R4 Bundle in JSON")
    options = _options(body={})
    done = run(bundle, service().knowledge, options["as_of"])
    shown = {seam: to_plain(getattr(done, seam)) for seam in options["show"]}
    return json_response(
        {"state": "refused" if done.plan.refused else "dry-run", **shown, "issues": done.issues}
    )


def _outcome(outcome: Outcome, seams: tuple[str, ...]) -> dict[str, Any]:
    shown = {seam: getattr(outcome.run, seam) for seam in seams} if outcome.run else {}
    return {
        "patient": outcome.patient,
        "state": outcome.state,
        "seconds": outcome.seconds,
        "written": outcome.written,
        **shown,
        "issues": outcome.issues,
    }


def _options(body: dict[str, Any] | None = None) -> dict[str, Any]:
    if body is None:
        body = json_body()
        body = {} if body is None else body
        if not isinstance(body, dict):
            raise InvalidInput("the body must be a JSON object: dryRun, asOf, show")
    given = {**body, **request.args.to_dict()}
    if any(len(values) > 1 or name in body for name, values in request.args.lists()):
        raise InvalidInput("a parameter is given twice")  # dryRun both true and false: never guess
    unknown = sorted(set(given) - {"dryRun", "asOf", "show"})
    if unknown:
        raise InvalidInput("unknown parameter; known are dryRun, asOf, show")
    return {
        "dry_run": _flag(given.get("dryRun", False)),
        "as_of": _as_of(given.get("asOf")),
        "show": _seams(given.get("show", "plan")),
    }


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False}
    if str(value).lower() not in known:
        raise InvalidInput("dryRun must be true or false")
    return known[str(value).lower()]


def _as_of(value: object) -> datetime:
    if value is None:
        return datetime.now(UTC)
    try:
        when = moment_of(str(value))
    except ValueError:
        raise InvalidInput("asOf must be an ISO 8601 date or time") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _seams(value: object) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or any(name not in SEAMS for name in given):
        raise InvalidInput(f"show takes {', '.join(SEAMS)}")
    return tuple(given)
