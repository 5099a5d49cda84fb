"""Prefer: respond-async (AS-1, AS-2): 202 with a status address, then 202 again while it runs, then the answer.

Job ids cannot be guessed and belong to who asked; an answer is kept for an hour and goes with DELETE.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from flask import Blueprint, Response, copy_current_request_context, current_app, request

from fhir_twin import log
from fhir_twin.errors import Issue, NotFound, Throttled, TwinError
from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.fhir.parse import parse_json
from fhir_twin.storage.made import AnswerRow
from fhir_twin.web.answers import fhir_response, outcome_response
from fhir_twin.web.facade_access import caller
from fhir_twin.web.made import keeper

Json = dict[str, Any]
blueprint = Blueprint("async", __name__, url_prefix="/fhir")
KEPT = 3600.0
AT_ONCE = 4
MOST_WAITING = 64


def answered(work: Callable[[], Json]) -> Response:
    """The resource that `work` makes: now, or later when the caller prefers that."""
    if "respond-async" not in request.headers.get("Prefer", ""):
        return fhir_response(work())
    pool, waiting = _pool()
    if waiting.count >= MOST_WAITING:
        raise Throttled("too many answers are being worked on; ask again later")
    keep = keeper()
    id_ = keep.begin(caller().name, time.time() + KEPT)
    waiting.count += 1
    run = copy_current_request_context(lambda: _finish(work, id_, waiting))
    pool.submit(contextvars.copy_context().run, run)
    text = "the answer is being worked on; its address is in Content-Location"
    response = outcome_response((Issue("information", "informational", text, stage="serve"),), 202)
    response.headers["Content-Location"] = f"{request.url_root.rstrip('/')}/fhir/$status/{id_}"
    response.headers["Retry-After"] = "1"
    return response


def _finish(work: Callable[[], Json], id_: str, waiting: _Waiting) -> None:
    keep = keeper()
    try:
        keep.finish(id_, "done", dump_json(work()))
    except TwinError as error:
        issues = (Issue("error", error.code, error.message, stage="serve"), *error.issues)
        keep.finish(id_, f"{error.status}", dump_json(to_outcome(issues)))
    except Exception as error:  # noqa: BLE001 - told as an error of ours; the log has its number
        log.failure("async.bug", error, job=id_[:8])
        told = Issue("fatal", "exception", "an error of ours", stage="serve")
        keep.finish(id_, "500", dump_json(to_outcome((told,))))
    finally:
        waiting.count -= 1


class _Waiting:
    count = 0


def _pool() -> tuple[ThreadPoolExecutor, _Waiting]:
    """Made at the first use, so that each server process has its own."""
    kept = current_app.extensions["fhir-twin"]
    with kept["guard"]:
        if "async_pool" not in kept:
            kept["async_pool"] = (ThreadPoolExecutor(AT_ONCE, thread_name_prefix="async"), _Waiting())
    found: tuple[ThreadPoolExecutor, _Waiting] = kept["async_pool"]
    return found


@blueprint.get("/$status/<id_>")
def status(id_: str) -> Response:
    """202 while it runs, then the answer, or the error as an OperationOutcome."""
    row = _own(id_)
    if row.state == "running":
        response = Response("", 202)
        response.headers["X-Progress"] = "being worked on"
        response.headers["Retry-After"] = "1"
        return response
    resource = dict(parse_json(row.body, what="kept answer")) if row.body else {}
    code = 200 if row.state == "done" else int(row.state)
    response = fhir_response(resource, code) if resource else Response("", 200)
    response.headers["Expires"] = format_datetime(datetime.fromtimestamp(row.expires, UTC), usegmt=True)
    return response


@blueprint.delete("/$status/<id_>")
def forget(id_: str) -> Response:
    """The answer is dropped; asking for it again is a 404."""
    keeper().drop(_own(id_).id)
    return Response("", 202)


def _own(id_: str) -> AnswerRow:
    row = keeper().answer(id_)
    if row is None or row.owner != caller().name:
        raise NotFound("there is no such answer (any more)")
    return row
