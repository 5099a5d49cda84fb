"""CP-4 end to end: what one run writes is in the record at the next run, and changes nothing in the chart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from fhir_twin.fhir.read import read_chart
from fhir_twin.knowledge import load_knowledge
from fhir_twin.pipeline import run
from fhir_twin.sandbox.stories import load_bundles

AS_OF = datetime(2026, 10, 2, tzinfo=UTC)


def test_the_plan_is_not_read_back() -> None:
    record = load_bundles()[1]
    first = run(record, load_knowledge(), AS_OF)
    written = [
        {**entry, "resource": {**entry["resource"], "id": f"written-{number}"}}
        for number, entry in enumerate(first.output["entry"])
    ]
    assert {e["resource"]["resourceType"] for e in written} >= {"CarePlan", "Goal", "MedicationRequest"}
    again = read_chart(
        {**record, "entry": [*record["entry"], *written]}, AS_OF, patient=first.chart.patient.id
    )
    plain = replace(first.chart, issues=(), counts=(), completeness=())
    # What became of our proposals is handed on, beside the patient's data and not among them.
    assert replace(again, issues=(), counts=(), completeness=(), proposals=()) == plain
    assert {(p.fate, p.by_us) for p in again.proposals} == {("open", True)}
    assert {p.item for p in again.proposals} == {r.key for r in first.plan.recommendations}
    own = [i for i in again.issues if "own earlier output" in i.diagnostics]
    assert [i.severity for i in own] == ["information"]
