"""Files and request bodies -> one Bundle per patient; bad lines are told and cost only themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fhir_read_records import AS_OF, bundle, observation, patient

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.open_input import bundle_of_lines, bundles_in, is_ndjson, split_by_patient
from fhir_twin.fhir.read import read_chart


def lines(*resources: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(r).encode() for r in resources)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(bundle(patient(), observation(valueInteger=1))).encode(),
        json.dumps(bundle(patient(), observation(valueInteger=1)), indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(bundle(patient(), observation(valueInteger=1))).encode(),
        json.dumps([patient(), observation(valueInteger=1)]).encode(),
        lines(patient(), observation(valueInteger=1)),
        lines(patient(), observation(valueInteger=1)).replace(b"\n", b"\r\n\r\n") + b"\r\n",
        lines(bundle(patient()), bundle(observation(valueInteger=1))),
    ],
)
def test_every_shape_of_input(data: bytes) -> None:
    """Row 50: blank lines, CRLF, no final newline."""
    split = bundles_in(data)
    assert [p.patient for p in split.patients] == ["p1"]
    assert len(read_chart(split.patients[0].bundle, AS_OF, patient="p1").measurements) == 1
    assert split.issues == ()


def test_one_resource() -> None:
    assert [p.patient for p in bundles_in(json.dumps(patient()).encode()).patients] == ["p1"]


@pytest.mark.parametrize(
    "data", [b"", b"7", b"[]", b'"x"', b"{}", b"<html>", json.dumps(observation()).encode()]
)
def test_nothing_usable_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        bundles_in(data)


def test_bad_lines_are_told_with_number_and_offset() -> None:
    """Rows 37 and 38: duplicates, two objects, broken JSON, text in a number are not silently lost."""
    good = lines(patient(), observation(valueInteger=1))
    bad = [
        b'{"resourceType":"Observation","id":"a","id":"CANARY"}',
        b'{"a":1} {"b":2}',
        b"{",
        b"[]",
        b'{"id":"x"}',
    ]
    bad += [b'{"resourceType": "Observation", "valueInteger": 1e999}', b"\xff"]
    split = bundles_in(good + b"\n" + b"\n".join(bad), what="part-1.ndjson")
    assert len(read_chart(split.patients[0].bundle, AS_OF).measurements) == 1
    assert [i.expression.split(",")[0] for i in split.issues] == [
        f"part-1.ndjson: line {n}" for n in range(3, 10)
    ]
    assert split.issues[0].expression.endswith(f"byte {len(good) + 1}")
    assert "CANARY" not in str(split.issues)


def test_lines_of_other_kinds_of_json_are_kept_apart() -> None:
    assert is_ndjson(b'{"a":1}\n{"b":2}')
    assert not is_ndjson(b'{"a":1}\n')
    assert not is_ndjson(b'{\n"a":1\n}')
    assert not is_ndjson(b'[{"a":1},\n{"b":2}]')


def test_several_patients_are_split_and_share_what_belongs_to_nobody() -> None:
    drug = {"resourceType": "Medication", "id": "m", "code": {"text": "metformin"}}
    both = [
        {"resourceType": "MedicationRequest", "id": f"r{i}", "status": "active", "intent": "order",
         "subject": {"reference": f"Patient/p{i}"}, "medicationReference": {"reference": "Medication/m"}}
        for i in (1, 2)
    ]  # fmt: skip
    stranger = observation(id="s", subject={"reference": "Patient/p9"}, valueInteger=1)
    split = split_by_patient(bundle(patient(), patient(id="p2"), drug, *both, stranger))
    charts = [read_chart(p.bundle, AS_OF, patient=p.patient) for p in split.patients]
    assert [c.patient.id for c in charts] == ["p1", "p2"]
    assert [[m.source for m in c.medications] for c in charts] == [
        ["MedicationRequest/r1"],
        ["MedicationRequest/r2"],
    ]
    assert all(not c.issues for c in charts)
    assert [i.code for i in split.issues] == ["not-found"]


def test_urn_references_survive_the_split() -> None:
    given = bundle(
        patient(), observation(valueInteger=1, subject={"reference": "urn:uuid:a"}), kind="transaction"
    )
    given["entry"][0]["fullUrl"] = "urn:uuid:a"
    (only,) = split_by_patient(given).patients
    assert len(read_chart(only.bundle, AS_OF).measurements) == 1


def test_lines_may_come_from_any_iterable() -> None:
    found, issues = bundle_of_lines(line for line in lines(patient(), patient(id="p2")).splitlines())
    assert (len(found["entry"]), issues) == (2, ())
