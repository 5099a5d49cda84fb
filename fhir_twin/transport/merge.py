"""Answers -> one patient's collection Bundle and how complete it is. Pure; the same answers give the same Bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_twin.errors import Issue
from fhir_twin.model.chart import Completeness
from fhir_twin.transport.gather import Answer
from fhir_twin.transport.ownership import patient_of
from fhir_twin.transport.urls import Base, local_reference
from fhir_twin.transport.wanted import ANSWERS

Resource = dict[str, Any]


@dataclass(slots=True, repr=False)
class Record:
    """One patient's part of the answers. others: resources that are nobody's (Medication ...), by (type, id)."""

    own: dict[str, list[Resource]] = field(default_factory=dict)
    others: dict[tuple[str, str], Resource] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


def split(answers: Mapping[str, Answer], base: Base, patients: tuple[str, ...]) -> dict[str, Record]:
    """The answers by patient. What is about somebody else, or about nobody that can be told, is left out and said:
    never another's data (security.md 5.3 rows 40, 41)."""
    records = {p: Record() for p in patients}
    included: dict[tuple[str, str], Resource] = {}
    for type_, answer in answers.items():
        foreign = unclear = 0
        for resource in answer.found.matches:
            who = patient_of(resource, base)
            if who in records:
                records[who].own.setdefault(type_, []).append(resource)
            elif who:
                foreign += 1
            else:
                unclear += 1
        included.update({(r["resourceType"], str(r.get("id", ""))): r for r in answer.found.included})
        for record in records.values():
            record.issues.extend(_type_issues(type_, answer, foreign, unclear))
    for record in records.values() if included else ():
        record.others = {key: included[key] for key in _referred(record, base) if key in included}
    return records


def _referred(record: Record, base: Base) -> set[tuple[str, str]]:
    """(type, id) of everything that a record refers to: in a group, includes belong to whose they are."""
    found = set()
    stack: list[Any] = list(record.own.values())
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            reference = node.get("reference")
            local = local_reference(base, reference) if isinstance(reference, str) else None
            if local is not None:
                found.add(local)
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return found


def _type_issues(type_: str, answer: Answer, foreign: int, unclear: int) -> list[Issue]:
    issues = [
        Issue(i.severity, i.code, i.diagnostics, i.expression or type_, "fetch") for i in answer.found.issues
    ]
    if foreign:
        text = f"{foreign} resources of other patients came back and were left out: the server ignores the filter"
        issues.append(Issue("warning", "security", text, type_, "fetch"))
    if unclear:
        text = f"{unclear} resources were left out: they do not say in a usable way whose they are"
        issues.append(Issue("warning", "structure", text, type_, "fetch"))
    return issues


def completeness(answers: Mapping[str, Answer]) -> tuple[Completeness, ...]:
    """One row per type asked for, in the order asked; none for a type that may only hold answers to our own proposals
    and that we may not or cannot read."""
    closed = ("not-offered", "not-permitted")
    return tuple(_complete(a) for a in answers.values() if not (a.type in ANSWERS and a.state in closed))


def _complete(answer: Answer) -> Completeness:
    if answer.state != "read":
        return Completeness(answer.type, 0, None, answer.state, answer.note)
    found = answer.found
    read = len(found.matches)
    expected = answer.expected
    partial = answer.query is not None and answer.query.partial
    note = answer.note
    if found.end:
        state = "short"
        note = note or _ENDS.get(found.end, "reading stopped early")
    elif expected is None:
        state = "unknown"
        note = note or "the server gives no count"
    elif read < expected:
        state = "short"
        note = f"the server counts {expected} but gave {read} and no further page"
    else:
        state = "unknown" if partial else "complete"
    return Completeness(answer.type, read, expected, state, note)


_ENDS = {
    "loop": "the server's paging goes in a circle",
    "page-cap": "more pages than allowed (max_pages)",
    "foreign-link": "the next page is on another server; it was not followed",
    "expired": "the paging links expired twice",
    "error": "a page could not be read",
    "stopped": "the server ignores the patient filter; reading was stopped",
}


def short_issues(rows: tuple[Completeness, ...]) -> list[Issue]:
    """A partial record is always said (RD-4): a twin from a silently cut record is the worst failure."""
    codes = {"short": "incomplete", "failed": "incomplete", "not-permitted": "forbidden"}
    return [
        Issue(
            "warning", codes[row.state], f"{row.type} is not read completely: {row.note}", row.type, "fetch"
        )
        for row in rows
        if row.state in codes
    ]


def collection(patient: Resource, record: Record, base: str) -> Resource:
    """A collection Bundle: the Patient, then by type and id, so that the order of arrival does not matter."""
    resources = [patient]
    for type_ in record.own:
        resources += sorted(record.own[type_], key=_id)
    resources += [record.others[key] for key in sorted(record.others)]
    entries = [{"fullUrl": f"{base}/{r['resourceType']}/{_id(r)}", "resource": r} for r in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _id(resource: Resource) -> str:
    return str(resource.get("id", ""))
