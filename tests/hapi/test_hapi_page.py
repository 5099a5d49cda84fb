"""Deciding on the page against a real HAPI server: what is written validates there, and the next run respects it."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_twin.fhir.identity import item_of
from fhir_twin.knowledge import load_knowledge
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.settings import load_settings
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.web import create_app
from fhir_twin.wiring import open_server, open_service

pytestmark = pytest.mark.hapi
HERE: dict[str, Any] = {"base_url": "http://127.0.0.1", "headers": {"Accept": "text/html"}}
TYPES = (
    "MedicationRequest",
    "ServiceRequest",
    "NutritionOrder",
    "CommunicationRequest",
    "Goal",
    "Observation",
)


def renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {k: renamed(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, old, new) for v in value]
    return value.replace(old, new) if isinstance(value, str) else value


def read(client: Any, url: str) -> str:
    """The page, however long the server takes."""
    for _ in range(20):
        page = str(client.get(url, **HERE).get_data(as_text=True))
        if "data-progress" not in page:
            return page
    raise AssertionError("the record was not read")


def of_ours(server: FhirServer, patient: str) -> dict[str, dict[str, Any]]:
    found = [r for t in TYPES[:4] for r in server.search(t, {"patient": patient})]
    return {item_of(r): r for r in found if item_of(r)}


def test_decisions_goals_and_preferences_on_hapi(hapi: str, tmp_path: Path) -> None:
    settings = load_settings({"server": hapi, "cache": str(tmp_path)}, {})
    server, patient = open_server(settings), f"page-{uuid.uuid4().hex[:12]}"
    server.transaction(renamed(load_bundles()[0], "sandbox-arthur-bell", patient))
    service = open_service(settings, load_knowledge())
    client = create_app(service, settings).test_client()
    url = client.get(f"/patients/{patient}", **HERE).headers["Location"]
    page = read(client, url)
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, page[:3000]

    def post(path: str, **form: Any) -> Any:
        answer = client.post(url + path, data={"csrf_token": found[1], **form}, **HERE)  # type: ignore[index]
        assert answer.status_code in (200, 303), answer.get_data(as_text=True)[:3000]
        return answer

    post("decide", item="statin", action="accept", dose_text="20 mg by mouth at night", note="start low")
    post("decide", item="dash-diet", action="reject", reason="Patient declines")
    post("decide", item="exercise", action="reject", reason="Other things come first now")
    read(client, url)
    review = client.get(url + "review", **HERE).get_data(as_text=True)
    token = re.search(r'name="token" value="([^"]+)"', review)
    assert token, review[:3000]
    written = post("write", token=token[1]).get_data(as_text=True)
    assert "Written to the record" in written
    page = read(client, url)
    goal = re.search(r'name="proposed" value="([^"]+)"', page)
    assert goal
    post("goal", proposed=goal[1])
    post("goals/write")
    read(client, url)
    post("preferences", preference="avoid-injections")
    post("goals/write")
    _is_there(server, patient)
    again = service.run_one(patient, datetime.now(UTC))
    assert again.run is not None
    assert {"dash-diet", "exercise"} & {r.key for r in again.run.plan.recommendations} == set()
    assert [p.key for p in again.run.plan.preferences] == ["avoid-injections"]
    assert of_ours(server, patient)["statin"]["status"] == "active"


def _is_there(server: FhirServer, patient: str) -> None:
    ours = of_ours(server, patient)
    assert ours["statin"]["status"] == "active"
    assert ours["statin"]["dosageInstruction"][0]["text"] == "20 mg by mouth at night"
    assert ours["dash-diet"]["status"] == ours["exercise"]["status"] == "revoked"
    goals = [g for g in server.search("Goal", {"patient": patient}) if not g.get("identifier")]
    assert [g["lifecycleStatus"] for g in goals] == ["active"]
    stated = server.search("Observation", {"patient": patient, "code": "75773-2"})
    assert len(stated) == 1
    for resource in (*ours.values(), *goals, *stated):
        outcome = server.client.request(
            "POST", f"{resource['resourceType']}/$validate", body=_body(resource),
            headers={"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"},
        ).body  # fmt: skip
        faults = [i for i in json.loads(outcome)["issue"] if i["severity"] in ("error", "fatal")]
        assert faults == [], (resource["resourceType"], faults)


def _body(resource: dict[str, Any]) -> bytes:
    return orjson.dumps(resource, default=str)
