"""A person's decisions as FHIR: read back by a later run as decisions, and never as our own doing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir import decide as d
from fhir_twin.fhir.identity import item_of
from fhir_twin.fhir.read import read_chart
from fhir_twin.fhir.shelf import shelf
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.fhir.write import write_plan
from fhir_twin.model.codes import RXNORM, SNOMED, Coding, Concept
from fhir_twin.model.decision import Decision
from fhir_twin.model.plan import Plan, Reason, Recommendation

WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)
BASE = "https://ehr.example/fhir"
DOCTOR = "Practitioner/7"


def rec(key: str, kind: str, code: Coding) -> Recommendation:
    return Recommendation(
        key=key,
        kind=kind,  # type: ignore[arg-type]
        title=key,
        code=Concept((code,), key),
        rank=1,
        why=(Reason("because"),),
        dose_text="40 mg by mouth once daily",
    )


def drafts() -> dict[str, dict[str, Any]]:
    statin = rec("statin", "medication", Coding(RXNORM, "83367", "atorvastatin"))
    walk = rec("exercise", "lifestyle", Coding(SNOMED, "229065009", "Exercise therapy"))
    plan = Plan("Patient/p1", WHEN, "A B", (statin, walk), model_version="m", knowledge_version="k")
    bundle = write_plan(plan, base=BASE)
    found = {item_of(e["resource"]): e["resource"] for e in bundle["entry"]}
    return {key: {**found[key], "id": f"r-{key}"} for key in ("statin", "exercise")}


def fates(*resources: dict[str, Any]) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1960-01-01", "gender": "male"}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in (patient, *resources)],
    }
    chart = read_chart(bundle, datetime(2026, 4, 1, tzinfo=UTC), patient="p1")
    assert not chart.medications, "what we proposed is no fact about the patient (CP-4)"
    return {p.item: p for p in chart.proposals}


def test_accepted_is_active_and_read_back_as_accepted() -> None:
    after = d.decided(drafts()["statin"], Decision("statin", "accept"), DOCTOR, WHEN)
    assert (after["status"], after["intent"]) == ("active", "proposal")
    assert validate_resource({**d.standalone(after), "status": "draft"}) == ()
    assert fates(after)["statin"].fate == "accepted"


@pytest.mark.parametrize("key", ["statin", "exercise"])
def test_declined_keeps_the_reason_and_is_read_back(key: str) -> None:
    decision = Decision(key, "reject", "Patient declines", note="afraid of side effects")
    after = d.decided(drafts()[key], decision, DOCTOR, WHEN)
    found = fates(after)[key]
    assert (found.fate, found.by_us) == ("declined", False)
    assert found.reason == "Patient declines: afraid of side effects"


def test_a_decision_shows_as_a_persons_edit() -> None:
    """ID-3: the digest of the draft stays, so the next run leaves the resource alone."""
    draft = drafts()["statin"]
    assert not next(iter(shelf([draft], BASE).by_key.values()))[-1].touched
    after = d.decided(draft, Decision("statin", "accept"), DOCTOR, WHEN)
    assert next(iter(shelf([after], BASE).by_key.values()))[-1].touched


def test_an_edited_dose_and_a_note_with_their_author() -> None:
    decision = Decision("statin", "accept", dose="20 mg at night", note="start low")
    assert decision.edited
    after = d.decided(drafts()["statin"], decision, DOCTOR, WHEN)
    assert after["dosageInstruction"] == [{"text": "20 mg at night"}]
    assert after["note"][-1]["authorReference"] == {"reference": DOCTOR}
    assert "start low" in after["note"][-1]["text"]


def test_a_second_answer_replaces_the_first() -> None:
    declined = d.decided(drafts()["exercise"], Decision("exercise", "reject", "no"), "", WHEN)
    accepted = d.decided(declined, Decision("exercise", "accept"), "", WHEN)
    assert fates(accepted)["exercise"].fate == "accepted"
    assert "no" not in str(accepted.get("extension"))


def test_a_decline_without_a_reason_is_refused() -> None:
    with pytest.raises(InvalidInput):
        d.decided(drafts()["statin"], Decision("statin", "reject"), "", WHEN)


def test_alone_a_request_points_at_nothing_that_is_not_there() -> None:
    bare = {k: v for k, v in drafts()["statin"].items() if k != "id"}
    assert "urn:uuid" in str(bare)
    assert "urn:uuid" not in str(d.standalone(bare))
    assert d.standalone(bare)["requester"]["identifier"]


GOAL: dict[str, Any] = {
    "resourceType": "Goal",
    "id": "g1",
    "meta": {"versionId": "3", "lastUpdated": "2026-01-01T00:00:00Z"},
    "lifecycleStatus": "active",
    "description": {"text": "HbA1c below 7.5"},
    "subject": {"reference": "Patient/p1"},
    "extension": [{"url": "https://vendor.example/x", "valueString": "kept"}],
    "target": [
        {
            "measure": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
            "detailQuantity": {"value": 7.5, "unit": "%"},
            "dueDate": "2026-12-01",
        }
    ],
}
HBA1C = d.GoalTarget("4548-4", "HbA1c", "<", Decimal("8.0"), "%", "%")


def test_a_goal_is_changed_in_what_was_said_and_nothing_else() -> None:
    after = d.goal(
        GOAL,
        patient="p1",
        words="HbA1c below 7.5",
        status="active",
        priority="",
        targets=(HBA1C,),
        by="",
        when=WHEN,
    )
    assert after["extension"] == GOAL["extension"]
    assert after["description"] == GOAL["description"]
    assert after["target"][0]["dueDate"] == "2026-12-01"
    assert after["target"][0]["detailQuantity"]["value"] == 8
    assert "versionId" not in after.get("meta", {})


def test_a_new_goal_is_valid_and_the_patients() -> None:
    made = d.goal(
        None, patient="p1", words="walk daily", status="active", priority="high-priority", targets=(HBA1C,), by=DOCTOR,
        when=WHEN,
    )  # fmt: skip
    assert validate_resource({**made, "lifecycleStatus": "proposed"}) == ()
    assert made["subject"] == {"reference": "Patient/p1"}


@pytest.mark.parametrize("bad", [{"status": "nope"}, {"priority": "urgent"}, {"words": " "}])
def test_a_goal_that_makes_no_sense_is_refused(bad: dict[str, str]) -> None:
    given = {"words": "x", "status": "active", "priority": "", **bad}
    with pytest.raises(InvalidInput):
        d.goal(None, patient="p1", targets=(), by="", when=WHEN, **given)


def test_preferences_are_observations_that_are_valid() -> None:
    for stated in (True, False):
        made = d.preference(
            "avoid-injections", "injection", stated=stated, patient="p1", by=DOCTOR, when=WHEN
        )
        assert validate_resource(made) == ()
    assert validate_resource(d.decision_provenance(["Goal/1"], "", WHEN, organization="A clinic")) == ()
