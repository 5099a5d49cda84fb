"""The workbench of the self-test's writing part: what is sent, what was made, and the test resources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fhir_twin.errors import TwinError
from fhir_twin.fhir.encode import dump_json
from fhir_twin.transport.answers import try_resource
from fhir_twin.transport.fhir_server import JSON, FhirServer
from fhir_twin.transport.http import Reply

Json = dict[str, Any]
SYSTEM = "urn:fhir-twin:check"
TAG = {"system": SYSTEM, "code": "fhir-twin-check", "display": "Made by a connection test; delete me"}
_SENT = {"Accept": JSON, "Content-Type": JSON}


@dataclass(slots=True, repr=False)
class Bench:
    """made: what has to go again, in the order of making."""

    server: FhirServer
    mark: str
    patient: str = ""
    made: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, resource: Json | None = None, **headers: str) -> Reply:
        """One call, never repeated. headers: with _ for -."""
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        body = dump_json(resource) if resource is not None else None
        return self.server.client.request(method, path, body=body, headers={**_SENT, **named}, repeat="never")

    def create(self, resource: Json, **headers: str) -> tuple[Reply, str]:
        """(answer, "Type/id" of what was made or found)."""
        reply = self.send("POST", resource["resourceType"], resource, **headers)
        place = _place(reply, resource["resourceType"])
        if reply.status == 201 and place:
            self.made.append(place)
        return reply, place

    def tagged(self, resource: Json, key: str = "") -> Json:
        """With our tag, and an identifier of this test run."""
        identifier = {"identifier": [{"system": SYSTEM, "value": f"{self.mark}-{key}"}]} if key else {}
        return {**resource, "meta": {"tag": [TAG]}, **identifier}


def _place(reply: Reply, type_: str) -> str:
    """Type/id of the Location header (any host), else of the body."""
    parts = [p for p in reply.headers.get("Location", "").split("?")[0].split("/") if p]
    if type_ in parts and parts.index(type_) + 1 < len(parts):
        return f"{type_}/{parts[parts.index(type_) + 1]}"
    found = try_resource(reply) or {}
    return f"{type_}/{found['id']}" if found.get("resourceType") == type_ and found.get("id") else ""


def clean_up(bench: Bench) -> list[str]:
    """Delete everything, newest first; what is left."""
    left = []
    for place in reversed(bench.made):
        try:
            status = bench.send("DELETE", place).status
        except TwinError:
            status = 0
        if status not in (200, 202, 204, 404, 410):
            left.append(place)
    return left


def test_subject(bench: Bench) -> Json:
    """The patient that is written for."""
    return {"reference": f"Patient/{bench.patient}"}


def test_plan(bench: Bench, key: str = "plan") -> Json:
    """A draft CarePlan."""
    text = {
        "status": "generated",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml">A connection test; delete me</div>',
    }
    category = [
        {
            "coding": [
                {"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "code": "assess-plan"}
            ]
        }
    ]
    plan = {
        "resourceType": "CarePlan",
        "text": text,
        "status": "draft",
        "intent": "proposal",
        "category": category,
    }
    return bench.tagged({**plan, "title": "Connection test", "subject": test_subject(bench)}, key)


def test_goal(bench: Bench) -> Json:
    """A proposed Goal."""
    goal = {"resourceType": "Goal", "lifecycleStatus": "proposed", "description": {"text": "Connection test"}}
    return bench.tagged({**goal, "subject": test_subject(bench), "startDate": "2026-01-01"}, "goal")


def test_request(bench: Bench) -> Json:
    """A draft ServiceRequest."""
    request = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {"text": "Connection test"},
    }
    return bench.tagged({**request, "subject": test_subject(bench)}, "request")


def test_risk(bench: Bench) -> Json:
    """A preliminary RiskAssessment."""
    risk = {"resourceType": "RiskAssessment", "status": "preliminary", "subject": test_subject(bench)}
    return bench.tagged(
        {**risk, "prediction": [{"outcome": {"text": "none"}, "probabilityDecimal": 0.0710}]}, "risk"
    )


def test_provenance(bench: Bench, plan: str) -> Json:
    """A Provenance of the plan."""
    who = {"who": {"display": "fhir-twin"}, "onBehalfOf": {"display": "connection test"}}
    made = {
        "resourceType": "Provenance",
        "target": [{"reference": plan}],
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [who],
    }
    return bench.tagged(made)
