"""PatientView: what conditions may ask about one patient, gathered once from CodedChart and Twin.

Answers are three-valued where the record can be silent: None means "cannot be told", never "no".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from fhir_twin.model.coded import CodedChart, CodedMedication, CodedProblem
from fhir_twin.model.memo import HIDDEN
from fhir_twin.model.scenario import EventRisk
from fhir_twin.model.twin import Point, Twin
from fhir_twin.rules.genotype import phenotypes

CHILDBEARING_FROM, CHILDBEARING_TO = 15.0, 50.0
Certainty = Literal["now", "past", "possible"]


@dataclass(frozen=True, slots=True, repr=False)
class PatientView:
    """problems: group -> its problems by certainty; drugs: class or ingredient -> sources of current drugs;
    allergens: the same for allergies; points: analyte -> used points in time order; risks: from the simulation
    of "continue as now" (empty before it); genes: gene -> (phenotype, source)."""

    coded: CodedChart
    twin: Twin
    problems: dict[tuple[str, Certainty], tuple[CodedProblem, ...]]
    drugs: dict[str, tuple[str, ...]]
    allergens: dict[str, tuple[str, ...]]
    points: dict[str, tuple[Point, ...]]
    risks: tuple[EventRisk, ...]
    genes: dict[str, tuple[str, str]]
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False, metadata=HIDDEN)

    @property
    def as_of(self) -> datetime:
        return self.twin.as_of

    @property
    def age(self) -> float | None:
        return self.twin.profile.age

    @property
    def sex(self) -> str | None:
        return self.twin.profile.sex

    def sources(self, group: str, certainty: Certainty) -> tuple[str, ...]:
        return tuple(p.problem.source for p in self.problems.get((group, certainty), ()))

    def latest(self, analyte: str, within_days: int | None = None) -> Point | None:
        """The newest usable value (of equal times the last offered), None when there is none that recent."""
        points = self.points.get(analyte, ())
        if not points:
            return None
        newest = points[-1]
        if within_days is None:
            return newest
        if newest.time is None or self.as_of - newest.time > timedelta(days=within_days):
            return None
        return newest

    def childbearing(self) -> bool | None:
        """Could she be pregnant: a woman of 15 to 49 years without hysterectomy; None when sex or age is unknown."""
        if self.sex == "male" or (
            self.age is not None and not CHILDBEARING_FROM <= self.age < CHILDBEARING_TO
        ):
            return False
        if ("hysterectomy-total", "now") in self.problems or ("hysterectomy-total", "past") in self.problems:
            return False
        if self.sex is None or self.age is None:
            return None
        return True

    def pregnant(self) -> bool | None:
        """Recorded status first, then the problem list; "no" for those who cannot be; else unknown."""
        if ("pregnancy", "now") in self.problems or self.coded.social.pregnant:
            return True
        if self.coded.social.pregnant is False:
            return False
        return False if self.childbearing() is False else None

    def lactating(self) -> bool | None:
        """Unknown only while pregnancy is unknown too: the two are asked in one question."""
        if ("lactation", "now") in self.problems or self.coded.social.lactating:
            return True
        if self.coded.social.lactating is False or self.childbearing() is False:
            return False
        return None if self.pregnant() is None else False

    def smoking(self) -> str | None:
        """current | former | never, None when not known (SM-2: unknown is not never)."""
        known = self.coded.social.smoking
        if known in ("current", "former", "never"):
            return known
        profile = self.twin.profile
        if profile.smoking in ("current", "former", "never"):
            return profile.smoking
        return "current" if profile.smoker else None

    def daily_dose(self, drug: str) -> float | None:
        """Sum of the daily doses (mg) of the current drugs of `drug`; None when any of them cannot be told."""
        doses = [m.daily_dose for m in self.coded.taking(drug)]
        return None if any(d is None for d in doses) else float(sum(d for d in doses if d is not None))


def view(coded: CodedChart, twin: Twin, risks: tuple[EventRisk, ...] = ()) -> PatientView:
    """Gather the view; pure, and independent of the order of the record's resources."""
    problems: dict[tuple[str, Certainty], list[CodedProblem]] = {}
    for problem in sorted(coded.problems, key=lambda p: p.problem.source):
        certainty = _certainty(problem)
        for group in problem.groups if certainty else ():
            problems.setdefault((group, certainty), []).append(problem)  # type: ignore[arg-type]
    allergens: dict[str, list[str]] = {}
    for allergy in coded.allergies:
        if allergy.allergy.active and not allergy.allergy.none_known:
            for name in {*allergy.classes, *allergy.ingredients}:
                allergens.setdefault(name, []).append(allergy.allergy.source)
    points: dict[str, list[Point]] = {}
    for point in twin.points:
        if point.used and (point.time is None or point.time <= twin.as_of):
            points.setdefault(point.biomarker, []).append(point)
    return PatientView(
        coded,
        twin,
        {key: tuple(found) for key, found in problems.items()},
        _drugs(coded.medications),
        {key: tuple(sorted(set(found))) for key, found in allergens.items()},
        {key: tuple(sorted(found, key=_moment)) for key, found in points.items()},
        risks,
        phenotypes(coded.chart.genes),
    )


def without(patient: PatientView, medications: tuple[CodedMedication, ...]) -> PatientView:
    """The view as if the record listed only `medications` (part of its own); the rest is shared."""
    coded = replace(patient.coded, medications=medications)
    return replace(patient, coded=coded, drugs=_drugs(medications))


def _drugs(medications: tuple[CodedMedication, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for drug in medications:
        if drug.medication.current:
            for name in {*drug.classes, *drug.ingredients}:
                found.setdefault(name, []).append(drug.medication.source)
    return {key: tuple(sorted(set(sources))) for key, sources in found.items()}


def _certainty(problem: CodedProblem) -> Certainty | None:
    if problem.holds:
        return "now"
    if problem.ever:
        return "past"
    if problem.assertion in ("present", "possible") and problem.problem.active:
        return "possible"
    return None


def _moment(point: Point) -> tuple[float, float, str]:
    return (point.time.timestamp() if point.time else float("-inf"), point.value, point.source)
