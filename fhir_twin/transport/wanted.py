"""What to ask a server about one patient, and how to ask again when it refuses (RD table, RD-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_twin.transport.capability import ServerCapability

_CATEGORIES = (
    "laboratory,vital-signs,social-history,survey,exam,imaging,procedure,therapy,activity,"
    "sdoh,functional-status,cognitive-status,disability-status"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One resource type to read. include: the _include value. statuses: every R4 status code, for servers that
    insist on one. fallback: a further parameter for servers that refuse a search by patient alone; it may miss
    rows without that element, so the type then never counts as complete. answers: read only for what became of our own
    earlier proposals, so that it is no gap in the record when a server does not let us read it."""

    type: str
    include: str = ""
    statuses: str = ""
    status_param: str = "status"
    fallback: tuple[tuple[str, str], ...] = ()
    answers: bool = False


_OBSERVATION = "registered,preliminary,final,amended,corrected,cancelled,entered-in-error,unknown"
_EVENT = "preparation,in-progress,not-done,on-hold,stopped,completed,entered-in-error,unknown"
_REQUEST = "draft,active,on-hold,revoked,completed,entered-in-error,unknown"
_DRUG = "active,on-hold,cancelled,completed,entered-in-error,stopped,draft,unknown"

WANTED: tuple[Wanted, ...] = (
    Wanted("Observation", statuses=_OBSERVATION, fallback=(("category", _CATEGORIES),)),
    Wanted("Condition", fallback=(("category", "problem-list-item,encounter-diagnosis,health-concern"),)),
    Wanted(
        "MedicationRequest",
        include="MedicationRequest:medication",
        statuses=_DRUG,
        fallback=(
            ("intent", "order,plan,proposal,original-order,reflex-order,filler-order,instance-order,option"),
        ),
    ),
    Wanted(
        "MedicationStatement",
        include="MedicationStatement:medication",
        statuses="active,completed,entered-in-error,intended,stopped,on-hold,unknown,not-taken",
    ),
    Wanted("AllergyIntolerance"),
    Wanted("Procedure", statuses=_EVENT),
    Wanted(
        "Encounter",
        statuses="planned,arrived,triaged,in-progress,onleave,finished,cancelled,entered-in-error,unknown",
    ),
    Wanted(
        "DiagnosticReport",
        statuses="registered,partial,preliminary,final,amended,corrected,appended,cancelled,entered-in-error,unknown",
        fallback=(("category", "LAB,RAD,CUS,GE,PAT"),),
    ),
    Wanted("Immunization", statuses="completed,entered-in-error,not-done"),
    Wanted("FamilyMemberHistory", statuses="partial,completed,entered-in-error,health-unknown"),
    Wanted(
        "Goal",
        status_param="lifecycle-status",
        statuses="proposed,planned,accepted,active,on-hold,completed,cancelled,entered-in-error,rejected",
    ),
    Wanted("CarePlan", statuses=_REQUEST, fallback=(("category", "assess-plan"),)),
    Wanted("Consent", statuses="draft,proposed,active,rejected,inactive,entered-in-error"),
    Wanted("ServiceRequest", statuses=_REQUEST),
    Wanted(
        "DocumentReference",
        statuses="current,superseded,entered-in-error",
        fallback=(("category", "clinical-note"),),
    ),
    Wanted("NutritionOrder", statuses=_REQUEST, answers=True),
    Wanted("CommunicationRequest", statuses=_REQUEST, answers=True),
)
ANSWERS = frozenset(w.type for w in WANTED if w.answers)


@dataclass(frozen=True, slots=True)
class Query:
    """A search to try. partial: rows may be missing by the way we had to ask; note says why."""

    wanted: Wanted
    params: dict[str, str] = field(repr=False)
    partial: bool = False
    note: str = ""

    @property
    def type(self) -> str:
        return self.wanted.type


def offered(capability: ServerCapability, type_: str) -> bool:
    """True when `type_` can be searched, as far as the server says."""
    if not capability.listed:
        return True
    known = capability.types.get(type_)
    return known is not None and (not known.interactions or "search-type" in known.interactions)


def queries(
    wanted: Wanted, capability: ServerCapability, patients: Sequence[str], count: int
) -> tuple[Query, ...]:
    """The ladder for one type: the best search first, then what to try after each refusal (400, 422)."""
    who = _who(wanted.type, capability, patients)
    page = {"_count": str(count)} if count else {}
    status = {wanted.status_param: wanted.statuses} if wanted.statuses else {}
    extra = dict(wanted.fallback)
    best = {**who, **page, "_total": "accurate"}
    if wanted.include and _may_include(wanted, capability):
        best["_include"] = wanted.include
    names = ", ".join(extra)
    ladder = [Query(wanted, best), Query(wanted, {**who, **page}), Query(wanted, who)]
    if status:
        ladder.append(
            Query(wanted, {**who, **status}, note="the server insists on a status; all were asked for")
        )
    if extra:
        note = f"the server insists on {names}; rows without it cannot be seen"
        ladder.append(Query(wanted, {**who, **extra}, partial=True, note=note))
        if status:
            ladder.append(Query(wanted, {**who, **extra, **status}, partial=True, note=note))
    return tuple(ladder)


def _who(type_: str, capability: ServerCapability, patients: Sequence[str]) -> dict[str, str]:
    """`patient` is in R4 for all our types; a server that lists only `subject` gets that."""
    if capability.has_search_param(type_, "subject") and not capability.has_search_param(type_, "patient"):
        return {"subject": ",".join(f"Patient/{p}" for p in patients)}
    return {"patient": ",".join(patients)}


def _may_include(wanted: Wanted, capability: ServerCapability) -> bool:
    """Some servers answer an include they do not offer with an error; none listed means "try"."""
    known = capability.types.get(wanted.type)
    return known is None or not known.includes or bool(known.includes & {wanted.include, "*"})
