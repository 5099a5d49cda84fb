"""What is not read as it stands: CP-4, RD-9, RD-10, RD-11, RD-12, and later than as_of."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_read_records import about_patient, chart, coded, observation, resource, words

from fhir_twin.fhir.systems import (
    HOME,
    IDENTIFIER_KINDS,
    SOFTWARE_TAG,
    TAGS,
    identifier_system,
    is_own_identifier_system,
)

DRUG = {"medicationCodeableConcept": coded("29046", "http://www.nlm.nih.gov/research/umls/rxnorm")}


def draft(**more: Any) -> dict[str, Any]:
    return resource("MedicationRequest", status="draft", intent="proposal", **DRUG, **more)


@pytest.mark.parametrize("kind", IDENTIFIER_KINDS)
@pytest.mark.parametrize("base", ["https://fhir.example/r4", "https://fhir.example/r4/", "urn:fhir-twin"])
def test_every_identifier_system_of_ours_is_known_again(base: str, kind: str) -> None:
    assert is_own_identifier_system(identifier_system(base, kind))


@pytest.mark.parametrize(
    "system", ["https://hospital.example/ids/goal", "urn:fhir-twin", HOME, "", "ids/fhir-twin-"]
)
def test_other_systems_are_not_ours(system: str) -> None:
    assert not is_own_identifier_system(system)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown identifier kind"):
        identifier_system("https://fhir.example", "patients")


def test_our_own_output_is_never_read_back() -> None:
    """CP-4: by tag, by identifier system, by author Device."""
    device = {"resourceType": "Device", "id": "d1", "meta": {"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]}}
    by_tag = draft(meta={"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]})
    by_identifier = resource(
        "Goal",
        lifecycleStatus="proposed",
        description={"text": "BP"},
        identifier=[{"system": identifier_system("https://x", "goal"), "value": "1"}],
    )
    by_device = draft(id="mr2", requester={"reference": "Device/d1"})
    by_contributor = resource(
        "CarePlan", status="draft", intent="proposal", contributor=[{"reference": "https://x/Device/d1"}]
    )
    read = chart(device, by_tag, by_identifier, by_device, by_contributor)
    assert (read.medications, read.goals, read.events) == ((), (), ())
    own = [i for i in read.issues if "own earlier output" in i.diagnostics]
    assert [(i.severity, i.diagnostics[:2]) for i in own] == [("information", "4 ")]


def test_another_softwares_device_is_not_ours() -> None:
    device = {"resourceType": "Device", "id": "d1"}
    read = chart(
        device,
        resource("Goal", lifecycleStatus="active", description={"text": "BP"}),
        draft(requester={"reference": "Device/d1"}),
    )
    assert len(read.goals) == len(read.medications) == 1


def test_a_proposal_that_a_clinician_ordered_is_a_real_drug() -> None:
    """We only write drafts (CP-1): an active order with our tag is somebody's decision."""
    ours = {"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]}
    ordered = resource("MedicationRequest", status="active", intent="order", meta=ours, **DRUG)
    assert chart(ordered).medications[0].current


@pytest.mark.parametrize(
    "sign", [{"modifierExtension": [{"url": "https://x/not"}]}, {"implicitRules": "https://x/rules"}]
)
def test_what_we_do_not_understand_is_not_used(sign: dict[str, Any]) -> None:
    """RD-10 and I5."""
    read = chart(observation(valueInteger=1, **sign), observation(id="o2", valueInteger=2))
    assert [str(m.value) for m in read.measurements] == ["2"]
    assert "Observation/o1" in words(read)


def test_a_component_with_a_modifier_is_not_used() -> None:
    parts = [
        {"code": coded("8480-6"), "valueInteger": 120, "modifierExtension": [{"url": "https://x/not"}]},
        {"code": coded("8462-4"), "valueInteger": 80},
    ]
    assert [str(m.value) for m in chart(observation("85354-9", component=parts)).measurements] == ["80"]


@pytest.mark.parametrize("status", ["entered-in-error", "entered-in-error ", "Entered-In-Error"])
def test_bare_entered_in_error(status: str) -> None:
    """RD-12: nothing but id and status may be left; I4: stray blanks."""
    bare = {"resourceType": "Observation", "id": "o1", "status": status}
    goal = {"resourceType": "Goal", "id": "g1", "lifecycleStatus": status}
    verification = {"coding": [{"code": status}]}
    problem = {"resourceType": "Condition", "id": "c1", "verificationStatus": verification}
    allergy = {"resourceType": "AllergyIntolerance", "id": "a1", "verificationStatus": verification}
    read = chart(bare, goal, problem, allergy)
    assert (read.measurements, read.goals, read.problems, read.allergies) == ((), (), (), ())
    assert {i.severity for i in read.issues} == {"information"}


def test_masked_and_subsetted_are_said() -> None:
    """RD-9, RD-11: withheld is not the same as missing."""
    masked = {"code": "masked", "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason"}
    read = chart(
        observation(meta={"security": [{"code": "MASKED"}]}, dataAbsentReason={"coding": [masked]}),
        observation(id="o2", meta={"tag": [{"code": "SUBSETTED"}]}, valueInteger=1),
    )
    assert [m.absent_reason for m in read.measurements] == ["masked", ""]
    assert [i.code for i in read.issues] == ["suppressed", "incomplete"]


def test_what_is_later_than_as_of_is_counted_not_read() -> None:
    later = "2026-06-01T00:00:01Z"
    drug = resource("MedicationRequest", status="active", intent="order", authoredOn=later, **DRUG)
    read = chart(
        observation(valueInteger=1, effectiveDateTime=later),
        observation(id="o2", valueInteger=1, effectiveDateTime="2027"),
        observation(id="o3", valueInteger=1, effectiveDateTime="2026"),
        resource("Condition", code={"text": "HTN"}, onsetDateTime=later),
        resource("Condition", code={"text": "HTN"}, recordedDate=later) | {"id": "c2"},
        drug,
        about_patient("AllergyIntolerance", code={"text": "penicillin"}, recordedDate=later),
        about_patient(
            "Immunization", status="completed", occurrenceDateTime=later, vaccineCode={"text": "flu"}
        ),
        resource("Goal", lifecycleStatus="active", description={"text": "BP"}, startDate="2026-06-02"),
        about_patient("FamilyMemberHistory", status="completed", date=later, relationship={"text": "father"}),
        about_patient("Consent", status="active", dateTime=later),
    )
    assert [m.source for m in read.measurements] == ["Observation/o3"]
    everything = (
        read.problems,
        read.medications,
        read.allergies,
        read.events,
        read.goals,
        read.family,
        read.consents,
    )
    assert everything == ((),) * 7
    counts = {i.diagnostics for i in read.issues}
    assert "2 Observation dated after as_of: not looked at" in counts
    assert "2 Condition dated after as_of: not looked at" in counts
    assert len(counts) == 8


def test_many_equal_findings_are_counted() -> None:
    bad = [observation(id=f"o{i}", subject={"reference": "Patient/x"}, valueInteger=1) for i in range(500)]
    found = [i for i in chart(*bad).issues if "another patient" in i.diagnostics]
    assert len(found) == 21
    assert "480 more" in found[-1].diagnostics


def test_no_issue_quotes_a_value() -> None:
    """No PHI in diagnostics, whatever is wrong."""
    secret = "CANARY-7731"
    read = chart(
        observation(status=secret, valueInteger=1),
        observation(id="o2", effectiveDateTime=secret, valueQuantity={"value": secret, "unit": secret}),
        observation(id="o3", code=secret),
        observation(id="o4", note=[{"text": {"x": secret}}], valueInteger=1),
        resource("Condition", code={"text": "HTN"}, onsetDateTime=secret, clinicalStatus={"text": secret}),
        resource("MedicationRequest", status=secret, intent=secret, **DRUG),
        resource("MedicationStatement", status=7, **DRUG),
        person={"resourceType": "Patient", "id": "p1", "birthDate": secret, "gender": secret},
    )
    assert read.issues
    assert secret not in words(read)


def test_a_performer_of_ours_in_any_form() -> None:
    """CP-4: as a reference, in a list, or as the actor of a performer."""
    device = {"resourceType": "Device", "id": "d1", "meta": {"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]}}
    ours: list[Any] = [
        {"reference": "Device/d1"},
        [{"reference": "Device/d1/_history/3"}],
        [{"actor": {"reference": "https://x/Device/d1"}}],
    ]
    theirs: list[Any] = [{"reference": "Device/d2"}, [[{"reference": "Device/d1"}]], {"actor": 3}, None]
    for performer in ours:
        assert chart(device, observation(valueInteger=1, performer=performer)).measurements == ()
    for performer in theirs:
        assert "own earlier output" not in words(
            chart(device, observation(valueInteger=1, performer=performer))
        )
