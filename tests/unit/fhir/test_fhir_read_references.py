"""RD-7, F9 and security.md rows 12, 40, 41: who a resource is about, in every form of reference."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_read_records import AS_OF, bundle, coded, observation, patient, resource, words

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.read import read_chart

BASE = "https://fhir.example.org/r4"


def with_urls(*resources: dict[str, Any]) -> dict[str, Any]:
    given = bundle(*resources, kind="searchset")
    for entry in given["entry"]:
        entry["fullUrl"] = f"{BASE}/{entry['resource']['resourceType']}/{entry['resource']['id']}"
    return given


def values(given: dict[str, Any], **more: Any) -> list[str]:
    return [str(m.value) for m in read_chart(given, AS_OF, **more).measurements]


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/p1",
        "Patient/p1/_history/2",
        f"{BASE}/Patient/p1",
        f"{BASE}/Patient/p1/_history/7",
        " Patient/p1 ",
    ],
)
def test_the_same_patient(reference: str) -> None:
    given = with_urls(patient(), observation(valueInteger=5, subject={"reference": reference}))
    assert values(given) == ["5"]


@pytest.mark.parametrize(
    "reference",
    ["Patient/p2", "Patient/../Patient/p1", "Patient/p1/../p1", "https://elsewhere.example/r4/Patient/p1", "Patient/P1",
     "https://fhir.example.org/r4/x/Patient/p1", "#p1", "urn:uuid:p1", "Patient", "Patient/", "Group/p1", "Device/p1",
     "Patient/p1?x=1", "Patient?identifier=x|y", "patient/p1", "https://fhir.example.org/r4/../r5/Patient/p1"],
)  # fmt: skip
def test_never_anothers(reference: str) -> None:
    given = with_urls(
        patient(), patient(id="p2"), observation(valueInteger=5, subject={"reference": reference})
    )
    read = read_chart(given, AS_OF, patient="p1")
    assert read.measurements == ()
    assert "Observation/o1" in words(read)
    assert "not used" in words(read)


@pytest.mark.parametrize(
    "subject", [None, {}, {"display": "Jane CANARY"}, {"reference": 7}, "Patient/p1", []]
)
def test_no_subject_that_can_be_told(subject: Any) -> None:
    read = read_chart(bundle(patient(), observation(valueInteger=5, subject=subject)), AS_OF)
    assert read.measurements == ()
    assert "not used" in words(read) or "not read" in words(read)
    assert "CANARY" not in words(read)


def test_urn_uuid_through_full_url() -> None:
    uuid = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    given = bundle(patient(), observation(valueInteger=5, subject={"reference": uuid}), kind="transaction")
    given["entry"][0]["fullUrl"] = uuid
    assert values(given) == ["5"]
    del given["entry"][0]["resource"]["id"]
    read = read_chart(given, AS_OF)
    assert read.patient.id == "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    assert len(read.measurements) == 1


def test_logical_and_conditional_references() -> None:
    me = patient(identifier=[{"system": "urn:mrn", "value": "77"}])
    logical = observation(
        valueInteger=5, subject={"type": "Patient", "identifier": {"system": "urn:mrn", "value": "77"}}
    )
    conditional = observation(id="o2", valueInteger=6, subject={"reference": "Patient?identifier=urn:mrn|77"})
    other = observation(
        id="o3", valueInteger=7, subject={"identifier": {"system": "urn:other", "value": "77"}}
    )
    assert values(bundle(me, logical, conditional, other)) == ["5", "6"]


def test_absolute_references_without_full_urls_count_when_they_share_one_base() -> None:
    one = observation(valueInteger=5, subject={"reference": f"{BASE}/Patient/p1"})
    assert values(bundle(patient(), one)) == ["5"]
    two = observation(id="o2", valueInteger=6, subject={"reference": "https://elsewhere.example/Patient/p1"})
    assert values(bundle(patient(), one, two)) == []


def test_the_self_link_tells_the_base() -> None:
    given = bundle(
        patient(), observation(valueInteger=5, subject={"reference": f"{BASE}/Patient/p1"}), kind="searchset"
    )
    two = observation(id="o2", valueInteger=6, subject={"reference": "https://elsewhere.example/Patient/p1"})
    given["entry"].append({"resource": two})
    given["link"] = [{"relation": "self", "url": f"{BASE}/Patient/p1/$everything?_count=200"}]
    assert values(given) == ["5"]


def test_cyclic_and_self_contained_references_end() -> None:
    """Row 47."""
    drug = resource(
        "MedicationRequest", status="active", intent="order", medicationReference={"reference": "#m"},
        contained=[{"resourceType": "Medication", "id": "m", "ingredient": [{"itemReference": {"reference": "#m"}}]}],
    )  # fmt: skip
    loop = observation(valueInteger=1, hasMember=[{"reference": "Observation/o1"}])
    read = read_chart(bundle(patient(), drug, loop), AS_OF)
    assert len(read.measurements) == 1
    assert "names no medication" in words(read)


def test_which_patient() -> None:
    two = bundle(patient(), patient(id="p2"), observation(valueInteger=5))
    with pytest.raises(InvalidInput, match="several Patients"):
        read_chart(two, AS_OF)
    with pytest.raises(InvalidInput, match="does not hold the Patient"):
        read_chart(two, AS_OF, patient="p3")
    with pytest.raises(InvalidInput, match="no Patient"):
        read_chart(bundle(observation()), AS_OF)
    assert values(two, patient="p1") == ["5"]
    assert values(two, patient="Patient/p2") == []


def test_the_match_of_a_search_is_the_patient() -> None:
    given = bundle(patient(), patient(id="p2"), observation(valueInteger=5), kind="searchset")
    for entry, mode in zip(given["entry"], ("match", "include", "match"), strict=True):
        entry["search"] = {"mode": mode}
    read = read_chart(given, AS_OF)
    assert read.patient.id == "p1"
    assert len(read.measurements) == 1


def test_merged_records_are_one_person() -> None:
    """link replaced-by: what was written on the old record belongs to the one that stays."""
    old = patient(id="old", link=[{"type": "replaced-by", "other": {"reference": "Patient/p1"}}])
    on_old = observation(valueInteger=5, subject={"reference": "Patient/old"})
    read = read_chart(bundle(old, patient(), on_old), AS_OF)
    assert read.patient.id == "p1"
    assert len(read.measurements) == 1
    asked = read_chart(bundle(old, patient(), on_old), AS_OF, patient="old")
    assert asked.patient.replaced_by == "Patient/p1"


def test_seealso_is_not_the_same_person() -> None:
    twin = patient(id="p2", link=[{"type": "seealso", "other": {"reference": "Patient/p1"}}])
    theirs = observation(valueInteger=5, subject={"reference": "Patient/p2"})
    read = read_chart(bundle(patient(), twin, theirs), AS_OF, patient="p1")
    assert read.measurements == ()
    assert "about another patient" in words(read)


def test_medication_by_reference_contained_and_text() -> None:
    held = {"resourceType": "Medication", "id": "m1", "code": coded("29046", "urn:rx", text="lisinopril")}
    forms: list[dict[str, Any]] = [
        {"medicationReference": {"reference": "Medication/m1"}},
        {"medicationReference": {"reference": "#c"}, "contained": [{**held, "id": "c"}]},
        {"medicationCodeableConcept": {"text": "lisinopril"}},
        {"medicationReference": {"display": "lisinopril"}},
    ]
    drugs = [
        resource("MedicationRequest", status="active", intent="order", **form) | {"id": f"r{i}"}
        for i, form in enumerate(forms)
    ]
    read = read_chart(bundle(patient(), held, *drugs), AS_OF)
    assert [m.concept.label for m in read.medications] == ["lisinopril"] * 4
