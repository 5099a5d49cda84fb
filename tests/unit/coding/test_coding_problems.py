"""Conditions to groups: codes, text, negation, conflict, pregnancy (CD-1, CO-1, OB-12)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from coding_charts import AS_OF, SmallCoder, chart, coded, icd, problem, snomed, words

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.coding.words import says, without_year
from fhir_twin.model.codes import ICD9CM, Coding, Concept
from mappings import Source

MAPS = load_concept_maps(Source())


def coded_chart(*concepts, **more):
    problems = tuple(problem(c, n, **more) for n, c in enumerate(concepts, 1))
    return code_chart(chart(problems=problems), SmallCoder(), MAPS)


@pytest.mark.parametrize(
    ("code", "groups"),
    [
        ("E11.22", {"diabetes", "diabetes-type-2", "ckd"}),
        ("e1122", {"diabetes", "diabetes-type-2", "ckd"}),
        ("I50.22", {"heart-failure", "heart-failure-reduced-ef"}),
        ("N18.6", {"ckd", "ckd-stage-4-5", "dialysis"}),
        ("I25.2", {"myocardial-infarction", "coronary-disease", "ascvd"}),
        ("I21.A1", {"coronary-disease", "ascvd"}),
        ("C44.91", set()),
        ("C50.911", {"active-cancer", "breast-cancer"}),
        ("E66.3", set()),
        ("D57.3", set()),
        ("F17.211", set()),
        ("O24.410", {"pregnancy", "diabetes-gestational"}),
        ("O24.430", {"diabetes-gestational"}),
        ("O03.9", set()),
    ],
)
def test_icd10cm_code_to_groups(code, groups):
    assert coded_chart(icd(code)).problems[0].groups == groups


def test_snomed_code_gets_its_icd_code_and_groups():
    found = coded_chart(snomed("44054006", "Diabetes mellitus type 2 (disorder)")).problems[0]
    assert found.icd10cm == ("E11.9",)
    assert found.groups >= {"diabetes", "diabetes-type-2"}
    assert (found.confidence, found.from_text, found.holds) == (1.0, False, True)


def test_an_icd_code_given_beside_the_snomed_code_wins_over_the_map():
    concept = Concept((*snomed("44054006").codings, *icd("E11.22").codings))
    assert coded_chart(concept).problems[0].icd10cm == ("E11.22",)


def test_unmapped_snomed_code_is_read_as_text_and_flagged():
    chart_ = coded_chart(snomed("123", "Sugar diabetes (disorder)"))
    assert chart_.problems[0].from_text
    assert "diabetes-type-2" in chart_.problems[0].groups
    assert [i.code for i in chart_.issues] == ["code-invalid"]


def test_unmapped_snomed_code_of_a_group_needs_no_text():
    found = coded_chart(snomed("698592004")).problems[0]
    assert found.from_text  # not in any list: nothing is guessed
    assert coded_chart(snomed("426263006")).problems[0].groups == {"heart-failure"}


def test_icd9_is_flagged_and_never_mapped():
    chart_ = coded_chart(coded(ICD9CM, "250.00"))
    assert chart_.problems[0].groups == frozenset()
    assert any("ICD-9-CM" in i.diagnostics for i in chart_.issues)


@pytest.mark.parametrize(
    ("code", "groups"),
    [("E11.9", {"diabetes", "diabetes-type-2"}), ("N18.5", {"ckd", "ckd-stage-4-5"}), ("Q99", set())],
)
def test_other_editions_of_icd10_give_groups_but_no_icd10cm_code(code, groups):
    chart_ = coded_chart(coded("http://hl7.org/fhir/sid/icd-10", code))
    assert chart_.problems[0].groups == groups
    assert chart_.problems[0].icd10cm == ()
    assert chart_.issues


def test_several_problems_in_one_text():
    chart_ = coded_chart(words("sugar diabetes; wheeze disease; no chest pain"))
    assert [p.icd10cm for p in chart_.problems] == [("E11.9",), ("J45.909",), ("R07.9",)]
    assert [p.assertion for p in chart_.problems] == ["present", "present", "absent"]
    assert chart_.has("asthma")
    assert len(chart_.decisions) == 3


def test_what_is_denied_is_not_held():
    chart_ = coded_chart(words("denies diabetes"))
    assert not chart_.has("diabetes")
    assert not chart_.ever_had("diabetes")


def test_low_confidence_is_possible_only_and_said():
    chart_ = coded_chart(words("maybe gout"))
    assert chart_.problems[0].assertion == "possible"
    assert not chart_.has("gout")
    assert chart_.issues[0].severity == "information"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gout since 2010", "gout"),
        ("gout (2010)", "gout"),
        ("gout dx 2010", "gout"),
        ("stage 3", "stage 3"),
        ("2010", "2010"),
    ],
)
def test_the_year_is_no_part_of_the_name(text, name):
    assert without_year(text) == name


def test_a_name_of_the_map_is_no_guess_however_unsure_the_coder():
    chart_ = coded_chart(words("osteoporosis"))
    assert chart_.has("osteoporosis")
    assert chart_.problems[0].confidence == 0.95
    assert chart_.issues == ()


def test_abstention_keeps_the_problem_and_the_decision():
    chart_ = coded_chart(words("qwertz"))
    assert chart_.problems[0].groups == frozenset()
    assert chart_.decisions[0].decision.abstained
    assert chart_.issues[0].expression == "Condition/1"
    assert "qwertz" not in chart_.issues[0].diagnostics


def test_words_against_code_is_a_conflict_and_the_code_counts():
    chart_ = coded_chart(icd("J45.909", text="sugar diabetes"))
    assert chart_.has("asthma")
    assert not chart_.has("diabetes")
    assert [i.code for i in chart_.issues] == ["conflict"]


def test_words_that_deny_the_code_make_it_possible():
    chart_ = coded_chart(icd("E11.9", text="denies diabetes"))
    assert not chart_.has("diabetes")
    assert [i.code for i in chart_.issues] == ["conflict"]


def test_history_codes_are_over():
    found = coded_chart(icd("Z85.3"))
    assert not found.has("breast-cancer")
    assert found.ever_had("breast-cancer")
    assert coded_chart(icd("Z86.73")).has("ascvd")


@pytest.mark.parametrize(("days", "now"), [(30, True), (299, True), (400, False)])
def test_old_pregnancy_is_over(days, now):
    found = coded_chart(icd("Z33.1"), onset=AS_OF - timedelta(days=days))
    assert found.has("pregnancy") is now


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("Medullary thyroid carcinoma", True),
        ("no medullary thyroid cancer", False),
        ("FHx medullary thyroid", False),
    ],
)
def test_words_for_what_no_code_can_say(text, there):
    found = coded_chart(Concept((Coding("http://hl7.org/fhir/sid/icd-10-cm", "C73"),), text))
    assert found.has("medullary-thyroid-cancer") is there
    assert found.has("thyroid-cancer")


@pytest.mark.parametrize(
    ("text", "phrase", "there"),
    [
        ("history of angioedema with lisinopril", "angioedema", True),
        ("angioedema ruled out", "angioedema", False),
        ("r/o angioedema", "angioedema", False),
        ("mother had angioedema", "angioedema", False),
        ("no rash; angioedema 2014", "angioedema", True),
        ("no angioedema, later angioedema of the lips", "angioedema", True),
        ("pain in abdomen 2 days", "men 2", False),
        ("MEN 2", "men 2", True),
        ("pancreatitis?", "pancreatitis", False),
    ],
)
def test_words_are_taken_as_said(text, phrase, there):
    assert says(text, phrase) is there


def test_a_text_that_cannot_be_coded_still_warns_by_its_words():
    """Angioedema under an ACE inhibitor must not be missed because the sentence is long."""
    found = coded_chart(words("history of angioedema when on some blood pressure pill"))
    assert not found.has("angioedema")
    assert found.ever_had("angioedema")
    assert [p.confidence for p in found.problems] == [0.0, 0.9]


@pytest.mark.parametrize(
    ("text", "group", "now"),
    [
        ("s/p kidney transplant", "kidney-transplant", True),
        ("hx of gout", "gout", False),
        ("prior stroke", "ascvd", True),
    ],
)
def test_status_lasts_and_history_is_over(text, group, now):
    found = coded_chart(words(text))
    assert found.ever_had(group)
    assert found.has(group) is now


def test_history_of_a_disease_without_a_code_of_its_own_keeps_its_group():
    found = coded_chart(words("hx of pancreatitis"))
    assert found.problems[0].icd10cm == ("Z87.19",)
    assert found.ever_had("pancreatitis")
    assert not found.has("pancreatitis")


@pytest.mark.parametrize(
    ("text", "now"), [("gestational diabetes 2010", False), ("gestational diabetes 2025", True)]
)
def test_a_year_in_the_text_ends_a_pregnancy(text, now):
    assert coded_chart(words(text)).has("pregnancy") is now


def test_the_coder_is_asked_once_per_text():
    coder = SmallCoder()
    problems = tuple(problem(words("sugar diabetes"), n) for n in range(50))
    code_chart(chart(problems=problems), coder, MAPS)
    assert coder.asked == [("sugar diabetes", "problem")]


def test_empty_concept_is_an_issue_not_a_crash():
    chart_ = coded_chart(Concept())
    assert chart_.problems[0].groups == frozenset()
    assert chart_.issues[0].severity == "warning"


def test_a_large_chart_is_understood_once_per_concept():
    """1,500 resources with few distinct concepts: the work grows with the concepts, not with the resources."""
    coder = SmallCoder()
    concepts = [
        snomed("44054006", "Diabetes mellitus type 2"),
        icd("I10"),
        words("sugar diabetes"),
        words("qwertz"),
    ]
    problems = tuple(problem(concepts[n % 4], n) for n in range(1500))
    found = code_chart(chart(problems=problems), coder, MAPS)
    assert len(found.problems) == 1500
    assert len(coder.asked) == 2
    assert [p.problem.source for p in found.problems] == [p.source for p in problems]
    assert found == code_chart(chart(problems=problems), SmallCoder(), MAPS)
