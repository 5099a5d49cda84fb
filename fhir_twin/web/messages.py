"""Feeds by HTTP: POST /hl7v2 (one message, the answer is the acknowledgement) and POST /ccda (one document).

Switched on by the option `feeds`. A 2xx means that it is on disk; what becomes of it, `fhir-twin queue` shows.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import UnsupportedMediaType

from fhir_twin.errors import InvalidInput, Issue, NotSupported
from fhir_twin.intake.reception import Reception
from fhir_twin.web.answers import outcome_response

blueprint = Blueprint("messages", __name__)
V2_TYPES = frozenset(
    {"application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2+er7", "text/plain", "",
     "application/octet-stream"}
)  # fmt: skip
CDA_TYPES = frozenset({"application/xml", "text/xml", "application/cda+xml", "application/hl7-cda+xml", ""})
ANSWER_TYPE = "application/hl7-v2; charset=utf-8"
# HL7 over HTTP: an engine looks at the MSA segment; proxies and monitors look at the status.
_STATUS = {"A": 200, "E": 422, "R": 400}


def _reception() -> Reception:
    found: Reception | None = current_app.extensions["fhir-twin"]["reception"]
    if found is None:
        raise NotSupported("this service takes no messages: start it with --feeds")
    return found


@blueprint.post("/hl7v2")
def hl7v2() -> Response:
    """One HL7 v2 message in the body (framed or not), in any character set that MSH-18 names."""
    reception = _reception()
    _check_type(V2_TYPES)
    data = request.get_data()
    if not data:
        raise InvalidInput("the body must be one HL7 v2 message")
    data = data.removeprefix(b"\x0b")
    answer = reception.hl7v2(data.removesuffix(b"\r").removesuffix(b"\x1c") if b"\x1c" in data[-2:] else data)
    status = 503 if answer.verdict.error == "207" else _STATUS[answer.verdict.code]
    if not answer.replies:
        return Response("", 204 if status == 200 else status, content_type=ANSWER_TYPE)
    return Response(b"".join(answer.replies), status, content_type=ANSWER_TYPE)


@blueprint.post("/ccda")
def ccda() -> Response:
    """One C-CDA document in the body: 202 when it is kept, 200 when it was kept before."""
    reception = _reception()
    _check_type(CDA_TYPES)
    data = request.get_data()
    if not data:
        raise InvalidInput("the body must be one C-CDA document")
    again, issues = reception.ccda(data)
    word = "kept before; nothing is done again" if again else "kept"
    told = Issue("information", "informational", f"the document is {word}", stage="read")
    return outcome_response((told, *issues), 200 if again else 202)


def _check_type(allowed: frozenset[str]) -> None:
    if (
        request.mimetype not in allowed
        or request.headers.get("Content-Encoding", "identity").lower() != "identity"
    ):
        raise UnsupportedMediaType
