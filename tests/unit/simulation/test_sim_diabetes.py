"""Onset of diabetes: the DPP placebo arm for people like those it enrolled, refusal by name for others (issue 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, Choice, EventRisk, Scenario, Trajectory
from fhir_twin.model.twin import Twin
from fhir_twin.simulation import load_outcomes, simulate
from mappings import ROOT, Source

MakeTwin = Callable[..., Twin]
Run = Callable[..., tuple[Trajectory, ...]]
PREDIABETES = {"groups": ("prediabetes",), "hba1c": 6.0, "fasting_glucose": 107.0, "bmi": 34.0}


@pytest.fixture
def run(biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes) -> Run:
    def go(twin: Twin, *choices: tuple[Choice, ...], years: float = 10.0) -> tuple[Trajectory, ...]:
        scenarios = tuple(Scenario(f"s{i}", f"s{i}", c, years) for i, c in enumerate(((), *choices)))
        return simulate(twin, scenarios, biomarkers, interventions, outcomes)

    return go


def _onset(trajectory: Trajectory) -> EventRisk | None:
    return next((r for r in trajectory.risks if r.outcome == "diabetes"), None)


def _said(trajectory: Trajectory) -> str:
    return " ".join(i.diagnostics for i in trajectory.issues)


def _rate(trajectory: Trajectory) -> float:
    found = _onset(trajectory)
    assert found is not None
    return float(-100.0 * np.log1p(-found.probability) / found.horizon_years)


def test_the_arms_of_dpp_come_back(make_twin: MakeTwin, run: Run) -> None:
    """Per 100 person-years over the trial's 2.8 years: 11.0, metformin 7.8 (6.8-8.8), lifestyle 4.8 (4.1-5.7)."""
    arms = run(make_twin(**PREDIABETES), (Choice("metformin"),), (Choice("weight-loss"),), years=2.8)
    placebo, metformin, lifestyle = (_rate(a) for a in arms)
    assert placebo == pytest.approx(11.0, abs=0.05)
    assert metformin == pytest.approx(7.8, abs=0.3)
    assert lifestyle == pytest.approx(4.8, abs=0.3)


def test_three_years_with_interval_and_an_honest_label(make_twin: MakeTwin, run: Run) -> None:
    """80 % of the printed 95 % interval: 9.8-12.3 per 100 person-years becomes 10.2-11.8."""
    now, both = run(make_twin(**PREDIABETES), (Choice("metformin"), Choice("weight-loss")))
    found = _onset(now)
    assert found is not None
    assert found.horizon_years == 3.0
    rates = [-100.0 * np.log1p(-p) / 3.0 for p in (found.low, found.high)]
    assert rates == pytest.approx([10.21, 11.85], abs=0.1)
    assert "average of overweight adults with impaired glucose" in found.equation
    assert "too high for a person whose 2-hour glucose is normal" in _said(now)
    assert {"Observation/hba1c", "Observation/bmi"} <= set(found.basis)
    change = next(c for c in both.changes if c.outcome == "diabetes")
    assert change.low < change.difference < change.high < 0.0
    assert change.better == 1.0


@pytest.mark.parametrize(
    "values", [{"hba1c": 5.7}, {"fasting_glucose": 100.0}, {"hba1c": 6.4, "fasting_glucose": 125.0}]
)
def test_prediabetes_in_the_values_counts_as_the_diagnosis(
    values: dict[str, float], make_twin: MakeTwin, run: Run
) -> None:
    """The lifestyle ratio asks for prediabetes; a laboratory that shows it is enough."""
    now, lifestyle = run(make_twin(**{"bmi": 31.0, **values}), (Choice("weight-loss"),))
    assert _rate(now) == pytest.approx(11.0, abs=0.05)
    assert _rate(lifestyle) < 6.0


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"bmi": 23.0}, "bmi is below 24"),
        ({"unseen": ("bmi",)}, "bmi is not known"),
        ({"age": 22.0}, "age"),
        ({"fasting_glucose": 90.0}, "fasting_glucose is below 95"),
        ({"classes": frozenset({"metformin", "glucose-lowering"})}, "lowers glucose"),
        ({"hba1c": 6.6}, "ruled out first"),
        ({"fasting_glucose": 131.0}, "ruled out first"),
    ],
)
def test_people_unlike_those_of_the_trial_are_refused_by_name(
    facts: dict[str, object], word: str, make_twin: MakeTwin, run: Run
) -> None:
    (now,) = run(make_twin(**{**PREDIABETES, **facts}))
    assert _onset(now) is None
    assert "DPP rate refuses" in _said(now)
    assert word in _said(now)


def test_silent_where_the_question_does_not_arise(make_twin: MakeTwin, run: Run) -> None:
    for twin in (
        make_twin(),
        make_twin(groups=("diabetes", "prediabetes"), hba1c=7.0),
        make_twin(hba1c=6.0, bmi=31.0, ever=frozenset({"diabetes-type-2"})),
    ):
        (now,) = run(twin)
        assert _onset(now) is None
        assert "DPP" not in _said(now)


def test_unverified_evidence_keeps_the_rate_out(tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    folder.mkdir()
    text = (ROOT / "outcomes" / "diabetes.toml").read_text("utf-8")
    (folder / "diabetes.toml").write_text(text.replace("verified = true", "verified = false", 1), "utf-8")
    assert load_outcomes(Source(overlay=tmp_path)).diabetes is None
    (folder / "diabetes.toml").write_text(text.replace("low = 0.098", "low = 0.2"), "utf-8")
    with pytest.raises(ValueError, match="low < rate"):
        load_outcomes(Source(overlay=tmp_path))


def test_without_the_rate_nothing_is_said(make_twin: MakeTwin, biomarkers: BiomarkerSet,
                                          interventions: Interventions) -> None:  # fmt: skip
    bare = Outcomes(trial_ratios=())
    (now,) = simulate(make_twin(**PREDIABETES), (CONTINUE,), biomarkers, interventions, bare)
    assert _onset(now) is None
