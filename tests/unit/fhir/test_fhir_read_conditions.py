"""Condition and AllergyIntolerance: CO-1, AL-1, I1, I4."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fhir_read_records import SNOMED, about_patient, chart, coded, resource, words

from fhir_twin.model.chart import Allergy, Problem

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFIED = "http://terminology.hl7.org/CodeSystem/condition-ver-status"


def problem(**more: Any) -> Problem:
    (found,) = chart(resource("Condition", **{"code": {"text": "HTN"}, **more})).problems
    return found


def allergy(**more: Any) -> Allergy:
    (found,) = chart(
        about_patient("AllergyIntolerance", **{"code": {"text": "penicillin"}, **more})
    ).allergies
    return found


@pytest.mark.parametrize(
    ("code", "active"),
    [
        ("active", True),
        ("recurrence", True),
        ("relapse", True),
        ("inactive", False),
        ("remission", False),
        ("resolved", False),
    ],
)
def test_clinical_status(code: str, active: bool) -> None:
    found = problem(clinicalStatus=coded(code, CLINICAL))
    assert (found.clinical, found.active) == (code, active)


def test_no_clinical_status_counts_as_active() -> None:
    """con-3 only warns: encounter diagnoses often lack it."""
    assert problem().active


@pytest.mark.parametrize("given", ["active ", {"text": "Active"}, {"coding": [{"code": "active"}]}])
def test_other_spellings_of_the_status(given: Any) -> None:
    assert problem(clinicalStatus=given).clinical == "active"


@pytest.mark.parametrize(
    ("code", "certainty"),
    [
        ("confirmed", "confirmed"),
        (None, "confirmed"),
        ("provisional", "possible"),
        ("differential", "possible"),
        ("unconfirmed", "possible"),
    ],
)
def test_verification(code: str | None, certainty: str) -> None:
    found = problem(verificationStatus=coded(code, VERIFIED) if code else None)
    assert found.certainty == certainty


@pytest.mark.parametrize("code", ["refuted", "entered-in-error", "refuted "])
def test_refuted_is_dropped(code: str) -> None:
    """security.md row 44."""
    read = chart(resource("Condition", code={"text": "diabetes"}, verificationStatus=coded(code, VERIFIED)))
    assert read.problems == ()
    assert [i.severity for i in read.issues] == ["information"]


@pytest.mark.parametrize(
    "over",
    [
        {"abatementDateTime": "2020-01-01"},
        {"abatementPeriod": {"start": "2019", "end": "2020"}},
        {"abatementAge": {"value": 40, "code": "a", "unit": "years"}},
        {"abatementRange": {"low": {"value": 40}}},
        {"abatementString": "as a child"},
        {"abatementDateTime": "long ago"},
    ],
)
def test_any_abatement_is_an_end(over: dict[str, Any]) -> None:
    """con-4, even when the status still says active."""
    assert not problem(clinicalStatus=coded("active", CLINICAL), **over).active


def test_an_end_after_as_of_has_not_come_yet() -> None:
    found = problem(
        clinicalStatus=coded("resolved", CLINICAL), onsetDateTime="2020", abatementDateTime="2026-07-01"
    )
    assert found.active
    assert found.abatement is None


@pytest.mark.parametrize(
    ("onset", "time", "age"),
    [
        ({"onsetDateTime": "2010-03-04"}, datetime(2010, 3, 4, tzinfo=UTC), None),
        ({"onsetPeriod": {"start": "2010-03-04"}}, datetime(2010, 3, 4, tzinfo=UTC), None),
        ({"onsetAge": {"value": 52, "unit": "years", "code": "a"}}, None, 52),
        ({"onsetAge": {"value": 18, "unit": "months", "code": "mo"}}, None, 1.5),
        ({"onsetRange": {"low": {"value": 40, "code": "a"}, "high": {"value": 50, "code": "a"}}}, None, 45),
        ({"onsetString": "at age 45"}, None, 45),
        ({"onsetString": "in her 30s"}, None, 35),
        ({"onsetString": "childhood"}, None, None),
        ({"onsetAge": {"value": 52, "unit": "kg", "code": "kg"}}, None, None),
    ],
)
def test_the_five_kinds_of_onset(onset: dict[str, Any], time: datetime | None, age: float | None) -> None:
    found = problem(**onset)
    assert (found.onset, found.onset_age) == (time, age)


def test_all_the_rest() -> None:
    found = problem(
        code={
            "coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "A419"}],
            "text": "sepsis, resolved?",
        },
        category=[coded("problem-list-item", "x")],
        severity={"text": "severe"},
        stage=[{"summary": {"text": "CKD G3b A2"}}, {}],
        encounter={"reference": "Encounter/e"},
        recordedDate="2020-01-01",
        note=[{"text": " no hx of MI "}, {}],
    )
    assert found.concept.codes("http://hl7.org/fhir/sid/icd-10-cm") == ("A419",)  # I4: dot-less stays as is
    assert found.categories == ("problem-list-item",)
    assert found.severity is not None and found.severity.text == "severe"
    assert [s.text for s in found.stages] == ["CKD G3b A2"]
    assert (found.encounter, found.notes) == ("Encounter/e", ("no hx of MI",))
    assert found.recorded == datetime(2020, 1, 1, tzinfo=UTC)


def test_a_condition_without_any_words_is_said() -> None:
    read = chart(resource("Condition"))
    assert read.problems == ()
    assert "without code" in words(read)


def test_proprietary_and_standard_codings_are_both_kept() -> None:
    """I1: IMO beside SNOMED; userSelected comes first."""
    found = problem(code={"coding": [
        {"system": "urn:oid:2.16.840.1.113883.3.247.1.1", "code": "30422"},
        {"system": SNOMED, "code": "38341003"}, {"system": SNOMED, "code": "59621000", "userSelected": True},
    ]})  # fmt: skip
    assert found.concept.codes(SNOMED) == ("59621000", "38341003")


def test_a_whole_allergy() -> None:
    found = allergy(
        clinicalStatus=coded("active", CLINICAL), type="intolerance", category=["medication"], criticality="high",
        reaction=[{"manifestation": [{"text": "angioedema"}], "severity": "severe"}, {"description": " rash "}],
    )  # fmt: skip
    assert (found.active, found.kind, found.categories, found.criticality) == (
        True,
        "intolerance",
        ("medication",),
        "high",
    )
    assert [r.text for r in found.reactions] == ["angioedema", "rash"]
    assert found.severities == ("severe",)
    assert not found.none_known


@pytest.mark.parametrize(
    "code",
    [coded("716186003", SNOMED), coded("409137002", SNOMED), {"text": "NKDA"}, {"text": "No known allergies."},
     {"text": "no known drug allergies"}, {"text": "Denies any allergies"}, {"text": "NKA"}],
)  # fmt: skip
def test_none_known_is_a_statement(code: dict[str, Any]) -> None:
    """AL-1: not the same as an empty list."""
    assert allergy(code=code).none_known


@pytest.mark.parametrize(
    "text", ["no known reaction to penicillin", "penicillin, NKDA otherwise", "sulfa", "nkd"]
)
def test_other_texts_are_allergens(text: str) -> None:
    assert not allergy(code={"text": text}).none_known


@pytest.mark.parametrize(
    ("code", "active"), [("inactive", False), ("resolved", False), ("active", True), (None, True)]
)
def test_allergy_status(code: str | None, active: bool) -> None:
    assert allergy(clinicalStatus=coded(code, "x") if code else None).active is active


def test_the_substance_may_stand_in_the_reaction() -> None:
    found = allergy(
        code=None, reaction=[{"substance": {"text": "amoxicillin"}, "manifestation": [{"text": "rash"}]}]
    )
    assert found.concept.text == "amoxicillin"


def test_an_allergy_to_nothing_is_asked_for() -> None:
    read = chart(about_patient("AllergyIntolerance", reaction=[{"manifestation": [{"text": "anaphylaxis"}]}]))
    assert read.allergies == ()
    assert [i.severity for i in read.issues] == ["error"]


def test_a_malformed_reaction_does_not_cost_the_allergy() -> None:
    read = chart(about_patient("AllergyIntolerance", code={"text": "penicillin"}, reaction="rash"))
    assert len(read.allergies) == 1
    assert [i.expression for i in read.issues] == ["AllergyIntolerance/allergyintolerance-1.reaction"]
