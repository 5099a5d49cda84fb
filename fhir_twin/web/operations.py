"""Patient/{id}/$twin, $simulate, $plan (operation_definitions says what goes in and out)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, request

from fhir_twin.errors import InvalidInput, Issue, NotEnoughData, NotFound, NotSupported
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.model.codes import UCUM
from fhir_twin.model.scenario import Trajectory
from fhir_twin.pipeline import Run
from fhir_twin.service import moment_of
from fhir_twin.simulation.what_if import choice_of, what_if
from fhir_twin.web.answers import fhir_response, outcome_response
from fhir_twin.web.facade_access import caller
from fhir_twin.web.facade_async import answered
from fhir_twin.web.facade_made import keep, make, service
from fhir_twin.web.facade_search import ID
from fhir_twin.web.formats import resource_body
from fhir_twin.web.made import keeper, shown
from fhir_twin.web.operation_definitions import OPERATIONS, operation_definitions

Json = dict[str, Any]
blueprint = Blueprint("operations", __name__, url_prefix="/fhir")
MAX_PARAMETERS = 100
_VALUES = ("String", "Code", "DateTime", "Date", "Instant", "Decimal", "Integer", "Boolean", "Id", "Uri")


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
    as_of, wanted = _as_of(given), {str(v) for v in given.get("biomarker", ())}
    unknown = wanted - set(service().knowledge.biomarkers.keys)
    if unknown:
        raise InvalidInput("biomarker names one that is not modelled; PlanDefinition and the docs list them")
    return answered(lambda: _twin_answer(_run(patient, as_of), wanted))


@blueprint.route("/Patient/<patient>/$simulate", methods=["POST"])
def simulate(patient: str) -> Response:
    """A what-if."""
    _admit(patient, "r")
    given = read_parameters("simulate")
    as_of = _as_of(given)
    horizon = _number(given, "horizonYears", 10.0)
    interventions = service().knowledge.interventions
    choices = tuple(choice_of(_choice(row), interventions) for row in given.get("choice", ()))

    def work() -> Json:
        k, done = service().knowledge, _run(patient, as_of)
        pair = what_if(done.twin, choices, k.biomarkers, k.interventions, k.outcomes, horizon_years=horizon)
        keys = {c.intervention for c in choices if not c.stop}
        against = {
            r.reason
            for r in done.proposals.rejected
            if any(c.intervention in keys for c in r.scenario.choices)
        }
        parts = [_value("asOf", "DateTime", done.twin.as_of.isoformat())]
        parts += [_scenario(t, done) for t in pair]
        parts += [_value("safety", "String", words) for words in sorted(against)]
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
    persist = _flag(given, "persist")
    _admit(patient, "c" if persist else "r", "CarePlan")
    as_of = _as_of(given)
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


def _run(patient: str, as_of: datetime) -> Run:
    outcome = service().run_one(patient, as_of, dry_run=True)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.run is not None
    return outcome.run


# --- in ------------------------------------------------------------------------------------------------


def read_parameters(operation: str) -> dict[str, list[Any]]:
    """name -> values (a part as a dict of its own), from the query or a Parameters body, each name known and as often
    as it may be. Raises InvalidInput."""
    known = {p["name"]: p for p in OPERATIONS[operation][3] if p["use"] == "in"}
    found: dict[str, list[Any]] = {}
    for name, values in request.args.lists():
        if name not in ("_format", "_pretty"):
            found.setdefault(name, []).extend(values)
    if request.method == "POST" and request.get_data():
        body = resource_body()
        rows = body.get("parameter", [])
        if (
            body.get("resourceType") != "Parameters"
            or not isinstance(rows, list)
            or len(rows) > MAX_PARAMETERS
        ):
            raise InvalidInput("the body must be a Parameters resource")
        for row in rows:
            name, value = _row(row)
            found.setdefault(name, []).append(value)
    for name, values in found.items():
        if name not in known:
            raise InvalidInput("unknown parameter; known are " + ", ".join(sorted(known)))
        if known[name]["max"] != "*" and len(values) > int(known[name]["max"]):
            raise InvalidInput(f"{name} is given too often")
    return found


def _row(row: Any) -> tuple[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise InvalidInput("every parameter needs a name")
    if isinstance(row.get("part"), list):
        pairs = [_row(part) for part in row["part"]]
        if len({name for name, _ in pairs}) != len(pairs):
            raise InvalidInput("a part is given twice")
        return row["name"], dict(pairs)
    values = [row[f"value{kind}"] for kind in _VALUES if f"value{kind}" in row]
    if len(values) != 1:
        raise InvalidInput("every parameter needs one value")
    return row["name"], values[0]


def _as_of(given: dict[str, list[Any]]) -> datetime:
    if "asOf" not in given:
        return datetime.now(UTC)
    try:
        when = moment_of(str(given["asOf"][0]))
    except ValueError:
        raise InvalidInput("asOf must be a date or dateTime") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _number(given: dict[str, list[Any]], name: str, default: float) -> float:
    if name not in given:
        return default
    try:
        value = float(str(given[name][0]))
    except ValueError:
        value = float("nan")
    if value != value:
        raise InvalidInput(f"{name} must be a number")
    return value


def _flag(given: dict[str, list[Any]], name: str) -> bool:
    value = given.get(name, [False])[0]
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false")
    return bool(value == "true")


_CHOICE = {"intervention": "intervention", "dose": "dose", "delayYears": "delay_years", "adherence": "adherence",
           "stop": "stop", "fromDose": "from_dose"}  # fmt: skip


def _choice(row: Any) -> Json:
    if not isinstance(row, dict) or not set(row) <= set(_CHOICE):
        raise InvalidInput("a choice has the parts " + ", ".join(_CHOICE))
    if not isinstance(row.get("stop", False), bool):
        raise InvalidInput("stop must be a valueBoolean")
    return {_CHOICE[name]: value for name, value in row.items()}


# --- out -----------------------------------------------------------------------------------------------


def _value(name: str, kind: str, value: Any) -> Json:
    return {"name": name, f"value{kind}": value}


def _decimal(name: str, value: float) -> Json:
    return _value(name, "Decimal", Decimal(f"{value:.6g}"))


def _quantity(name: str, value: float, unit: str) -> Json:
    number = {"value": Decimal(f"{value:.6g}")}
    return _value(
        name, "Quantity", {**number, "unit": unit, "system": UCUM, "code": unit} if unit else number
    )


def _twin_answer(done: Run, wanted: set[str]) -> Json:
    made = done.twin
    if made.refused:
        raise NotEnoughData(f"no twin can be made of this record: {made.refused}", issues=made.issues)
    parts: list[Json] = [_value("asOf", "DateTime", made.as_of.isoformat())]
    for key in made.biomarkers:
        if wanted and key not in wanted:
            continue
        e = made.estimate(key)
        rows = [
            _value("name", "Code", key),
            _quantity("value", e.mean, e.unit),
            _quantity("low", e.low, e.unit),
            _quantity("high", e.high, e.unit),
            _value("basis", "Code", e.basis),
            _value("observations", "Integer", e.observations),
        ]
        rows += [_value("last", "DateTime", e.last.isoformat())] if e.last is not None else []
        parts.append({"name": "biomarker", "part": rows})
    if done.issues:
        parts.append({"name": "outcome", "resource": to_outcome(done.issues)})
    return {"resourceType": "Parameters", "parameter": parts}


def _scenario(t: Trajectory, done: Run) -> Json:
    rows: list[Json] = [_value("name", "String", t.scenario.name)]
    for r in t.risks:
        rows.append({"name": "risk", "part": [
            _value("outcome", "Code", r.outcome), _decimal("horizonYears", r.horizon_years),
            _decimal("probability", r.probability), _decimal("low", r.low), _decimal("high", r.high),
            _value("equation", "String", r.equation),
        ]})  # fmt: skip
    for c in t.changes:
        rows.append({"name": "change", "part": [
            _value("outcome", "Code", c.outcome), _decimal("horizonYears", c.horizon_years),
            _decimal("difference", c.difference), _decimal("low", c.low), _decimal("high", c.high),
        ]})  # fmt: skip
    rows += _courses(t, done)
    return {"name": "scenario", "part": rows}


def _courses(t: Trajectory, done: Run) -> Iterator[Json]:
    """Biomarkers that were observed: at yearly steps, the last moment included."""
    units = dict(zip(done.twin.biomarkers, done.twin.units, strict=True))
    picked: list[int] = []
    for i, time in enumerate(t.times):
        if not picked or time - t.times[picked[-1]] >= 0.999 or i == len(t.times) - 1:
            picked.append(i)
    for j, key in enumerate(t.biomarkers):
        if key in units and done.twin.used(key):
            points = [
                {"name": "point", "part": [
                    _decimal("years", float(t.times[i])), _quantity("value", float(t.median[i, j]), units[key]),
                    _quantity("low", float(t.low[i, j]), units[key]),
                    _quantity("high", float(t.high[i, j]), units[key]),
                ]}
                for i in picked
            ]  # fmt: skip
            yield {"name": "biomarker", "part": [_value("name", "Code", key), *points]}
