"""Self-test E: can plans be written here? Only with --write. Everything made is named, and deleted again at the end.

A made-up Patient is created; where that is not allowed, drafts are written for the patient that is named. Every
resource carries the tag `fhir-twin-check`, so that what a broken connection leaves behind can be found.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from fhir_twin.errors import TwinError
from fhir_twin.transport.answers import try_resource
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.selftest import Check
from fhir_twin.transport.selftest_bench import (
    SYSTEM,
    Bench,
    clean_up,
    test_goal,
    test_plan,
    test_provenance,
    test_request,
    test_risk,
    test_subject,
)
from fhir_twin.transport.selftest_transaction import transaction

Json = dict[str, Any]


def writing(server: FhirServer, capability: ServerCapability, patient: str = "") -> Iterator[Check]:
    """E1 to E13. Never raises; what it could not delete is named in the last check."""
    bench = Bench(server, uuid.uuid4().hex[:16])
    try:
        yield from _steps(bench, capability, patient)
    except TwinError as error:
        yield Check("writing", "fail", error.message, "what was made so far is deleted", id="E0")
    finally:
        left = clean_up(bench)
    if left:
        yield Check(
            "clean-up",
            "fail",
            f"could not be deleted: {', '.join(left)}",
            "delete them by hand, or search by the tag fhir-twin-check",
            id="E99",
        )
    else:
        yield Check("clean-up", "pass", f"{len(bench.made)} test resources were deleted again", id="E99")


def _steps(bench: Bench, capability: ServerCapability, patient: str) -> Iterator[Check]:
    yield _somebody(bench, patient)
    if not bench.patient:
        return
    reply, plan = bench.create(test_plan(bench))
    if reply.status != 201 or not plan:
        yield Check(
            "create CarePlan",
            "fail" if capability.supports("CarePlan", "create") else "not offered",
            f"answered {reply.status}",
            "plans go into a DocumentReference, or to a file (--out)",
            id="E8",
        )
        yield from _document(bench)
        return
    yield Check("create CarePlan", "pass", "a draft was written", id="E8")
    yield _read_back(bench, plan)
    yield from _update(bench, plan)
    yield _once(bench)
    yield from _prefer(bench)
    for resource, ident in (
        (test_goal(bench), "E2"),
        (test_request(bench), "E4"),
        (test_risk(bench), "E8b"),
        (test_provenance(bench, plan), "E3"),
    ):
        yield _create(bench, resource, ident)
    yield from transaction(bench, capability)
    yield _seen(bench)
    yield _deleted(bench)


def _somebody(bench: Bench, patient: str) -> Check:
    if patient:
        bench.patient = patient
        return Check("test patient", "pass", "drafts are written for the patient named", id="E0")
    person = {
        "resourceType": "Patient",
        "active": False,
        "name": [{"family": "fhir-twin check", "given": ["delete me"]}],
    }
    reply, place = bench.create(bench.tagged(person, "patient"))
    if reply.status == 201 and place:
        bench.patient = place.partition("/")[2]
        return Check("test patient", "pass", "created", id="E0")
    return Check(
        "test patient",
        "not offered",
        f"Patients cannot be created here ({reply.status})",
        "name a test patient of yours: --patient ID",
        id="E0",
    )


def _create(bench: Bench, resource: Json, ident: str) -> Check:
    type_ = resource["resourceType"]
    reply, place = bench.create(resource)
    if reply.status == 201 and place:
        return Check(f"create {type_}", "pass", "written", id=ident)
    return Check(
        f"create {type_}",
        "not offered" if reply.status in (403, 404, 405, 501) else "fail",
        f"answered {reply.status}",
        "its content goes into the plan's narrative",
        id=ident,
    )


def _read_back(bench: Bench, plan: str) -> Check:
    found = try_resource(bench.send("GET", plan)) or {}
    sent = test_plan(bench)
    lost = sorted(
        k
        for k in ("status", "intent", "title", "subject", "identifier", "category")
        if found.get(k) != sent[k]
    )
    if not lost:
        return Check("reads back equal", "pass", "what was written is what is read", id="E13")
    return Check(
        "reads back equal",
        "warn",
        f"changed by the server: {', '.join(lost)}",
        "repeated runs may rewrite these each time",
        id="E13",
    )


def _update(bench: Bench, plan: str) -> Iterator[Check]:
    found = bench.send("GET", plan)
    resource = try_resource(found) or {}
    version = str((resource.get("meta") or {}).get("versionId") or "")
    tag = found.headers.get("ETag") or (f'W/"{version}"' if version else "")
    changed = {**resource, "title": "Connection test, changed"}
    first = bench.send("PUT", plan, changed, If_Match=tag) if tag else bench.send("PUT", plan, changed)
    ok = first.status in (200, 201)
    yield Check(
        "update",
        "pass" if ok else "fail",
        f"answered {first.status}",
        "" if ok else "plans cannot be renewed",
        id="E7",
    )
    if not ok or not tag:
        return
    stale = bench.send("PUT", plan, {**changed, "title": "Connection test, too late"}, If_Match=tag)
    if stale.status in (409, 412):
        yield Check("lost updates", "pass", f"a stale version is refused with {stale.status}", id="E7b")
    else:
        yield Check(
            "lost updates",
            "fail",
            f"a stale version answers {stale.status}",
            "somebody's edit could be overwritten: let nobody edit plans while runs are on",
            id="E7b",
        )


def _once(bench: Bench) -> Check:
    """The same conditional create twice: one resource (E5, E6)."""
    goal = bench.tagged({**test_goal(bench)}, "once")
    how = {"If_None_Exist": f"identifier={SYSTEM}|{bench.mark}-once"}
    first, one = bench.create(goal, **how)
    second, two = bench.create(goal, **how)
    if second.status == 200 or (one and one == two):
        return Check("conditional create", "pass", "twice is one", id="E5")
    if first.status != 201:
        return Check(
            "conditional create",
            "not offered",
            f"answered {first.status}",
            "plans are looked for before each write",
            id="E5",
        )
    return Check(
        "conditional create",
        "fail",
        f"a second resource was made ({second.status})",
        "run one writer at a time; duplicates are looked for after each write",
        id="E5",
    )


def _prefer(bench: Bench) -> Iterator[Check]:
    for wish in ("minimal", "representation", "OperationOutcome"):
        reply, place = bench.create(test_plan(bench, f"prefer-{wish}"), Prefer=f"return={wish}")
        ok = reply.status == 201 and bool(place)
        yield Check(
            f"Prefer return={wish}",
            "pass" if ok else "warn",
            f"answered {reply.status}" + ("" if place else ", no id"),
            id="E11",
        )


def _seen(bench: Bench) -> Check:
    params = {"identifier": f"{SYSTEM}|{bench.mark}-plan", "_count": "5"}
    page = bench.server.search_page("CarePlan", params, no_cache=True)
    if any(
        isinstance(e, dict) and (e.get("resource") or {}).get("resourceType") == "CarePlan"
        for e in page.get("entry") or ()
    ):
        return Check("found after writing", "pass", "by identifier, at once", id="F7")
    return Check(
        "found after writing",
        "warn",
        "not found by identifier at once",
        "plans written shortly one after another may be duplicates",
        id="F7",
    )


def _deleted(bench: Bench) -> Check:
    reply, place = bench.create(test_plan(bench, "gone"))
    if reply.status != 201 or not place:
        return Check("delete", "not offered", f"answered {reply.status}", id="F11b")
    gone = bench.send("DELETE", place).status
    after = bench.send("GET", place).status
    ok = gone in (200, 202, 204) and after in (404, 410)
    return Check(
        "delete",
        "pass" if ok else "warn",
        f"delete answers {gone}, reading it after that {after}",
        "" if ok else "plans cannot be undone; withdrawn ones are cancelled instead",
        id="F11b",
    )


def _document(bench: Bench) -> Iterator[Check]:
    attachment = {"contentType": "text/plain", "data": "Q29ubmVjdGlvbiB0ZXN0"}
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "preliminary",
        "type": {"text": "Connection test"},
        "subject": test_subject(bench),
        "content": [{"attachment": attachment}],
    }
    yield _create(bench, bench.tagged(document, "document"), "E8c")
