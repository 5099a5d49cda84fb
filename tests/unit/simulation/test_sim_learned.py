"""The simulation on a twin that was built from values, not by hand: it starts at the twin's own state, and a drug
that is stopped takes back what it did in this person."""

from __future__ import annotations

import numpy as np
import pytest
from assim_charts import at, chart, drug, measured

from fhir_twin.assimilation import build_twin
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import Choice, Trajectory
from fhir_twin.model.twin import Twin
from fhir_twin.simulation import what_if
from fhir_twin.simulation.course import natural_course
from fhir_twin.simulation.grid import edges

VISITS = ((2021, 1), (2021, 7), (2022, 1), (2022, 7), (2023, 3), (2023, 9), (2024, 3), (2024, 9), (2025, 6))


def on_statin(biomarkers: BiomarkerSet, before: float, after: float) -> Twin:
    """LDL `before` until a statin starts on 2022-08-01, `after` since."""
    values = [
        measured(f"ldl-{year}-{month}", "13457-7", value, "mg/dL", at(year, month))
        for year, month in VISITS
        for value in (before if (year, month) < (2022, 8) else after,)
    ]
    return build_twin(chart(*values, drugs=(drug("statin", at(2022, 8), "statin"),)), biomarkers)


def stop_statin(twin: Twin, knowledge: tuple[BiomarkerSet, Interventions, Outcomes]) -> Trajectory:
    return what_if(twin, (Choice("statin", "moderate", stop=True),), *knowledge)[1]


def ldl_change(trajectory: Trajectory) -> float:
    return next(change for key, change, *_ in trajectory.biomarker_changes if key == "ldl")


def test_the_course_starts_at_the_twin(biomarkers: BiomarkerSet) -> None:
    twin = on_statin(biomarkers, 160, 90)
    mean, variance = natural_course(twin, biomarkers, edges(10.0))
    np.testing.assert_allclose(mean[0], twin.mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(variance[0], np.diag(twin.covariance), rtol=1e-6)
    assert (np.diff(variance, axis=0) > -1e-9).all()


def test_a_stopped_drug_takes_back_what_it_did_here(
    biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    knowledge = (biomarkers, interventions, outcomes)
    strong, weak = on_statin(biomarkers, 160, 70), on_statin(biomarkers, 100, 88)
    for twin, low, high in ((strong, 60, 110), (weak, 5, 30)):
        _, _, mean, _ = next(r for r in twin.responses if r[:2] == ("ldl", "statin"))
        back = ldl_change(stop_statin(twin, knowledge))
        assert back == pytest.approx(twin.estimate("ldl").mean * (np.exp(-mean) - 1), rel=0.05)
        assert low < back < high
    cvd = [c for c in stop_statin(strong, knowledge).relative if c.outcome == "ascvd"]
    assert all(c.ratio > 1 for c in cvd)


def test_a_drug_of_unknown_start_takes_back_what_trials_saw(
    biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    values = [measured(f"ldl-{y}-{m}", "13457-7", 90, "mg/dL", at(y, m)) for y, m in VISITS]
    twin = build_twin(chart(*values, drugs=(drug("statin", None, "statin"),)), biomarkers)
    assert ldl_change(stop_statin(twin, (biomarkers, interventions, outcomes))) > 15
