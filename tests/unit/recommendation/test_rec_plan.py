"""recommend with hand-made charts, twins and trajectories: refusals, stops, ranks, goals, questions."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from plan_builders import NOW, allergy, baseline, chart, choice_run, drug, point, problem, twin

from fhir_twin.model.chart import Chart, Consent, ConsentRule, GoalTarget, PatientGoal, PatientRecord
from fhir_twin.model.coded import CodedChart, SocialFacts
from fhir_twin.model.codes import LOINC, Coding, Concept
from fhir_twin.model.guidelines import Guidelines
from fhir_twin.model.intervention import Evidence, Intervention, Interventions
from fhir_twin.model.plan import Plan
from fhir_twin.model.rules import SafetyRules
from fhir_twin.model.scenario import Proposals, Question, Trajectory
from fhir_twin.model.twin import Twin
from fhir_twin.recommendation import load_guidelines, recommend
from fhir_twin.rules import load_safety, parse
from mappings import Source

PROOF = Evidence("trial-1", "it works", "0.8", True, text="A trial 2020", doi="10.1/x")


def item(key: str, *classes: str, family: str = "", **kw: Any) -> Intervention:
    known: dict[str, Any] = {
        "evidence": (PROOF,),
        "strength": "strong",
        "indication": parse({"has": "hypertension"}, key),
        "addresses": ("hypertension",),
    }
    codes = (Coding("http://www.nlm.nih.gov/research/umls/rxnorm", f"1{len(key)}"),)
    return Intervention(key, f"Start {key}", "medication", codes, classes, (key,), family, **{**known, **kw})


LIBRARY = Interventions((item("alpha"), item("beta"), item("gamma", family="g"), item("delta", family="g")))


@pytest.fixture(scope="module")
def safety() -> SafetyRules:
    return load_safety(Source())


@pytest.fixture(scope="module")
def guidelines() -> Guidelines:
    return load_guidelines(Source())


def ill(**kw: Any) -> CodedChart:
    return chart(problems=(problem("hypertension", source="Condition/ht"),), **kw)


def known_twin(**kw: Any) -> Twin:
    labs = (point("egfr", 80), point("potassium", 4.2))
    return twin(*labs, state={"sbp": (150.0, 5.0), "ldl": (130.0, 8.0)}, **kw)


def plan(
    safety: SafetyRules, guidelines: Guidelines, *runs: Trajectory, coded: CodedChart | None = None,
    state: Twin | None = None, proposals: Proposals | None = None, library: Interventions = LIBRARY,
    risk: float = 0.15,
) -> Plan:  # fmt: skip
    trajectories = (baseline(risk), *runs) if runs else ()
    offered = proposals or Proposals(tuple(t.scenario for t in trajectories))
    return recommend(
        coded or ill(),
        state or known_twin(),
        offered,
        trajectories,
        library,
        guidelines,
        safety,
        version="v1",
    )


def record(**kw: Any) -> CodedChart:
    return CodedChart(Chart(PatientRecord("Patient/1", "1", **kw), NOW), problems=ill().problems)


@pytest.mark.parametrize(
    ("coded", "state", "word"),
    [
        (record(deceased=True), known_twin(), "died"),
        (record(replaced_by="Patient/2"), known_twin(), "merged"),
        (record(), known_twin(age=17.9), "younger than 18"),
        (record(), known_twin(age=None), "birth date"),
    ],
)
def test_refusals_say_why_and_propose_nothing(
    safety: SafetyRules, guidelines: Guidelines, coded: CodedChart, state: Twin, word: str
) -> None:
    """Bad input: minors, deceased, no birth date, nothing in the record: a clear reason, no proposal."""
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=coded, state=state)
    assert word in made.refused
    assert not (made.recommendations or made.goals or made.findings or made.risks)


def consented(permit: bool, **kw: Any) -> CodedChart:
    rule = ConsentRule(permit, **kw)
    return ill(consents=(Consent("Consent/1", "active", "patient-privacy", NOW, rule),))


@pytest.mark.parametrize(
    ("coded", "refused"),
    [
        (consented(True), False),
        (consented(False), True),
        (consented(False, purposes=("HRESCH",)), True),  # a root rule is the base rule
        (consented(False, end=NOW - timedelta(days=1)), False),
        (consented(False, start=NOW + timedelta(days=1)), False),
        (consented(True, exceptions=(ConsentRule(False, purposes=("TREAT",)),)), True),
        (consented(True, exceptions=(ConsentRule(False, purposes=("HRESCH",)),)), False),
        (consented(False, exceptions=(ConsentRule(True, purposes=("TREAT",)),)), False),
        (consented(True, exceptions=(ConsentRule(False, security_labels=("PSY",)),)), True),
        (
            ill(consents=(Consent("Consent/1", "inactive", "patient-privacy", NOW, ConsentRule(False)),)),
            False,
        ),
        (ill(consents=(Consent("Consent/1", "active", "research", NOW, ConsentRule(False)),)), False),
        (ill(consents=(Consent("Consent/1", "active", "treatment", NOW, None, "OPTOUT"),)), True),
        (ill(consents=(Consent("Consent/1", "active", "treatment", NOW, None, unreadable="x"),)), True),
    ],
)
def test_consent_is_checked_first(
    safety: SafetyRules, guidelines: Guidelines, coded: CodedChart, refused: bool
) -> None:
    """CN-1, CN-3, CN-4."""
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=coded)
    assert ("consent" in made.refused) is refused
    assert bool(made.recommendations) is not refused


def test_pregnant_on_lisinopril_stops_it_first(safety: SafetyRules, guidelines: Guidelines) -> None:
    coded = chart(
        problems=(problem("hypertension"), problem("pregnancy", source="Condition/preg")),
        medications=(drug("lisinopril", "ace-inhibitor", "ras-inhibitor", "bp-lowering"),),
    )
    made = plan(
        safety, guidelines, choice_run("alpha", -0.05), coded=coded, state=known_twin(age=30.0, sex="female")
    )
    first = made.recommendations[0]
    assert (first.rank, first.kind, first.stop) == (1, "stop", True)
    assert "unborn child" in first.why[0].text
    assert "MedicationRequest/lisinopril" in first.sources
    assert all(r.stop or r.kind == "test" for r in made.recommendations), "in pregnancy only safety"
    assert ("PREG", "high") in {(f.code, f.severity) for f in made.findings}
    assert not made.risks
    assert "pregnancy" in made.limits[0].lower()


def test_ranks_follow_events_and_ties_share_a_rank(safety: SafetyRules, guidelines: Guidelines) -> None:
    made = plan(
        safety,
        guidelines,
        choice_run("alpha", -0.020),
        choice_run("beta", -0.0201),
        choice_run("gamma", -0.05),
    )
    order = [(r.rank, r.key) for r in made.recommendations if r.kind == "medication"]
    assert order == [(1, "gamma"), (2, "beta"), (2, "alpha")]
    assert made.recommendations[0].number_needed_to_treat == 20


def test_one_option_per_family_the_other_named_as_alternative(
    safety: SafetyRules, guidelines: Guidelines
) -> None:
    made = plan(safety, guidelines, choice_run("gamma", -0.05), choice_run("delta", -0.03))
    (only,) = [r for r in made.recommendations if r.kind == "medication"]
    assert only.key == "gamma"
    assert only.alternatives == (
        "Start delta: avoids about 30 events per 1,000 people in 10 years against 50.",
    )


@pytest.mark.parametrize(("change", "better"), [(-0.0005, 0.99), (-0.02, 0.6), (0.02, 0.01)])
def test_small_doubtful_or_harmful_options_are_rejected_with_a_reason(
    safety: SafetyRules, guidelines: Guidelines, change: float, better: float
) -> None:
    made = plan(safety, guidelines, choice_run("alpha", change, better=better))
    assert not [r for r in made.recommendations if r.kind == "medication"]
    (rejection,) = made.rejected
    assert rejection.kind == "not-indicated"
    assert "1,000 people" in rejection.reason


def test_target_attainment_counts_where_no_equation_applies(
    safety: SafetyRules, guidelines: Guidelines
) -> None:
    run = choice_run("alpha", 0.0, biomarkers=(("sbp", -10.0, -14.0, -6.0),))
    made = plan(safety, guidelines, replace(run, changes=()))
    (only,) = [r for r in made.recommendations if r.kind == "medication"]
    assert "blood-pressure" in only.goals
    assert only.number_needed_to_treat is None


def test_unverified_benefit_never_reaches_advice(safety: SafetyRules, guidelines: Guidelines) -> None:
    unread = Interventions((item("alpha", evidence=(replace(PROOF, verified=False),)),))
    made = plan(safety, guidelines, choice_run("alpha", -0.05), library=unread)
    assert not [r for r in made.recommendations if r.kind == "medication"]
    assert "verified" in made.rejected[0].reason


def test_explanation_names_facts_sources_and_turning_points(
    safety: SafetyRules, guidelines: Guidelines
) -> None:
    """FD-1: inputs with sources, logic in words, what would change it."""
    library = Interventions(
        (
            item(
                "alpha",
                indication=parse([{"has": "hypertension"}, {"estimate": "sbp", "at_least": 130}], "x"),
            ),
        )
    )
    made = plan(safety, guidelines, choice_run("alpha", -0.05), library=library)
    (only,) = [r for r in made.recommendations if r.kind == "medication"]
    words = " ".join(reason.text for reason in only.why)
    assert "Estimated systolic blood pressure 150 mmHg (80 % interval 144 to 156)" in words
    assert "15 %" in words
    assert "Condition/ht" in only.sources
    assert only.addresses == ("Condition/ht",)
    assert any("below 130 mmHg" in text for text in only.what_would_change)
    assert [c.doi for c in only.citations] == ["10.1/x"]
    assert "Of 100 people like you, about 15 have" in only.patient_text


def goal(code: str, value: str, unit: str = "mm[Hg]", status: str = "active") -> PatientGoal:
    target = GoalTarget(Concept((Coding(LOINC, code),)), high=Decimal(value), unit=unit)
    return PatientGoal("Goal/7", Concept(text="mine"), status, targets=(target,))


def test_an_existing_goal_is_kept_with_its_own_limit(safety: SafetyRules, guidelines: Guidelines) -> None:
    """GO-10: existing Goals are respected."""
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=ill(goals=(goal("8480-6", "145"),)))
    (pressure,) = [g for g in made.goals if g.key == "blood-pressure"]
    assert pressure.existing == "Goal/7"
    assert pressure.components[0][2] == Decimal("145")
    for other in (
        goal("8480-6", "145", status="cancelled"),
        goal("8480-6", "19", unit="kPa"),
        goal("2823-3", "5"),
    ):
        made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=ill(goals=(other,)))
        (pressure,) = [g for g in made.goals if g.key == "blood-pressure"]
        assert (pressure.existing, pressure.components[0][2]) == ("", Decimal("130"))


def test_goals_are_individual_and_only_when_indicated(safety: SafetyRules, guidelines: Guidelines) -> None:
    frail = chart(problems=(problem("hypertension"), problem("frailty", source="Condition/2")))
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=frail)
    (pressure,) = [g for g in made.goals if g.key == "blood-pressure"]
    assert [str(c[2]) for c in pressure.components] == ["140", "90"]
    assert "frailty" in pressure.description
    healthy = twin(state={"sbp": (118.0, 4.0)})
    made = plan(
        safety,
        guidelines,
        choice_run("alpha", -0.05),
        coded=chart(problems=(problem("gout"),)),
        state=healthy,
        risk=0.02,
    )
    assert made.goals == ()
    smoker = chart(problems=(problem("gout"),), social=SocialFacts(smoking="current"))
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=smoker, state=healthy, risk=0.02)
    assert [g.key for g in made.goals] == ["smoking"]


def test_questions_are_merged_and_become_tests(safety: SafetyRules, guidelines: Guidelines) -> None:
    ask = Question("potassium", "Measure potassium", "No potassium.", "2823-3", ("alpha",))
    more = replace(ask, blocks=("beta",))
    proposals = Proposals((), questions=(ask, more))
    made = plan(safety, guidelines, choice_run("gamma", -0.05), proposals=proposals)
    (question,) = made.questions
    assert question.blocks == ("alpha", "beta")
    (test,) = [r for r in made.recommendations if r.kind == "test"]
    assert (test.key, test.code.codings[0].code) == ("test-potassium", "2823-3")
    assert "Start alpha; Start beta" in test.why[1].text


def test_medication_review_finds_pairs_once_and_says_what_to_do(
    safety: SafetyRules, guidelines: Guidelines
) -> None:
    coded = chart(
        problems=(problem("hypertension"),),
        medications=(
            drug("lisinopril", "ace-inhibitor", "ras-inhibitor", "bp-lowering"),
            drug(
                "lisinopril", "ace-inhibitor", "ras-inhibitor", "bp-lowering", source="MedicationStatement/2"
            ),
            drug("losartan", "arb", "ras-inhibitor", "bp-lowering"),
        ),
    )
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=coded)
    pairs = [f for f in made.findings if f.key == "drug-dual-ras-acei-arb"]
    assert len(pairs) == 1, "one finding for both directions"
    assert pairs[0].text.startswith("Lisinopril and losartan")
    assert pairs[0].check == "Keep one of the two."
    assert not [f for f in made.findings if f.key == "drug-duplicate-ace-inhibitor"], (
        "one drug listed twice is one drug"
    )


def test_allergy_to_a_drug_that_is_taken_is_a_finding(safety: SafetyRules, guidelines: Guidelines) -> None:
    coded = ill(medications=(drug("lisinopril", "ace-inhibitor"),), allergies=(allergy("lisinopril"),))
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=coded)
    assert ("ALGY", "high") in {(f.code, f.severity) for f in made.findings}


def test_unreadable_entries_are_named(safety: SafetyRules, guidelines: Guidelines) -> None:
    strange = drug("mystery")
    coded = ill(medications=(replace(strange, ingredients=()),), allergies=(allergy(label="blue pill"),))
    made = plan(safety, guidelines, choice_run("alpha", -0.05), coded=coded)
    texts = " ".join(f.text for f in made.findings)
    assert "mystery" in texts
    assert "blue pill" in texts


def test_order_of_the_record_changes_nothing(safety: SafetyRules, guidelines: Guidelines) -> None:
    problems = [
        problem(g, source=f"Condition/{g}")
        for g in ("hypertension", "gout", "diabetes", "asthma", "angioedema")
    ]
    drugs = [
        drug("lisinopril", "ace-inhibitor", "ras-inhibitor", "bp-lowering"),
        drug("lithium"),
        drug("ibuprofen", "nsaid"),
        drug("metoprolol", "beta-blocker", "bp-lowering"),
        drug("atorvastatin", "statin"),
        drug("clarithromycin", "cyp3a4-inhibitor-strong", "macrolide"),
    ]
    runs = (choice_run("alpha", -0.02), choice_run("gamma", -0.05))
    first = plan(safety, guidelines, *runs, coded=chart(problems=tuple(problems), medications=tuple(drugs)))
    shuffle = random.Random(3)
    for _ in range(5):
        shuffle.shuffle(problems)
        shuffle.shuffle(drugs)
        again = plan(
            safety, guidelines, *runs, coded=chart(problems=tuple(problems), medications=tuple(drugs))
        )
        assert again == first
