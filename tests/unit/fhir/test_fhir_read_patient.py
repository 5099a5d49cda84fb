"""Patient -> PatientRecord."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from fhir_read_records import AS_OF, bundle, chart, patient, words

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.read import read_chart

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"


def extension(kind: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"url": f"{US_CORE}/{kind}", "extension": list(parts)}


def test_a_whole_patient() -> None:
    category = {"url": "ombCategory", "valueCoding": {"code": "2106-3", "display": "White"}}
    read = chart(
        person=patient(
            meta={"versionId": "4"},
            identifier=[{"system": "urn:mrn", "value": " 77 "}, {"value": "8"}, {"system": "urn:empty"}],
            name=[
                {"use": "old", "family": "Old"},
                {"use": "official", "family": "Doe", "given": ["Jane", None, "Q"]},
            ],
            communication=[
                {"language": {"coding": [{"code": "de"}]}},
                {"preferred": True, "language": {"coding": [{"code": "es"}]}},
            ],
            extension=[
                extension("us-core-race", category, {"url": "text", "valueString": "White"}),
                extension(
                    "us-core-ethnicity", {"url": "ombCategory", "valueCoding": {"display": "Not Hispanic"}}
                ),
            ],
        )
    ).patient
    assert (read.source, read.id, read.name) == ("Patient/p1/_history/4", "p1", "Jane Q Doe")
    assert read.identifiers == (("urn:mrn", "77"), ("", "8"))
    assert (read.sex, read.birth_date, read.birth_precision) == ("female", date(1960, 5, 4), "day")
    assert (read.language, read.race, read.ethnicity) == ("es", "White", "Not Hispanic")


@pytest.mark.parametrize(
    ("born", "expected", "precision"),
    [("1960", date(1960, 1, 1), "year"), ("1960-05", date(1960, 5, 1), "month"), (None, None, "")],
)
def test_partial_birth_dates(born: str | None, expected: date | None, precision: str) -> None:
    read = chart(person=patient(birthDate=born))
    assert (read.patient.birth_date, read.patient.birth_precision) == (expected, precision)
    assert not read.issues


def test_age_of_a_partial_birth_date_counts_from_its_middle() -> None:
    read = chart(person=patient(birthDate="1960"))
    age = read.age_at(datetime(2020, 7, 1, tzinfo=UTC))
    assert age == pytest.approx(60.0, abs=0.02)


@pytest.mark.parametrize("born", ["2999-01-01", "1850-01-01", "2026-06-02", "1 May 1960", "0000"])
def test_impossible_birth_dates_are_unknown_and_said(born: str) -> None:
    """security.md row 43."""
    read = chart(person=patient(birthDate=born))
    assert read.patient.birth_date is None
    assert "age unknown" in words(read)


def test_a_masked_birth_date_is_not_an_error() -> None:
    """I2: dataAbsentReason on a primitive."""
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    given = patient(_birthDate={"extension": [reason]})
    del given["birthDate"]
    read = chart(person=given)
    assert read.patient.birth_date is None
    assert "withheld" in words(read)


@pytest.mark.parametrize(
    ("gender", "birthsex", "expected", "said"),
    [
        ("female", None, "female", ""),
        ("male ", None, "male", ""),
        ("FEMALE", None, "female", ""),
        ("M", None, "male", ""),
        ("banana", None, "unknown", "not an R4 code"),
        (None, None, "unknown", ""),
        ("unknown", "F", "female", ""),
        ("other", "M", "male", ""),
        (None, "F", "female", ""),
        ("female", "F", "female", ""),
        ("female", "UNK", "female", ""),
        ("female", "M", "unknown", "must be said by a clinician"),
    ],
)
def test_sex_is_never_chosen(gender: str | None, birthsex: str | None, expected: str, said: str) -> None:
    extra = [{"url": f"{US_CORE}/us-core-birthsex", "valueCode": birthsex}] if birthsex else []
    read = chart(person=patient(gender=gender, extension=extra))
    assert read.patient.sex == expected
    assert said in words(read)


def test_death() -> None:
    assert not chart(person=patient()).patient.deceased
    assert not chart(person=patient(deceasedBoolean=False)).patient.deceased
    assert chart(person=patient(deceasedBoolean=True)).patient.deceased
    dated = chart(person=patient(deceasedDateTime="2025-01-02")).patient
    assert (dated.deceased, dated.deceased_on) == (True, datetime(2025, 1, 2, tzinfo=UTC))
    assert not chart(person=patient(deceasedDateTime="2026-07-01")).patient.deceased  # after as_of
    assert chart(person=patient(deceasedDateTime="last spring")).patient.deceased


def test_a_patient_with_modifiers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not understood"):
        chart(person=patient(modifierExtension=[{"url": "https://x/animal"}]))


def test_a_naive_as_of_is_refused() -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        read_chart(bundle(patient()), AS_OF.replace(tzinfo=None))


def test_odd_elements_cost_themselves_only() -> None:
    read = chart(person=patient(name="Jane", communication=[{"language": "en"}], birthDate=19600504))
    assert read.patient.birth_date is None
    assert read.patient.sex == "female"
    found = {i.expression for i in read.issues if i.code == "structure"}
    assert found == {"Patient/p1.name", "Patient/p1.birthDate", "Patient/p1.communication"}


def test_nothing_of_it_shows_in_repr() -> None:
    read = chart(person=patient(name=[{"text": "Jane CANARY"}]))
    assert "CANARY" not in repr(read)
    assert "CANARY" not in repr(read.patient)
