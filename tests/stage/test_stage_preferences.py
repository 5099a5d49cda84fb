"""The documented FHIR form of preferences (docs/preferences.md), from the Bundle to the plan and what is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_twin.knowledge import load_knowledge
from fhir_twin.pipeline import run

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
ME = {"reference": "Patient/1"}


def lab(key: str, loinc: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": key, "status": "final", "subject": ME,
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]}, "effectiveDateTime": "2026-02-01",
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }  # fmt: skip


def bundle(*more: dict[str, Any]) -> dict[str, Any]:
    resources = [
        {"resourceType": "Patient", "id": "1", "gender": "male", "birthDate": "1966-01-01"},
        {
            "resourceType": "Condition", "id": "dm", "subject": ME,
            "clinicalStatus": {"coding": [{"code": "active",
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical"}]},
            "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9"}]},
        },
        {
            "resourceType": "MedicationStatement", "id": "m", "status": "active", "subject": ME,
            "medicationCodeableConcept": {"text": "metformin 1000 mg"},
        },
        lab("hba1c", "4548-4", 8.4, "%"), lab("bmi", "39156-5", 33, "kg/m2"), lab("crea", "2160-0", 0.9, "mg/dL"),
        lab("sbp", "8480-6", 128, "mm[Hg]"), lab("tc", "2093-3", 190, "mg/dL"), lab("hdl", "2085-9", 45, "mg/dL"),
        *more,
    ]  # fmt: skip
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def wish(**answer: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": "wish", "status": "final", "subject": ME,
        "category": [{"coding": [{"code": "treatment-intervention-preference",
            "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "75773-2"}]}, "effectiveDateTime": "2026-02-01",
        **answer,
    }  # fmt: skip


FORMS = [
    wish(valueString="No injections, please"),
    wish(valueCodeableConcept={"coding": [{"system": "urn:fhir-twin", "code": "avoid-injections"}]}),
    wish(valueCodeableConcept={"text": "afraid of needles"}),
    {
        "resourceType": "Goal", "id": "wish", "lifecycleStatus": "active", "subject": ME,
        "description": {"text": "Avoid injections"},
    },
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=["string", "code", "words", "goal"])
def test_every_form_reaches_the_plan_and_the_care_plan(form: dict[str, Any]) -> None:
    knowledge = load_knowledge()
    without = run(bundle(), knowledge, AS_OF)
    done = run(bundle(form), knowledge, AS_OF)
    assert "glp1-ra" in {r.key for r in without.plan.recommendations}
    assert [p.key for p in done.plan.preferences] == ["avoid-injections"]
    assert done.plan.preferences[0].sources == (f"{form['resourceType']}/wish",)
    assert "glp1-ra" not in {r.key for r in done.plan.recommendations}
    assert any(r.kind == "preference" for r in done.plan.rejected)
    written = json.dumps(done.output)
    assert "What the patient asks for" in written
    assert {r.key for r in done.plan.recommendations} <= {r.key for r in without.plan.recommendations} | {
        r.scenario.choices[0].intervention for r in without.plan.rejected if r.scenario.choices
    }
