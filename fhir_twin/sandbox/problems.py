"""What the sandbox answers when it will not: an exception that knows its status, and OperationOutcomes."""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]


class Problem(Exception):
    """status: HTTP status. code: R4 issue-type. text: what is wrong, without patient data."""

    def __init__(self, status: int, code: str, text: str, expression: str = "") -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.expression = status, code, text, expression

    def outcome(self) -> Resource:
        return outcome("error", self.code, self.text, self.expression)


def outcome(severity: str, code: str, text: str, expression: str = "") -> Resource:
    """An OperationOutcome with one issue."""
    issue: Resource = {"severity": severity, "code": code, "diagnostics": text}
    if expression:
        issue["expression"] = [expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}
