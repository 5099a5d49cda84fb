"""OML, ORM: OBR that ask for a service -> ServiceRequest; MDM: TXA and OBX -> DocumentReference."""

from __future__ import annotations

import base64

from fhir_twin.intake.hl7v2 import Segment
from fhir_twin.intake.hl7v2_results import Order
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.hl7v2_value import read_attachment
from fhir_twin.intake.site import made_id

_STATUS = {"cancelled": "revoked", "stopped": "revoked"}
_DOC_STATUS = {
    "DI": "preliminary",
    "DO": "final",
    "IP": "preliminary",
    "IN": "preliminary",
    "PA": "preliminary",
    "AU": "final",
    "LA": "final",
}


def read_service_order(scribe: Scribe, order: Order, person: str, key: str, encounter: str) -> Json | None:
    """The order itself; its results, when there are any, are read by `read_order`."""
    obr, orc = order.obr, order.orc
    if obr is None:
        return None
    code = scribe.concept(obr.first(4))
    if not code:
        scribe.note("warning", "required", "an order without OBR-4 was left out", obr, "4")
        return None
    numbers = [
        e
        for segment in (orc, obr)
        if segment is not None
        for n in (2, 3)
        if (e := scribe.entity(segment.first(n)))
    ]
    when = scribe.moment(obr.v(7), obr, "7")
    identity = (numbers[0]["system"], numbers[0]["value"]) if numbers else (key, str(code), when)
    table = scribe.site.tables
    found = ""
    if orc is not None:
        wanted = table.get("order-control", orc.v(1).upper())
        found = wanted if wanted in _STATUS else table.get("order-status", orc.v(5).upper()) or wanted
    return kept(
        resourceType="ServiceRequest",
        id=made_id("ServiceRequest", *identity, str(code.get("coding", [{}])[0].get("code", ""))),
        identifier=[e for i, e in enumerate(numbers) if e not in numbers[:i]],
        status=_STATUS.get(found, found) or "active",
        intent="order",
        code=code,
        subject={"reference": f"Patient/{person}"},
        encounter={"reference": f"Encounter/{encounter}"} if encounter else None,
        occurrenceDateTime=when,
        authoredOn=scribe.moment(orc.v(9), orc, "9") if orc is not None else "",
        requester=scribe.person(obr.first(16)) or None,
        reasonCode=[scribe.concept(rep) for rep in obr.reps(31)],
    )


def read_document(
    scribe: Scribe, txa: Segment, obx: list[Segment], person: str, key: str, encounter: str
) -> Json | None:
    """A document with its text or attachments; None when it has no content."""
    number = scribe.entity(txa.first(12))
    when = scribe.moment(txa.v(4) or txa.v(6), txa, "4")
    forms = [a for s in obx if s.v(2).upper() in ("ED", "RP") for a in read_attachment(scribe, s)]
    lines = [r.all() for s in obx if s.v(2).upper() not in ("ED", "RP") for r in s.reps(5)]
    if any(lines):
        data = base64.b64encode("\n".join(lines).encode("utf-8")).decode("ascii")
        forms.insert(0, {"contentType": "text/plain; charset=utf-8", "data": data})
    if not forms:
        scribe.note("warning", "required", "a document without content was left out", txa)
        return None
    identity = (number["system"], number["value"]) if number else (key, when, txa.v(2))
    available = txa.v(19).upper()
    return kept(
        resourceType="DocumentReference",
        id=made_id("DocumentReference", *identity),
        identifier=[number] if number else None,
        status={"CA": "entered-in-error", "OB": "superseded"}.get(available, "current"),
        docStatus=_DOC_STATUS.get(txa.v(17).upper(), ""),
        type_=scribe.concept(txa.first(2), guess="http://terminology.hl7.org/CodeSystem/v2-0270") or None,
        subject={"reference": f"Patient/{person}"},
        date=when if len(when) > 10 else "",
        author=[w for rep in (*txa.reps(9), *txa.reps(5)) if (w := scribe.person(rep))][:5],
        content=[{"attachment": form} for form in forms],
        context={"encounter": [{"reference": f"Encounter/{encounter}"}]} if encounter else None,
    )
