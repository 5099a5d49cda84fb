"""/fhir: our knowledge as FHIR resources, and PlanDefinition/$apply.

Read and search of PlanDefinition, ActivityDefinition and Library; `$apply` answers with a self-contained draft
CarePlan and writes nothing (OP-5).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app, request

from fhir_twin.errors import InvalidInput, NotFound, NotSupported
from fhir_twin.fhir.contain import contained_plan
from fhir_twin.fhir.definitions import PLAN_ID, canonical, definitions
from fhir_twin.service import TwinService
from fhir_twin.web.answers import fhir_response
from fhir_twin.web.bodies import parameters_body
from fhir_twin.web.capability_dates import RELEASED
from fhir_twin.web.facade_access import caller

blueprint = Blueprint("facade", __name__, url_prefix="/fhir")
TYPES = ("PlanDefinition", "ActivityDefinition", "Library")
SEARCHES = ("_id", "url", "version", "name", "status", "title")
_SUBJECT = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})\Z")
_APPLY = frozenset({"planDefinition", "subject", "encounter", "practitioner", "organization", "userType"})
_APPLY_MORE = frozenset({"userLanguage", "userTaskContext", "setting", "settingContext"})


def _service() -> TwinService:
    found: TwinService = current_app.extensions["fhir-twin"]["service"]
    return found


def _definitions() -> dict[tuple[str, str], dict[str, Any]]:
    kept = current_app.extensions["fhir-twin"]
    if "definitions" not in kept:
        knowledge = _service().knowledge
        kept["definitions"] = definitions(knowledge.interventions, knowledge.version, RELEASED)
    found: dict[tuple[str, str], dict[str, Any]] = kept["definitions"]
    return found


@blueprint.get("/<any(PlanDefinition, ActivityDefinition, Library):type_>/<id_>")
def read(type_: str, id_: str) -> Response:
    """One definition."""
    resource = _definitions().get((type_, id_))
    if resource is None:
        raise NotFound(f"there is no such {type_}")
    return fhir_response(resource)


@blueprint.get("/<any(PlanDefinition, ActivityDefinition, Library):type_>")
def search(type_: str) -> Response:
    """A searchset of definitions by _id, url, version, name, status or title (exact; title: contains)."""
    asked = {k: v for k, v in request.args.items() if k not in ("_format", "_count", "_pretty")}
    if unknown := sorted(set(asked) - set(SEARCHES)):
        raise InvalidInput(f"search parameters are {', '.join(SEARCHES)}; {len(unknown)} unknown given")
    found = [r for (t, _), r in _definitions().items() if t == type_ and _matches(r, asked)]
    entries = [
        {"fullUrl": f"{request.base_url}/{r['id']}", "resource": r, "search": {"mode": "match"}}
        for r in found
    ]
    link = [{"relation": "self", "url": request.url}]
    return fhir_response(
        {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": link, "entry": entries}
    )


@blueprint.route("/PlanDefinition/$apply", methods=["GET", "POST"])
@blueprint.route(f"/PlanDefinition/{PLAN_ID}/$apply", methods=["GET", "POST"])
def apply() -> Response:
    """Subject in, draft CarePlan out. Nothing is written to the patient's server."""
    given = _parameters()
    unknown = set(given) - _APPLY - _APPLY_MORE
    if unknown:
        raise InvalidInput("unknown parameter of $apply")
    wanted = given.get("planDefinition")
    names = {
        canonical("PlanDefinition", PLAN_ID),
        canonical("PlanDefinition", PLAN_ID, _service().knowledge.version),
    }
    if wanted is not None and wanted not in names:
        raise NotSupported("only our own PlanDefinition can be applied")
    match = _SUBJECT.match(str(given.get("subject", "")))
    if match is None:
        raise InvalidInput("subject is needed, as a reference: Patient/ID")
    caller().check("CarePlan", "r", match.group(1))
    outcome = _service().run_one(match.group(1), datetime.now(UTC), dry_run=True)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.run is not None
    return fhir_response(contained_plan(outcome.run.output))


def _parameters() -> dict[str, Any]:
    """Query (GET) or a Parameters resource (POST); each parameter once."""
    if request.method == "GET":
        return request.args.to_dict()
    body = parameters_body()
    found: dict[str, Any] = dict(request.args.to_dict())
    for part in body.get("parameter") or []:
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise InvalidInput("every parameter needs a name")
        if part["name"] in found:
            raise InvalidInput("a parameter is given twice; one subject at a time")
        value = next((v for k, v in part.items() if k.startswith("value")), None)
        found[part["name"]] = (
            value["reference"] if isinstance(value, dict) and "reference" in value else value
        )
    return found


def _matches(resource: dict[str, Any], asked: dict[str, str]) -> bool:
    for name, wanted in asked.items():
        held = str(resource.get("id" if name == "_id" else name, ""))
        if name == "title" and wanted.lower() in held.lower():
            continue
        if held not in wanted.split(","):
            return False
    return True
