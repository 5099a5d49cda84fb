"""OperationOutcomes of a server as our Issues, stage "fetch".

A server's texts may quote patients' values, names or queries, so of free text only what cannot hold them goes on:
see `safe_text`.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from fhir_twin.errors import Issue, Severity

_SEVERITIES = frozenset(get_args(Severity))
_CODE = re.compile(r"[a-z][a-z-]{1,39}\Z")
_EXPRESSION = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\[\d{1,6}\])?(\.[A-Za-z$][A-Za-z0-9_]*(\[\d{1,6}\])?)*\Z")
_VENDOR_CODE = re.compile(r"\bHAPI-\d{4}\b")


def fetch_issues(outcome: dict[str, Any]) -> tuple[Issue, ...]:
    """The issues of an OperationOutcome (of anything else: none), each made safe."""
    if outcome.get("resourceType") != "OperationOutcome":
        return ()
    raw = outcome.get("issue")
    return tuple(_issue(entry) for entry in (raw if isinstance(raw, list) else []) if isinstance(entry, dict))


def _issue(entry: dict[str, Any]) -> Issue:
    severity = entry.get("severity")
    code = entry.get("code")
    where = entry.get("expression")
    expression = where[0] if isinstance(where, list) and where and isinstance(where[0], str) else ""
    return Issue(
        severity if isinstance(severity, str) and severity in _SEVERITIES else "error",  # type: ignore[arg-type]
        code if isinstance(code, str) and _CODE.match(code) else "processing",
        safe_text(entry),
        expression if _EXPRESSION.match(expression) else "",
        "fetch",
    )


def safe_text(entry: dict[str, Any]) -> str:
    """The vendor's error number when there is one; free text is not passed on."""
    details = entry.get("details")
    words = [entry.get("diagnostics"), details.get("text") if isinstance(details, dict) else None]
    numbers = sorted({n for w in words if isinstance(w, str) for n in _VENDOR_CODE.findall(w)})
    return f"the server says {', '.join(numbers)}" if numbers else ""
