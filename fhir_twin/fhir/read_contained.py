"""Observations that stand inside their report (`contained`), as several laboratories send them.

They have no place of their own on the server, so their source is the report; what they do not say (subject, time,
status, encounter) is the report's. One that no `result` or `hasMember` refers to is read all the same: dom-3
forbids it, and a value must not be lost because of that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_twin.fhir import structs as s
from fhir_twin.fhir.bundle import Entry
from fhir_twin.fhir.context import Context

_OF_REPORT = ("subject", "encounter", "issued", "effectiveDateTime", "effectivePeriod")
_TIMES = ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming")
# R4: the statuses of a report that an Observation knows too; "partial" and "appended" are the report's own.
_STATUS = {"partial": "preliminary", "appended": "amended"}


def contained_observations(entry: Entry) -> tuple[Entry, ...]:
    """One Entry per contained Observation, its source that of the report."""
    held = entry.raw.get("contained")
    if not isinstance(held, list):
        return ()
    inner = [r for r in held if isinstance(r, dict) and r.get("resourceType") == "Observation"]
    return tuple(
        replace(
            entry, type="Observation", id="", place=f"{entry.place}.contained", raw=_whole(each, entry.raw)
        )
        for each in inner
    )


def _whole(inner: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    whole = {key: report[key] for key in _OF_REPORT if key in report}
    if any(key in inner for key in _TIMES):
        whole = {key: value for key, value in whole.items() if key not in _TIMES}
    status = report.get("status")
    if isinstance(status, str):
        whole["status"] = _STATUS.get(status, status)
    return {**whole, **inner}


def is_of_report(inner: Entry, report: Entry, context: Context) -> bool:
    """False (said) for a contained result of a donor or a newborn, which names its own subject."""
    subject = inner.raw.get("subject")
    if subject is None or subject == report.raw.get("subject"):
        return True
    if context.index.target(context.convert(subject, s.Reference), "Patient") == context.patient:
        return True
    text = "contained Observation is about somebody else: not used"
    context.issues.add("information", "business-rule", text, inner.source)
    return False
