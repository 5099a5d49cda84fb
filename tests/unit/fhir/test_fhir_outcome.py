"""OperationOutcome: ours to R4, and a server's without its words (FA-5, FA-6, security.md 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_twin import errors
from fhir_twin.errors import Issue, TwinError
from fhir_twin.fhir.outcome import ISSUE_CODES, error_outcome, issues_of, to_outcome
from fhir_twin.fhir.validate import validate_resource


def all_errors(kind: type[TwinError] = TwinError) -> list[type[TwinError]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in all_errors(sub))]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda k: k.__name__)
def test_every_error_is_a_valid_outcome(kind: type[TwinError]) -> None:
    outcome = error_outcome(
        kind("What went wrong", issues=(Issue("warning", "value", "a rule", "Patient.id"),))
    )
    assert validate_resource(outcome) == ()
    assert outcome["issue"][0] == {"severity": "error", "code": kind.code, "diagnostics": "What went wrong"}
    assert outcome["issue"][1]["expression"] == ["Patient.id"]


def test_no_issue_is_still_an_outcome() -> None:
    outcome = to_outcome(())
    assert validate_resource(outcome) == ()
    assert outcome["issue"][0]["severity"] == "information"


def test_unknown_codes_become_processing() -> None:
    (entry,) = to_outcome([Issue("error", "made-up", "x")])["issue"]
    assert entry["code"] == "processing"


@pytest.mark.parametrize("code", sorted(ISSUE_CODES))
def test_codes_go_through_and_come_back(code: str) -> None:
    issue = Issue("warning", code, "a rule", "Observation.value", "write")
    (back,) = issues_of(to_outcome([issue]))
    assert (back.severity, back.code, back.expression) == ("warning", code, "Observation.value")


def test_foreign_words_stay_behind() -> None:
    canary = "Testa Canary 1961-02-03"
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "processing",
                "diagnostics": f"HAPI-1094: Resource Patient/{canary} not found",
                "details": {"text": canary, "coding": [{"code": "MSG_NO_MATCH", "display": canary}]},
                "expression": [f"Patient.name = '{canary}'"],
            }
        ],
    }
    (issue,) = issues_of(outcome)
    assert "Canary" not in str(issue)
    assert "HAPI-1094" in issue.diagnostics
    assert "MSG_NO_MATCH" in issue.diagnostics


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"resourceType": "Bundle", "issue": [{}]},
        {"resourceType": "OperationOutcome"},
        {"resourceType": "OperationOutcome", "issue": "x"},
        {"resourceType": "OperationOutcome", "issue": [None, 3, "x"]},
    ],
)
def test_anything_else_gives_no_issue(body: dict[str, Any]) -> None:
    assert issues_of(body) == ()


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"severity": 3, "code": ["x"], "expression": "x"},
        {"severity": "success", "code": "nope", "details": "x", "expression": [7]},
        {"details": {"coding": "x"}, "location": ["/f:Patient/f:id"]},
    ],
)
def test_odd_entries_give_a_valid_issue(entry: dict[str, Any]) -> None:
    (issue,) = issues_of({"resourceType": "OperationOutcome", "issue": [entry]})
    assert validate_resource(to_outcome([issue])) == ()


def test_error_codes_are_r4_issue_types() -> None:
    for name in vars(errors):
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, TwinError):
            assert kind.code in ISSUE_CODES
