"""Family history (FM-1), goals (GO-10), events."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from fhir_read_records import about_patient, chart, coded, quantity, resource, words

from fhir_twin.model.chart import Event, FamilyMember, PatientGoal

ROLES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"


def relative(**more: Any) -> FamilyMember:
    given = about_patient(
        "FamilyMemberHistory", **{"status": "completed", "relationship": coded("FTH", ROLES), **more}
    )
    (found,) = chart(given).family
    return found


@pytest.mark.parametrize(
    ("relationship", "code", "degree", "sex"),
    [
        (coded("FTH", ROLES), "FTH", 1, "male"),
        (coded("MTH", ROLES), "MTH", 1, "female"),
        (coded("NSIS", ROLES), "NSIS", 1, "female"),
        (coded("CHILD", ROLES), "CHILD", 1, "unknown"),
        (coded("HBRO", ROLES), "HBRO", 2, "male"),
        (coded("MGRMTH", ROLES), "MGRMTH", 2, "female"),
        (coded("COUSN", ROLES), "COUSN", 3, "unknown"),
        (coded("STPFTH", ROLES), "STPFTH", 0, "unknown"),
        (coded("HUSB", ROLES), "HUSB", 0, "unknown"),
        ({"text": "Father"}, "FTH", 1, "male"),
        ({"text": "paternal grandmother"}, "PGRMTH", 2, "female"),
        ({"text": "neighbour"}, "", 0, "unknown"),
        (None, "", 0, "unknown"),
    ],
)
def test_relationship(relationship: Any, code: str, degree: int, sex: str) -> None:
    found = relative(relationship=relationship)
    assert (found.relationship, found.degree, found.sex) == (code, degree, sex)


@pytest.mark.parametrize(
    ("onset", "age"),
    [({"onsetAge": {"value": 50, "code": "a"}}, 50), ({"onsetRange": {"low": {"value": 40}, "high": {"value": 44}}}, 42),
     ({"onsetString": "48"}, 48), ({"onsetString": "in his 40s"}, 45), ({"onsetString": "young"}, None), ({}, None)],
)  # fmt: skip
def test_conditions_of_a_relative(onset: dict[str, Any], age: float | None) -> None:
    found = relative(
        condition=[{"code": {"text": "MI"}, "contributedToDeath": True, **onset}], deceasedAge={"value": 51}
    )
    assert found.deceased
    assert [(c.concept.text, c.onset_age, c.caused_death) for c in found.conditions] == [("MI", age, True)]


def test_a_relative_with_a_modifier_on_the_condition() -> None:
    found = relative(condition=[{"code": {"text": "MI"}, "modifierExtension": [{"url": "https://x/not"}]}])
    assert found.conditions == ()


def goal(**more: Any) -> PatientGoal:
    given = resource(
        "Goal", **{"lifecycleStatus": "active", "description": {"text": "HbA1c below 8"}, **more}
    )
    (found,) = chart(given).goals
    return found


def test_a_goal_with_targets() -> None:
    found = goal(
        priority={"coding": [{"code": "high-priority"}]}, startDate="2025-01-01",
        target=[
            {"measure": coded("4548-4"), "detailQuantity": quantity(8, "%", comparator="<"), "dueDate": "2026-12-31"},
            {"measure": coded("8480-6"), "detailRange": {"low": quantity(120, "mm[Hg]"), "high": quantity(139, "mm[Hg]")}},
            {"detailInteger": 30},
            {"detailString": "feel better"},
        ],
    )  # fmt: skip
    assert (found.status, found.priority) == ("active", "high-priority")
    first, second, third, fourth = found.targets
    assert (first.value, first.comparator, first.unit) == (Decimal(8), "<", "%")
    assert first.due == datetime(2026, 12, 31, tzinfo=UTC)
    assert (second.low, second.high, second.unit) == (Decimal(120), Decimal(139), "mm[Hg]")
    assert (third.value, fourth.value) == (Decimal(30), None)


@pytest.mark.parametrize("status", ["rejected", "entered-in-error"])
def test_goals_that_do_not_hold(status: str) -> None:
    read = chart(resource("Goal", lifecycleStatus=status, description={"text": "x"}))
    assert read.goals == ()


def event(kind: str, **more: Any) -> Event:
    named = about_patient if kind == "Immunization" else resource
    (found,) = chart(named(kind, **more)).events
    return found


def test_procedure() -> None:
    found = event(
        "Procedure",
        status="completed",
        code={"text": "CABG"},
        performedPeriod={"start": "2019-01-01", "end": "2019-01-02"},
    )
    assert (found.kind, found.concept.text, found.status) == ("Procedure", "CABG", "completed")
    assert (found.time, found.time_end) == (
        datetime(2019, 1, 1, tzinfo=UTC),
        datetime(2019, 1, 2, tzinfo=UTC),
    )
    assert event("Procedure", status="not-done", code={"text": "CABG"}).status == "not-done"


def test_immunization_encounter_report() -> None:
    shot = event(
        "Immunization", status="completed", vaccineCode={"text": "flu"}, occurrenceDateTime="2025-10-01"
    )
    assert (shot.kind, shot.concept.text) == ("Immunization", "flu")
    visit = event(
        "Encounter", status="in-progress", **{"class": {"code": "IMP"}}, period={"start": "2026-05-30"}
    )
    assert (visit.categories, visit.time_end, visit.concept.label) == (("IMP",), None, "IMP")
    report = event(
        "DiagnosticReport", status="final", code={"text": "Echo"}, conclusion="LVEF 35 %", issued="2025-01-01T00:00:00Z",
        category=[coded("LAB", "http://terminology.hl7.org/CodeSystem/v2-0074")], conclusionCode=[{"text": "HFrEF"}],
    )  # fmt: skip
    assert (report.text, report.categories) == ("LVEF 35 %; HFrEF", ("LAB",))
    assert report.time == datetime(2025, 1, 1, tzinfo=UTC)


def test_orders_documents_plans() -> None:
    ordered = event(
        "ServiceRequest",
        status="active",
        intent="order",
        code={"text": "HbA1c"},
        doNotPerform=True,
        authoredOn="2026-01-01",
    )
    assert ordered.flags == ("intent-order", "do-not-perform")
    document = event(
        "DocumentReference",
        status="current",
        type={"text": "Discharge summary"},
        description="stay",
        date="2026-01-01T00:00:00Z",
    )
    assert (document.concept.text, document.text) == ("Discharge summary", "stay")
    plan = event(
        "CarePlan",
        status="active",
        intent="plan",
        title="Diabetes",
        description="diet",
        category=[{"text": "assess-plan"}],
    )
    assert (plan.concept.text, plan.text) == ("assess-plan", "Diabetes - diet")


def test_a_document_in_error_is_not_used() -> None:
    read = chart(resource("DocumentReference", status="current", docStatus="entered-in-error"))
    assert read.events == ()
    assert "entered-in-error" in words(read)


def test_an_odd_intent_does_not_become_a_flag() -> None:
    assert event("ServiceRequest", status="active", intent="x y 12").flags == ()
