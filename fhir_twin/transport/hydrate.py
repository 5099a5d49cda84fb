"""Fetch what the record refers to and the searches left out: Medications, and Observations behind reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_twin.errors import Issue, TwinError
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.gather import Runner
from fhir_twin.transport.http import Tally
from fhir_twin.transport.merge import Record
from fhir_twin.transport.ownership import patient_of
from fhir_twin.transport.urls import local_reference

Resource = dict[str, Any]
MAX_FETCHED = 500
_CHUNK = 50
# Where a reference matters for the twin; each value is a list of references or one.
_PATHS: dict[str, tuple[str, ...]] = {
    "MedicationRequest": ("medicationReference",),
    "MedicationStatement": ("medicationReference",),
    "DiagnosticReport": ("result",),
    "Observation": ("hasMember", "derivedFrom"),
}
_TYPES = frozenset({"Medication", "Observation"})


def missing(record: Record, server: FhirServer) -> dict[str, list[str]]:
    """Ids by type that are referred to but not there, sorted."""
    known = {(t, str(r.get("id", ""))) for t, rows in record.own.items() for r in rows} | set(record.others)
    wanted = set()
    for type_, rows in record.own.items():
        for resource in rows:
            for reference in _references(resource, _PATHS.get(type_, ())):
                local = local_reference(server.client.base, reference)
                if local is not None and local[0] in _TYPES and local not in known:
                    wanted.add(local)
    return {t: sorted(i for k, i in wanted if k == t) for t in sorted({k for k, _ in wanted})}


def hydrate(record: Record, patient: str, server: FhirServer, run: Runner, tally: Tally) -> None:
    """Adds what can be fetched to `record`; says how much could not."""
    asked = missing(record, server)
    work = [(t, i) for t, ids in asked.items() for i in ids]
    if len(work) > MAX_FETCHED:
        text = f"{len(work) - MAX_FETCHED} referenced resources were not fetched (limit {MAX_FETCHED})"
        record.issues.append(Issue("warning", "too-costly", text, "", "fetch"))
        work = work[:MAX_FETCHED]
    chunks = [work[i : i + _CHUNK] for i in range(0, len(work), _CHUNK)]
    got = [r for rows in run(lambda chunk: _fetch(server, chunk, tally), chunks) for r in rows]
    lost = len(work) - len(got)
    for resource in got:
        kind, id_ = resource["resourceType"], str(resource.get("id", ""))
        if kind == "Medication":
            record.others[(kind, id_)] = resource
        elif patient_of(resource, server.client.base) == patient:
            record.own.setdefault(kind, []).append(resource)
        else:
            lost += 1
    if lost:
        text = f"{lost} referenced resources could not be read (missing, not permitted or another patient's)"
        record.issues.append(Issue("warning", "not-found", text, "", "fetch"))


def _fetch(server: FhirServer, chunk: list[tuple[str, str]], tally: Tally) -> list[Resource]:
    """By one batch of reads; where that does not work, one by one. What cannot be read is missing in the result."""
    found = _by_batch(server, chunk, tally) if len(chunk) > 1 else None
    if found is not None:
        return found
    rows = (_read(server, type_, id_, tally) for type_, id_ in chunk)
    return [row for row in rows if row is not None]


def _by_batch(server: FhirServer, chunk: list[tuple[str, str]], tally: Tally) -> list[Resource] | None:
    entries = [{"request": {"method": "GET", "url": f"{t}/{i}"}} for t, i in chunk]
    try:
        answer = server.batch({"resourceType": "Bundle", "type": "batch", "entry": entries}, tally=tally)
    except TwinError:
        return None
    rows = [e.get("resource") for e in answer.get("entry", []) if isinstance(e, dict)]
    return [r for r in rows if isinstance(r, dict) and r.get("resourceType") in _TYPES]


def _read(server: FhirServer, type_: str, id_: str, tally: Tally) -> Resource | None:
    try:
        return server.read(type_, id_, tally=tally)
    except TwinError:
        return None


def _references(resource: Resource, elements: tuple[str, ...]) -> Iterator[str]:
    for element in elements:
        value = resource.get(element)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and isinstance(item.get("reference"), str):
                yield item["reference"]
