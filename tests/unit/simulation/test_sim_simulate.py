"""simulate: trial effects arrive, equations' own coefficients do not; refusals; the same numbers every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fhir_twin.dynamics.equations.registry import calculate
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Calibration, Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario, Trajectory
from fhir_twin.model.twin import Twin
from fhir_twin.simulation import simulate

MakeTwin = Callable[..., Twin]
Run = Callable[..., tuple[Trajectory, ...]]


@pytest.fixture
def run(biomarkers: BiomarkerSet, interventions: Interventions, outcomes: Outcomes) -> Run:
    def go(twin: Twin, *choices: tuple[Choice, ...], outcomes: Outcomes = outcomes) -> tuple[Trajectory, ...]:
        scenarios = tuple(Scenario(f"s{i}", f"s{i}", c) for i, c in enumerate(choices))
        return simulate(twin, (CONTINUE, *scenarios), biomarkers, interventions, outcomes)

    return go


def _risk(trajectory: Trajectory, outcome: str) -> float:
    return next(r.probability for r in trajectory.risks if r.outcome == outcome)


def _change(trajectory: Trajectory, outcome: str) -> float:
    return next(c.difference for c in trajectory.changes if c.outcome == outcome)


def test_baseline_is_the_published_equation(make_twin: MakeTwin, run: Run) -> None:
    """With a nearly certain state the reported risk is PREVENT at that state (full model: UACR and HbA1c known)."""
    (now,) = run(make_twin(sd=1e-6))
    expected = calculate(
        "prevent_full_10y_ascvd",
        age=58.0,
        sex="male",
        total_cholesterol=225.0,
        hdl=45.0,
        sbp=152.0,
        bmi=29.0,
        egfr=80.0,
        diabetes=False,
        smoker=False,
        bp_treated=False,
        statin=False,
        uacr=10.0,
        hba1c=5.4,
    )
    assert _risk(now, "ascvd") == pytest.approx(float(expected), rel=1e-4)
    assert now.risks[0].equation == "PREVENT full 10 y"
    assert "Observation/sbp" in now.risks[0].basis


def test_richest_model_whose_inputs_are_measured(make_twin: MakeTwin, run: Run) -> None:
    (now,) = run(make_twin(unseen=("uacr", "hba1c")))
    assert now.risks[0].equation == "PREVENT base 10 y"
    (now,) = run(make_twin(unseen=("hba1c",)))
    assert now.risks[0].equation == "PREVENT uacr 10 y"


def test_statin_ratio_is_the_trials_not_the_equations(make_twin: MakeTwin, run: Run) -> None:
    """CTT: 0.78 per mmol/L on ASCVD. 43 % of 150 mg/dL is 1.668 mmol/L, ratio 0.661 on average over the trials' 4.8
    years; the first year counts half, so over ten years it is a bit better, never beyond a quarter per mmol/L."""
    _, statin = run(make_twin(sd=1e-6), (Choice("statin", "moderate"),))
    ratio = next(r.ratio for r in statin.relative if r.outcome == "ascvd")
    assert ratio == pytest.approx(0.78 ** (0.43 * 150 / 38.67), abs=0.004)
    late = -np.log1p(-_risk(statin, "ascvd")) / -np.log1p(-_risk(run(make_twin(sd=1e-6))[0], "ascvd"))
    assert 0.75 ** (0.43 * 150 / 38.67) < late < ratio


def test_treated_flag_never_changes_with_the_option(make_twin: MakeTwin, run: Run) -> None:
    """PREVENT's own "treated" term would raise the risk (evidence: ratio 1.10); the option must lower it."""
    now, treated = run(make_twin(), (Choice("ace-inhibitor"),))
    assert _risk(treated, "cvd") < _risk(now, "cvd")


def test_pressure_route_follows_the_change_of_pressure(make_twin: MakeTwin, run: Run) -> None:
    """BPLTTC 2021: 0.93 (mi) and 0.87 (stroke) per 5 mmHg, times the adherence factor of long-term trials."""
    _, option = run(make_twin(sd=1e-6), (Choice("ccb-dhp"),))
    fall = (8.8 + 0.10 * (152 - 154)) * 0.56
    for outcome, per_five in (("mi", 0.93), ("stroke", 0.87), ("heart-failure", 0.86)):
        ratio = next(r.ratio for r in option.relative if r.outcome == outcome)
        assert ratio == pytest.approx(per_five ** (fall / 5), abs=0.01)


def test_class_ratio_is_not_counted_again_by_pressure(make_twin: MakeTwin, run: Run) -> None:
    """An SGLT2 inhibitor lowers pressure too, but heart failure follows its own trials (0.77) alone."""
    twin = make_twin(sd=1e-6, groups=("diabetes", "diabetes-type-2", "heart-failure"), hba1c=7.5)
    _, option = run(twin, (Choice("sglt2-inhibitor"),))
    assert next(r.ratio for r in option.relative if r.outcome == "heart-failure") == pytest.approx(
        0.77, abs=0.003
    )
    assert {b for b, *_ in option.biomarker_changes} == {"hba1c", "bmi", "sbp"}


def test_two_lipid_drugs_multiply_on_the_biomarker(make_twin: MakeTwin, run: Run) -> None:
    _, both = run(make_twin(sd=1e-6), (Choice("statin", "high"), Choice("ezetimibe")))
    ldl = next(change for key, change, *_ in both.biomarker_changes if key == "ldl")
    assert ldl == pytest.approx(150 * (0.51 * 0.77 - 1), rel=0.02)
    assert ldl > 150 * (-0.49 - 0.23)


def test_raising_a_dose_counts_the_difference_only(make_twin: MakeTwin, run: Run) -> None:
    _, raised, new = run(
        make_twin(sd=1e-6), (Choice("statin", "high", from_dose="moderate"),), (Choice("statin", "high"),)
    )
    assert abs(_change(raised, "ascvd")) < 0.4 * abs(_change(new, "ascvd"))
    assert _change(raised, "ascvd") < 0


def test_stopping_is_the_mirror_of_starting(make_twin: MakeTwin, run: Run) -> None:
    _, stop = run(make_twin(), (Choice("ccb-dhp", stop=True),))
    assert _change(stop, "cvd") > 0
    assert next(c for k, c, *_ in stop.biomarker_changes if k == "sbp") > 0


def test_delay_and_adherence_weaken(make_twin: MakeTwin, run: Run) -> None:
    _, now, later, half = run(
        make_twin(),
        (Choice("statin", "moderate"),),
        (Choice("statin", "moderate", delay_years=3.0),),
        (Choice("statin", "moderate", adherence=0.5),),
    )
    assert _change(now, "cvd") < _change(later, "cvd") < 0
    assert _change(now, "cvd") < _change(half, "cvd") < 0


def test_composites_agree_with_their_parts(make_twin: MakeTwin, run: Run) -> None:
    """cvd hazard ratio lies between those of ascvd and heart failure; ascvd between mi and stroke."""
    now, option = run(make_twin(sd=1e-6), (Choice("ccb-dhp"),))
    ratio = {r.outcome: np.log1p(-r.probability) / np.log1p(-_risk(now, r.outcome)) for r in option.risks}
    assert min(ratio["mi"], ratio["stroke"]) < ratio["ascvd"] < max(ratio["mi"], ratio["stroke"])
    assert (
        min(ratio["ascvd"], ratio["heart-failure"])
        < ratio["cvd"]
        < max(ratio["ascvd"], ratio["heart-failure"])
    )


def test_known_disease_gives_relative_effects_only(make_twin: MakeTwin, run: Run) -> None:
    _, statin = run(make_twin(groups=("ascvd",)), (Choice("statin", "high"),))
    assert statin.risks == ()
    assert statin.changes == ()
    assert {r.outcome for r in statin.relative} >= {"ascvd", "mi", "stroke"}
    assert any("known cardiovascular disease" in i.diagnostics for i in statin.issues)
    assert statin.biomarker_changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"age": 85.0}, "age must be at most 79"),
        ({"age": None}, "age is not known"),
        ({"smoker": None}, "smoker is not known"),
        ({"bmi": 42.0}, "bmi must be below 40"),
        ({"unseen": ("egfr",)}, "egfr is not known"),
        ({"unseen": ("total-cholesterol",)}, "total_cholesterol is not known"),
    ],
)
def test_refusal_names_the_input_and_biomarkers_are_still_told(
    make_twin: MakeTwin, run: Run, changes: dict[str, object], words: str
) -> None:
    _, option = run(make_twin(**changes), (Choice("ccb-dhp"),))
    assert [r for r in option.risks if r.equation.startswith("PREVENT")] == []
    assert any(words in i.diagnostics for i in option.issues)
    assert option.biomarker_changes
    assert option.relative


def test_kidney_risk_needs_low_egfr_and_uacr(make_twin: MakeTwin, run: Run) -> None:
    (sick,) = run(make_twin(egfr=40.0, uacr=300.0))
    kidney = next(r for r in sick.risks if r.outcome == "kidney-failure")
    assert kidney.horizon_years == 5.0
    assert kidney.low < kidney.probability < kidney.high
    (well,) = run(make_twin(egfr=80.0))
    assert not [r for r in well.risks if r.outcome == "kidney-failure"]
    (unknown,) = run(make_twin(egfr=40.0, unseen=("uacr",)))
    assert any("uacr is not known" in i.diagnostics for i in unknown.issues)
    (dialysis,) = run(make_twin(egfr=15.0, uacr=300.0, groups=("dialysis",)))
    assert not [r for r in dialysis.risks if r.outcome == "kidney-failure"]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("active-cancer", "active cancer"),
        ("dialysis", "dialysis"),
        ("solid-organ-transplant", "a transplanted organ"),
    ],
)
def test_no_absolute_risk_where_another_condition_decides(
    make_twin: MakeTwin, run: Run, group: str, words: str
) -> None:
    """Evidence, section 7: refuse; biomarkers and relative effects are still told."""
    now, option = run(make_twin(groups=(group,)), (Choice("statin", "high"),))
    assert [r for r in now.risks if r.outcome in ("cvd", "death", "ascvd")] == []
    assert any(words in i.diagnostics for i in now.issues)
    assert option.biomarker_changes and option.relative


def test_ages_are_completed_years(make_twin: MakeTwin, run: Run) -> None:
    """79 and a half is 79, within PREVENT's 30 to 79; 80 is not; 29 and a half is not 30."""
    found = {}
    for age in (79.0, 79.5, 80.0, 29.5):
        (now,) = run(make_twin(age=age))
        found[age] = next((r.probability for r in now.risks if r.outcome == "cvd"), None)
    assert found[79.5] == found[79.0] and found[80.0] is None and found[29.5] is None


def test_kidney_failure_leaves_out_those_who_die_first(
    make_twin: MakeTwin, run: Run, outcomes: Outcomes
) -> None:
    """Below KFRE at 85, hardly at 45; and an option that lowers deaths does not raise kidney failure."""
    gap = {}
    for age in (45.0, 85.0):
        twin = make_twin(egfr=25.0, uacr=500.0, age=age, sd=1e-6)
        (now,) = run(twin)
        kidney = next(r for r in now.risks if r.outcome == "kidney-failure")
        plain = calculate(
            "kfre_4_5y", age=age, sex=twin.profile.sex, egfr=25.0, uacr=500.0, region=outcomes.region
        )
        gap[age] = kidney.probability / float(plain)
        assert "die first" in kidney.equation
    assert gap[85.0] < 0.85 < 0.97 < gap[45.0] < 1.0
    _, statin = run(make_twin(egfr=25.0, uacr=500.0, age=70.0), (Choice("statin", "high"),))
    assert next(c.difference for c in statin.changes if c.outcome == "kidney-failure") == 0.0
    assert next(c.difference for c in statin.changes if c.outcome == "death") < 0.0


def test_qaly_counts_years_lived(make_twin: MakeTwin, run: Run, outcomes: Outcomes) -> None:
    """A statin saves lives in trials: taking the death row out of the utilities lowers the gain."""
    _, with_death = run(make_twin(age=70.0), (Choice("statin", "high"),))
    without = replace(outcomes, utilities=tuple(u for u in outcomes.utilities if u[0] != "death"))
    _, less = run(make_twin(age=70.0), (Choice("statin", "high"),), outcomes=without)
    assert with_death.qaly is not None and less.qaly is not None
    assert with_death.qaly[0] > less.qaly[0] > 0.0


def test_no_issue_quotes_a_value_of_the_patient(make_twin: MakeTwin, run: Run) -> None:
    (now,) = run(make_twin(bmi=41.37, age=81.3, egfr=37.77, unseen=("uacr",)))
    text = " ".join(i.diagnostics for i in now.issues)
    assert "41.37" not in text and "81.3" not in text and "37.77" not in text


def test_site_recalibration_moves_the_risk(make_twin: MakeTwin, run: Run, outcomes: Outcomes) -> None:
    site = replace(outcomes, calibrations=(Calibration("prevent_full_10y_cvd", -0.5, 1.0),))
    (plain,) = run(make_twin(sd=1e-6))
    (moved,) = run(make_twin(sd=1e-6), outcomes=site)
    p, q = _risk(plain, "cvd"), _risk(moved, "cvd")
    assert np.log(q / (1 - q)) - np.log(p / (1 - p)) == pytest.approx(-0.5, abs=1e-4)
    assert _risk(moved, "ascvd") == _risk(plain, "ascvd")


def test_bit_identical(make_twin: MakeTwin, run: Run) -> None:
    choices = ((Choice("statin", "high"),), (Choice("ccb-dhp"), Choice("ace-inhibitor")))
    first, second = run(make_twin(), *choices), run(make_twin(), *choices)
    for a, b in zip(first, second, strict=True):
        assert a.risks == b.risks and a.changes == b.changes and a.relative == b.relative
        np.testing.assert_array_equal(a.median, b.median)


def test_common_random_numbers(make_twin: MakeTwin, run: Run) -> None:
    """Adding a scenario changes no number of another."""
    alone = run(make_twin(), (Choice("statin", "high"),))
    beside = run(make_twin(), (Choice("statin", "high"),), (Choice("glp1-ra"),))
    assert alone[1].changes == beside[1].changes


def test_trajectory_shapes_and_intervals(make_twin: MakeTwin, run: Run, biomarkers: BiomarkerSet) -> None:
    now, option = run(make_twin(), (Choice("statin", "moderate"),))
    assert now.median.shape == (len(now.times), len(biomarkers.keys)) == now.low.shape
    assert (now.low <= now.median).all() and (now.median <= now.high).all()
    assert now.times[0] == 0.0 and now.times[-1] == 10.0
    i = option.biomarkers.index("ldl")
    assert option.median[0, i] == pytest.approx(now.median[0, i])
    assert option.median[-1, i] == pytest.approx(0.57 * now.median[-1, i], rel=0.03)
    assert not option.median.flags.writeable


def test_weight_needs_a_height(make_twin: MakeTwin, run: Run) -> None:
    _, with_height = run(make_twin(), (Choice("weight-loss"),))
    bmi = next(c for k, c, *_ in with_height.biomarker_changes if k == "bmi")
    assert bmi == pytest.approx(-5.1 / 1.75**2 * (1 - np.exp(-2)), rel=0.05)
    _, without = run(make_twin(unseen=("height",)), (Choice("weight-loss"),))
    assert "bmi" not in {k for k, *_ in without.biomarker_changes}
    assert any("height is not known" in i.diagnostics for i in without.issues)


def test_unknown_intervention_is_a_key_error(make_twin: MakeTwin, run: Run) -> None:
    with pytest.raises(KeyError, match="leeches"):
        run(make_twin(), (Choice("leeches"),))
