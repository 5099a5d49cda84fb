"""Advice by guideline: behind benefit, limited, not when done, never when its indication cannot be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from plan_builders import NOW, chart, point, problem, twin

from fhir_twin.model.chart import Event
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.codes import Concept
from fhir_twin.model.plan import Plan
from fhir_twin.model.scenario import Proposals
from fhir_twin.recommendation import load_guidelines, recommend
from fhir_twin.rules import load_safety
from fhir_twin.simulation import load_interventions
from mappings import Source

SAFETY, GUIDELINES = load_safety(Source()), load_guidelines(Source())
LIBRARY = load_interventions(Source())
ADVICE = {item.key: item for item in LIBRARY.items if item.by_guideline}


def plan(coded: CodedChart, age: float = 60.0) -> Plan:
    state = twin(point("sbp", 120.0), age=age, sex="female")
    return recommend(coded, state, Proposals(()), (), LIBRARY, GUIDELINES, SAFETY, version="v")


def advised(made: Plan) -> list[str]:
    return [r.key for r in made.recommendations if r.key in ADVICE]


def test_the_library_is_wide() -> None:
    assert len(LIBRARY.items) >= 60
    assert len(ADVICE) >= 30


def test_advice_claims_no_effect_and_names_a_source() -> None:
    made = plan(chart(problems=(problem("diabetes"),)))
    found = [r for r in made.recommendations if r.key in ADVICE]
    assert found
    for r in found:
        assert not r.changes and not r.biomarker_changes and r.number_needed_to_treat is None
        assert r.citations and "No effect is computed" in r.assumptions[0]


def test_advice_stands_last_and_is_limited() -> None:
    made = plan(chart(problems=(problem("diabetes"),)))
    keys = advised(made)
    assert 0 < len(keys) <= GUIDELINES.ranking.most_advice
    assert [r.key for r in made.recommendations][-len(keys) :] == keys
    assert [ADVICE[k].order for k in keys] == sorted(ADVICE[k].order for k in keys)


def test_what_is_done_is_not_advised() -> None:
    coded = chart(problems=(problem("diabetes"),))
    assert "diabetic-eye-exam" in advised(plan(coded))
    seen = Event(
        "Procedure/eye", "Procedure", Concept(text="Dilated eye exam"), "completed", NOW - timedelta(days=90)
    )
    coded = replace(coded, chart=replace(coded.chart, events=(seen,)))
    assert "diabetic-eye-exam" not in advised(plan(coded))
    old = replace(seen, time=NOW - timedelta(days=500))
    coded = replace(coded, chart=replace(coded.chart, events=(old,)))
    assert "diabetic-eye-exam" in advised(plan(coded))


def test_without_its_condition_it_is_silent() -> None:
    assert "diabetic-eye-exam" not in advised(plan(chart()))
    assert all("eye" not in q.text.lower() for q in plan(chart()).questions)
