"""The hot path: NDJSON lines -> typed rows; the same facts as read_chart, and every bad line told."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from fhir_read_records import about_patient, chart, coded, observation, patient, quantity, resource
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.fhir.read_lines import BadLine, Row, read_lines
from fhir_twin.fhir.systems import SOFTWARE_TAG, TAGS, identifier_system


def read(*resources: Any) -> list[Row | BadLine | None]:
    return list(read_lines([r if isinstance(r, bytes) else json.dumps(r).encode() for r in resources]))


def row(given_resource: dict[str, Any]) -> Row:
    (found,) = read(given_resource)
    assert isinstance(found, Row)
    return found


def test_an_observation() -> None:
    given_resource = observation(valueQuantity=quantity(7.1, "mg/dL", comparator="<"))
    found = row(given_resource)
    assert (found.type, found.id, found.patient, found.status) == ("Observation", "o1", "Patient/p1", "final")
    assert (found.system, found.code, found.time) == (
        "http://loinc.org",
        "2160-0",
        "2025-03-04T10:00:00+02:00",
    )
    assert (found.value, found.comparator, found.unit) == (Decimal("7.1"), "<", "mg/dL")
    assert (found.own, found.odd, found.parts) == (False, False, ())
    assert json.loads(found.raw) == given_resource


def test_rows_say_the_same_as_the_chart() -> None:
    resources = [
        observation(id=f"o{i}", valueQuantity=quantity(Decimal(i) / 7, "mg/dL") | {"value": round(i / 7, 3)})
        for i in range(20)
    ]
    measured = chart(*resources).measurements
    rows = [r for r in read(*resources) if isinstance(r, Row)]
    assert [(r.code, r.value, r.unit) for r in rows] == [
        (m.concept.codings[0].code, m.value, m.unit_code) for m in measured
    ]


def test_components() -> None:
    parts = [
        {"code": coded("8480-6"), "valueQuantity": quantity(142, "mm[Hg]")},
        {"code": coded("8462-4")},
        {"code": coded("x"), "modifierExtension": [{}], "valueQuantity": quantity(1)},
        {"valueQuantity": quantity(1)},
    ]
    found = row(observation("85354-9", component=parts))
    assert found.parts == (
        ("http://loinc.org", "8480-6", Decimal(142), "mm[Hg]"),
        ("http://loinc.org", "8462-4", None, ""),
    )


@pytest.mark.parametrize(
    ("given_resource", "code", "time", "status"),
    [
        (patient(), "", "1960-05-04", ""),
        (resource("Condition", code=coded("1"), onsetDateTime="2020", clinicalStatus=coded("active")), "1", "2020", "active"),
        (resource("Condition", code=coded("1"), recordedDate="2020", clinicalStatus=coded("active"),
                  verificationStatus=coded("refuted")), "1", "2020", "refuted"),
        (about_patient("AllergyIntolerance", code=coded("1"), verificationStatus=coded("confirmed")), "1", "", ""),
        (resource("MedicationRequest", medicationCodeableConcept=coded("1"), authoredOn="2020", status="active"), "1", "2020", "active"),
        (resource("Procedure", code=coded("1"), performedDateTime="2020", status="completed"), "1", "2020", "completed"),
        (about_patient("Immunization", vaccineCode=coded("1"), occurrenceDateTime="2020", status="completed"), "1", "2020", "completed"),
        (resource("Encounter", period={"start": "2020"}, status="finished"), "", "2020", "finished"),
        (resource("Goal", description=coded("1"), lifecycleStatus="active", startDate="2020"), "1", "2020", "active"),
        (about_patient("Consent", scope=coded("1"), dateTime="2020", status="active"), "1", "2020", "active"),
    ],
)  # fmt: skip
def test_other_types(given_resource: dict[str, Any], code: str, time: str, status: str) -> None:
    found = row(given_resource)
    assert found.type == given_resource["resourceType"]
    assert found.patient == "Patient/p1"
    assert (found.code, found.time, found.status) == (code, time, status)


def test_own_output_and_modifiers_are_marked() -> None:
    """CP-4 and RD-10 in the hot path."""
    assert row(observation(meta={"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]})).own
    assert row(observation(identifier=[{"system": identifier_system("https://x", "goal")}])).own
    assert not row(
        observation(meta={"tag": [{"system": "x", "code": SOFTWARE_TAG}]}, identifier=[{"system": "y"}])
    ).own
    assert row(observation(modifierExtension=[{"url": "x"}])).odd
    assert row(observation(implicitRules="x")).odd


def test_every_bad_line_is_told_and_the_rest_is_read() -> None:
    """performance.md 3.2 and security.md rows 34 to 39."""
    good = json.dumps(observation()).encode()
    bad: list[tuple[bytes, str]] = [
        (b"{", "not valid JSON"),
        (b'{"resourceType":"Observation"} {"resourceType":"Observation"}', "not valid JSON"),
        (b"null", "no resourceType"),
        (b"[]", "no resourceType"),
        (b'{"id":"x"}', "no resourceType"),
        (b'{"resourceType":["Observation"]}', "no resourceType"),
        (b'{"resourceType":"1"}', "no type"),
        (
            b'{"resourceType":"Observation","valueQuantity":{"value":"high"}}',
            "element of a wrong type: Observation.valueQuantity.value",
        ),
        (b'{"resourceType":"Observation","code":[]}', "element of a wrong type: Observation.code"),
        (b'{"resourceType":"Observation","id":NaN}', "not valid JSON"),
        (b'{"resourceType":"Observation","id":"\xff"}', "not UTF-8"),
        (b'{"resourceType":"Observation","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
    ]
    data = [good + b"\n", b"\n", b"  \r\n", *(line + b"\n" for line, _ in bad), good]
    found = list(read_lines(data))
    assert isinstance(found[0], Row)
    assert isinstance(found[-1], Row)
    told = [f for f in found if isinstance(f, BadLine)]
    assert [t.reason for t in told] == [reason for _, reason in bad]
    assert told[0].number == 4
    assert told[0].offset == len(good) + 1 + 1 + 4
    assert all(b"".join(data)[t.offset : t.offset + t.length] == data[t.number - 1] for t in told)


def test_types_without_rows_and_a_byte_order_mark() -> None:
    assert read({"resourceType": "Claim", "id": "c"}) == [None]
    (found,) = read(b"\xef\xbb\xbf" + json.dumps(observation()).encode())
    assert isinstance(found, Row)


def test_a_line_without_end_is_refused_by_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_twin.fhir.read_lines.MAX_LINE", 100)
    (found,) = read(observation())
    assert isinstance(found, BadLine)
    assert found.reason == "line is too long"


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_give_one_answer_per_line_that_says_something(data: list[bytes]) -> None:
    found = list(read_lines(data))
    assert len(found) == sum(bool(line) and not line.isspace() for line in data)
