"""One event to audit: who did what to whose record. No clinical value ever (AU-5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_twin.model.written import Written

What = Literal[
    "read", "search", "create", "update", "delete", "operation", "consent", "disclose", "export", "erase"
]
# R4 audit-event-outcome: success, minor failure (a refusal), serious failure (an error), major failure.
OutcomeCode = Literal["0", "4", "8", "12"]


@dataclass(frozen=True, slots=True)
class AuditNote:
    """patient: an id on the server, "" when the event is about none. entities: references of what was touched
    ("CarePlan/3/_history/1"). query: the request of a search, word for word. detail: a word of ours."""

    what: What
    patient: str
    outcome: OutcomeCode = "0"
    entities: tuple[str, ...] = ()
    query: str = ""
    detail: str = ""


def wrote(patient: str, written: Written) -> AuditNote:
    """The event of a plan written: which resources, created or updated."""
    touched = tuple(
        i.reference for i in written.items if i.action in ("create", "update", "cancel") and i.reference
    )
    new = all(i.action == "create" for i in written.items if i.reference in touched)
    return AuditNote("create" if new else "update", patient, entities=touched, detail="plan")
