"""The worklist for other programs: CSV (safe to open in a spreadsheet), FHIR Group and List, plain lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fhir_twin.population.worklist import Entry

COLUMNS = (
    "place", "patient", "age", "sex", "next action", "worth", "worth low", "worth high", "outcome",
    "years", "benefit", "benefit low", "benefit high",
    "risk now", "certainty", "why", "due", "questions", "dangers", "findings", "conditions",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
TAG = {"system": "https://fhir-twin.org/fhir/CodeSystem/origin", "code": "worklist"}
AI = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}


def to_csv(entries: Iterable[Entry]) -> str:
    """With a head. Text that a spreadsheet would run as a formula gets an apostrophe before it (OWASP)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for e in entries:
        writer.writerow(
            [
                e.place, safe(e.patient), _round(e.age, 0), e.sex, safe(e.action), _round(e.worth, 4),
                _round(e.worth_low, 4), _round(e.worth_high, 4), e.outcome, _round(e.years, 0),
                _round(e.benefit, 4), _round(e.low, 4), _round(e.high, 4), _round(e.risk, 4), e.certainty,
                safe(e.why), safe("; ".join(e.due)), safe("; ".join(e.questions)), safe("; ".join(e.dangers)),
                safe("; ".join(e.findings)),
                safe(" ".join(e.conditions)),
            ]
        )  # fmt: skip
    return out.getvalue()


def safe(text: str) -> str:
    """CSV formula injection: a cell must not begin with a sign that starts a formula, also after blanks."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def _round(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def to_group(entries: Iterable[Entry], *, key: str, title: str) -> dict[str, Any]:
    """A Group of real people (Group.actual), for bulk export and registries; its order says nothing."""
    members = [{"entity": {"reference": f"Patient/{e.patient}"}} for e in entries]
    group: dict[str, Any] = {
        "resourceType": "Group",
        "meta": {"tag": [TAG], "security": [AI]},
        "identifier": [{"system": "https://fhir-twin.org/worklist", "value": key}],
        "active": True,
        "type": "person",
        "actual": True,
        "name": title,
        "quantity": len(members),
    }
    if members:
        group["member"] = members
    return group


def to_list(entries: Iterable[Entry], *, key: str, title: str, when: datetime) -> dict[str, Any]:
    """A List in working order (orderedBy priority), each item flagged with the proposed action in words."""
    items = [
        {"item": {"reference": f"Patient/{e.patient}"}, "flag": {"text": _flag(e)}, "date": when.isoformat()}
        for e in entries
    ]
    found: dict[str, Any] = {
        "resourceType": "List",
        "meta": {"tag": [TAG], "security": [AI]},
        "identifier": [{"system": "https://fhir-twin.org/worklist", "value": key}],
        "status": "current",
        "mode": "snapshot",
        "title": title,
        "date": when.isoformat(),
        "orderedBy": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/list-order", "code": "priority"}
            ]
        },
    }  # fmt: skip
    if items:
        found["entry"] = items
    else:
        found["emptyReason"] = {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "nilknown"}
            ]
        }
    return found


def _flag(e: Entry) -> str:
    return f"{e.action or 'no action with a computed benefit'}{benefit_words(e)}"


def benefit_words(e: Entry) -> str:
    if e.benefit is None:
        return ""
    interval = f"80 % interval {100 * (e.low or 0.0):.1f} to {100 * (e.high or 0.0):.1f}"
    return f": {100 * e.benefit:.1f} points less {e.outcome} in {e.years:g} years ({interval})"


def to_lines(entries: Iterable[Entry]) -> str:
    """For a terminal: two lines per patient."""
    lines = []
    for e in entries:
        age = "age unknown" if e.age is None else f"{e.age:.0f}"
        lines.append(f"{e.place:4d}  {e.patient}  {e.sex} {age}  {e.action or '-'}{benefit_words(e)}")
        more = [*(f"! {f}" for f in e.dangers[:2]), *(f"due: {d}" for d in e.due[:2])]
        if more:
            lines.append("      " + "; ".join(more)[:150])
    return "\n".join(lines)
