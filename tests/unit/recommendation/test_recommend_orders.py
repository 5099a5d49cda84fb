"""Draft orders judged: each kind of remark, on a record made for it (issue: order-select and order-sign)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.orders import OrderRemark
from fhir_twin.pipeline import judge_drafts, run

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ME = {"reference": "Patient/p"}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", "birthDate": "1960-01-01", "gender": "male", **more}


def lab(id_: str, loinc: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": id_, "status": "final", "subject": ME,
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "effectiveDateTime": "2026-05-20T08:00:00Z",
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }  # fmt: skip


def problem(id_: str, text: str) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": id_, "subject": ME, "code": {"text": text}}


def taken(id_: str, text: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": id_, "status": "active", "intent": "order", "subject": ME,
        "medicationCodeableConcept": {"text": text},
    }  # fmt: skip


def draft(id_: str, text: str, **more: Any) -> dict[str, Any]:
    return {**taken(id_, text), "status": "draft", **more}


def remarks(knowledge: Knowledge, record: list[dict[str, Any]], *drafts: dict[str, Any]) -> list[OrderRemark]:
    person = next((r for r in record if r["resourceType"] == "Patient"), patient())
    rows = [person, *(r for r in record if r["resourceType"] != "Patient")]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in rows]}
    done = run(bundle, knowledge, AS_OF, write=False)
    assert done.output == {}
    return list(judge_drafts(done, person, drafts, knowledge))


def kinds(found: list[OrderRemark]) -> set[tuple[str, str]]:
    return {(r.kind, r.weight) for r in found}


def test_an_allergy_is_critical(knowledge: Knowledge) -> None:
    allergy = {
        "resourceType": "AllergyIntolerance", "id": "a", "patient": ME, "code": {"text": "penicillin"},
        "reaction": [{"manifestation": [{"text": "anaphylaxis"}], "severity": "severe"}],
    }  # fmt: skip
    found = remarks(knowledge, [allergy], draft("d", "amoxicillin 500 mg"))
    assert ("allergy", "critical") in kinds(found)
    assert "AllergyIntolerance/a" in {s for r in found for s in r.sources}


def test_two_drafts_that_do_not_go_together(knowledge: Knowledge) -> None:
    found = remarks(knowledge, [], draft("d1", "simvastatin 40 mg"), draft("d2", "clarithromycin 500 mg"))
    assert {r.order for r in found if r.kind == "interaction"} == {
        "MedicationRequest/d1",
        "MedicationRequest/d2",
    }
    assert remarks(knowledge, [], draft("d1", "simvastatin 40 mg")) == [
        r for r in remarks(knowledge, [], draft("d1", "simvastatin 40 mg")) if r.kind != "interaction"
    ]


def test_the_dose_is_judged_with_the_kidneys(knowledge: Knowledge) -> None:
    record = [lab("e", "98979-8", 37, "mL/min/{1.73_m2}")]

    def metformin(value: int) -> dict[str, Any]:
        amount = {"value": value, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
        timing = {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}
        dose = [{"text": "twice daily", "timing": timing, "doseAndRate": [{"doseQuantity": amount}]}]
        return draft("d", "metformin 500 mg tablet", dosageInstruction=dose)

    topic = "metformin-dose-kidney"
    high = [r for r in remarks(knowledge, record, metformin(1000)) if r.topic == topic]
    assert [(r.kind, r.weight) for r in high] == [("dose", "warning")]
    assert topic not in {r.topic for r in remarks(knowledge, record, metformin(500))}
    unread = remarks(knowledge, record, draft("d", "metformin"))
    assert "cannot be read" in next(r for r in unread if r.topic == topic).text


def test_a_gene_speaks(knowledge: Knowledge) -> None:
    gene = {
        "resourceType": "Observation", "id": "g", "status": "final", "subject": ME,
        "code": {"coding": [{"system": "http://loinc.org", "code": "53040-2"}], "text": "CYP2C19 phenotype"},
        "effectiveDateTime": "2025-01-01", "valueCodeableConcept": {"text": "Poor metabolizer"},
    }  # fmt: skip
    found = remarks(
        knowledge, [gene, problem("c", "coronary artery disease")], draft("d", "clopidogrel 75 mg")
    )
    assert ("gene", "critical") in kinds(found)
    assert "Observation/g" in {s for r in found for s in r.sources}


def test_what_is_taken_already_and_what_goes_on(knowledge: Knowledge) -> None:
    record = [taken("m", "lisinopril 10 mg daily")]
    again = remarks(knowledge, record, draft("d", "lisinopril 20 mg"))
    assert "already-taken-lisinopril" in {r.topic for r in again}
    goes_on = draft("d", "lisinopril 20 mg", priorPrescription={"reference": "MedicationRequest/m"})
    assert "already-taken-lisinopril" not in {r.topic for r in remarks(knowledge, record, goes_on)}


def test_a_second_drug_of_a_class(knowledge: Knowledge) -> None:
    found = remarks(knowledge, [taken("m", "atorvastatin 20 mg")], draft("d", "rosuvastatin 10 mg"))
    assert "duplicate" in {r.kind for r in found}


def test_pregnancy_is_asked_for_where_it_decides(knowledge: Knowledge) -> None:
    """A missing fact that a safety rule needs is a remark, not an assumption."""
    young = patient(birthDate="1996-01-01", gender="female")
    asked = [r for r in remarks(knowledge, [young], draft("d", "lisinopril 10 mg")) if r.kind == "question"]
    assert len(asked) == 1
    assert "regnan" in asked[0].action
    assert asked[0].weight == "warning"


def test_an_unknown_drug_and_a_minor(knowledge: Knowledge) -> None:
    assert kinds(remarks(knowledge, [], draft("d", "zorgle 5"))) == {("unknown", "warning")}
    lost = {k: v for k, v in draft("d", "x").items() if k != "medicationCodeableConcept"}
    assert kinds(remarks(knowledge, [], lost)) == {("unknown", "warning")}
    minor = patient(birthDate="2015-01-01")
    assert remarks(knowledge, [minor], draft("d", "ibuprofen")) == []


def test_the_order_of_the_drafts_does_not_matter(knowledge: Knowledge) -> None:
    record = [taken("m", "warfarin 5 mg"), lab("e", "98979-8", 24, "mL/min/{1.73_m2}")]
    drafts = [draft("a", "ibuprofen 400 mg"), draft("b", "fluconazole 150 mg"), draft("c", "lisinopril 5 mg")]
    one, other = remarks(knowledge, record, *drafts), remarks(knowledge, record, *reversed(drafts))

    def told(found: list[OrderRemark]) -> set[tuple[str, str, str]]:
        return {(r.order, r.topic, r.text) for r in found}

    assert told(one) == told(other)
    assert any(r.weight == "critical" for r in one)


def test_a_draft_of_ours_is_judged_like_any_other(knowledge: Knowledge) -> None:
    """An accepted suggestion carries our tag; the reader leaves our own proposals out of the record."""
    tag = {"system": "https://fhir-twin.org/fhir/tags", "code": "fhir-twin"}
    ours = draft("d", "clarithromycin 500 mg", meta={"tag": [tag]}, intent="proposal")
    found = remarks(knowledge, [taken("m", "simvastatin 40 mg")], ours)
    assert ("interaction", "critical") in kinds(found)
