"""Patient/{id}/$twin, $simulate, $plan (operation_definitions says what goes in and out)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from fhir_twin.errors import InvalidInput, Issue, NotEnoughData, NotFound, NotSupported
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.pipeline import Run
from fhir_twin.simulation.what_if import choice_of, what_if
from fhir_twin.web.answers import fhir_response, outcome_response
from fhir_twin.web.facade_access import caller, note
from fhir_twin.web.facade_async import answered
from fhir_twin.web.facade_made import keep, make, service
from fhir_twin.web.facade_search import ID
from fhir_twin.web.made import keeper, shown
from fhir_twin.web.operation_definitions import OPERATIONS, operation_definitions
from fhir_twin.web.operation_input import as_of_given, choice_given, flag_given, number_given, read_parameters
from fhir_twin.web.operation_output import scenario_part, twin_answer, value_part

Json = dict[str, Any]
blueprint = Blueprint("operations", __name__, url_prefix="/fhir")


@blueprint.get("/OperationDefinition/<id_>")
def definition(id_: str) -> Response:
    """One of our OperationDefinitions."""
    found = operation_definitions().get(id_)
    if found is None:
        raise NotFound("there is no such OperationDefinition")
    return fhir_response(found)


@blueprint.get("/OperationDefinition")
def definitions() -> Response:
    """All of them (or by url, name, code, _id), as a searchset."""
    asked = {k: v for k, v in request.args.items() if k in ("url", "name", "code", "_id") and v}
    found = [
        d
        for d in operation_definitions().values()
        if all(d.get("id" if k == "_id" else k) == v for k, v in asked.items())
    ]
    entries = [{"fullUrl": d["url"], "resource": d, "search": {"mode": "match"}} for d in found]
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    return fhir_response({**bundle, **({"entry": entries} if entries else {})})


@blueprint.route("/Patient/<patient>/$twin", methods=["GET", "POST"])
def twin(patient: str) -> Response:
    """The twin's estimates."""
    _admit(patient, "r")
    given = read_parameters("twin")
    as_of, wanted = as_of_given(given), {str(v) for v in given.get("biomarker", ())}
    unknown = wanted - set(service().knowledge.biomarkers.keys)
    if unknown:
        raise InvalidInput("biomarker names one that is not modelled; PlanDefinition and the docs list them")
    return answered(lambda: twin_answer(_run(patient, as_of), wanted))


@blueprint.route("/Patient/<patient>/$simulate", methods=["POST"])
def simulate(patient: str) -> Response:
    """A what-if."""
    _admit(patient, "r")
    given = read_parameters("simulate")
    as_of = as_of_given(given)
    horizon = number_given(given, "horizonYears", 10.0)
    interventions = service().knowledge.interventions
    choices = tuple(choice_of(choice_given(row), interventions) for row in given.get("choice", ()))

    def work() -> Json:
        k, done = service().knowledge, _run(patient, as_of)
        pair = what_if(done.twin, choices, k.biomarkers, k.interventions, k.outcomes, horizon_years=horizon)
        keys = {c.intervention for c in choices if not c.stop}
        against = {
            r.reason
            for r in done.proposals.rejected
            if any(c.intervention in keys for c in r.scenario.choices)
        }
        parts = [value_part("asOf", "DateTime", done.twin.as_of.isoformat())]
        parts += [scenario_part(t, done) for t in pair]
        parts += [value_part("safety", "String", words) for words in sorted(against)]
        notice = Issue(
            "information",
            "informational",
            "a what-if, no advice: safety rules were not asked",
            stage="simulate",
        )
        parts.append(
            {"name": "outcome", "resource": to_outcome((notice, *done.twin.issues, *pair[1].issues))}
        )
        return {"resourceType": "Parameters", "parameter": parts}

    return answered(work)


@blueprint.route("/Patient/<patient>/$plan", methods=["POST"])
def plan(patient: str) -> Response:
    """A draft, kept here, and written to the patient's server when asked to."""
    given = read_parameters("plan")
    persist = flag_given(given, "persist")
    _admit(patient, "c" if persist else "r", "CarePlan")
    as_of = as_of_given(given)
    prefer = request.headers.get("Prefer", "").replace(" ", "")
    if persist and service().sink is None:
        raise NotSupported("this service does not write to the patient's server; leave persist out")

    def work() -> Json:
        if persist:
            outcome = service().run_one(patient, as_of)
            if outcome.error is not None:
                raise outcome.error
            assert outcome.run is not None
            keep(patient, outcome.run.output)
            state = outcome.state
        else:
            make(patient, as_of)
            state = "kept here, not written"
        if "return=OperationOutcome" in prefer:
            return to_outcome(
                (Issue("information", "informational", f"a draft was made: {state}", stage="serve"),)
            )
        return _plan_bundle(patient)

    if "return=minimal" in prefer and "respond-async" not in prefer:
        work()
        return Response("", 204)
    return answered(work)


def _plan_bundle(patient: str) -> Json:
    types = ("CarePlan", "Goal", "MedicationRequest", "ServiceRequest", "NutritionOrder", "CommunicationRequest",
             "RequestGroup", "RiskAssessment", "DetectedIssue", "GuidanceResponse", "Provenance", "Device")  # fmt: skip
    here = "/".join((request.url_root.rstrip("/"), "fhir"))
    entries = [
        {"fullUrl": f"{here}/{row.type}/{row.id}", "resource": shown(row)}
        for type_ in types
        for row in keeper().of(type_, "" if type_ == "Device" else patient)
    ]
    if not entries:
        raise NotEnoughData("no plan can be made for this patient; the run's report says why")
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"resourceType": "Bundle", "type": "collection", "timestamp": stamp, "entry": entries}


@blueprint.route("/Patient/<patient>/$<operation>", methods=["GET", "POST"])
def unknown(patient: str, operation: str) -> Response:
    """Another operation, or a GET of one that wants POST (OP-2)."""
    if operation in OPERATIONS:
        text = f"${operation} is asked by POST with a Parameters resource"
        response = outcome_response((Issue("error", "not-supported", text, stage="serve"),), 405)
        response.headers["Allow"] = "POST"
        return response
    del patient
    raise NotFound("there is no such operation on Patient; the capability statement lists them")


def _admit(patient: str, letter: str, type_: str = "Patient") -> None:
    if not ID.match(patient):
        raise InvalidInput("the patient's id is none that FHIR allows")
    caller().check(type_, letter, patient)
    note("operation", patient, detail="FHIR face")


def _run(patient: str, as_of: datetime) -> Run:
    outcome = service().run_one(patient, as_of, dry_run=True)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.run is not None
    return outcome.run
