"""Hand-made CodedChart and Twin values for the rules and recommendation tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fhir_twin.model.chart import Allergy, Chart, Medication, PatientRecord, Problem
from fhir_twin.model.coded import CodedAllergy, CodedChart, CodedMedication, CodedProblem
from fhir_twin.model.codes import Concept
from fhir_twin.model.scenario import CONTINUE, Choice, EventRisk, RiskChange, Scenario, Trajectory
from fhir_twin.model.twin import Point, Profile, Twin, readonly

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def problem(group: str, *, source: str = "Condition/1", **kw: Any) -> CodedProblem:
    known = {"assertion": "present", **{k: v for k, v in kw.items() if k == "assertion"}}
    rest = {k: v for k, v in kw.items() if k != "assertion"}
    return CodedProblem(
        Problem(source, Concept(text=group), clinical="active", **rest),
        (), (), frozenset({group}), known["assertion"], 1.0, False,
    )  # fmt: skip


def drug(name: str, *classes: str, daily: float | None = None, source: str = "") -> CodedMedication:
    entry = Medication(source or f"MedicationRequest/{name}", Concept(text=name), "active", current=True)
    return CodedMedication(entry, (name,), (), frozenset(classes), daily, 1.0, False)


def point(key: str, value: float, days: int = 10, **kw: Any) -> Point:
    return Point(key, f"Observation/{key}-{days}", NOW - timedelta(days=days), value, "", **kw)


def twin(
    *points: Point,
    age: float | None = 60.0,
    sex: Any = "male",
    state: dict[str, tuple[float, float]] | None = None,
    **kw: Any,
) -> Twin:
    """state: biomarker -> (mean, SD), linear; each gets one used point, so that its estimate is personal."""
    groups = frozenset[str]()
    profile = Profile(age, sex, None, "unknown", False, False, False, False, None, groups, groups, groups)
    state = state or {}
    names = tuple(state)
    seen = {p.biomarker for p in points if p.used}
    points += tuple(point(key, state[key][0], days=5) for key in names if key not in seen)
    mean = readonly(np.array([state[key][0] for key in names]))
    spread = readonly(np.diag([state[key][1] ** 2 for key in names]) if names else np.zeros((0, 0)))
    units = tuple({"sbp": "mm[Hg]", "ldl": "mg/dL", "hba1c": "%"}.get(key, "1") for key in names)
    scales = ("linear",) * len(names)
    return Twin(
        "Patient/1", NOW, profile, names, units, scales, mean, spread, mean, spread, names, points=points, **kw
    )  # fmt: skip


def allergy(*ingredients: str, classes: tuple[str, ...] = (), label: str = "", **kw: Any) -> CodedAllergy:
    entry = Allergy("AllergyIntolerance/1", Concept(text=label or ", ".join(ingredients)), **kw)
    return CodedAllergy(entry, ingredients, frozenset(classes), False, bool(ingredients or classes))


def chart(**kw: Any) -> CodedChart:
    patient = PatientRecord("Patient/1", "1", name="Test Person")
    outer = {k: kw.pop(k) for k in ("goals", "genes", "consents", "events") if k in kw}
    return CodedChart(Chart(kw.pop("patient", patient), NOW, **outer), **kw)


def choice_run(
    intervention: str, change: float, width: float = 0.01, *, dose: str = "standard", better: float = 0.99,
    biomarkers: tuple[tuple[str, float, float, float], ...] = (), outcome: str = "cvd",
) -> Trajectory:  # fmt: skip
    """One simulated option: 10-year change of `outcome` and biomarker changes."""
    none = readonly(np.zeros((1, 0)))
    scenario = Scenario(f"start-{intervention}-{dose}", intervention, (Choice(intervention, dose),))
    changes = (RiskChange(outcome, 10.0, change, change - width, change + width, better),)
    return Trajectory(scenario, (), readonly(np.zeros(1)), none, none, none, (), changes, biomarkers)


def baseline(probability: float = 0.15, outcome: str = "cvd") -> Trajectory:
    none = readonly(np.zeros((1, 0)))
    risk = EventRisk(
        outcome,
        10.0,
        probability,
        probability * 0.8,
        probability * 1.2,
        "PREVENT base 10y",
        ("Observation/1",),
    )
    return Trajectory(CONTINUE, (), readonly(np.zeros(1)), none, none, none, (risk,))
