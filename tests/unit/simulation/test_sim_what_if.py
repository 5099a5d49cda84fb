"""What-if and sensitivity: any choice that makes sense, none that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import Choice, Scenario
from fhir_twin.model.twin import Twin
from fhir_twin.simulation import choice_of, scenario_of, sensitivity, simulate, what_if
from fhir_twin.simulation.simulate import expected_change

MakeTwin = Callable[..., Twin]


def test_what_if_is_simulated_against_now(
    make_twin: MakeTwin, biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    choices = (Choice("statin", "high", delay_years=1.0), Choice("ccb-dhp"))
    now, then = what_if(make_twin(), choices, biomarkers, interventions, outcomes, horizon_years=5.0)
    assert now.scenario.key == "continue"
    assert then.times[-1] == 5.0
    assert next(c.difference for c in then.changes if c.outcome == "cvd") < 0


def test_stop_needs_something_to_stop(
    make_twin: MakeTwin, biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    stop = (Choice("ccb-dhp", stop=True),)
    with pytest.raises(InvalidInput, match="not taken"):
        what_if(make_twin(), stop, biomarkers, interventions, outcomes)
    twin = make_twin(classes=frozenset({"ccb-dhp", "bp-lowering"}), treated_bp=True)
    _, then = what_if(twin, stop, biomarkers, interventions, outcomes)
    assert next(c.difference for c in then.changes if c.outcome == "cvd") > 0


def test_switch_is_stop_and_start(
    make_twin: MakeTwin, biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    twin = make_twin(classes=frozenset({"ace-inhibitor", "ras-inhibitor"}), treated_bp=True)
    choices = (Choice("ace-inhibitor", stop=True), Choice("arb"))
    _, then = what_if(twin, choices, biomarkers, interventions, outcomes)
    sbp = next(change for key, change, *_ in then.biomarker_changes if key == "sbp")
    assert abs(sbp) < 2.0


def test_refused_patient(
    make_twin: MakeTwin,
    with_profile: Callable[..., Twin],
    biomarkers: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
) -> None:
    with pytest.raises(InvalidInput, match="deceased"):
        what_if(with_profile(make_twin(), deceased=True), (), biomarkers, interventions, outcomes)


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"intervention": "leeches"},
        {"intervention": "statin", "dose": "huge"},
        {"intervention": "statin", "delay_years": -1},
        {"intervention": "statin", "delay_years": "soon"},
        {"intervention": "statin", "adherence": 1.5},
        {"intervention": "statin", "colour": "red"},
        {"intervention": "statin", "from_dose": "tiny"},
    ],
)
def test_bad_choices_are_refused(table: dict[str, object], interventions: Interventions) -> None:
    with pytest.raises(InvalidInput):
        choice_of(table, interventions)


def test_choice_defaults_to_the_starter(interventions: Interventions) -> None:
    assert choice_of({"intervention": "statin"}, interventions) == Choice("statin", "moderate")


@pytest.mark.parametrize(
    "choices",
    [
        (Choice("arb"), Choice("ace-inhibitor")),
        (Choice("statin", "low"), Choice("statin", "high")),
    ],
)
def test_what_does_not_go_together(choices: tuple[Choice, ...], interventions: Interventions) -> None:
    with pytest.raises(InvalidInput):
        scenario_of(choices, interventions)


def test_sensitivity_finds_what_the_answer_hangs_on(
    make_twin: MakeTwin, biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    """The benefit of a statin hangs on LDL above all when LDL is the least certain; smoking is asked when unknown."""
    scenario = Scenario("s", "s", (Choice("statin", "high"),))
    twin = make_twin(sd=0.15)
    found = sensitivity(twin, scenario, biomarkers, interventions, outcomes, outcome="ascvd")
    swings = {s.input: s.swing for s in found}
    assert swings["ldl"] > swings["heart-rate"]
    assert swings["heart-rate"] == 0.0
    assert [s.swing for s in found] == sorted(swings.values(), reverse=True)
    ldl = next(s for s in found if s.input == "ldl")
    assert ldl.change_high < ldl.change_low < 0.0


def test_sensitivity_is_empty_without_absolute_risk(
    make_twin: MakeTwin, biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    scenario = Scenario("s", "s", (Choice("statin", "high"),))
    assert sensitivity(make_twin(groups=("ascvd",)), scenario, biomarkers, interventions, outcomes) == ()


def test_sensitivity_of_two_biomarkers_that_are_one(
    make_twin: MakeTwin, biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes
) -> None:
    """Fully correlated inputs: fixing one fixes the other; rounding leaves no negative variance."""
    twin = make_twin()
    sd = np.sqrt(np.diagonal(twin.covariance)).copy()
    whole = np.outer(sd, sd) * (1 + 1e-15)
    twin = replace(twin, covariance=whole)
    found = sensitivity(twin, Scenario("s", "s", (Choice("statin"),)), biomarkers, interventions, outcomes)
    assert len(found) == len(twin.biomarkers) and all(np.isfinite(s.swing) for s in found)


@pytest.mark.parametrize("outcome", ["cvd", "mi", "heart-failure", "kidney-failure", "death"])
def test_expected_change_is_that_of_the_whole_simulation(
    outcome: str,
    make_twin: MakeTwin,
    biomarkers: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
) -> None:
    for twin in (make_twin(), make_twin(groups=("ascvd",))):
        for choices in (
            (Choice("statin", "high"),),
            (Choice("statin"), Choice("ccb-dhp", delay_years=1.0)),
            (),
        ):
            scenario = Scenario("s", "s", choices, 5.0)
            (whole,) = simulate(twin, (scenario,), biomarkers, interventions, outcomes, draws=200)
            expected = next((c.difference for c in whole.changes if c.outcome == outcome), None)
            assert expected_change(twin, scenario, interventions, outcomes, outcome, 200) == expected
