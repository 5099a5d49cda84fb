"""DocumentReference: the plan's narrative as PDF and as a page, for servers that cannot hold a CarePlan (TX-4, E8)."""

from __future__ import annotations

import base64
from typing import Any

from fhir_twin.fhir.identity import identity_of
from fhir_twin.fhir.systems import identifier_system
from fhir_twin.fhir.write_elements import compact
from fhir_twin.fhir.write_pdf import narrative_pdf
from fhir_twin.model.codes import LOINC

Json = dict[str, Any]
TITLE = "Care plan proposal (draft)"


def as_document(desired: Json, base: str) -> Json:
    """A transaction Bundle with one DocumentReference that holds the CarePlan's narrative; without entries when
    there is no CarePlan. docStatus preliminary: a draft."""
    plans = [e["resource"] for e in desired.get("entry", []) if e["resource"]["resourceType"] == "CarePlan"]
    entries = [_entry(plan, base) for plan in plans]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def in_one_form(desired: Json) -> Json | None:
    """The same with the first form of the document only (some vendors take just one); None when it has no other."""
    entries = []
    for entry in desired["entry"]:
        resource = entry["resource"]
        if len(resource.get("content", ())) < 2:
            return None
        entries.append({**entry, "resource": {**resource, "content": resource["content"][:1]}})
    return {**desired, "entry": entries}


def _content(kind: str, data: bytes, created: str) -> Json:
    encoded = base64.b64encode(data).decode()
    return {"attachment": {"contentType": kind, "data": encoded, "title": TITLE, "creation": created}}


def _entry(plan: Json, base: str) -> Json:
    resource = _document(plan, base)
    identity = identity_of(resource)
    if identity is None:
        raise AssertionError("a document carries an identity")
    request = {"method": "PUT", "url": f"DocumentReference?{identity.query}"}
    return {"fullUrl": identity.urn, "resource": resource, "request": request}


def _document(plan: Json, base: str) -> Json:
    div = str(plan["text"]["div"])
    page = f'<?xml version="1.0" encoding="UTF-8"?>\n{div}'
    key = plan["identifier"][0]["value"]
    return compact(
        {
            "resourceType": "DocumentReference",
            "meta": {k: v for k, v in plan["meta"].items() if k != "profile"},
            "identifier": [{"use": "official", "system": identifier_system(base, "document"), "value": key}],
            "text": plan["text"],
            "status": "current",
            "docStatus": "preliminary",
            "type": {
                "coding": [{"system": LOINC, "code": "18776-5", "display": "Plan of care note"}],
                "text": "Care plan proposal (draft, needs clinician approval)",
            },
            "subject": plan["subject"],
            "date": plan["created"],
            "description": plan["description"],
            "content": [
                _content("application/pdf", narrative_pdf(div, TITLE), plan["created"]),
                _content("application/xhtml+xml", page.encode(), plan["created"]),
            ],
        }
    )
