"""propose_scenarios: indication, already taken, safety first, questions instead of guesses."""

from __future__ import annotations

from collections.abc import Callable

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.intervention import Interventions
from fhir_twin.model.rules import SafetyRules
from fhir_twin.model.scenario import Proposals
from fhir_twin.model.twin import Twin
from fhir_twin.simulation import propose_scenarios

MakeTwin = Callable[..., Twin]
MakeCoded = Callable[..., CodedChart]
STATIN = ("statin", "lipid-lowering")


def _keys(proposals: Proposals) -> set[str]:
    return {s.key for s in proposals.scenarios}


def test_continue_as_now_comes_first_and_keys_are_unique(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(groups=("hypertension",))
    found = propose_scenarios(make_coded(twin), twin, interventions, safety)
    keys = [s.key for s in found.scenarios]
    assert keys[0] == "continue"
    assert len(set(keys)) == len(keys)
    assert {"start-ace-inhibitor", "start-ccb-dhp", "start-statin-moderate", "start-statin-high"} <= set(keys)
    assert "combine-ace-inhibitor-ccb-dhp" in keys


def test_not_indicated_is_rejected_with_its_reason(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(sbp=112.0, dbp=70.0)
    found = propose_scenarios(make_coded(twin), twin, interventions, safety)
    kinds = {r.scenario.choices[0].intervention: r.kind for r in found.rejected}
    assert kinds["ace-inhibitor"] == kinds["metformin"] == kinds["smoking-cessation"] == "not-indicated"
    assert not _keys(found) & {"start-ace-inhibitor", "start-metformin", "start-smoking-cessation"}


def test_low_statin_is_raised_high_statin_is_already_taken(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(statin=True, classes=frozenset(STATIN))
    low = propose_scenarios(make_coded(twin, (("simvastatin", STATIN, 10.0),)), twin, interventions, safety)
    raised = next(s for s in low.scenarios if s.key == "intensify-statin-moderate")
    assert raised.choices[0].from_dose == "low"
    assert "start-statin-high" not in _keys(low)
    high = propose_scenarios(make_coded(twin, (("atorvastatin", STATIN, 80.0),)), twin, interventions, safety)
    assert [r.kind for r in high.rejected if r.scenario.key.startswith("start-statin")] == ["already-taken"]
    unknown = propose_scenarios(
        make_coded(twin, (("atorvastatin", STATIN, None),)), twin, interventions, safety
    )
    statin = [r for r in unknown.rejected if r.scenario.key.startswith("start-statin")]
    assert "cannot be told" in statin[0].reason
    assert statin[0].sources == ("MedicationRequest/atorvastatin",)


def test_pregnancy_keeps_ras_inhibitors_and_statins_out(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(sex="female", age=34.0, pregnant=True, groups=("pregnancy", "hypertension"))
    found = propose_scenarios(make_coded(twin), twin, interventions, safety)
    assert not {k for k in _keys(found) if "ace-inhibitor" in k or "-arb" in k}
    blocked = {r.scenario.choices[0].intervention for r in found.rejected if r.kind == "contraindicated"}
    assert {"ace-inhibitor", "arb"} <= blocked


def test_unknown_fact_asks_and_waits(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(groups=("hypertension",), unseen=("potassium", "egfr"))
    found = propose_scenarios(make_coded(twin), twin, interventions, safety)
    asked = {q.key: q for q in found.questions}
    assert "ace-inhibitor" in asked["potassium"].blocks
    assert not any("ace-inhibitor" in k for k in _keys(found))


def test_missing_equation_inputs_are_asked_for_without_blocking(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(unseen=("hdl",), smoker=None, smoking="unknown")
    asked = {q.key: q for q in propose_scenarios(make_coded(twin), twin, interventions, safety).questions}
    assert asked["hdl"].loinc == "2085-9"
    assert asked["hdl"].blocks == ()
    assert "smoking" in asked


def test_low_egfr_without_uacr_asks_for_uacr(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(egfr=45.0, unseen=("uacr",))
    asked = {q.key: q for q in propose_scenarios(make_coded(twin), twin, interventions, safety).questions}
    assert asked["uacr"].loinc == "9318-7"
    twin = make_twin(egfr=80.0, unseen=("uacr",))
    asked = {q.key: q for q in propose_scenarios(make_coded(twin), twin, interventions, safety).questions}
    assert "uacr" not in asked


def test_further_options_wait_for_their_place(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    """A fourth blood-pressure drug, a PCSK9 inhibitor and a DPP-4 inhibitor come after those before them."""
    later = {"start-spironolactone", "start-pcsk9-inhibitor", "start-dpp4-inhibitor"}
    groups = ("hypertension", "ascvd", "diabetes", "diabetes-type-2")
    first = make_twin(groups=groups, hba1c=7.8)
    assert not _keys(propose_scenarios(make_coded(first), first, interventions, safety)) & later
    drugs = (
        ("lisinopril", ("ace-inhibitor", "ras-inhibitor", "bp-lowering"), 20.0),
        ("amlodipine", ("ccb-dhp", "bp-lowering"), 10.0),
        ("hydrochlorothiazide", ("thiazide", "bp-lowering"), 25.0),
        ("atorvastatin", STATIN, 80.0),
        ("ezetimibe", ("lipid-lowering",), 10.0),
        ("metformin", ("metformin", "glucose-lowering"), 2000.0),
    )
    classes = frozenset(c for name, given, _ in drugs for c in (name, *given))
    twin = make_twin(groups=groups, classes=classes, treated_bp=True, statin=True, hba1c=7.8)
    found = propose_scenarios(make_coded(twin, drugs), twin, interventions, safety)
    assert later <= _keys(found)
    assert "start-salt-substitute" not in _keys(found)  # potassium with an ACE inhibitor


def test_refused_twin_gets_nothing(
    make_twin: MakeTwin,
    make_coded: MakeCoded,
    with_profile: Callable[..., Twin],
    interventions: Interventions,
    safety: SafetyRules,
) -> None:
    twin = with_profile(make_twin(), deceased=True)
    assert propose_scenarios(make_coded(twin), twin, interventions, safety) == Proposals(())


def test_same_input_same_answer(
    make_twin: MakeTwin, make_coded: MakeCoded, interventions: Interventions, safety: SafetyRules
) -> None:
    twin = make_twin(groups=("diabetes", "diabetes-type-2", "hypertension", "ckd"), hba1c=8.1, egfr=50.0)
    first = propose_scenarios(make_coded(twin), twin, interventions, safety)
    second = propose_scenarios(make_coded(twin), twin, interventions, safety)
    assert [s.key for s in first.scenarios] == [s.key for s in second.scenarios]
    assert first.scenarios == second.scenarios
