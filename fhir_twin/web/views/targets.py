"""Targets of biomarkers: the patient's own agreed goals first, then what the plan proposes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import PatientGoal
from fhir_twin.model.plan import ProposedGoal
from fhir_twin.pipeline import Run
from fhir_twin.web.charts import Target

OVER = frozenset({"completed", "cancelled", "rejected", "entered-in-error"})


def targets(run: Run, k: Knowledge) -> dict[str, Target]:
    """Biomarker -> its target in canonical unit. A goal in another unit than the canonical one is not drawn."""
    found: dict[str, Target] = {}
    for goal in run.plan.goals:
        found.update(_proposed(goal, k))
    for stated in run.chart.goals:
        if stated.status not in OVER:
            found.update(_stated(stated, k))
    return found


def _proposed(goal: ProposedGoal, k: Knowledge) -> Iterator[tuple[str, Target]]:
    parts = list(goal.components)
    if not parts and goal.measure is not None and goal.value is not None:
        parts = [(goal.measure, goal.comparator, goal.value, goal.unit, goal.unit_code)]
    for measure, comparator, value, _, unit_code in parts:
        key = k.biomarkers.by_loinc.get(measure.code, ("", None))[0]
        if key and _canonical(key, unit_code, k):
            yield key, _target(comparator, float(value), "target" if not goal.existing else "agreed")


def _stated(goal: PatientGoal, k: Knowledge) -> Iterator[tuple[str, Target]]:
    for part in goal.targets:
        codes = [c.code for c in part.measure.codings] if part.measure else []
        key = next((k.biomarkers.by_loinc[c][0] for c in codes if c in k.biomarkers.by_loinc), "")
        if not key or not _canonical(key, part.unit, k):
            continue
        low, high = _float(part.low), _float(part.high)
        if part.value is not None:
            yield key, _target(part.comparator or "<", float(part.value), "agreed")
        elif low is not None or high is not None:
            edges = [f"{v:g}" for v in (low, high) if v is not None]
            yield key, Target(low, high, f"agreed {' to '.join(edges)}")


def _canonical(key: str, unit: str, k: Knowledge) -> bool:
    analyte = k.biomarkers.analytes.get(key)
    return analyte is not None and k.biomarkers.aliases.get(unit, unit) == analyte.unit


def _target(comparator: str, value: float, who: str) -> Target:
    if comparator.startswith(">"):
        return Target(
            value, None, f"{who} \u2265 {value:g}" if "=" in comparator else f"{who} above {value:g}"
        )
    return Target(None, value, f"{who} \u2264 {value:g}" if "=" in comparator else f"{who} below {value:g}")


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
