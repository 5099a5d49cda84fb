"""AuditEvent by IHE's Basic Audit Log Patterns (BALP): AU-1 to AU-5.

One event per patient. Agents by direction of the data: when we read, the server is the source and we the
destination; queries, creates and updates are ours to send. Exactly one agent is the requestor: the person or client
behind it.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

from fhir_twin.actor import Actor
from fhir_twin.fhir.systems import SOFTWARE_TAG, TAGS
from fhir_twin.fhir.write_elements import compact, instant, line
from fhir_twin.model.audit import AuditNote

Json = dict[str, Any]

_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_REST = "http://hl7.org/fhir/restful-interaction"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_SOURCE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_BALP = "https://profiles.ihe.net/ITI/BALP"
_PROFILES = {"read": "PatientRead", "search": "PatientQuery", "create": "PatientCreate", "update": "PatientUpdate",
             "delete": "PatientDelete"}  # fmt: skip

_ACTIONS = {"read": "R", "search": "E", "create": "C", "update": "U", "delete": "D", "erase": "D"}
_SUBTYPES = {
    "read": (_REST, "read"),
    "search": (_REST, "search-type"),
    "create": (_REST, "create"),
    "update": (_REST, "update"),
    "delete": (_REST, "delete"),
    "operation": (_REST, "operation"),
    "disclose": (_LIFECYCLE, "disclose"),
    "export": (_LIFECYCLE, "extract"),
    "erase": (_LIFECYCLE, "destroy"),
    "consent": (f"{_BALP}/CodeSystem/BasicAuditEntityType", "AuthZ-Consent"),
}
_PURPOSES = {"TREAT": "treatment", "HOPERAT": "healthcare operations", "HRESCH": "healthcare research"}
_LITERAL = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}(/_history/[A-Za-z0-9\-.]{1,64})?\Z")


def audit_event(note: AuditNote, actor: Actor, server: str, when: datetime) -> Json:
    """server: base URL of the FHIR server, the other end of the exchange."""
    type_ = {"system": _TYPE, "code": "rest", "display": "RESTful Operation"}
    if note.what == "consent":
        type_ = {"system": _DCM, "code": "110113", "display": "Security Alert"}
    system, code = _SUBTYPES[note.what]
    profile = _PROFILES.get(note.what)
    return compact(
        {
            "resourceType": "AuditEvent",
            "meta": {
                "profile": [f"{_BALP}/StructureDefinition/IHE.BasicAudit.{profile}"] if profile else [],
                "tag": [{"system": TAGS, "code": SOFTWARE_TAG}],
            },
            "type": type_,
            "subtype": [{"system": system, "code": code}],
            "action": _ACTIONS.get(note.what, "E"),
            "recorded": instant(when),
            "outcome": note.outcome,
            "outcomeDesc": line(note.detail),
            "agent": _agents(note, actor, server),
            "source": {
                "observer": {"display": "fhir-twin"},
                "type": [{"system": _SOURCE, "code": "4", "display": "Application Server"}],
            },
            "entity": _entities(note, actor),
        }
    )


def _agents(note: AuditNote, actor: Actor, server: str) -> list[Json]:
    reading = note.what == "read"
    source = {"coding": [{"system": _DCM, "code": "110153", "display": "Source Role ID"}]}
    target = {"coding": [{"system": _DCM, "code": "110152", "display": "Destination Role ID"}]}
    return [
        {
            "type": target if reading else source,
            "who": {"display": "fhir-twin"},
            "requestor": False,
            "policy": [actor.token] if actor.token else [],
        },
        {
            "type": source if reading else target,
            "who": {"display": "FHIR server"},
            "requestor": False,
            "network": {"address": line(server), "type": "5"},
        },
        {
            "type": {
                "coding": [{"system": _PARTICIPATION, "code": "IRCP", "display": "information recipient"}]
            },
            "who": _who(actor),
            "requestor": True,
            "purposeOfUse": [
                {
                    "coding": [
                        {
                            "system": _REASON,
                            "code": actor.purpose,
                            "display": _PURPOSES.get(actor.purpose, ""),
                        }
                    ]
                }
            ],
        },
    ]


def _who(actor: Actor) -> Json:
    if _LITERAL.match(actor.reference):
        return {"reference": actor.reference, "display": line(actor.name)}
    return {"identifier": {"value": line(actor.name) or "unknown"}}


def _entities(note: AuditNote, actor: Actor) -> list[Json]:
    found: list[Json] = []
    if note.patient:
        found.append(
            {
                "what": {"reference": f"Patient/{note.patient}"},
                "type": {"system": _ENTITY, "code": "1", "display": "Person"},
                "role": {"system": _ROLE, "code": "1", "display": "Patient"},
            }
        )
    data = {"type": {"system": _ENTITY, "code": "2", "display": "System Object"}}
    for reference in note.entities:
        if _LITERAL.match(reference):
            role = {"system": _ROLE, "code": "4", "display": "Domain Resource"}
            found.append({"what": {"reference": reference}, **data, "role": role})
    if note.query:
        encoded = base64.b64encode(note.query.encode()).decode()
        found.append({**data, "role": {"system": _ROLE, "code": "24", "display": "Query"}, "query": encoded})
    if actor.request:
        kind = {"system": f"{_BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
        found.append({"what": {"identifier": {"value": line(actor.request)}}, "type": kind})
    return found
