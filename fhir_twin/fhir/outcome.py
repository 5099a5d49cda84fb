"""OperationOutcome from our Issues and errors, and Issues from somebody's OperationOutcome (FA-5, FA-6).

Foreign texts may quote a patient's values, so of a foreign outcome only severity, code, place and a vendor's error
number go on; the words stay behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_args

from fhir_twin.errors import Issue, Severity, TwinError
from fhir_twin.fhir.write_elements import compact, line

Json = dict[str, Any]

# R4 issue-type, all levels (required binding).
_CODE_NAMES = """
    invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly
    business-rule conflict transient lock-error no-store exception timeout incomplete throttled informational
"""
ISSUE_CODES = frozenset(_CODE_NAMES.split())
_SEVERITIES: frozenset[str] = frozenset(get_args(Severity))
_PLACE = re.compile(
    r"^[A-Za-z][A-Za-z0-9]*(?:\[\d{1,6}\])?(?:[./][A-Za-z$%_][A-Za-z0-9_\-$]*(?:\[\d{1,6}\])?)*$"
)
_VENDOR = re.compile(r"\b(?:HAPI-\d{4}|MSG_[A-Z_]{3,40})\b")


def to_outcome(issues: Iterable[Issue]) -> Json:
    """An OperationOutcome; one informational "all ok" when there is no issue (R4 demands at least one)."""
    entries = [_entry(i) for i in issues]
    if not entries:
        entries = [{"severity": "information", "code": "informational", "diagnostics": "All OK"}]
    return {"resourceType": "OperationOutcome", "issue": entries}


def error_outcome(error: TwinError) -> Json:
    """Of an error that ended a job: the error first, then the issues it carries."""
    first = Issue("error", error.code, error.message)
    return to_outcome((first, *error.issues))


def issues_of(outcome: Json, *, stage: str = "write") -> tuple[Issue, ...]:
    """A server's OperationOutcome in safe form; () for anything that is none."""
    entries = outcome.get("issue") if outcome.get("resourceType") == "OperationOutcome" else None
    return (
        tuple(_issue(e, stage) for e in entries if isinstance(e, dict)) if isinstance(entries, list) else ()
    )


def _entry(issue: Issue) -> Json:
    place = line(issue.expression)
    return compact(
        {
            "severity": issue.severity if issue.severity in _SEVERITIES else "error",
            "code": issue.code if issue.code in ISSUE_CODES else "processing",
            "diagnostics": line(issue.diagnostics),
            "expression": [place] if place else [],
        }
    )


def _issue(entry: Json, stage: str) -> Issue:
    severity, code = entry.get("severity"), entry.get("code")
    places = entry.get("expression") or entry.get("location")
    place = places[0] if isinstance(places, list) and places and isinstance(places[0], str) else ""
    return Issue(
        severity if isinstance(severity, str) and severity in _SEVERITIES else "error",  # type: ignore[arg-type]
        code if isinstance(code, str) and code in ISSUE_CODES else "processing",
        _safe_words(entry),
        place if _PLACE.match(place) and len(place) <= 200 else "",
        stage,
    )


def _safe_words(entry: Json) -> str:
    details = entry.get("details")
    detail = details if isinstance(details, dict) else {}
    texts = [entry.get("diagnostics"), detail.get("text")]
    codings = detail.get("coding")
    texts += [c.get("code") for c in codings if isinstance(c, dict)] if isinstance(codings, list) else []
    numbers = sorted({n for t in texts if isinstance(t, str) for n in _VENDOR.findall(t)})
    return (
        f"the server says {', '.join(numbers)}"
        if numbers
        else "the server says no more that is safe to repeat"
    )
