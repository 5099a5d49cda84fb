"""A small workshop of synthetic patients for the simulation tests. No resource, no file of a real person."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.chart import Chart, Medication, PatientRecord, Problem
from fhir_twin.model.coded import CodedChart, CodedMedication, CodedProblem, SocialFacts
from fhir_twin.model.codes import Concept
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.rules import SafetyRules
from fhir_twin.model.twin import Point, Profile, Twin
from fhir_twin.rules import load_safety
from fhir_twin.simulation import load_interventions, load_outcomes
from mappings import Source

sys.path.insert(0, str(Path(__file__).parents[1] / "assimilation"))  # assim_charts: charts built by hand

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = {
    "sbp": 152.0,
    "dbp": 90.0,
    "ldl": 150.0,
    "hdl": 45.0,
    "total-cholesterol": 225.0,
    "triglycerides": 160.0,
    "hba1c": 5.4,
    "fasting-glucose": 95.0,
    "egfr": 80.0,
    "uacr": 10.0,
    "bmi": 29.0,
    "heart-rate": 72.0,
}
EXTRA = {
    "height": (175.0, "cm"),
    "potassium": (4.2, "mmol/L"),
    "sodium": (140.0, "mmol/L"),
    "alt": (22.0, "U/L"),
}


@pytest.fixture(scope="session")
def source() -> Source:
    return Source()


@pytest.fixture(scope="session")
def interventions(source: Source) -> Interventions:
    return load_interventions(source)


@pytest.fixture(scope="session")
def outcomes(source: Source) -> Outcomes:
    return load_outcomes(source)


@pytest.fixture(scope="session")
def biomarkers(source: Source) -> BiomarkerSet:
    return load_biomarkers(source)


@pytest.fixture(scope="session")
def safety(source: Source) -> SafetyRules:
    return load_safety(source)


@pytest.fixture(scope="session")
def make_twin(biomarkers: BiomarkerSet) -> Callable[..., Twin]:
    def make(sd: float = 0.03, unseen: tuple[str, ...] = (), **changes: Any) -> Twin:
        """A 58-year-old man; changes: biomarkers by key (underscores), or fields of Profile."""
        values = dict(VALUES)
        facts: dict[str, Any] = {}
        for name, value in changes.items():
            key = name.replace("_", "-")
            (values if key in values else facts)[key if key in values else name] = value
        groups = frozenset(facts.pop("groups", ()))
        profile = Profile(
            **{
                "age": 58.0,
                "sex": "male",
                "smoker": False,
                "smoking": "never",
                "diabetes": "diabetes" in groups,
                "treated_bp": False,
                "statin": False,
                "cvd": "ascvd" in groups,
                "pregnant": False,
                "groups": groups,
                "ever": groups,
                "classes": frozenset(),
                **facts,
            }
        )
        keys = biomarkers.keys
        scales = tuple(biomarkers.model(k).scale for k in keys)
        units = tuple(biomarkers.model(k).unit for k in keys)
        log = np.array([s == "log" for s in scales])
        raw = np.array([values[k] for k in keys])
        spread = np.where(log, sd, sd * raw)
        seen = [Point(k, f"Observation/{k}", AS_OF, values[k], u) for k, u in zip(keys, units, strict=True)]
        points = [p for p in seen if p.biomarker not in unseen]
        points += [
            Point(k, f"Observation/{k}", AS_OF, v, u) for k, (v, u) in EXTRA.items() if k not in unseen
        ]
        mean = np.where(log, np.log(np.maximum(raw, 1e-9)), raw)
        none = np.zeros((0, 0))
        return Twin(
            *("Patient/1", AS_OF, profile, keys, units, scales, mean, np.diag(spread**2)),
            *(np.zeros(0), none, (), tuple(points)),
        )

    return make


@pytest.fixture(scope="session")
def make_coded() -> Callable[..., CodedChart]:
    def make(twin: Twin, drugs: tuple[tuple[str, tuple[str, ...], float | None], ...] = ()) -> CodedChart:
        """The coded chart that fits a twin's profile; drugs: (ingredient, classes, mg a day)."""
        chart = Chart(PatientRecord("Patient/1", "1", sex=twin.profile.sex or "unknown"), AS_OF)
        problems = tuple(
            CodedProblem(
                Problem(f"Condition/{g}", Concept(text=g)), (), (), frozenset({g}), "present", 1.0, False
            )
            for g in sorted(twin.profile.groups)
        )
        medications = tuple(
            CodedMedication(
                Medication(f"MedicationRequest/{name}", Concept(text=name), "active", True),
                *((name,), (), frozenset(classes), dose, 1.0, False),
            )
            for name, classes, dose in drugs
        )
        social = SocialFacts(smoking=twin.profile.smoking, pregnant=twin.profile.pregnant)
        return CodedChart(chart, problems=problems, medications=medications, social=social)

    return make


@pytest.fixture(scope="session")
def with_profile() -> Callable[..., Twin]:
    def change(twin: Twin, **facts: Any) -> Twin:
        return replace(twin, profile=replace(twin.profile, **facts))

    return change
