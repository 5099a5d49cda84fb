"""An Observation with the 30 features goes in, a draft DetectedIssue that assists only comes out (issue 3.9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sklearn.datasets import load_breast_cancer

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.pipeline import Run, run

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
DATA = load_breast_cancer()


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def _bundle(leave_out: str = "") -> dict[str, Any]:
    features = zip(DATA.feature_names, DATA.data[0], strict=True)
    aspirate = {
        "resourceType": "Observation",
        "id": "fna",
        "status": "final",
        "code": {"text": "Fine needle aspirate of the breast, nuclear features"},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2026-05-20T09:00:00Z",
        "component": [
            {"code": {"text": str(name)}, "valueQuantity": {"value": float(value)}}
            for name, value in features
            if name != leave_out
        ],
    }
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-03-04"}
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": patient}, {"resource": aspirate}],
    }


def _issues(made: Run) -> list[dict[str, Any]]:
    resources = [e["resource"] for e in made.output["entry"]]
    return [r for r in resources if r["resourceType"] == "DetectedIssue" and "malignancy" in r["detail"]]


def test_from_observation_to_a_preliminary_issue(knowledge: Knowledge) -> None:
    made = run(_bundle(), knowledge, AS_OF)
    (found,) = [f for f in made.plan.findings if f.key == "aspirate-classifier"]
    assert "above 99 %" in found.text
    (issue,) = _issues(made)
    assert issue["status"] == "preliminary"
    assert issue["detail"].startswith("Computer assistance only, not a diagnosis")
    assert "does not rule out cancer" in issue["detail"]
    assert any(r["reference"].endswith("Observation/fna") for r in issue["implicated"])
    assert not any("fna" in s for r in made.plan.recommendations for s in r.sources)  # it moves no proposal


def test_a_missing_feature_is_named(knowledge: Knowledge) -> None:
    (issue,) = _issues(run(_bundle("worst texture"), knowledge, AS_OF))
    assert "worst texture is missing" in issue["detail"]


def test_features_are_no_laboratory_results(knowledge: Knowledge) -> None:
    assert run(_bundle(), knowledge, AS_OF).twin.points == ()
