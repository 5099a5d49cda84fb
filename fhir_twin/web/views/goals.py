"""Goals and preferences on the page: what is agreed, what is proposed, what can be set."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.decide import GoalTarget
from fhir_twin.fhir.write_words import unit_words
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import PatientGoal
from fhir_twin.pipeline import Run
from fhir_twin.web.views.words import day, first_upper, place

COMPARATORS = (("<", "below"), ("<=", "at most"), (">", "above"), (">=", "at least"))
STATUS_WORDS = {
    "proposed": "proposed", "planned": "planned", "accepted": "accepted", "active": "active", "on-hold": "on hold",
    "completed": "reached", "cancelled": "given up",
}  # fmt: skip
MEASURED = ("sbp", "dbp", "ldl", "hba1c", "bmi", "fasting-glucose", "uacr", "non-hdl", "triglycerides")


@dataclass(frozen=True, slots=True, repr=False)
class GoalRow:
    """One Goal of the record, with what the form needs to change it."""

    source: str
    words: str
    status: str
    status_words: str
    priority: str
    target: str
    measure: str
    comparator: str
    value: str
    due: str
    current: str


@dataclass(frozen=True, slots=True, repr=False)
class ProposedRow:
    """A target that the plan proposes, ready to be agreed on."""

    key: str
    words: str
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class PreferenceRow:
    key: str
    label: str
    stated: bool
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class GoalsView:
    """measures: (biomarker, name with unit) that a goal may be set on."""

    goals: tuple[GoalRow, ...]
    proposed: tuple[ProposedRow, ...]
    preferences: tuple[PreferenceRow, ...]
    measures: tuple[tuple[str, str], ...]


def goals_view(run: Run, k: Knowledge) -> GoalsView:
    stated = {p.key: p for p in run.plan.preferences}
    return GoalsView(
        goals=tuple(_goal(g, run, k) for g in run.chart.goals),
        proposed=tuple(_proposed(run)),
        preferences=tuple(
            PreferenceRow(
                rule.key,
                first_upper(rule.label),
                rule.key in stated,
                tuple(place(s) for s in stated[rule.key].sources) if rule.key in stated else (),
            )
            for rule in k.guidelines.preferences.rules
        ),
        measures=measures(k),
    )


def measures(k: Knowledge) -> tuple[tuple[str, str], ...]:
    words = k.safety.words
    known = [key for key in MEASURED if key in k.biomarkers.analytes and key in k.guidelines.measures]
    return tuple(
        (key, f"{first_upper(words.analyte(key))} ({unit_words(k.biomarkers.analytes[key].unit)})")
        for key in known
    )


def _goal(goal: PatientGoal, run: Run, k: Knowledge) -> GoalRow:
    target = goal.targets[0] if goal.targets else None
    codes = [c.code for c in target.measure.codings] if target and target.measure else []
    key = next((k.biomarkers.by_loinc[c][0] for c in codes if c in k.biomarkers.by_loinc), "")
    words = ""
    if target is not None:
        shown = [f"{target.comparator or ''} {target.value}" if target.value is not None else ""]
        shown += [f"{target.low or ''} to {target.high or ''}" if target.low or target.high else ""]
        name = target.measure.label if target.measure else ""
        words = " ".join(x for x in (name, *shown, unit_words(target.unit)) if x.strip()).strip()
    current = ""
    if key in run.twin.biomarkers and not run.twin.refused:
        estimate = run.twin.estimate(key)
        current = (
            f"{k.safety.words.number(key, estimate.mean)} "
            f"({k.safety.words.number(key, estimate.low)} to {k.safety.words.number(key, estimate.high)})"
        )
    return GoalRow(
        source=place(goal.source),
        words=goal.concept.label,
        status=goal.status,
        status_words=STATUS_WORDS.get(goal.status, goal.status),
        priority=goal.priority,
        target=words,
        measure=key if key in dict(measures(k)) else "",
        comparator=target.comparator or "" if target else "",
        value=str(target.value) if target and target.value is not None else "",
        due=day(target.due) if target and target.due else "",
        current=current,
    )


def _proposed(run: Run) -> list[ProposedRow]:
    return [
        ProposedRow(g.key, g.description, "; ".join(c.text for c in g.citations))
        for g in run.plan.goals
        if not g.existing
    ]


@dataclass(frozen=True, slots=True, repr=False)
class GoalWish:
    """What the goal form said, checked."""

    words: str
    status: str
    priority: str
    targets: tuple[GoalTarget, ...]


def agreed(run: Run, key: str) -> GoalWish:
    """A goal that the plan proposes, agreed on. Raises InvalidInput when the plan has no such goal (any more)."""
    goal = next((g for g in run.plan.goals if g.key == key and not g.existing), None)
    if goal is None:
        raise InvalidInput("the plan proposes no such goal any more; read the record anew")
    parts = list(goal.components)
    if not parts and goal.measure is not None and goal.value is not None:
        parts = [(goal.measure, goal.comparator, goal.value, goal.unit, goal.unit_code)]
    found = (
        GoalTarget(measure.code, measure.display, comparator, value, unit, code)
        for measure, comparator, value, unit, code in parts
    )
    return GoalWish(goal.description, "active", goal.priority, tuple(found))


def goal_wish(form: Any, k: Knowledge) -> GoalWish:
    """Raises InvalidInput naming the field."""
    key, text = form.get("measure", ""), form.get("value", "").strip()
    targets: tuple[GoalTarget, ...] = ()
    words = " ".join(form.get("words", "").split())[:500]
    if key or text:
        if key not in dict(measures(k)):
            raise InvalidInput("choose what is measured, or leave the number empty")
        coding, unit = k.guidelines.measures[key], k.biomarkers.analytes[key].unit
        value = _decimal(text)
        low, high = k.biomarkers.analytes[key].plausible
        if not low <= float(value) <= high:
            raise InvalidInput("the target is outside what can be measured; check the unit")
        comparator = form.get("comparator", "<")
        targets = (GoalTarget(coding.code, coding.display, comparator, value, unit_words(unit), unit),)
        said = dict(COMPARATORS).get(comparator, "below")
        words = words or f"{first_upper(k.safety.words.analyte(key))} {said} {value} {unit_words(unit)}"
    return GoalWish(words, form.get("status", "active"), form.get("priority", ""), targets)


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise InvalidInput("the target is not a number") from None
    if not value.is_finite():
        raise InvalidInput("the target is not a number")
    return value
