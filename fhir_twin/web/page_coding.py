"""Coding review: a confirmed or corrected code goes to the site's lexicon, and the record is coded anew with it."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Response, current_app, redirect, request, url_for

from fhir_twin import log
from fhir_twin.errors import Forbidden, InvalidInput, NotSupported
from fhir_twin.model.codes import ICD10CM
from fhir_twin.web.page_state import ready
from fhir_twin.web.pages import blueprint
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.terminology_ops import library
from fhir_twin.web.viewing import Seen, again
from fhir_twin.web.views.coding import CodingRow, coding_rows
from terminology.store import UnknownCode, UnknownSystem
from terminology.text.corrections import record_correction

_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?\Z")


@blueprint.post("/s/<tag>/correct")
@session_page("plan")
def correct(session: PageSession) -> Response:
    """Keep that this text means this code; then code the record anew."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    row = _row(seen, request.form.get("key", ""))
    code, display = _meant(row, request.form.get("other", ""), request.form.get("code", ""))
    record_correction(_folder(), row.text, code, display, "reviewed on the page")
    log.event("page.corrected", code=code)
    again(session)
    return redirect(url_for("pages.twin", _anchor="coding"), 303)  # type: ignore[return-value]


def _folder() -> Path:
    folder: Path | None = current_app.extensions["fhir-twin"]["settings"].path("knowledge")
    if folder is None:
        raise Forbidden("corrections need a folder of the site's own knowledge (option knowledge)")
    return folder


def _row(seen: Seen, key: str) -> CodingRow:
    row = next((r for r in coding_rows(seen.run) if r.key == key), None)
    if row is None or not row.correctable:
        raise InvalidInput("this text is not among those that can be corrected here; read the record anew")
    return row


def _meant(row: CodingRow, other: str, code: str) -> tuple[str, str]:
    """(code, display): one of those shown, or another code that ICD-10-CM really has."""
    typed = other.strip().upper()
    if not typed:
        shown = {c: display for _, c, display, _ in (*row.chosen, *row.candidates)}
        if code not in shown:
            raise InvalidInput("choose one of the candidates, or write another code")
        return code, shown[code]
    if not _CODE.match(typed):
        raise InvalidInput("an ICD-10-CM code looks like E11.22")
    dotted = typed if "." in typed or len(typed) == 3 else f"{typed[:3]}.{typed[3:]}"
    found = _icd10cm(dotted)
    if not found:
        raise InvalidInput("ICD-10-CM has no such code")
    return dotted, found


def _icd10cm(code: str) -> str:
    """The code's title; "" when the release has no such code. Raises InvalidInput when no release is at hand."""
    try:
        return library().lookup(ICD10CM, code, "").display
    except (UnknownCode, UnknownSystem):
        return ""
    except NotSupported:
        raise InvalidInput(
            "this service has no ICD-10-CM release to check a code by; choose a candidate"
        ) from None
