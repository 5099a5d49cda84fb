"""Smoking, alcohol, pregnancy, breast-feeding; family history (SM-1, SM-2, SM-3, PG-1, FM-1)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from coding_charts import AS_OF, SmallCoder, chart, coded, icd, loinc, measured, problem, snomed, words

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.model.chart import FamilyCondition, FamilyMember
from fhir_twin.model.codes import LOINC
from mappings import Source

MAPS = load_concept_maps(Source())
STATUS, PREGNANCY = loinc("72166-2"), loinc("82810-3")


def social(*measurements, problems=()):
    found = code_chart(chart(measurements=measurements, problems=problems), SmallCoder(), MAPS)
    return found.social, found.issues


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (snomed("449868002"), "current"),
        (snomed("428041000124106"), "current"),
        (snomed("77176002"), "current"),
        (snomed("8517006"), "former"),
        (snomed("266919005"), "never"),
        (snomed("266927001"), "unknown"),
        (coded(LOINC, "LA18976-3"), "current"),
        (coded(LOINC, "LA15920-4"), "former"),
        (coded(LOINC, "LA18978-9"), "never"),
        (coded(LOINC, "LA18980-5"), "unknown"),
        (words("Former smoker"), "former"),
        (words("Never smoked tobacco (finding)"), "never"),
    ],
)
def test_smoking_answers(answer, meaning):
    """SM-2: unknown is not never."""
    assert social(measured(STATUS, coded=answer))[0].smoking == meaning


def test_newest_answer_wins_and_unknown_does_not_overwrite():
    old = measured(STATUS, 1, coded=snomed("449868002"), time=AS_OF - timedelta(days=900))
    new = measured(STATUS, 2, coded=snomed("8517006"), time=AS_OF - timedelta(days=100))
    last = measured(STATUS, 3, coded=snomed("266927001"), time=AS_OF)
    found, _ = social(new, old, last)
    assert (found.smoking, found.smoking_source, found.smoking_time) == ("former", "Observation/2", new.time)


def test_two_answers_of_one_time_are_a_conflict_and_the_worse_counts():
    found, issues = social(
        measured(STATUS, 1, coded=snomed("266919005")), measured(STATUS, 2, coded=snomed("449868002"))
    )
    assert found.smoking == "current"
    assert [i.code for i in issues] == ["conflict"]


def test_an_answer_nobody_understands_is_said():
    found, issues = social(measured(STATUS, coded=words("see scanned sheet")))
    assert found.smoking == "unknown"
    assert [i.code for i in issues] == ["code-invalid"]


def test_entered_in_error_does_not_count():
    assert (
        social(measured(STATUS, coded=snomed("449868002"), status="entered-in-error"))[0].smoking == "unknown"
    )


@pytest.mark.parametrize(
    ("code", "meaning"), [("F17.210", "current"), ("Z87.891", "former"), ("F17.211", "unknown")]
)
def test_smoking_from_the_problem_list(code, meaning):
    assert social(problems=(problem(icd(code)),))[0].smoking == meaning


def test_numbers():
    found, _ = social(
        measured(loinc("8664-5"), 1, value=Decimal("20")),
        measured(loinc("64218-1"), 2, value=Decimal("10")),
        measured(loinc("74013-4"), 3, value=Decimal("2")),
    )
    assert (found.pack_years, found.cigarettes_per_day, found.alcohol_per_week) == (20.0, 10.0, 14.0)


def test_impossible_numbers_are_left_out():
    assert social(measured(loinc("8664-5"), value=Decimal("9999")))[0].pack_years is None


@pytest.mark.parametrize(
    ("answer", "pregnant"),
    [
        (coded(LOINC, "LA15173-0"), True),
        (snomed("77386006"), True),
        (snomed("60001007"), False),
        (words("Not pregnant"), False),
        (words("unknown"), None),
    ],
)
def test_pregnancy_status(answer, pregnant):
    assert social(measured(PREGNANCY, coded=answer))[0].pregnant is pregnant


def test_old_pregnancy_status_says_nothing():
    old = measured(PREGNANCY, coded=snomed("77386006"), time=AS_OF - timedelta(days=301))
    assert social(old)[0].pregnant is None


def test_pregnancy_and_lactation_from_the_problem_list():
    found, _ = social(problems=(problem(icd("Z34.90"), onset=AS_OF - timedelta(days=60)),))
    assert (found.pregnant, found.pregnant_source) == (True, "Condition/1")
    assert social(problems=(problem(snomed("866041003")),))[0].lactating is True
    assert social()[0].lactating is None


def test_family_history_is_of_the_relative_only():
    """FM-1"""
    father = FamilyMember(
        "FamilyMemberHistory/1", "FTH", 1, "male",
        (FamilyCondition(snomed("22298006"), 49.0), FamilyCondition(words("denies diabetes"))),
    )  # fmt: skip
    found = code_chart(chart(family=(father,)), SmallCoder(), MAPS)
    assert [(f.groups >= {"myocardial-infarction", "ascvd"}, f.onset_age) for f in found.family] == [
        (True, 49.0)
    ]
    assert not found.ever_had("myocardial-infarction")


@pytest.mark.parametrize(
    "concept",
    [
        words("Family history of sugar diabetes"),
        words("FHx: sugar diabetes"),
        snomed("160303001", "Family history of sugar diabetes (situation)"),
        icd("Z83.3", "Family history of sugar diabetes"),
    ],
)
def test_a_relatives_disease_told_as_family_history(concept):
    mother = FamilyMember("FamilyMemberHistory/1", "MTH", 1, "female", (FamilyCondition(concept),))
    found = code_chart(chart(family=(mother,)), SmallCoder(), MAPS)
    assert ["diabetes" in f.groups for f in found.family] == [True]


@pytest.mark.parametrize("code", ["Z80.3", "Z82.49", "Z83.3"])
def test_family_history_on_the_problem_list_is_no_problem_of_the_patient(code):
    """CO-1: family history coded as Z80 to Z84."""
    found = code_chart(chart(problems=(problem(icd(code)),)), SmallCoder(), MAPS)
    assert found.problems[0].groups == frozenset()


@pytest.mark.parametrize(("said", "meaning"), [(True, "current"), (False, "never")])
def test_smoking_as_yes_or_no(said, meaning):
    assert social(measured(STATUS, boolean=said))[0].smoking == meaning


def test_asked_but_unknown_says_nothing():
    assert social(measured(STATUS, absent_reason="asked-unknown"))[0].smoking == "unknown"
    assert social(measured(PREGNANCY, absent_reason="asked-declined"))[0].pregnant is None


def test_a_pregnancy_answer_nobody_understands_is_said():
    found, issues = social(measured(PREGNANCY, coded=words("see sheet")))
    assert found.pregnant is None
    assert [i.code for i in issues] == ["code-invalid"]


def test_a_never_after_a_smoker_is_a_former_smoker_and_said():
    old = measured(STATUS, 1, coded=snomed("449868002"), time=AS_OF - timedelta(days=900))
    found, issues = social(old, measured(STATUS, 2, coded=snomed("266919005"), time=AS_OF))
    assert (found.smoking, found.smoking_source) == ("former", "Observation/2")
    assert [i.code for i in issues] == ["conflict"]


@pytest.mark.parametrize(
    ("answer", "pregnant"), [("LA15173-0", True), ("LA26683-5", False), ("LA4489-6", None)]
)
def test_the_three_answers_of_the_pregnancy_question(answer, pregnant):
    """PG-1: LOINC's own answer list of 82810-3."""
    found, issues = social(measured(PREGNANCY, coded=coded(LOINC, answer)))
    assert found.pregnant is pregnant and issues == ()
