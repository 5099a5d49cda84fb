"""The table of clinical situations: every row through twin, simulation and recommendation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from situation_runner import plan_of, situations

from fhir_twin.model.plan import Plan

ROWS = situations()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['file']}: {row['name']}" for row in ROWS])
def test_situation(row: dict[str, Any]) -> None:
    plan = plan_of(row)
    wrong = [line for key, wanted in row["expect"].items() for line in CHECKS[key](plan, wanted)]
    assert not wrong, "\n".join(wrong)


def test_the_table_is_large_and_names_its_sources() -> None:
    assert len(ROWS) >= 150
    assert len({(row["file"], row["name"]) for row in ROWS}) == len(ROWS)
    assert all(row.get("source") and row.get("expect") for row in ROWS)
    assert all(key in CHECKS for row in ROWS for key in row["expect"])


def _proposed(plan: Plan) -> set[str]:
    return {r.key for r in plan.recommendations}


def _propose(plan: Plan, wanted: list[str]) -> list[str]:
    return [
        f"not proposed: {key} (is: {sorted(_proposed(plan))})" for key in wanted if key not in _proposed(plan)
    ]


def _absent(plan: Plan, wanted: list[str]) -> list[str]:
    return [f"must not be proposed: {key}" for key in wanted if key in _proposed(plan)]


def _one_of(plan: Plan, wanted: list[list[str]]) -> list[str]:
    return [
        f"none of {group}; is: {sorted(_proposed(plan))}"
        for group in wanted
        if not set(group) & _proposed(plan)
    ]


def _first(plan: Plan, wanted: str) -> list[str]:
    first = {r.key for r in plan.recommendations if r.rank == 1}
    return [] if wanted in first else [f"first is {sorted(first)}, not {wanted}"]


def _before(plan: Plan, wanted: list[list[str]]) -> list[str]:
    place = {r.key: r.rank for r in plan.recommendations}
    return [
        f"{a} ({place.get(a)}) is not before {b} ({place.get(b)})"
        for a, b in wanted
        if a not in place or place[a] > place.get(b, len(place) + 99)
    ]


def _stop(plan: Plan, wanted: list[str]) -> list[str]:
    stops = {r.key for r in plan.recommendations if r.stop and r.key.startswith("stop-")}
    expected = {f"stop-{name}" for name in wanted}
    return [] if expected == stops else [f"stops {sorted(stops)}, expected {sorted(expected)}"]


def _reject(plan: Plan, wanted: list[str]) -> list[str]:
    rules = {r.rule for r in plan.rejected}
    return [f"not rejected by {rule} (is: {sorted(rules)})" for rule in wanted if rule not in rules]


def _ask(plan: Plan, wanted: list[str]) -> list[str]:
    keys = {q.key for q in plan.questions}
    return [f"not asked: {key} (is: {sorted(keys)})" for key in wanted if key not in keys]


def _no_ask(plan: Plan, wanted: list[str]) -> list[str]:
    return [f"must not be asked: {q.key}" for q in plan.questions if q.key in wanted]


def _find(plan: Plan, wanted: list[str]) -> list[str]:
    keys = {f.key for f in plan.findings}
    return [f"not found: {key} (is: {sorted(keys)})" for key in wanted if key not in keys]


def _no_find(plan: Plan, wanted: list[str]) -> list[str]:
    return [f"must not be found: {f.key}" for f in plan.findings if f.key in wanted]


def _goal(plan: Plan, wanted: dict[str, list[float]]) -> list[str]:
    goals = {g.key: [float(c[2]) for c in g.components] or [float(g.value or 0)] for g in plan.goals}
    return [
        f"goal {key}: {goals.get(key)}, not {limits}"
        for key, limits in wanted.items()
        if goals.get(key) != limits
    ]


def _no_goal(plan: Plan, wanted: list[str]) -> list[str]:
    return [f"must be no goal: {g.key}" for g in plan.goals if g.key in wanted]


def _caution(plan: Plan, wanted: list[str]) -> list[str]:
    words = " ".join(c.text.lower() for r in plan.recommendations for c in r.cautions)
    return [f"no caution about {word!r} in: {words}" for word in wanted if word not in words]


def _refused(plan: Plan, wanted: str) -> list[str]:
    return [] if wanted in plan.refused else [f"refused: {plan.refused!r}, not {wanted!r}"]


def _wishes(plan: Plan, wanted: list[str]) -> list[str]:
    keys = [p.key for p in plan.preferences]
    return [] if keys == wanted else [f"preferences {keys}, not {wanted}"]


def _step(plan: Plan, wanted: list[str]) -> list[str]:
    return [
        f"no step says {words!r}: {plan.sequence}"
        for words in wanted
        if not any(words in s for s in plan.sequence)
    ]


def _predict(plan: Plan, wanted: list[str]) -> list[str]:
    titles = [p.title for p in plan.predictions]
    return [f"not predicted: {title} (is: {titles})" for title in wanted if title not in titles]


def _no_predict(plan: Plan, wanted: list[str]) -> list[str]:
    return [f"must not be predicted: {p.title}" for p in plan.predictions if p.title in wanted]


def _hangs(plan: Plan, wanted: dict[str, str]) -> list[str]:
    said = {f.key: " ".join(f.sensitivity) for f in plan.findings}
    return [
        f"{key}: {said.get(key)!r} lacks {words!r}"
        for key, words in wanted.items()
        if words not in said.get(key, "")
    ]


CHECKS: dict[str, Any] = {
    "propose": _propose,
    "absent": _absent,
    "one_of": _one_of,
    "first": _first,
    "before": _before,
    "stop": _stop,
    "reject": _reject,
    "ask": _ask,
    "no_ask": _no_ask,
    "find": _find,
    "no_find": _no_find,
    "goal": _goal,
    "no_goal": _no_goal,
    "caution": _caution,
    "refused": _refused,
    "wishes": _wishes,
    "step": _step,
    "predict": _predict,
    "no_predict": _no_predict,
    "hangs": _hangs,
}
