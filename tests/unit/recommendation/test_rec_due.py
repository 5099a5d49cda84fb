"""Screening and gaps: due, done, not for this patient; and what the rest of the plan says about its limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from plan_builders import NOW, chart, choice_run, drug, point, problem, twin

from fhir_twin.model.chart import Event
from fhir_twin.model.coded import CodedChart, SocialFacts
from fhir_twin.model.codes import LOINC, Coding, Concept
from fhir_twin.model.intervention import Interventions
from fhir_twin.model.plan import Plan
from fhir_twin.model.scenario import Proposals
from fhir_twin.model.twin import Twin
from fhir_twin.recommendation import check_guidelines, load_guidelines, recommend
from fhir_twin.rules import check_safety, load_safety
from mappings import Source

SAFETY, GUIDELINES = load_safety(Source()), load_guidelines(Source())


def plan(coded: CodedChart, state: Twin, *runs: Any) -> Plan:
    return recommend(coded, state, Proposals(()), runs, Interventions(()), GUIDELINES, SAFETY, version="v")


def woman(age: float = 50.0, **kw: Any) -> Twin:
    return twin(point("sbp", 120.0), age=age, sex="female", **kw)


def event(
    words: str, days: int, *, kind: str = "Procedure", code: str = "", status: str = "completed"
) -> Event:
    concept = Concept((Coding(LOINC, code),) if code else (), words)
    return Event(f"{kind}/{words}", kind, concept, status, NOW - timedelta(days=days))


def keys(made: Plan) -> set[str]:
    return {r.key for r in made.recommendations}


def test_knowledge_files_have_no_fault() -> None:
    """`make knowledge` for this room: names, evidence, phenotypes."""
    assert check_safety(Source()) == []
    assert check_guidelines(Source()) == []


@pytest.mark.parametrize(
    ("events", "is_due"),
    [
        ((), True),
        ((event("Screening mammography", 300),), False),
        ((event("Screening mammography", 900),), True),
        ((event("MG Breast", 100, kind="DiagnosticReport", code="24606-6", status="final"),), False),
        ((event("Mammogram order", 10, kind="ServiceRequest", status="active"),), True),
        ((event("Mammography", 10, status="not-done"),), True),
    ],
)
def test_mammography_is_due_unless_it_was_done(events: tuple[Event, ...], is_due: bool) -> None:
    made = plan(chart(events=events, social=SocialFacts(pregnant=False)), woman())
    assert ("screen-breast" in keys(made)) is is_due
    if not is_due:
        assert any("Mammography: done" in text for text in made.limits)


def test_an_order_of_a_test_is_no_test() -> None:
    ordered = event("Colonoscopy", 10, kind="ServiceRequest", status="completed")
    assert "screen-colorectal" in keys(plan(chart(events=(ordered,)), woman()))


def test_screening_is_limited_in_number_and_comes_last() -> None:
    made = plan(chart(), woman())
    kinds = [r.kind for r in made.recommendations]
    assert sum(r.key.startswith(("screen-", "advise-")) for r in made.recommendations) <= 6
    assert kinds == sorted(kinds, key=lambda k: k in ("screening", "education"))


def test_nothing_is_screened_for_in_pregnancy_or_hospice() -> None:
    for group in ("pregnancy", "hospice"):
        made = plan(chart(problems=(problem(group),)), woman(age=46.0))
        assert not [k for k in keys(made) if k.startswith("screen-")]
        assert "only safety" in made.limits[0]


def test_an_unnoticed_diabetes_is_found_and_comes_before_screening() -> None:
    made = plan(chart(), twin(point("hba1c", 7.1), point("sbp", 120.0), age=52.0))
    (found,) = [r for r in made.recommendations if r.key == "confirm-diabetes"]
    assert "7.1 %" in " ".join(reason.text for reason in found.why)
    assert found.rank < min(r.rank for r in made.recommendations if r.kind == "screening")


def test_limits_name_what_was_not_measured_and_what_is_old() -> None:
    state = twin(
        point("sbp", 120.0, days=900),
        point("ldl", 100.0, days=20),
        state={"sbp": (120.0, 5.0), "ldl": (100.0, 9.0)},
    )
    text = " ".join(plan(chart(), state).limits)
    assert "more than two years ago: systolic blood pressure" in text
    assert "says nothing about allergies" in text
    unknown = replace(state, points=tuple(p for p in state.points if p.biomarker != "ldl"))
    assert "Never measured here" in " ".join(plan(chart(), unknown).limits)


def test_monitoring_of_a_drug_that_is_taken_is_asked_for() -> None:
    coded = chart(
        problems=(problem("hypertension"),),
        medications=(drug("lisinopril", "ace-inhibitor", "ras-inhibitor", "bp-lowering"),),
    )
    made = plan(coded, twin(point("sbp", 130.0), age=60.0))
    assert {"test-potassium", "test-egfr"} <= keys(made)
    (question,) = [q for q in made.questions if q.key == "potassium"]
    assert "Takes lisinopril" in question.reason


def test_a_plan_is_never_made_of_unverified_goals_or_tests() -> None:
    unread = replace(
        GUIDELINES,
        goals=tuple(
            replace(g, evidence=tuple(replace(e, verified=False) for e in g.evidence))
            for g in GUIDELINES.goals
        ),
        screening=tuple(
            replace(s, evidence=tuple(replace(e, verified=False) for e in s.evidence))
            for s in GUIDELINES.screening
        ),
        gaps=(),
    )
    coded = chart(problems=(problem("hypertension"), problem("diabetes", source="Condition/2")))
    made = recommend(
        coded,
        woman(),
        Proposals(()),
        (choice_run("x", -0.1),)[:0],
        Interventions(()),
        unread,
        SAFETY,
        version="v",
    )
    assert made.goals == ()
    assert not [r for r in made.recommendations if r.kind == "screening"]
