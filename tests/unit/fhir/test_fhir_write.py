"""write_plan: what the desired Bundle says (CP-10 to CP-21, PR-1 to PR-5, GO, RA, DI, GR, DV, PV)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from write_samples import ACE, AS_OF, BASE, CCB, FINDING, GOALS, STATIN, STOP_NSAID, plan

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.identity import KIND_OF_TYPE, identity, identity_of, parse_source, patient_id
from fhir_twin.fhir.systems import is_own_identifier_system
from fhir_twin.fhir.validate import validate_bundle
from fhir_twin.fhir.write import write_plan
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.fhir.write_elements import percent
from fhir_twin.model.codes import LOINC, RXNORM, Coding, Concept
from fhir_twin.model.plan import Plan
from fhir_twin.model.scenario import EventRisk, Question

Json = dict[str, Any]


def written(what: Plan | None = None, **options: Any) -> Json:
    return write_plan(what or plan(), base=BASE, **options)


def of_type(bundle: Json, type_: str) -> list[Json]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == type_]


def only(bundle: Json, type_: str) -> Json:
    (one,) = of_type(bundle, type_)
    return one


def medication(bundle: Json, name: str) -> Json:
    return next(
        m for m in of_type(bundle, "MedicationRequest") if m["medicationCodeableConcept"]["text"] == name
    )


def every(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for member in value.values():
            yield from every(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from every(member, key)


def test_same_plan_same_bytes() -> None:
    assert json.dumps(written()) == json.dumps(written())


def test_every_resource_has_identifier_tag_and_label() -> None:
    """ID-1, CP-21, CP-4: our output can be told from the record."""
    for entry in written()["entry"]:
        resource = entry["resource"]
        assert resource["meta"]["security"][0]["code"] == "AIAST"
        assert resource["meta"]["tag"][0]["code"] == "fhir-twin"
        if resource["resourceType"] != "Provenance":
            assert is_own_identifier_system(resource["identifier"][0]["system"])
            assert identity_of(resource) is not None


def test_label_is_configurable() -> None:
    """AI-1."""
    bundle = written(options=WriteOptions(label="DEVAST"))
    assert {m["security"][0]["code"] for m in every(bundle, "meta")} == {"DEVAST"}
    assert "AIAST" not in json.dumps(bundle)


def test_no_patient_data_in_identifiers() -> None:
    """ID-2: never PHI in the value; and not the patient's id either."""
    bundle = written(plan("patient-4711"))
    for identifiers in every(bundle, "identifier"):
        for one in identifiers if isinstance(identifiers, list) else [identifiers]:
            assert "4711" not in one["value"]
            assert "Testa" not in one["value"]


def test_identity_depends_on_server_patient_and_item() -> None:
    """ID-1."""
    keys = {
        identity(base, patient, "Goal", item).key
        for base in ("http://a/fhir", "http://b/fhir")
        for patient in ("1", "2")
        for item in ("goal/ldl", "goal/bp")
    }
    assert len(keys) == 8
    assert identity("http://a/fhir/", "1", "Goal", "x") == identity("http://a/fhir", "1", "Goal", "x")
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        identity("b", "1", "Goal", "x").urn,
    )


def test_draft_and_proposal_everywhere() -> None:
    """CP-1, table 1.1."""
    bundle = written()
    for type_ in ("CarePlan", "MedicationRequest", "ServiceRequest", "NutritionOrder", "RequestGroup"):
        for resource in of_type(bundle, type_):
            assert (resource["status"], resource["intent"]) == ("draft", "proposal")
    assert "intent" not in only(bundle, "CommunicationRequest")
    assert {g["lifecycleStatus"] for g in of_type(bundle, "Goal")} == {"proposed"}
    assert only(bundle, "RiskAssessment")["status"] == "preliminary"
    assert not list(every(bundle, "basedOn")), "CP-17"


def test_care_plan_elements() -> None:
    bundle = written()
    care_plan = only(bundle, "CarePlan")
    codes = [[c["code"] for c in category["coding"]] for category in care_plan["category"]]
    assert codes == [["assess-plan"], ["734163000"]], "CP-10: one concept per code"
    assert "author" not in care_plan, "CP-13"
    assert care_plan["contributor"][0]["reference"] == bundle["entry"][0]["fullUrl"]
    assert all(set(a) == {"reference"} for a in care_plan["activity"]), "CP-15, CP-16"
    assert [a["reference"] for a in care_plan["addresses"]] == ["Condition/cond-1/_history/1"]
    kinds = [_type_of(bundle, s["reference"]) for s in care_plan["supportingInfo"]]
    assert sorted(kinds) == ["DetectedIssue", "GuidanceResponse", "RiskAssessment"]
    assert {_type_of(bundle, g["reference"]) for g in care_plan["goal"]} == {"Goal"}
    activities = [_type_of(bundle, a["reference"]["reference"]) for a in care_plan["activity"]]
    assert activities == [
        "MedicationRequest",
        "RequestGroup",
        "NutritionOrder",
        "ServiceRequest",
        "MedicationRequest",
        "CommunicationRequest",
    ], "in the order of rank"


def _type_of(bundle: Json, urn: str) -> str:
    return next(e["resource"]["resourceType"] for e in bundle["entry"] if e["fullUrl"] == urn)


def test_stop_says_do_not_perform() -> None:
    """PR-1."""
    bundle = written()
    stop = medication(bundle, "Ibuprofen")
    assert stop["doNotPerform"] is True
    assert stop["priorPrescription"]["reference"] == "MedicationRequest/nsaid-1/_history/1"
    assert "dosageInstruction" not in stop
    assert "DO NOT" in stop["text"]["div"]
    assert "STOP OR AVOID" in only(bundle, "CarePlan")["text"]["div"]
    assert not any("doNotPerform" in m for m in of_type(bundle, "MedicationRequest") if m is not stop)


def test_diet_that_says_no_is_no_nutrition_order() -> None:
    """PR-1: NutritionOrder has no doNotPerform."""
    avoid = replace(
        STOP_NSAID,
        key="avoid-salt-substitute",
        kind="stop",
        code=Concept((), "Salt substitute"),
        replaces="",
        sources=(),
    )
    bundle = written(plan(recommendations=(avoid,)))
    assert of_type(bundle, "NutritionOrder") == []
    assert only(bundle, "ServiceRequest")["doNotPerform"] is True


def test_dose() -> None:
    """PR-2."""
    dose = medication(written(), "Atorvastatin")["dosageInstruction"][0]
    assert dose["text"] == "40 mg once daily"
    assert dose["doseAndRate"][0]["doseQuantity"] == {
        "value": 40,
        "unit": "mg",
        "system": "http://unitsofmeasure.org",
        "code": "mg",
    }
    assert dose["timing"]["repeat"] == {"frequency": 1, "period": 1, "periodUnit": "d"}


@pytest.mark.parametrize(
    ("per_day", "repeat"),
    [
        (2.0, {"frequency": 2, "period": 1, "periodUnit": "d"}),
        (1 / 7, {"frequency": 1, "period": 7, "periodUnit": "d"}),
        (1.5, None),
        (0.3, None),
        (0.0, None),
        (None, None),
    ],
)
def test_timing_is_exact_or_absent(per_day: float | None, repeat: Json | None) -> None:
    bundle = written(plan(recommendations=(replace(STATIN, dose_per_day=per_day),)))
    dose = only(bundle, "MedicationRequest")["dosageInstruction"][0]
    assert dose.get("timing", {}).get("repeat") == repeat


def test_proposal_alone_tells_why_and_what_to_fear() -> None:
    note = medication(written(), "Atorvastatin")["note"][0]["text"]
    for words in (
        "LDL cholesterol is high",
        "muscle pain",
        "liver enzymes",
        "lipids in 8 weeks",
        "10.1056/NEJMoa1511939",
    ):
        assert words in note


def test_ties_are_a_choice() -> None:
    """PR-5."""
    group = only(written(), "RequestGroup")["action"][0]
    assert group["selectionBehavior"] == "at-most-one"
    assert [a["title"] for a in group["action"]] == ["Start lisinopril", "Start amlodipine"]


def test_tied_but_different_aims_are_no_either_or() -> None:
    bundle = written(plan(recommendations=(replace(STATIN, rank=1), replace(CCB, rank=1))))
    assert only(bundle, "RequestGroup")["action"][0]["selectionBehavior"] == "any"


def test_a_stop_is_no_matter_of_choice() -> None:
    bundle = written(plan(recommendations=(replace(ACE, rank=1), replace(STOP_NSAID, rank=1))))
    assert of_type(bundle, "RequestGroup") == []
    assert len(only(bundle, "CarePlan")["activity"]) == 2


def test_requests_pertain_to_goals() -> None:
    """CP-17."""
    bundle = written()
    extensions = medication(bundle, "Lisinopril")["extension"]
    (goal,) = [e["valueReference"] for e in extensions if e["url"].endswith("resource-pertainsToGoal")]
    assert _type_of(bundle, goal["reference"]) == "Goal"
    assert goal["display"] == "Blood pressure below 130/80"


def test_blood_pressure_goal_is_two_targets() -> None:
    """GO-3."""
    goal = next(g for g in of_type(written(), "Goal") if "Blood" in g["description"]["text"])
    assert [t["measure"]["coding"][0]["code"] for t in goal["target"]] == ["8480-6", "8462-4"]
    assert [t["detailQuantity"]["value"] for t in goal["target"]] == [130, 80]
    assert {t["dueDate"] for t in goal["target"]} == {"2026-09-01"}
    assert "startDate" not in goal
    assert "expressedBy" not in goal, "GO-4: cannot be a Device"


def test_goal_without_due_date_has_a_start() -> None:
    """interop E2."""
    goal = next(g for g in of_type(written(), "Goal") if "LDL" in g["description"]["text"])
    assert goal["startDate"] == "2026-03-01"


def test_existing_goal_is_linked_not_written() -> None:
    existing = replace(GOALS[0], existing="Goal/their-goal/_history/3")
    bundle = written(plan(goals=(existing, GOALS[1])))
    assert len(of_type(bundle, "Goal")) == 1
    assert only(bundle, "CarePlan")["goal"][0]["reference"] == "Goal/their-goal"
    assert validate_bundle(bundle) == ()


def test_risk_is_per_cent_with_a_period() -> None:
    """RA-1 to RA-3, RA-5."""
    risk = only(written(), "RiskAssessment")
    baseline = risk["prediction"][0]
    assert baseline["probabilityDecimal"] == 12.3
    assert baseline["whenPeriod"] == {
        "start": "2026-03-01T09:30:00+00:00",
        "end": "2036-03-01T09:30:00+00:00",
    }
    ends = baseline["extension"][0]["valueRange"]
    assert (ends["low"]["value"], ends["high"]["value"]) == (8, 19)
    assert {ends[e]["code"] for e in ends} == {"%"}
    assert [p["probabilityDecimal"] for p in risk["prediction"][1:]] == [9.2, 9.2, 9.2]
    assert "relativeRisk" not in json.dumps(risk)
    assert "whenRange" not in json.dumps(risk)
    assert risk["method"]["text"] == "PREVENT base 10y"
    assert risk["basis"] == [{"reference": "Observation/ldl-1/_history/1"}]
    assert not of_type(written(), "Observation"), "RA-6"


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.0, 0), (1.0, 100), (0.12344, 12.3), (0.0099, 0.99), (0.00123, 0.12), (0.000123, 0.012)],
)
def test_percent(probability: float, shown: float) -> None:
    assert percent(probability) == shown


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan"), float("inf")])
def test_impossible_probabilities_are_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        percent(probability)


def test_horizon_from_a_leap_day() -> None:
    leap = plan(
        as_of=datetime(2028, 2, 29, 12, tzinfo=UTC), risks=(EventRisk("cvd", 1.0, 0.1, 0.05, 0.2, "x"),)
    )
    period = only(written(leap), "RiskAssessment")["prediction"][0]["whenPeriod"]
    assert period["end"].startswith("2029-02-28")


def test_detected_issue() -> None:
    """DI-1, DI-2."""
    bundle = written()
    issue = only(bundle, "DetectedIssue")
    assert issue["code"]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
        "code": "COND",
    }
    implicated = [i["reference"] for i in issue["implicated"]]
    assert _type_of(bundle, implicated[0]) == "MedicationRequest", "the proposal that answers it"
    assert implicated[1:] == ["MedicationRequest/nsaid-1/_history/1", "Condition/cond-1/_history/1"]
    assert issue["reference"] == "https://doi.org/10.1056/NEJMoa1511939"
    assert "mitigation" not in issue
    assert "Ask whether" in issue["detail"]


def test_questions() -> None:
    """GR-1."""
    questions = (
        Question("k", "Potassium?", "limit", "2823-3"),
        Question("p", "Pregnant?", "harm", "", ("arb",)),
    )
    guidance = only(written(plan(questions=questions)), "GuidanceResponse")
    assert guidance["status"] == "data-required"
    first, second = guidance["dataRequirement"]
    assert first["codeFilter"][0]["code"] == [{"system": LOINC, "code": "2823-3"}]
    assert second["type"] == "QuestionnaireResponse"
    only_optional = written(plan(questions=questions[:1]))
    assert only(only_optional, "GuidanceResponse")["status"] == "data-requested"
    assert of_type(written(plan(questions=())), "GuidanceResponse") == []


def test_provenance() -> None:
    """PV-1 to PV-4."""
    bundle = written()
    provenance = only(bundle, "Provenance")
    assert "identifier" not in provenance
    assert len(provenance["target"]) == len(bundle["entry"]) - 2
    for agent in provenance["agent"]:
        assert agent["onBehalfOf"]["display"]
        assert _type_of(bundle, agent["who"]["reference"]) == "Device"
    roles = {(e["role"], e["what"].get("display")) for e in provenance["entity"]}
    assert ("source", "Observation/ldl-1 version 1") in roles, "HP-5: the version survives in words"
    assert ("derivation", "knowledge version k-1") in roles
    assert not [display for _, display in roles if display and "coded by" in display]
    coded = only(written(plan(terminology=("SNOMED CT 20260301", "ICD-10-CM 2026"))), "Provenance")
    named = [e["what"]["identifier"] for e in coded["entity"] if "coded by" in e["what"].get("display", "")]
    assert [i["value"] for i in named] == ["SNOMED CT 20260301", "ICD-10-CM 2026"]
    assert {i["system"].rpartition("/")[2] for i in named} == {"terminology-release"}
    assert provenance["reason"][0]["coding"][0]["code"] == "AIAST"


def test_device_belongs_to_no_patient() -> None:
    """DV-1: one per release, the same for every patient."""
    one, other = only(written(plan("pat-1")), "Device"), only(written(plan("pat-2")), "Device")
    assert one == other
    assert "patient" not in one
    newer = only(written(plan(model_version="m-2")), "Device")
    assert identity_of(newer) != identity_of(one)


def test_sources_that_are_no_resources_do_not_dangle() -> None:
    provenance = only(written(), "Provenance")
    (odd,) = [
        e["what"]
        for e in provenance["entity"]
        if e["what"].get("identifier", {}).get("system") == "urn:ietf:rfc:3986"
    ]
    assert "reference" not in odd
    urns = {e["fullUrl"] for e in written()["entry"]}
    for reference in every(written(), "reference"):
        if isinstance(reference, str) and reference.startswith("urn:"):
            assert reference in urns


def test_no_care_plan_when_refused() -> None:
    bundle = written(plan(refused="minor"))
    types = {e["resource"]["resourceType"] for e in bundle["entry"]}
    assert types == {"Device", "RiskAssessment", "DetectedIssue", "GuidanceResponse", "Provenance"}
    assert validate_bundle(bundle) == ()


def test_nothing_to_say_when_refused_and_empty() -> None:
    empty = plan(refused="deceased", risks=(), findings=(), questions=())
    assert written(empty)["entry"] == []


def test_no_proposals_is_a_plan_all_the_same() -> None:
    bundle = written(plan(recommendations=(), goals=(), risks=(), findings=(), questions=()))
    care_plan = only(bundle, "CarePlan")
    assert "activity" not in care_plan
    assert "no reason to propose" in care_plan["text"]["div"]
    assert validate_bundle(bundle) == ()


def test_transaction_shape() -> None:
    """1.8, E5, TX-1: conditional on the identifier alone, no identity twice."""
    bundle = written()
    urls = [e["request"]["url"] for e in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    for entry in bundle["entry"][:-1]:
        own = identity_of(entry["resource"])
        assert own is not None
        assert entry["request"] == {"method": "PUT", "url": f"{own.type}?identifier={own.system}|{own.value}"}
        assert "id" not in entry["resource"]
    assert bundle["entry"][-1]["request"] == {"method": "POST", "url": "Provenance"}


def test_two_items_of_one_key_are_told_apart() -> None:
    """TX-1: a careless rule must not sink the whole transaction."""
    other = replace(FINDING, text="Something else")
    twice = plan(
        recommendations=(STATIN, replace(STATIN, title="Other"), STATIN),
        findings=(FINDING, other, FINDING),
        risks=plan().risks * 2,
    )
    bundle = written(twice)
    names = [e["fullUrl"] for e in bundle["entry"]]
    assert len(names) == len(set(names))
    assert len(of_type(bundle, "MedicationRequest")) == 2
    assert len(of_type(bundle, "DetectedIssue")) == 2
    assert len(of_type(bundle, "RiskAssessment")) == 1
    assert validate_bundle(bundle) == ()


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidInput):
        written(replace(plan(), as_of=datetime(2026, 1, 1)))


def test_profile_claims_are_configuration() -> None:
    """CP-20."""
    canonical = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-careplan"
    bundle = written(options=WriteOptions(profiles=(("CarePlan", canonical),)))
    assert only(bundle, "CarePlan")["meta"]["profile"] == [canonical]
    assert "profile" not in only(bundle, "Device")["meta"]
    assert not list(every(written(), "profile"))


def test_narrative_has_what_a_reader_needs() -> None:
    """CP-11, FD-1."""
    div = only(written(), "CarePlan")["text"]["div"]
    for words in (
        "DRAFT",
        "needs clinician approval",
        "Testa Person",
        "2026-03-01",
        "LDL cholesterol is high",
        "muscle pain",
        "Check liver enzymes",
        "Ketoacidosis in the past",
        "Could she be pregnant?",
        "number needed to treat 32",
        "80 % interval",
        "10.1056/NEJMoa1511939",
        "Would change this",
        "Not for pregnancy.",
        "model m-1",
        "knowledge k-1",
        "does not replace judgement",
    ):
        assert words in div, words


def test_concept_without_codes_still_has_words() -> None:
    bare = replace(STATIN, code=Concept((Coding("not a uri", "1 2"), Coding(RXNORM, " ")), ""))
    concept = only(written(plan(recommendations=(bare,))), "MedicationRequest")["medicationCodeableConcept"]
    assert concept["text"] == STATIN.title
    assert concept["coding"] == [{"code": "1 2"}]


@pytest.mark.parametrize(
    ("source", "reference"),
    [
        ("Observation/1/_history/2", "Observation/1"),
        ("Observation/1", "Observation/1"),
        ("http://elsewhere.example/fhir/Observation/1", None),
        ("urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e", None),
        ("#contained", None),
        ("Observation/" + "a" * 65, None),
        ("Observation/../Patient/2", None),
        ("", None),
    ],
)
def test_sources(source: str, reference: str | None) -> None:
    parsed = parse_source(source)
    assert (parsed.reference if parsed else None) == reference


@pytest.mark.parametrize(
    ("subject", "id_"),
    [
        ("Patient/1", "1"),
        ("Patient/1/_history/2", "1"),
        ("1", "1"),
        ("urn:uuid:x", ""),
        ("Group/1", ""),
        ("", ""),
    ],
)
def test_patient_ids(subject: str, id_: str) -> None:
    assert patient_id(subject) == id_


def test_kinds_have_systems() -> None:
    for type_ in KIND_OF_TYPE:
        assert is_own_identifier_system(identity(BASE, "1", type_, "x").system)


def test_finding_texts_longer_than_a_label() -> None:
    long = replace(FINDING, text="very " * 5000)
    assert validate_bundle(written(plan(findings=(long,)))) == ()


def test_number_of_the_dose_keeps_its_value() -> None:
    half = replace(STATIN, dose_amount=Decimal("2.50"))
    dose = only(written(plan(recommendations=(half,))), "MedicationRequest")["dosageInstruction"][0]
    assert dose["doseAndRate"][0]["doseQuantity"]["value"] == 2.5


def test_later_run_has_the_same_names() -> None:
    """ID-1, ID-9: identity does not depend on time."""
    later = replace(plan(), as_of=AS_OF + timedelta(days=400))
    assert [e["fullUrl"] for e in written()["entry"]] == [e["fullUrl"] for e in written(later)["entry"]]


def test_patients_without_a_server_id_are_still_told_apart() -> None:
    one, other = (written(replace(plan(), subject=f"urn:uuid:{n}")) for n in ("a", "b"))
    assert identity_of(only(one, "CarePlan")) != identity_of(only(other, "CarePlan"))
    assert "reference" not in only(one, "CarePlan")["subject"]
    assert validate_bundle(one) == ()
