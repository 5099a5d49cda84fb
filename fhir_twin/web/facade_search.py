"""Search parameters of the FHIR face: what is asked, what is applied, what matches (FA-4, FA-7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flask import request

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.parse import parse_json
from fhir_twin.storage.made import Made

Json = dict[str, Any]
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
MAX_COUNT, DEFAULT_COUNT = 500, 100
CONTROLS = frozenset({"_format", "_pretty", "_count", "_offset", "_summary", "_total", "_elements"})
COMMON = ("_id", "_lastUpdated", "identifier", "status")
PATIENT = ("patient", "subject")
# Search parameters by type, beside the common ones (each is in the capability statement).
PARAMETERS: dict[str, tuple[str, ...]] = {
    "CarePlan": (*COMMON, *PATIENT, "intent"),
    "Goal": ("_id", "_lastUpdated", "identifier", *PATIENT, "lifecycle-status"),
    "RiskAssessment": ("_id", "_lastUpdated", "identifier", *PATIENT),
    "DetectedIssue": ("_id", "_lastUpdated", "identifier", "patient"),
    "GuidanceResponse": ("_id", "_lastUpdated", "identifier", *PATIENT),
    "MedicationRequest": (*COMMON, *PATIENT, "intent"),
    "ServiceRequest": (*COMMON, *PATIENT, "intent"),
    "NutritionOrder": (*COMMON, "patient"),
    "CommunicationRequest": (*COMMON, *PATIENT),
    "RequestGroup": (*COMMON, *PATIENT, "intent"),
    "Provenance": ("_id", "_lastUpdated", "patient", "target"),
    "Device": ("_id", "_lastUpdated", "identifier", "status"),
}
_ELEMENTS = {"lifecycle-status": "lifecycleStatus"}
_DATE = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb)?(\d{4}(?:-\d\d(?:-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)?)?)\Z"
)


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """applied: the parameters in force, as pairs. ignored: names not known. count 0: only the total."""

    patient: str
    tests: tuple[tuple[str, str], ...]
    applied: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    count: int
    count_said: bool
    offset: int
    elements: frozenset[str]

    def about(self, patient: str) -> Asked:
        """The same for this patient only."""
        return replace(self, patient=patient)


def read_search(type_: str) -> Asked:
    """Raises InvalidInput for a bad value, and for unknown parameters with Prefer: handling=strict."""
    pairs = [(k, v) for k, values in request.args.lists() for v in values]
    if request.method == "POST":
        pairs += [(k, v) for k, values in request.form.lists() for v in values]
    given = dict(pairs)
    known = PARAMETERS[type_]
    tests = [(k, v) for k, v in pairs if k in known and v]
    unknown = tuple(dict.fromkeys(k for k, _ in pairs if k not in known and k not in CONTROLS))
    if unknown and "handling=strict" in request.headers.get("Prefer", "").replace(" ", "").lower():
        raise InvalidInput(
            f"{len(unknown)} search parameters are not known here; known are {', '.join(known)}"
        )
    patients = {_patient(v) for k, v in tests if k in PATIENT}
    if len(patients) > 1:
        raise InvalidInput("patient and subject name different patients")
    count = _whole(given.get("_count", ""), DEFAULT_COUNT, "_count")
    if given.get("_summary") == "count":
        count = 0
    elements = frozenset(e for e in given.get("_elements", "").split(",") if e)
    rest = tuple((k, v) for k, v in tests if k not in PATIENT)
    for name, value in rest:
        if name == "_lastUpdated" and not _DATE.match(value):
            raise InvalidInput("_lastUpdated must be a date with an optional prefix (eq, ne, gt, lt, ge, le)")
    return Asked(
        patient=next(iter(patients), ""),
        tests=rest,
        applied=tuple(tests),
        ignored=unknown,
        count=min(count, MAX_COUNT),
        count_said="_count" in given,
        offset=_whole(given.get("_offset", ""), 0, "_offset"),
        elements=elements,
    )


def _patient(value: str) -> str:
    """The id of "1", "Patient/1" or an absolute reference."""
    head, _, id_ = value.rpartition("/")
    if not ID.match(id_) or (head and not head.endswith("Patient")):
        raise InvalidInput("patient must be an id or a reference to a Patient")
    return id_


def _whole(text: str, default: int, name: str) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput(f"{name} must be a whole number from 0")
    return int(text)


def matches(row: Made, asked: Asked) -> bool:
    """Every test holds; a comma means or."""
    if not asked.tests:
        return True
    resource: Json = dict(parse_json(row.body, what="kept resource"))
    return all(
        any(_holds(row, resource, name, one) for one in value.split(",")) for name, value in asked.tests
    )


def _holds(row: Made, resource: Json, name: str, value: str) -> bool:
    if name == "_id":
        return row.id == value
    if name == "_lastUpdated":
        return _in_time(row.updated, value)
    if name == "identifier":
        return _has_identifier(resource.get("identifier"), value)
    if name == "target":
        wanted = value.split("/_history/")[0]
        return any(str(t.get("reference", "")).endswith(wanted) for t in resource.get("target", ()))
    return value.rpartition("|")[2] == resource.get(_ELEMENTS.get(name, name))


def _has_identifier(rows: Any, value: str) -> bool:
    system, bar, code = value.rpartition("|")
    found = [r for r in (rows if isinstance(rows, list) else [rows]) if isinstance(r, dict)]
    return any(r.get("value") == code and (not bar or r.get("system", "") == system) for r in found)


def _in_time(updated: float, value: str) -> bool:
    match = _DATE.match(value)
    assert match is not None
    low, high = _span(match[2])
    tests = {
        "eq": low <= updated < high, "ne": not low <= updated < high, "gt": updated >= high, "sa": updated >= high,
        "lt": updated < low, "eb": updated < low, "ge": updated >= low, "le": updated < high,
    }  # fmt: skip
    return tests[match[1] or "eq"]


def _span(text: str) -> tuple[float, float]:
    """[from, to) in Unix time of a FHIR date of any precision. Raises InvalidInput."""
    try:
        if len(text) == 4:
            start, end = datetime(int(text), 1, 1, tzinfo=UTC), datetime(int(text) + 1, 1, 1, tzinfo=UTC)
        elif len(text) == 7:
            year, month = int(text[:4]), int(text[5:])
            start = datetime(year, month, 1, tzinfo=UTC)
            end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        else:
            start = datetime.fromisoformat(text)
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            return start.timestamp(), start.timestamp() + (86400 if len(text) == 10 else 1)
    except ValueError:
        raise InvalidInput("_lastUpdated is no date") from None
    return start.timestamp(), end.timestamp()
