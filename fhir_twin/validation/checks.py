"""The list of checks and what each one answers. Pure: the same knowledge and seed give the same report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fhir_twin.knowledge import Knowledge
from mappings import Source


@dataclass(frozen=True, slots=True)
class Series:
    """One line or cloud of a figure. low/high: interval ends, same length as x, or empty. style: line | points."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: str = "points"


@dataclass(frozen=True, slots=True)
class Figure:
    """ticks: names of the x positions 0, 1, 2 ... where x is a category. diagonal: draw y = x; level: y = level."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    ticks: tuple[str, ...] = ()
    diagonal: bool = False
    level: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """passed is decided by `bar`, which is said in words. rows: a table (first row = head). text: how it was done and
    what it does not show."""

    key: str
    title: str
    text: str
    bar: str
    passed: bool
    rows: tuple[tuple[str, ...], ...] = ()
    figures: tuple[Figure, ...] = field(default=())


def run_checks(
    knowledge: Knowledge,
    source: Source,
    *,
    people: int = 2000,
    seed: int = 20260101,
    progress: Callable[[str], None] | None = None,
) -> tuple[Check, ...]:
    """All checks, in reading order. people: simulated people (more = narrower, slower)."""
    from fhir_twin.validation.cases import check_cases
    from fhir_twin.validation.coverage import check_coverage, check_forecasts
    from fhir_twin.validation.response import check_response
    from fhir_twin.validation.trials import check_trials

    checks: list[Check] = []
    plan: tuple[tuple[str, Callable[[], Check]], ...] = (
        ("printed cases of the equations", lambda: check_cases(source)),
        ("the usual value is recovered", lambda: check_coverage(knowledge.biomarkers, people, seed)),
        (
            "a person's own response is recovered",
            lambda: check_response(knowledge.biomarkers, people // 2, seed + 2),
        ),
        ("forecasts against simple rules", lambda: check_forecasts(knowledge.biomarkers, people, seed + 1)),
        ("published trials", lambda: check_trials(knowledge, source)),
    )
    for name, make in plan:
        if progress is not None:
            progress(name)
        checks.append(make())
    return tuple(checks)
