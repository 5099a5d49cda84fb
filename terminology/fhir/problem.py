"""What goes wrong in a question: issues in the words of HL7's tx-issue-type, and errors that end the answer.

https://hl7.org/fhir/tools/CodeSystem-tx-issue-type.html. Texts name systems, codes and value sets (terminology), never
anything of a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TX_ISSUE = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TxIssue:
    """severity and code as in R4's OperationOutcome; `kind` a tx-issue-type; `path` a FHIRPath into the request.

    silent: shown as an issue but not part of the message."""

    severity: str
    code: str
    kind: str
    text: str
    path: str = ""
    silent: bool = False

    def json(self) -> Json:
        details: Json = {"coding": [{"system": TX_ISSUE, "code": self.kind}]} if self.kind else {}
        details["text"] = self.text
        where = {"location": [self.path], "expression": [self.path]} if self.path else {}
        return {"severity": self.severity, "code": self.code, "details": details, **where}


class TxError(Exception):
    """The question has no answer; `issues` say why. `status` is the HTTP status of a FHIR server."""

    def __init__(self, *issues: TxIssue, status: int = 422) -> None:
        super().__init__(issues[0].text)
        self.issues = issues
        self.status = status


def not_found(text: str) -> TxError:
    return TxError(TxIssue("error", "not-found", "not-found", text), status=404)


def invalid(text: str) -> TxError:
    return TxError(TxIssue("error", "invalid", "", text), status=400)


def not_supported(text: str) -> TxError:
    return TxError(TxIssue("error", "not-supported", "", text), status=422)


def too_costly(text: str) -> TxError:
    return TxError(TxIssue("error", "too-costly", "", text), status=413)


def outcome(issues: tuple[TxIssue, ...] | list[TxIssue]) -> Json:
    return {"resourceType": "OperationOutcome", "issue": [issue.json() for issue in issues]}
