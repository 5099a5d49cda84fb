"""Goal -> PatientGoal (GO-10). Our own proposals never get here (CP-4)."""

from __future__ import annotations

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir.context import Context
from fhir_twin.model.chart import GoalTarget, PatientGoal
from fhir_twin.model.codes import Concept

DROPPED = frozenset(["entered-in-error", "rejected"])


def read_goal(given: c.Goal, source: str, context: Context) -> PatientGoal | None:
    """The goal with its lifecycle status as given; None when in error, rejected, empty, or of the future."""
    status = elements.status_code(given.lifecycle_status)
    if status in DROPPED:
        context.skip_status("Goal", status)
        return None
    start = context.when(given.start_date, source, "Goal.startDate")
    stated = context.when(given.status_date, source, "Goal.statusDate")
    if context.later(start) or (start is None and context.later(stated)):
        context.skip_later("Goal")
        return None
    concept = elements.concept(given.description)
    if elements.is_empty(concept) and not given.target:
        context.issues.add("information", "required", "Goal without description and target: not used", source)
        return None
    priority = elements.codes((given.priority,)) if given.priority is not None else ()
    return PatientGoal(
        source=source,
        concept=concept,
        status=status,
        priority=priority[0] if priority else "",
        targets=tuple(_target(each, source, context) for each in given.target),
        start=start.point_by(context.as_of) if start is not None else None,
    )


def _target(given: c.Target, source: str, context: Context) -> GoalTarget:
    measure: Concept | None = elements.concept(given.measure) if given.measure is not None else None
    due = context.when(given.due_date, source, "Goal.target.dueDate")
    said = elements.amount(given.detail_quantity)
    span = given.detail_range
    low = elements.amount(span.low) if span is not None else None
    high = elements.amount(span.high) if span is not None else None
    units = [a.unit_code or a.unit for a in (said, low, high) if a is not None]
    value = said.value if said is not None else None
    if value is None and given.detail_integer is not None:
        value = elements.whole(given.detail_integer)
    return GoalTarget(
        measure=measure,
        low=low.value if low is not None else None,
        high=high.value if high is not None else None,
        value=value,
        comparator=said.comparator if said is not None else None,
        unit=next((u for u in units if u), ""),
        due=due.point if due is not None else None,
    )
