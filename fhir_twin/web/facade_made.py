"""/fhir: read and search of what we made for patients (CarePlan, Goal, RiskAssessment, DetectedIssue, Provenance ...).

A search for a patient whose plan is missing or older than `facade_age` makes it first; nothing is written to the
patient's server by that. Unknown search parameters: Prefer handling=strict refuses them, else they are left out of
the self link (FA-4, FA-7).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, request

from fhir_twin.errors import Forbidden, InvalidInput, Issue, NotFound, TooCostly
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.service import TwinService
from fhir_twin.storage.made import Made
from fhir_twin.web.answers import fhir_response
from fhir_twin.web.facade_access import caller, note
from fhir_twin.web.facade_search import ID, Asked, matches, read_search
from fhir_twin.web.made import keeper, rows_of, shown

Json = dict[str, Any]
blueprint = Blueprint("made", __name__, url_prefix="/fhir")
TYPES = (
    "CarePlan", "Goal", "RiskAssessment", "DetectedIssue", "GuidanceResponse", "MedicationRequest", "ServiceRequest",
    "NutritionOrder", "CommunicationRequest", "RequestGroup", "Provenance", "Device",
)  # fmt: skip
MOST = 10_000  # resources that one search looks through
_PATH = f"/<any({', '.join(TYPES)}):type_>"


def service() -> TwinService:
    found: TwinService = current_app.extensions["fhir-twin"]["service"]
    return found


@blueprint.get(f"{_PATH}/<id_>")
@blueprint.get(f"{_PATH}/<id_>/_history/<version>")
def read(type_: str, id_: str, version: str = "") -> Response:
    """One resource, with ETag and Last-Modified; 304 when the caller has it already."""
    row = keeper().get(type_, id_) if ID.match(id_) else None
    caller().check(type_, "r", row.patient if row is not None and row.patient else caller().patient)
    if row is None or (version and version != str(row.version)):
        raise NotFound(f"there is no such {type_}")
    note("read", row.patient, entities=(f"{type_}/{row.id}/_history/{row.version}",))
    tag = f'W/"{row.version}"'
    if tag in [t.strip() for t in request.headers.get("If-None-Match", "").split(",")]:
        return _headed(Response(status=304), row)
    return _headed(fhir_response(shown(row)), row)


def _headed(response: Response, row: Made) -> Response:
    response.headers["ETag"] = f'W/"{row.version}"'
    response.headers["Last-Modified"] = format_datetime(datetime.fromtimestamp(row.updated, UTC), usegmt=True)
    return response


@blueprint.route(_PATH, methods=["GET"])
@blueprint.route(f"{_PATH}/_search", methods=["GET", "POST"])
def search(type_: str) -> Response:
    """A searchset, in pages."""
    asked = read_search(type_)
    if caller().bound:
        wanted = asked.patient or caller().patient
        caller().check(type_, "s", wanted)
        asked = asked.about(wanted)
    else:
        caller().check(type_, "s", asked.patient)
        if not asked.patient and type_ != "Device" and not caller().may_list:
            raise Forbidden("name the patient: this access token does not allow searches across patients")
    if asked.patient and type_ != "Device":
        make_if_old(asked.patient)
    note("search", asked.patient, query=f"{type_}?{urlencode(asked.applied)}")
    rows = keeper().of(type_, asked.patient if type_ != "Device" else "", MOST + 1)
    if len(rows) > MOST:
        raise TooCostly(f"more than {MOST} {type_} are kept: name a patient")
    found = [r for r in rows if matches(r, asked)]
    return fhir_response(_bundle(type_, found, asked))


def make_if_old(patient: str) -> None:
    """The plan of a patient is made when there is none, or it is older than `facade_age` minutes. A patient that the
    server does not know has nothing made for them: an empty answer, no error."""
    age = 60 * current_app.extensions["fhir-twin"]["settings"].number("facade_age")
    now = datetime.now(UTC)
    if now.timestamp() - keeper().when(patient) < age:
        return
    try:
        make(patient, now)
    except NotFound:
        keeper().keep(patient, ())


def make(patient: str, as_of: datetime) -> Any:
    """Run and keep what comes of it. Raises what the run gives cause for. The Run."""
    outcome = service().run_one(patient, as_of, dry_run=True)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.run is not None
    keep(patient, outcome.run.output)
    return outcome.run


def keep(patient: str, output: Json) -> list[Made]:
    rows = rows_of(output, patient, service().source.base, datetime.now(UTC).timestamp())
    keeper().keep(patient, rows)
    return rows


def _bundle(type_: str, found: list[Made], asked: Asked) -> Json:
    here = f"{request.url_root.rstrip('/')}/fhir/{type_}"
    page = found[asked.offset : asked.offset + asked.count] if asked.count else []
    link = [{"relation": "self", "url": _link(here, asked, asked.offset)}]
    if asked.count and asked.offset + asked.count < len(found):
        link.append({"relation": "next", "url": _link(here, asked, asked.offset + asked.count)})
    entries: list[Json] = [
        {"fullUrl": f"{here}/{r.id}", "resource": _summary(shown(r), asked), "search": {"mode": "match"}}
        for r in page
    ]
    if asked.ignored:
        text = (
            f"{len(asked.ignored)} search parameters are not known here and were ignored; see the self link"
        )
        outcome = to_outcome((Issue("warning", "not-supported", text, stage="serve"),))
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": link}
    return {**bundle, "entry": entries} if entries else bundle


def _link(here: str, asked: Asked, offset: int) -> str:
    pairs = [*asked.applied, ("_count", str(asked.count))] if asked.count_said else list(asked.applied)
    if offset:
        pairs.append(("_offset", str(offset)))
    return f"{here}?{urlencode(pairs)}" if pairs else here


_ALWAYS = re.compile(r"resourceType|id|meta|status|intent|subject|patient|code|identifier|target|recorded")


def _summary(resource: Json, asked: Asked) -> Json:
    if not asked.elements:
        return resource
    keep_ = {k: v for k, v in resource.items() if k in asked.elements or _ALWAYS.fullmatch(k)}
    tags = [
        *resource.get("meta", {}).get("tag", ()),
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"},
    ]
    return {**keep_, "meta": {**resource.get("meta", {}), "tag": tags}}


@blueprint.route(_PATH, methods=["POST"])
@blueprint.route(f"{_PATH}/<id_>", methods=["PUT", "PATCH", "DELETE"])
def unwritten(type_: str, id_: str = "") -> Response:
    """What we make is not edited here."""
    del id_
    raise _NotAllowed(f"a {type_} of ours is not written here: change it on the patient's server")


class _NotAllowed(InvalidInput):
    code, status = "not-supported", 405
