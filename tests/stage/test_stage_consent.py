"""Consent before processing and before writing (CN-1 to CN-4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.pipeline import run
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.service import TwinService
from fhir_twin.transport.pull import Fetched

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def consent(kind: str, status: str = "active") -> dict[str, Any]:
    scope = {
        "coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
        ]
    }
    return {
        "resourceType": "Consent",
        "id": "consent-1",
        "status": status,
        "scope": scope,
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/sandbox-arthur-bell"},
        "dateTime": "2026-01-01T00:00:00Z",
        "policyRule": {"text": "test"},
        "provision": {"type": kind},
    }


def bundle(*extra: dict[str, Any]) -> dict[str, Any]:
    resources = [e["resource"] for e in load_bundles()[0]["entry"]]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in (*resources, *extra)],
    }


class Memory:
    """Counts what would have been written."""

    base = "http://127.0.0.1:1/fhir"

    def __init__(self, held: dict[str, Any]) -> None:
        self.held, self.writes = held, 0

    def fetch(self, patient: str) -> Fetched:
        return Fetched(self.held, (), (), patient=patient)

    def write(self, patient: str, bundle: Any, *, dry_run: bool = False) -> Any:
        self.writes += 1
        raise AssertionError("written although consent forbids it")


def test_a_denial_leaves_nothing_to_process_and_nothing_to_write(knowledge: Knowledge) -> None:
    done = run(bundle(consent("deny")), knowledge, AS_OF)
    assert done.plan.refused.startswith("consent")
    assert done.chart.measurements == () and done.coded.problems == () and done.twin.points == ()
    assert done.plan.recommendations == () and done.plan.findings == () and done.plan.risks == ()
    types = [e["resource"]["resourceType"] for e in done.output["entry"]]
    assert "CarePlan" not in types and "RiskAssessment" not in types
    memory = Memory(bundle(consent("deny")))
    outcome = TwinService(memory, memory, knowledge).run_one("sandbox-arthur-bell", AS_OF)  # type: ignore[arg-type]
    assert outcome.state == "refused"
    assert memory.writes == 0


@pytest.mark.parametrize("extra", [(), (consent("permit"),), (consent("deny", "inactive"),)])
def test_no_denial_in_force_is_no_refusal(extra: tuple[dict[str, Any], ...], knowledge: Knowledge) -> None:
    done = run(bundle(*extra), knowledge, AS_OF)
    assert done.plan.refused == ""
    assert done.plan.recommendations
