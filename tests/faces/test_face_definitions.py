"""Our knowledge as FHIR: definitions validate, are found, and `$apply` gives a self-contained draft CarePlan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox.stories import stories
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

PATIENT = stories()[0][0]


@pytest.fixture(scope="module")
def client(stocked_sandbox: str, all_knowledge: Knowledge) -> Iterator[FlaskClient]:
    settings = load_settings({"server": stocked_sandbox}, {})
    yield create_app(open_service(settings, all_knowledge), settings).test_client()


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    answer = client.get(path, base_url="http://127.0.0.1")
    assert answer.status_code == 200, answer.data
    body: dict[str, Any] = answer.get_json(force=True)
    return body


def test_every_definition_is_valid_r4_and_every_canonical_resolves(client: FlaskClient) -> None:
    plan = get(client, "/fhir/PlanDefinition/prevention")
    assert validate_resource(plan) == ()
    assert len(plan["action"]) >= 16
    for action in plan["action"]:
        url, _, version = action["definitionCanonical"].partition("|")
        found = get(client, f"/fhir/ActivityDefinition?url={url}&version={version}")
        assert found["total"] == 1
        resource = found["entry"][0]["resource"]
        assert validate_resource(resource) == ()
        assert resource["intent"] == "proposal"
        assert resource["relatedArtifact"], "no evidence, no advice"
    library, _, _ = plan["library"][0].partition("|")
    assert get(client, f"/fhir/Library?url={library}")["total"] == 1


def test_apply_gives_a_draft_that_stands_alone(client: FlaskClient) -> None:
    """OP-5, CP-1, CP-19."""
    plan = get(client, f"/fhir/PlanDefinition/prevention/$apply?subject=Patient/{PATIENT}")
    assert (plan["resourceType"], plan["status"], plan["intent"]) == ("CarePlan", "draft", "proposal")
    assert plan["instantiatesCanonical"][0].startswith(
        "https://fhir-twin.org/fhir/PlanDefinition/prevention|"
    )
    assert validate_resource(plan) == ()
    held = {f"#{r['id']}" for r in plan["contained"]}
    assert {a["reference"]["reference"] for a in plan["activity"]} <= held
    assert not any("meta" in r for r in plan["contained"])  # AI-5


def test_apply_by_post_and_its_refusals(client: FlaskClient) -> None:
    def post(*parts: dict[str, Any]) -> int:
        body = {"resourceType": "Parameters", "parameter": list(parts)}
        return client.post("/fhir/PlanDefinition/$apply", json=body, base_url="http://127.0.0.1").status_code

    subject = {"name": "subject", "valueString": f"Patient/{PATIENT}"}
    assert post(subject) == 200
    assert post() == 400
    assert post({"name": "subject", "valueString": PATIENT}) == 400  # OP-5: a reference without a type
    assert post(subject, subject) == 400
    assert post(subject, {"name": "surprise", "valueString": "x"}) == 400
    assert (
        post(subject, {"name": "planDefinition", "valueString": "http://elsewhere/PlanDefinition/x"}) == 400
    )
    assert post({"name": "subject", "valueString": "Patient/nobody"}) == 404
