"""Three-valued conditions: Kleene's tables, unknown facts, intervals."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_builders import chart, drug, point, problem, twin

from fhir_twin.model.coded import CodedChart, SocialFacts
from fhir_twin.model.rules import Bounds
from fhir_twin.model.twin import Twin
from fhir_twin.rules import holds, parse
from fhir_twin.rules.kleene import within


def value(condition: Any, coded: CodedChart | None = None, state: Twin | None = None) -> bool | None:
    return holds(condition, coded or chart(), state or twin())


UNKNOWN = {"latest": "potassium", "above": 5.0}
TRUE = {"always": True}
FALSE = {"always": False}
TABLE = {True: TRUE, False: FALSE, None: UNKNOWN}


@pytest.mark.parametrize(("a", "b"), list(itertools.product(TABLE, TABLE)))
def test_kleene_tables(a: bool | None, b: bool | None) -> None:
    ordered = {False: 0, None: 1, True: 2}
    back = {0: False, 1: None, 2: True}
    assert value({"all": [TABLE[a], TABLE[b]]}) is back[min(ordered[a], ordered[b])]
    assert value({"any": [TABLE[a], TABLE[b]]}) is back[max(ordered[a], ordered[b])]
    assert value({"not": TABLE[a]}) is (None if a is None else not a)


def _combined(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(children, min_size=1, max_size=3)
    return (
        lists.map(lambda x: {"all": x}) | lists.map(lambda x: {"any": x}) | children.map(lambda x: {"not": x})
    )


@given(st.recursive(st.sampled_from([TRUE, FALSE, UNKNOWN]), _combined, max_leaves=8))
def test_learning_a_fact_never_turns_a_known_answer(condition: dict[str, Any]) -> None:
    """Monotone in information: what was certain without potassium stays so, whatever potassium turns out to be."""
    before = value(condition)
    for potassium in (4.0, 6.0):
        after = value(condition, state=twin(point("potassium", potassium)))
        assert after is not None
        assert before is None or after is before


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_interval_is_certain_only_when_all_its_values_agree(low: float, width: float, limit: float) -> None:
    high = low + width
    inside = [low + width * k / 4 for k in range(5)] + [high]
    for bounds, test in (
        (Bounds(below=limit), lambda v: v < limit),
        (Bounds(at_least=limit), lambda v: v >= limit),
        (Bounds(above=limit), lambda v: v > limit),
        (Bounds(at_most=limit), lambda v: v <= limit),
    ):
        answer = within(bounds, low, high)
        if answer is not None:
            assert all(test(v) is answer for v in inside)
        elif width == 0:
            raise AssertionError("one number can always be told")


@pytest.mark.parametrize(
    ("bound", "number", "limit", "expected"),
    [(">", 60.0, 30.0, False), ("<", 15.0, 30.0, True), ("<", 30.0, 30.0, True), ("<=", 30.0, 30.0, None),
     (">", 20.0, 30.0, None), (">=", 30.0, 30.0, False), (None, 29.9, 30.0, True), (None, 30.0, 30.0, False)],
)  # fmt: skip
def test_censored_values_are_intervals(
    bound: Any, number: float, limit: float, expected: bool | None
) -> None:
    """OB-3: "<15" is below 30 for sure; ">20" may be anything above."""
    assert (
        value({"latest": "egfr", "below": limit}, state=twin(point("egfr", number, bound=bound))) is expected
    )


def test_latest_takes_the_newest_and_respects_its_age() -> None:
    state = twin(point("potassium", 5.9, days=700), point("potassium", 4.1, days=500))
    assert value({"latest": "potassium", "above": 5.5}, state=state) is False
    assert value({"latest": "potassium", "above": 5.5, "within_days": 400}, state=state) is None
    assert value({"known": "potassium", "within_days": 400}, state=state) is False
    assert value({"known": "potassium", "within_days": 600}, state=state) is True


def test_unused_points_are_not_facts() -> None:
    state = twin(point("potassium", 9.9, used=False, reason="implausible"))
    assert value({"latest": "potassium", "above": 5.5}, state=state) is None


def test_possible_negated_and_past_problems() -> None:
    assert value({"has": "gout"}, chart(problems=(problem("gout"),))) is True
    assert value({"has": "gout"}, chart(problems=(problem("gout", certainty="possible"),))) is None
    assert value({"has": "gout"}, chart(problems=(problem("gout", assertion="absent"),))) is False
    assert value({"has": "gout"}, chart(problems=(problem("gout", assertion="family"),))) is False
    past = chart(problems=(problem("gout", assertion="historical"),))
    assert value({"has": "gout"}, past) is False
    assert value({"ever": "gout"}, past) is True


def test_pregnancy_is_unknown_only_where_it_is_possible() -> None:
    woman = twin(age=30.0, sex="female")
    assert value({"pregnant": True}, state=woman) is None
    assert value({"pregnant": True}, state=twin(age=30.0)) is False
    assert value({"pregnant": True}, state=twin(age=52.0, sex="female")) is False
    assert value({"pregnant": True}, chart(social=SocialFacts(pregnant=True)), woman) is True
    assert value({"pregnant": False}, chart(social=SocialFacts(pregnant=False)), woman) is True
    assert value({"pregnant": True}, chart(problems=(problem("pregnancy"),)), woman) is True
    removed = chart(problems=(problem("hysterectomy-total", assertion="historical"),))
    assert value({"pregnant": True}, removed, woman) is False
    assert value({"lactating": True}, state=woman) is None
    assert value({"lactating": True}, chart(social=SocialFacts(pregnant=False)), woman) is False


def test_drugs_doses_and_smoking() -> None:
    coded = chart(
        medications=(drug("metformin", "biguanide", daily=2000.0),), social=SocialFacts(smoking="former")
    )
    assert value({"takes": "metformin"}, coded) is True
    assert value({"dose": "metformin", "above": 1000}, coded) is True
    assert value({"dose": "lisinopril", "above": 1}, coded) is False
    assert value({"dose": "metformin", "above": 1000}, chart(medications=(drug("metformin"),))) is None
    assert value({"smoker": True}, coded) is False
    assert value({"smoking": "former"}, coded) is True
    assert value({"smoker": True}) is None


@pytest.mark.parametrize(
    "bad",
    [{"has": "a", "ever": "b"}, {"hass": "a"}, {"latest": "egfr"}, {"smoker": 1}, {"smoker": True, "has": "x"}, {}, [],
     {"age_at_least": "x"}, {"all": []}, {"all": {"has": "x"}}, {"sex": "f"}, {"gene": "X"}, {"has": "a", "below": 3},
     {"social": "beer", "above": 1}, "has gout"],
)  # fmt: skip
def test_bad_conditions_are_refused_with_their_place(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"x\.toml: rule"):
        parse(bad, "x.toml: rule")
