"""Goal: a proposed target (GO-1 to GO-4). A target that the record already holds is not written again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_twin.fhir.systems import GOAL_PRIORITY
from fhir_twin.fhir.write_context import Context
from fhir_twin.fhir.write_elements import clean, code, coding, compact, line, note, quantity, references
from fhir_twin.model.codes import Coding
from fhir_twin.model.plan import Citation, ProposedGoal

Json = dict[str, Any]

GOAL_CATEGORY = "http://terminology.hl7.org/CodeSystem/goal-category"
_CATEGORIES = frozenset({"dietary", "safety", "behavioral", "nursing", "physiotherapy"})
_PRIORITIES = {
    "high-priority": "High Priority",
    "medium-priority": "Medium Priority",
    "low-priority": "Low Priority",
}
_ADDRESSES = (
    "Condition",
    "Observation",
    "MedicationStatement",
    "NutritionOrder",
    "ServiceRequest",
    "RiskAssessment",
)


def goal_item(key: str) -> str:
    return f"goal/{key}"


def write_goal(goal: ProposedGoal, context: Context) -> Json:
    """expressedBy stays empty: it cannot be a Device (GO-4); Provenance names the software."""
    targets = _targets(goal)
    priority = goal.priority if goal.priority in _PRIORITIES else "medium-priority"
    return compact(
        {
            **context.start("Goal", goal_item(goal.key)),
            "lifecycleStatus": "proposed",
            "category": [_category(goal.category)] if goal.category else [],
            "priority": code(GOAL_PRIORITY, priority, _PRIORITIES[priority]),
            "description": {"text": line(goal.description) or line(goal.key)},
            "subject": context.subject,
            # US Core asks for a start or a due date (interop.md E2).
            "startDate": "" if any("dueDate" in t for t in targets) else context.as_of.date().isoformat(),
            "target": targets,
            "addresses": references(goal.addresses, *_ADDRESSES),
            "note": note(*(cited(c) for c in goal.citations)),
        }
    )


def cited(citation: Citation) -> str:
    """A citation as one line: claim, published value, where to find it."""
    place = (
        f"doi:{citation.doi}" if citation.doi else f"PMID {citation.pmid}" if citation.pmid else citation.url
    )
    parts = [clean(citation.text), f"({clean(citation.value)})" if citation.value else "", clean(place)]
    return " ".join(p for p in parts if p)


def _category(category: str) -> Json:
    if category in _CATEGORIES:
        return code(GOAL_CATEGORY, category, category.capitalize())
    return {"text": line(category)}


def _targets(goal: ProposedGoal) -> list[Json]:
    """GO-3: a blood pressure goal is two targets. gol-1: a detail never without a measure."""
    parts = goal.components
    if not parts and goal.measure is not None and goal.value is not None:
        parts = ((goal.measure, goal.comparator, goal.value, goal.unit, goal.unit_code),)
    due = goal.due.date().isoformat() if goal.due else ""
    if not parts:
        measured = coding(goal.measure) if goal.measure else None
        return [t for t in [compact({"measure": _measure(measured), "dueDate": due})] if t]
    return [t for t in (_target(*part, due) for part in parts) if t]


def _target(measure: Coding, comparator: str, value: Decimal, unit: str, unit_code: str, due: str) -> Json:
    measured = _measure(coding(measure))
    detail = quantity(value, unit, unit_code, comparator) if measured else {}
    return compact({"measure": measured, "detailQuantity": detail, "dueDate": due})


def _measure(measured: Json | None) -> Json:
    return {"coding": [measured], "text": measured.get("display", "")} if measured else {}
