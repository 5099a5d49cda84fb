"""What happened after an index date: the first event of each kind, or how long nothing was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_twin.coding import code_chart
from fhir_twin.fhir.read import read_chart
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.coded import CodedChart

YEAR = 365.25 * 86400.0
# outcome -> condition groups whose first appearance is the event
GROUPS: dict[str, frozenset[str]] = {
    "mi": frozenset({"myocardial-infarction"}),
    "stroke": frozenset({"stroke"}),
    "heart-failure": frozenset({"heart-failure"}),
    "ascvd": frozenset({"myocardial-infarction", "stroke"}),
    "cvd": frozenset({"myocardial-infarction", "stroke", "heart-failure"}),
    "diabetes": frozenset({"diabetes-type-2", "diabetes"}),
    "kidney-failure": frozenset({"dialysis", "kidney-transplant"}),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """event: it happened `years` after the index; else nothing was seen for `years` (death or end of the record)."""

    outcome: str
    event: bool
    years: float


def observed(
    bundle: dict[str, Any], knowledge: Knowledge, index: datetime, until: datetime, patient: str
) -> tuple[Observed, ...]:
    """Outcomes of one patient. Somebody who had the condition at the index is not at risk of it and has no row."""
    chart = read_chart(bundle, until, patient=patient)
    coded = code_chart(chart, knowledge.coder, knowledge.concept_maps)
    gone = chart.patient.deceased_on
    end = min(until, gone) if gone is not None else until
    seen = max((end - index).total_seconds() / YEAR, 0.0)
    found = []
    for outcome, groups in GROUPS.items():
        times = [when for when in _onsets(coded, groups) if when is not None]
        if any(when <= index for when in times):
            continue
        first = min((when for when in times if when <= end), default=None)
        years = seen if first is None else (first - index).total_seconds() / YEAR
        found.append(Observed(outcome, first is not None, years))
    if gone is not None or not chart.patient.deceased:
        found.append(Observed("death", gone is not None and gone <= until, seen))
    return tuple(found)


def _onsets(coded: CodedChart, groups: frozenset[str]) -> Iterator[datetime | None]:
    """When each matching problem began; one without any date cannot be placed and counts as from long ago."""
    for problem in coded.problems:
        if problem.ever and problem.groups & groups:
            p = problem.problem
            yield p.onset or p.recorded or datetime.min.replace(tzinfo=coded.chart.as_of.tzinfo)
