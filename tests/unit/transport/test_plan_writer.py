"""PlanWriter against a FHIR server in memory: ID-2 to ID-9, CP-1, CP-2, TX-3 to TX-6, E5 to E9."""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from write_samples import ACE, BASE, FINDING, STATIN, MemoryCapability, MemoryServer, plan

from fhir_twin.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    NotSupported,
    UpstreamTimeout,
)
from fhir_twin.fhir.write import write_plan
from fhir_twin.model.plan import Plan
from fhir_twin.model.written import Written
from fhir_twin.transport.plan_writer import PlanWriter

_TYPES = """
    Patient Device Goal MedicationRequest ServiceRequest NutritionOrder CommunicationRequest RequestGroup
    RiskAssessment DetectedIssue GuidanceResponse CarePlan Provenance DocumentReference
"""
WITHOUT = frozenset(_TYPES.split())
STRONGER = replace(STATIN, dose_text="80 mg once daily", dose_amount=Decimal("80"))


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


def write(server: MemoryServer, what: Plan | None = None, **options: Any) -> Written:
    bundle = write_plan(what or plan(), base=BASE)
    return PlanWriter(server, sleep=lambda _: None).write("pat-1", bundle, **options)


def only(server: MemoryServer, type_: str) -> dict[str, Any]:
    (one,) = server.all(type_)
    return one


def actions(written: Written, action: str) -> list[str]:
    return sorted(i.type for i in written.items if i.action == action)


def statin_of(server: MemoryServer) -> dict[str, Any]:
    return next(
        r for r in server.all("MedicationRequest") if r["medicationCodeableConcept"]["text"] == "Atorvastatin"
    )


def test_first_run_writes_all_in_one_transaction(server: MemoryServer) -> None:
    written = write(server)
    assert written.mode == "transaction"
    assert {i.action for i in written.items} == {"create"}
    assert all(i.reference.endswith("/_history/1") for i in written.items)
    assert len(server.all("Provenance")) == 1


def test_second_run_writes_nothing(server: MemoryServer) -> None:
    """ID-7, and PV-4: no second Provenance."""
    write(server)
    count = server.writes
    again = write(server)
    assert server.writes == count
    assert {i.action for i in again.items} == {"unchanged"}
    assert again.mode == "none"
    assert not again.changed


def test_next_day_writes_nothing(server: MemoryServer) -> None:
    """ID-9: times are not content."""
    write(server)
    count = server.writes
    later = plan()
    write(server, replace(later, as_of=later.as_of.replace(day=2)))
    assert server.writes == count


def test_changed_input_updates_the_same_ids(server: MemoryServer) -> None:
    """ID-4: same ids, If-Match, one new Provenance for what changed only."""
    write(server)
    before = {(r["resourceType"], r["id"]) for r in server.store.values()}
    written = write(server, plan(recommendations=(STRONGER, *plan().recommendations[1:])))
    assert actions(written, "create") == []
    assert "MedicationRequest" in actions(written, "update")
    assert "CarePlan" in actions(written, "update")
    after = {(r["resourceType"], r["id"]) for r in server.store.values() if r["resourceType"] != "Provenance"}
    assert after == {x for x in before if x[0] != "Provenance"}
    newest = server.all("Provenance")[-1]
    assert newest["activity"]["coding"][0]["code"] == "UPDATE"
    changed = {i.reference.split("/_history")[0] for i in written.items if i.action == "update"}
    assert {t["reference"] for t in newest["target"]} == changed


def test_withdrawn_items_are_cancelled_with_a_reason(server: MemoryServer) -> None:
    """CP-2, ID-6."""
    write(server)
    written = write(server, plan(recommendations=plan().recommendations[:1], questions=(), findings=()))
    cancelled = {i.type for i in written.items if i.action == "cancel"}
    assert {
        "MedicationRequest",
        "ServiceRequest",
        "NutritionOrder",
        "RequestGroup",
        "DetectedIssue",
    } <= cancelled
    gone = [r for r in server.all("MedicationRequest") if r["status"] == "cancelled"]
    assert len(gone) == 3
    assert all("no longer" in r["statusReason"]["text"].lower() for r in gone)
    for type_ in ("ServiceRequest", "NutritionOrder", "RequestGroup", "CommunicationRequest"):
        assert only(server, type_)["status"] == "revoked"
    assert only(server, "DetectedIssue")["status"] == "cancelled"
    assert "dataRequirement" not in only(server, "GuidanceResponse")
    count = server.writes
    write(server, plan(recommendations=plan().recommendations[:1], questions=(), findings=()))
    assert server.writes == count, "a withdrawn item is withdrawn once"


def test_a_withdrawn_item_proposed_again_is_the_same_resource(server: MemoryServer) -> None:
    write(server)
    id_ = statin_of(server)["id"]
    write(server, plan(recommendations=plan().recommendations[1:]))
    assert statin_of(server)["status"] == "cancelled"
    written = write(server)
    assert statin_of(server)["id"] == id_
    assert statin_of(server)["status"] == "draft"
    assert "statusReason" not in statin_of(server)
    assert actions(written, "create") == []


def test_an_activated_plan_stays_and_nothing_new_is_written_while_we_propose_the_same(
    server: MemoryServer,
) -> None:
    """ID-3."""
    write(server)
    care_plan = only(server, "CarePlan")
    server.edit("CarePlan", care_plan["id"], status="active", intent="plan")
    count = server.writes
    written = write(server)
    assert server.writes == count
    assert set(actions(written, "left-to-clinician")) >= {"CarePlan", "Goal", "MedicationRequest"}
    assert written.mode == "none"


def test_a_new_draft_beside_an_activated_plan(server: MemoryServer) -> None:
    """ID-3, ID-5: never overwritten; new generation; said so; the old one named."""
    write(server)
    old = only(server, "CarePlan")
    server.edit("CarePlan", old["id"], status="active", intent="plan")
    frozen = dict(server.store[("CarePlan", old["id"])])
    statin_before = statin_of(server)
    written = write(server, plan(recommendations=(STRONGER, *plan().recommendations[1:])))
    assert server.store[("CarePlan", old["id"])] == frozen
    assert server.store[("MedicationRequest", statin_before["id"])] == statin_before, (
        "part of the active plan"
    )
    new = next(r for r in server.all("CarePlan") if r["id"] != old["id"])
    assert new["status"] == "draft"
    assert new["identifier"][0]["value"] == old["identifier"][0]["value"] + "-g2"
    assert f"CarePlan/{old['id']}" in {s["reference"] for s in new["supportingInfo"]}
    assert any("new draft" in i.diagnostics for i in written.issues)
    revisions = [e for p in server.all("Provenance") for e in p["entity"] if e["role"] == "revision"]
    assert [e["what"]["reference"] for e in revisions] == [f"CarePlan/{old['id']}"]
    count = server.writes
    write(server, plan(recommendations=(STRONGER, *plan().recommendations[1:])))
    assert server.writes == count, "the run after that writes nothing"


def test_the_second_draft_is_updated_in_place(server: MemoryServer) -> None:
    write(server)
    server.edit("CarePlan", only(server, "CarePlan")["id"], status="active")
    write(server, plan(recommendations=(STRONGER, *plan().recommendations[1:])))
    write(server, plan(recommendations=(STRONGER, ACE)))
    assert len(server.all("CarePlan")) == 2
    assert [r["status"] for r in server.all("CarePlan")] == ["active", "draft"]


def test_an_order_that_a_clinician_made_of_a_proposal_is_left(server: MemoryServer) -> None:
    write(server)
    id_ = statin_of(server)["id"]
    server.edit("MedicationRequest", id_, status="active", intent="order")
    frozen = dict(server.store[("MedicationRequest", id_)])
    written = write(server, plan(questions=()))
    assert server.store[("MedicationRequest", id_)] == frozen
    assert actions(written, "left-to-clinician") == ["MedicationRequest"]
    care_plan = only(server, "CarePlan")
    group_or_plan = [a["reference"]["reference"] for a in care_plan["activity"]]
    assert f"MedicationRequest/{id_}" in group_or_plan


def test_a_declined_proposal_is_not_made_again_until_it_changes(server: MemoryServer) -> None:
    write(server)
    id_ = statin_of(server)["id"]
    server.edit("MedicationRequest", id_, status="cancelled", statusReason={"text": "patient declines"})
    write(server, plan(findings=()))
    assert (
        len(
            [r for r in server.all("MedicationRequest") if "Atorva" in r["medicationCodeableConcept"]["text"]]
        )
        == 1
    )
    write(server, plan(findings=(), recommendations=(STRONGER, *plan().recommendations[1:])))
    statins = [
        r for r in server.all("MedicationRequest") if "Atorva" in r["medicationCodeableConcept"]["text"]
    ]
    assert sorted(r["status"] for r in statins) == ["cancelled", "draft"]


def test_an_edit_of_the_narrative_alone_is_seen(server: MemoryServer) -> None:
    write(server)
    care_plan = only(server, "CarePlan")
    div = care_plan["text"]["div"].replace("Patient: ", "Patient, seen by me: ")
    server.edit("CarePlan", care_plan["id"], text={"status": "additional", "div": div})
    frozen = dict(server.store[("CarePlan", care_plan["id"])])
    write(server, plan(findings=(replace(FINDING, severity="low"),)))
    assert server.store[("CarePlan", care_plan["id"])] == frozen


def test_a_new_danger_breaks_through_an_accepted_plan(server: MemoryServer) -> None:
    write(server)
    server.edit("CarePlan", only(server, "CarePlan")["id"], status="active")
    another = replace(FINDING, key="hyperkalemia", text="Potassium is dangerously high", code="LAB")
    written = write(server, plan(findings=(FINDING, another)))
    assert len(server.all("CarePlan")) == 2
    assert "DetectedIssue" in actions(written, "create")


def test_dry_run_says_and_writes_nothing(server: MemoryServer) -> None:
    written = write(server, dry_run=True)
    assert server.store == {}
    assert written.dry_run
    assert written.changed
    assert {i.action for i in written.items} == {"create"}
    assert all(i.reference == "" for i in written.items)


def test_lost_answer_is_read_back_not_sent_again(server: MemoryServer) -> None:
    """performance.md 4.5, promise 5: a timeout is an unknown outcome."""
    sent = []

    def lose(verb: str, type_: str) -> None:
        if verb == "transaction":
            sent.append(verb)
            raise UpstreamTimeout("no answer")

    server.after = lose
    written = write(server)
    assert sent == ["transaction"]
    assert len(server.all("CarePlan")) == 1
    assert {i.action for i in written.items} == {"create"}
    assert all(i.reference for i in written.items)
    assert written.mode == "transaction"


def test_a_lost_request_is_sent_again(server: MemoryServer) -> None:
    failures = [UpstreamTimeout("no answer")]

    def lose(verb: str, type_: str) -> None:
        if verb == "transaction" and failures:
            raise failures.pop()

    server.before = lose
    assert {i.action for i in write(server).items} == {"create"}
    assert len(server.all("CarePlan")) == 1


def test_always_timing_out_ends(server: MemoryServer) -> None:
    def lose(verb: str, type_: str) -> None:
        if verb == "transaction":
            raise UpstreamTimeout("no answer")

    server.before = lose
    with pytest.raises(UpstreamTimeout):
        write(server)


def test_conflict_is_read_again_and_retried(server: MemoryServer) -> None:
    """E7: somebody edits between our read and our write."""
    write(server)
    edits = [True]

    def edit(verb: str, type_: str) -> None:
        if verb == "transaction" and edits:
            edits.pop()
            server.edit("MedicationRequest", statin_of(server)["id"], status="active", intent="order")

    server.before = edit
    written = write(server, plan(recommendations=(replace(STATIN, harms=("muscle pain", "diabetes")), ACE)))
    assert statin_of(server)["status"] == "active"
    assert actions(written, "left-to-clinician") == ["MedicationRequest"]


def test_conflict_for_ever_ends_in_conflict(server: MemoryServer) -> None:
    def refuse(verb: str, type_: str) -> None:
        if verb == "transaction":
            raise Conflict("412")

    server.before = refuse
    with pytest.raises(Conflict):
        write(server)


def test_two_workers_at_once_make_one_plan(server: MemoryServer) -> None:
    """E6: the conditional create finds what the other one has just created."""
    other = [True]

    def race(verb: str, type_: str) -> None:
        if verb == "transaction" and other:
            other.pop()
            write(server)

    server.before = race
    write(server)
    assert len(server.all("CarePlan")) == 1
    assert len(server.all("MedicationRequest")) == 4


def test_duplicates_are_reported(server: MemoryServer) -> None:
    write(server)
    twin = dict(only(server, "CarePlan"), id="999")
    server.store[("CarePlan", "999")] = twin
    assert any(i.code == "duplicate" for i in write(server).issues)


def test_without_transaction_single_writes(server: MemoryServer) -> None:
    """TX-4: same result, references resolved."""
    server.capable = MemoryCapability(system=frozenset())
    written = write(server)
    assert written.mode == "single"
    assert {i.action for i in written.items} == {"create"}
    assert "urn:uuid" not in str([a["reference"] for a in only(server, "CarePlan")["activity"]])
    count = server.writes
    write(server)
    assert server.writes == count
    assert len(server.all("Provenance")) == 1


def test_single_writes_are_taken_back_when_one_is_refused(server: MemoryServer) -> None:
    server.capable = MemoryCapability(system=frozenset())

    def refuse(verb: str, type_: str) -> None:
        if (verb, type_) == ("create", "CarePlan"):
            raise Forbidden("no")

    server.before = refuse
    with pytest.raises(Forbidden) as caught:
        write(server)
    assert any("taken back" in i.diagnostics for i in caught.value.issues)
    assert {r["status"] for r in server.all("MedicationRequest")} == {"cancelled"}
    assert {r["lifecycleStatus"] for r in server.all("Goal")} == {"cancelled"}
    server.before = lambda verb, type_: None
    write(server)
    assert {r["status"] for r in server.all("MedicationRequest")} == {"draft"}
    assert len(server.all("MedicationRequest")) == 4


def test_single_updates_get_their_earlier_content_back(server: MemoryServer) -> None:
    server.capable = MemoryCapability(system=frozenset())
    write(server)
    before = statin_of(server)["dosageInstruction"]

    def refuse(verb: str, type_: str) -> None:
        if (verb, type_) == ("update", "CarePlan"):
            raise InvalidInput("no")

    server.before = refuse
    changed = plan(recommendations=(STRONGER, *plan().recommendations[1:]))
    with pytest.raises(InvalidInput):
        write(server, changed)
    assert statin_of(server)["dosageInstruction"] == before
    server.before = lambda verb, type_: None
    write(server)
    assert statin_of(server)["dosageInstruction"] == before


def test_single_writes_go_on_after_a_lost_answer(server: MemoryServer) -> None:
    """E9: resume, not repeat."""
    server.capable = MemoryCapability(system=frozenset())
    failures = [UpstreamTimeout("no answer")]

    def lose(verb: str, type_: str) -> None:
        if (verb, type_) == ("create", "RiskAssessment") and failures:
            raise failures.pop()

    server.after = lose
    write(server)
    assert len(server.all("RiskAssessment")) == 1
    assert len(server.all("CarePlan")) == 1


@pytest.mark.parametrize(
    "lacking",
    ["Provenance", "RiskAssessment", "DetectedIssue", "Goal", "RequestGroup", "GuidanceResponse", "Device"],
)
def test_lacking_types_are_left_out_and_said(server: MemoryServer, lacking: str) -> None:
    """TX-6."""
    server.capable = MemoryCapability(types=WITHOUT - {lacking})
    written = write(server)
    assert server.all(lacking) == []
    assert any(i.expression == lacking for i in written.issues)
    assert "CarePlan" in actions(written, "create")
    if lacking != "Provenance":
        assert lacking in actions(written, "dropped")
    count = server.writes
    write(server)
    assert server.writes == count


def test_choices_become_activities_without_request_group(server: MemoryServer) -> None:
    server.capable = MemoryCapability(types=WITHOUT - {"RequestGroup"})
    write(server)
    kinds = [a["reference"]["reference"].split("/")[0] for a in only(server, "CarePlan")["activity"]]
    assert kinds.count("MedicationRequest") == 4


def test_without_care_plan_a_document(server: MemoryServer) -> None:
    """E8: the narrative as DocumentReference."""
    server.capable = MemoryCapability(types=WITHOUT - {"CarePlan"})
    written = write(server)
    assert written.mode == "document"
    document = only(server, "DocumentReference")
    assert document["docStatus"] == "preliminary"
    assert "DRAFT" in document["text"]["div"]
    assert server.all("Goal") == []
    count = server.writes
    write(server)
    assert server.writes == count
    server.capable = MemoryCapability()
    write(server)
    assert only(server, "DocumentReference")["status"] == "superseded"
    assert len(server.all("CarePlan")) == 1


def test_documents_that_cannot_be_updated_are_replaced(server: MemoryServer) -> None:
    """E8: vendors whose DocumentReference is create-only."""
    server.capable = MemoryCapability(
        types=WITHOUT - {"CarePlan"}, system=frozenset(), fixed=frozenset({"DocumentReference"})
    )
    write(server)
    first = only(server, "DocumentReference")
    count = server.writes
    write(server)
    assert server.writes == count
    write(server, replace(plan(), as_of=plan().as_of.replace(day=2)))
    assert server.writes == count, "the next day is no new document"
    changed = plan(limits=("Another limit.",))
    assert write(server, changed).mode == "document"
    second = server.all("DocumentReference")[1]
    assert second["relatesTo"][0]["code"] == "replaces"
    assert second["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{first['id']}"
    count = server.writes
    assert not write(server, changed).changed
    assert server.writes == count


def test_nothing_writable_is_refused_in_words(server: MemoryServer) -> None:
    server.capable = MemoryCapability(types=frozenset({"Patient", "Observation"}))
    with pytest.raises(NotSupported, match="neither CarePlan nor DocumentReference"):
        write(server)


def test_transaction_refused_at_run_time_goes_on_singly(server: MemoryServer) -> None:
    def refuse(verb: str, type_: str) -> None:
        if verb == "transaction":
            raise NotSupported("405")

    server.before = refuse
    assert write(server).mode == "single"


def test_a_type_that_may_not_be_searched_is_left_out(server: MemoryServer) -> None:
    """GR-2: GuidanceResponse is outside the Patient compartment."""

    def refuse(verb: str, type_: str) -> None:
        if (verb, type_) == ("search", "GuidanceResponse"):
            raise Forbidden("403")

    server.before = refuse
    written = write(server)
    assert server.all("GuidanceResponse") == []
    assert any(i.expression == "GuidanceResponse" for i in written.issues)
    assert len(server.all("CarePlan")) == 1


def test_a_token_that_may_not_see_devices(server: MemoryServer) -> None:
    """TX-5: Device is in no Patient compartment."""

    def refuse(verb: str, type_: str) -> None:
        if (verb, type_) == ("search", "Device"):
            raise Forbidden("403")

    server.before = refuse
    write(server)
    assert server.all("Device") == []
    assert only(server, "CarePlan")["contributor"] == [{"display": "fhir-twin"}]
    count = server.writes
    write(server)
    assert server.writes == count


def test_scopes_without_some_types(server: MemoryServer) -> None:
    """TX-5: each entry is authorised by its own scope; what may not be written is left out, the rest is written."""
    forbidden = {"RiskAssessment", "NutritionOrder", "Provenance"}

    def refuse(verb: str, type_: str) -> None:
        if verb == "transaction" or (verb == "create" and type_ in forbidden):
            raise Forbidden("403")

    server.before = refuse
    written = write(server)
    assert written.mode == "single"
    assert {r["resourceType"] for r in server.store.values()} & forbidden == set()
    assert len(server.all("CarePlan")) == 1
    assert actions(written, "dropped") == ["NutritionOrder", "RiskAssessment"]
    assert {i.expression for i in written.issues} >= forbidden
    assert {r["status"] for r in server.all("MedicationRequest")} == {"draft"}


def test_scopes_without_care_plan_leave_no_half_plan(server: MemoryServer) -> None:
    def refuse(verb: str, type_: str) -> None:
        if verb == "transaction" or (verb == "create" and type_ in ("RiskAssessment", "CarePlan")):
            raise Forbidden("403")

    server.before = refuse
    with pytest.raises(Forbidden):
        write(server)
    assert {r["status"] for r in server.all("MedicationRequest")} == {"cancelled"}
    assert {r["status"] for r in server.all("DetectedIssue")} == {"cancelled"}


def test_sources_that_the_server_lacks_are_named_not_linked(server: MemoryServer) -> None:
    server.known = frozenset({"Patient/pat-1", "MedicationRequest/nsaid-1"})
    written = write(server)
    assert any("not on this server" in i.diagnostics for i in written.issues)
    assert "Observation/ldl-1" not in {b.get("reference") for b in only(server, "RiskAssessment")["basis"]}
    count = server.writes
    write(server)
    assert server.writes == count + 0


def test_unknown_label_becomes_devast(server: MemoryServer) -> None:
    """AI-1."""
    server.labels = frozenset({"DEVAST"})
    written = write(server)
    assert {r["meta"]["security"][0]["code"] for r in server.store.values()} == {"DEVAST"}
    assert any(i.expression == "meta.security" for i in written.issues)
    count = server.writes
    assert write(server).issues == ()
    assert server.writes == count


def test_known_label_stays(server: MemoryServer) -> None:
    server.labels = frozenset({"AIAST", "DEVAST"})
    write(server)
    assert {r["meta"]["security"][0]["code"] for r in server.store.values()} == {"AIAST"}


def test_a_server_that_alters_content_is_not_taken_for_a_person(server: MemoryServer) -> None:
    def strip(resource: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in resource.items() if k not in ("note", "extension")}

    server.strip = strip
    assert any("changed what we wrote" in i.diagnostics for i in write(server).issues)
    count = server.writes
    again = write(server)
    assert server.writes == count
    assert {i.action for i in again.items} == {"unchanged"}
    server.edit("CarePlan", only(server, "CarePlan")["id"], status="active")
    assert "CarePlan" in actions(write(server), "left-to-clinician")


def test_unknown_patient(server: MemoryServer) -> None:
    server.known = frozenset()
    with pytest.raises(NotFound):
        write(server)
    assert server.store == {}


def test_plan_of_another_patient_is_refused(server: MemoryServer) -> None:
    bundle = write_plan(plan("pat-2"), base=BASE)
    with pytest.raises(InvalidInput, match="another patient"):
        PlanWriter(server).write("pat-1", bundle)


def test_plan_for_another_server_is_refused(server: MemoryServer) -> None:
    bundle = write_plan(plan(), base="http://elsewhere.example/fhir")
    with pytest.raises(InvalidInput, match="another server"):
        PlanWriter(server).write("pat-1", bundle)


def test_refused_plan_takes_the_draft_back(server: MemoryServer) -> None:
    write(server)
    written = write(server, plan(refused="deceased"))
    assert only(server, "CarePlan")["status"] == "revoked"
    assert "WITHDRAWN" in only(server, "CarePlan")["text"]["div"]
    assert "CarePlan" in actions(written, "cancel")


def test_a_sick_server_answer_is_judged_per_entry(server: MemoryServer) -> None:
    """TX-3: 200 with a failed entry is a failure."""
    honest = server.transaction

    def lying(bundle: dict[str, Any]) -> dict[str, Any]:
        answer = honest(bundle)
        server.store.clear()
        answer["entry"][-2]["response"] = {"status": "422 Unprocessable Entity"}
        return answer

    server.transaction = lying  # type: ignore[method-assign]
    with pytest.raises(Exception, match="every entry"):
        write(server)
