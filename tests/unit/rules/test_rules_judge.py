"""judge with the real safety files: stops, cautions, questions; never a benefit of the doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_builders import allergy, chart, drug, point, problem, twin

from fhir_twin.model.coded import CodedChart, SocialFacts
from fhir_twin.model.rules import SafetyRules, Verdict
from fhir_twin.model.twin import Twin
from fhir_twin.rules import judge, load_safety
from mappings import Source

CLASSES = {
    "ace-inhibitor": ("ace-inhibitor", "ras-inhibitor", "bp-lowering"),
    "arb": ("arb", "ras-inhibitor", "bp-lowering"),
    "thiazide": ("thiazide", "bp-lowering"),
    "beta-blocker": ("beta-blocker", "bp-lowering"),
    "statin": ("statin", "lipid-lowering"),
    "metformin": ("glucose-lowering",),
    "sglt2-inhibitor": ("sglt2-inhibitor", "glucose-lowering"),
    "glp1-ra": ("glp1-ra", "glucose-lowering"),
    "finerenone": ("mra",),
    "weight-loss": (),
}
INGREDIENT = {
    "ace-inhibitor": "lisinopril", "arb": "losartan", "thiazide": "chlorthalidone", "beta-blocker": "metoprolol",
    "statin": "atorvastatin", "metformin": "metformin", "sglt2-inhibitor": "empagliflozin", "glp1-ra": "semaglutide",
    "finerenone": "finerenone",
}  # fmt: skip


@pytest.fixture(scope="module")
def safety() -> SafetyRules:
    return load_safety(Source())


def ask(safety: SafetyRules, key: str, coded: CodedChart | None = None, state: Twin | None = None) -> Verdict:
    ingredients = (INGREDIENT[key],) if key in INGREDIENT else ()
    return judge(coded or chart(), state or healthy(), key, ingredients, CLASSES[key], safety)


def healthy(**kw: object) -> Twin:
    known = (point("egfr", 80), point("potassium", 4.2), point("sodium", 140), point("heart-rate", 70))
    return twin(*known, state={"sbp": (150.0, 5.0)}, **kw)  # type: ignore[arg-type]


def stopped(verdict: Verdict) -> set[str]:
    return {hit.rule for hit in verdict.blocked}


@pytest.mark.parametrize("key", sorted(set(CLASSES)))
def test_nothing_speaks_against_any_option_in_a_well_known_man(safety: SafetyRules, key: str) -> None:
    assert ask(safety, key).allowed


@pytest.mark.parametrize(
    ("key", "egfr", "rule"),
    [("metformin", 29.9, "metformin-egfr-stop"), ("metformin", 30.0, "metformin-egfr-no-start"),
     ("metformin", 44.9, "metformin-egfr-no-start"), ("sglt2-inhibitor", 19.9, "sglt2-egfr"),
     ("finerenone", 24.9, "finerenone-egfr")],
)  # fmt: skip
def test_kidney_limits_are_exact(safety: SafetyRules, key: str, egfr: float, rule: str) -> None:
    below = twin(point("egfr", egfr), point("potassium", 4.2), state={"sbp": (150.0, 5.0)})
    assert rule in stopped(ask(safety, key, state=below))
    above = twin(
        point("egfr", {29.9: 30, 30.0: 45, 44.9: 45, 19.9: 20, 24.9: 25}[egfr]), point("potassium", 4.2)
    )
    assert rule not in stopped(ask(safety, key, state=above))


@pytest.mark.parametrize(
    ("key", "group"),
    [("ace-inhibitor", "angioedema"), ("ace-inhibitor", "renal-artery-stenosis"), ("ace-inhibitor", "hyperkalemia"),
     ("beta-blocker", "heart-block"), ("beta-blocker", "asthma"), ("thiazide", "hyponatremia"),
     ("statin", "liver-disease-active"), ("statin", "rhabdomyolysis"), ("sglt2-inhibitor", "ketoacidosis"),
     ("glp1-ra", "medullary-thyroid-cancer"), ("glp1-ra", "pancreatitis"), ("metformin", "alcohol-use-disorder"),
     ("weight-loss", "eating-disorder")],
)  # fmt: skip
def test_a_disease_stops_and_a_possible_one_asks(safety: SafetyRules, key: str, group: str) -> None:
    """A hard stop never reaches the plan; a merely possible disease is asked about, not ignored."""
    assert ask(safety, key, chart(problems=(problem(group),))).blocked
    maybe = ask(safety, key, chart(problems=(problem(group, certainty="possible"),)))
    assert not maybe.blocked
    assert f"confirm-{group}" in {q.key for q in maybe.questions}


@pytest.mark.parametrize(
    "key", ["ace-inhibitor", "arb", "statin", "sglt2-inhibitor", "glp1-ra", "finerenone", "thiazide"]
)
def test_pregnancy_stops_and_unknown_pregnancy_asks(safety: SafetyRules, key: str) -> None:
    woman = healthy(age=30.0, sex="female")
    assert ask(safety, key, chart(social=SocialFacts(pregnant=True)), woman).blocked
    asked = ask(safety, key, state=woman)
    assert not asked.blocked
    assert "pregnancy" in {q.key for q in asked.questions}
    assert ask(safety, key, chart(social=SocialFacts(pregnant=False)), woman).allowed


def test_missing_laboratory_values_are_asked_for_not_assumed(safety: SafetyRules) -> None:
    bare = twin(state={"sbp": (150.0, 5.0)})
    assert {q.key for q in ask(safety, "ace-inhibitor", state=bare).questions} == {"egfr", "potassium"}
    assert {q.key for q in ask(safety, "metformin", state=bare).questions} == {"egfr"}
    assert all(q.blocks == ("metformin",) for q in ask(safety, "metformin", state=bare).questions)
    old = twin(point("egfr", 90, days=800), point("potassium", 4.0, days=800), state={"sbp": (150.0, 5.0)})
    assert {q.key for q in ask(safety, "ace-inhibitor", state=old).questions} == {"egfr", "potassium"}


def test_allergy_and_cross_reaction(safety: SafetyRules) -> None:
    sick = chart(allergies=(allergy("lisinopril"),))
    assert ask(safety, "ace-inhibitor", sick).blocked
    members = replace(safety, members={"ace-inhibitor": frozenset({"lisinopril", "enalapril"})})
    other = chart(allergies=(allergy("enalapril"),))
    assert "allergy-ace-inhibitor" in stopped(ask(members, "ace-inhibitor", other))
    verdict = ask(members, "arb", other)
    assert not verdict.blocked
    assert "allergy-ace-inhibitor-arb" in {hit.rule for hit in verdict.cautions}


def test_an_allergy_to_a_gathering_class_forbids_only_the_drug(safety: SafetyRules) -> None:
    """A coder that lists all classes of lisinopril must not forbid every blood pressure drug."""
    coded = chart(
        allergies=(allergy("lisinopril", classes=("ace-inhibitor", "ras-inhibitor", "bp-lowering")),)
    )
    assert ask(safety, "ace-inhibitor", coded).blocked
    assert not ask(safety, "thiazide", coded).blocked


def test_no_known_allergy_and_resolved_allergy_forbid_nothing(safety: SafetyRules) -> None:
    for entry in (allergy("lisinopril", none_known=True), allergy("lisinopril", active=False)):
        assert ask(safety, "ace-inhibitor", chart(allergies=(entry,))).allowed


def test_interactions_and_duplicates(safety: SafetyRules) -> None:
    on_arb = chart(medications=(drug("losartan", "arb", "ras-inhibitor", "bp-lowering"),))
    assert "dual-ras-acei-arb:ace-inhibitor" in stopped(ask(safety, "ace-inhibitor", on_arb))
    on_lithium = chart(medications=(drug("lithium"),))
    assert ask(safety, "thiazide", on_lithium).blocked
    on_acei = chart(medications=(drug("enalapril", "ace-inhibitor", "ras-inhibitor"),))
    assert "duplicate-ace-inhibitor" in stopped(ask(safety, "ace-inhibitor", on_acei))
    raised = judge(
        on_acei,
        healthy(),
        "ace-inhibitor",
        ("enalapril",),
        ("ace-inhibitor",),
        safety,
        replaces=("ace-inhibitor",),
    )
    assert not raised.blocked


ALLERGENS = ["lisinopril", "losartan", "atorvastatin", "metformin", "empagliflozin"]
SAFETY = load_safety(Source())


@given(
    entries=st.lists(st.sampled_from(ALLERGENS), max_size=4),
    extra=st.sampled_from(ALLERGENS),
    key=st.sampled_from(["ace-inhibitor", "arb", "statin", "metformin", "sglt2-inhibitor"]),
)  # fmt: skip
def test_adding_an_allergy_never_frees_a_drug(entries: list[str], extra: str, key: str) -> None:
    safety = SAFETY
    before = ask(safety, key, chart(allergies=tuple(allergy(e) for e in entries)))
    after = ask(safety, key, chart(allergies=(*(allergy(e) for e in entries), allergy(extra))))
    assert stopped(before) <= stopped(after)


def test_reasons_name_the_facts_and_their_sources(safety: SafetyRules) -> None:
    state = twin(point("egfr", 24, days=30), point("potassium", 4.2))
    (hit,) = [h for h in ask(safety, "metformin", state=state).blocked if h.rule == "metformin-egfr-stop"]
    assert "eGFR 24 mL/min/1.73 m² on 2026-01-30" in hit.reason
    assert hit.sources == ("Observation/egfr-30",)
    assert "unverified" not in hit.citation


def test_unverified_stops_say_so(safety: SafetyRules) -> None:
    verdict = ask(safety, "beta-blocker", chart(problems=(problem("asthma"),)))
    rule = next(r for r in safety.rules if r.key == "beta-blocker-asthma")
    marked = "unverified source" in verdict.blocked[0].citation
    assert marked is not rule.verified
