"""Drugs that are proposed although part of the record could not be read say so (decision 0082, CH-5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.chart import Completeness
from fhir_twin.pipeline import run
from fhir_twin.sandbox.stories import load_bundles

WORDS = "Not checked, or not wholly, against"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def plan_with(knowledge: Knowledge, *rows: Completeness) -> Any:
    return run(
        load_bundles()[0], knowledge, datetime(2026, 11, 1, tzinfo=UTC), completeness=rows, write=False
    ).plan


@pytest.mark.parametrize("state", ["not-permitted", "not-offered", "failed", "short", "not-asked"])
def test_each_drug_names_what_it_was_not_checked_against(knowledge: Knowledge, state: Any) -> None:
    plan = plan_with(knowledge, Completeness("AllergyIntolerance", 0, None, state, ""))
    drugs = [r for r in plan.recommendations if r.kind == "medication"]
    assert drugs
    for rec in plan.recommendations:
        told = [c.text for c in rec.cautions if c.text.startswith(WORDS)]
        assert bool(told) is (rec.kind == "medication"), rec.key
    assert drugs[0].cautions[0].text.startswith(f"{WORDS} allergies: ")


def test_several_are_listed_and_whole_records_say_nothing(knowledge: Knowledge) -> None:
    lacking = [
        Completeness(t, 0, None, "failed", "") for t in ("Condition", "MedicationRequest", "Immunization")
    ]
    [first, *_] = [r for r in plan_with(knowledge, *lacking).recommendations if r.kind == "medication"]
    assert f"{WORDS} what is taken already and the problem list: " in first.cautions[0].text
    whole = [Completeness(t, 3, 3, s, "") for t, s in (("Condition", "complete"), ("Observation", "unknown"))]
    assert WORDS not in str([r.cautions for r in plan_with(knowledge, *whole).recommendations])
