"""What patients say they prefer, in words and in our codes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from plan_builders import NOW, chart

from fhir_twin.model.chart import Measurement, PatientGoal
from fhir_twin.model.coded import CodedMeasurement
from fhir_twin.model.codes import LOINC, Coding, Concept
from fhir_twin.model.guidelines import Preferences
from fhir_twin.recommendation import load_guidelines
from fhir_twin.rules.preferences import stated_preferences
from mappings import Source


@pytest.fixture(scope="module")
def known() -> Preferences:
    return load_guidelines(Source()).preferences


def answer(text: str = "", code: str = "", days: int = 1) -> CodedMeasurement:
    coded = Concept((Coding("urn:fhir-twin", code),)) if code else None
    given = Measurement(
        f"Observation/{days}",
        Concept((Coding(LOINC, "75773-2"),)),
        NOW - timedelta(days=days),
        text=text,
        coded=coded,
    )
    return CodedMeasurement(given, ("75773-2",), 1.0, False)


def goal(text: str, status: str = "active") -> PatientGoal:
    return PatientGoal("Goal/1", Concept(text=text), status)


def keys(known: Preferences, **kw: Any) -> list[str]:
    return [p.key for p in stated_preferences(chart(**kw), known)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient wants no injections", ["avoid-injections"]),
        ("Afraid of needles.", ["avoid-injections"]),
        ("I don\u2019t mind injections", []),
        ("As few tablets as possible, please", ["fewest-pills"]),
        ("Cannot afford expensive drugs", ["low-cost"]),
        ("No weight gain", ["no-weight-gain"]),
        ("Quality of life matters more than length of life", ["quality-of-life"]),
        ("Comfort", ["quality-of-life"]),
        ("Quality over longevity", ["quality-of-life"]),
        ("Wants to live longer, even at the price of comfort", ["longevity"]),
        ("Wants to live as long as possible", ["longevity"]),
        ("Wants no injections. Cost is not a concern.", ["avoid-injections"]),
        ("Chest pain after exercise", []),
    ],
)
def test_answers_in_words(known: Preferences, text: str, expected: list[str]) -> None:
    assert keys(known, measurements=(answer(text),)) == expected


@pytest.mark.parametrize(
    "code", ["avoid-injections", "fewest-pills", "low-cost", "no-weight-gain", "quality-of-life", "longevity"]
)
def test_answers_in_codes(known: Preferences, code: str) -> None:
    assert keys(known, measurements=(answer(code=code),)) == [code]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fewer pills", ["fewest-pills"]),
        ("Avoid injections if possible", ["avoid-injections"]),
        ("Improve quality of life", []),  # on every second care plan; says nothing about what comes first
        ("Take blood pressure medication, reduce salt", []),
        ("Costochondritis resolved", []),
        ("Reduce HbA1c below 7 % with medication", []),
    ],
)
def test_goals_in_words(known: Preferences, text: str, expected: list[str]) -> None:
    assert keys(known, goals=(goal(text),)) == expected


def test_a_goal_that_is_over_says_nothing(known: Preferences) -> None:
    assert keys(known, goals=(goal("Fewer pills", "cancelled"),)) == []


def test_a_later_answer_takes_an_earlier_one_back(known: Preferences) -> None:
    early, late = (
        answer("No injections", days=300),
        answer("Does not mind injections now, willing to inject", days=3),
    )
    assert keys(known, measurements=(early, late)) == []
    assert keys(known, measurements=(late, early)) == []


def test_length_of_life_first_silences_quality_first(known: Preferences) -> None:
    both = (answer(code="quality-of-life", days=9), answer(code="longevity", days=3))
    assert keys(known, measurements=both) == ["longevity"]
