"""Bodies that a careless reader would take, wishes that must not get lost, and a FHIR server that dies (5.3, 34-48)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from fhir_twin.errors import NotFound, UpstreamError
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.service import TwinService, moment_of
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_server, open_service

PATIENT = stories()[0][0]
RUN = f"/api/patients/{PATIENT}/run"
PERSON = '{"resourceType":"Patient","id":"p","birthDate":"1960-01-01","gender":"male"%s}'
BUNDLE = '{"resourceType":"Bundle","type":"collection","entry":[{"resource":%s}]}'
DEEP = '{"url":"x","extension":[' * 200 + '{"url":"y","valueString":"z"}' + "]}" * 200


@pytest.fixture(scope="module")
def service(stocked_sandbox: str, all_knowledge: Knowledge) -> TwinService:
    return open_service(load_settings({"server": stocked_sandbox}, {}), all_knowledge)


@pytest.fixture
def client(service: TwinService) -> FlaskClient:
    return create_app(service, load_settings({}, {})).test_client()


def person(more: str = "") -> str:
    return BUNDLE % (PERSON % more)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("[" * 100_000, "application/fhir+json", 400),
        (person(f',"extension":[{DEEP}]'), "application/fhir+json", 400),
        (person(',"multipleBirthInteger":NaN'), "application/fhir+json", 400),
        (person(',"multipleBirthInteger":-Infinity'), "application/fhir+json", 400),
        (person(',"multipleBirthInteger":1e400'), "application/fhir+json", 400),
        (person(f',"multipleBirthInteger":{"9" * 5000}'), "application/fhir+json", 400),
        (person(',"gender":"female"'), "application/fhir+json", 400),
        (person(',"name":[{"family":"\\ud800"}]'), "application/fhir+json", 400),
        (person() + person(), "application/fhir+json", 400),
        (person(), "text/html", 415),
        (person(), "application/fhir+xml", 415),
        (person(), "application/json; charset=latin1", 415),
        (person(), "application/fhir+json", 200),
        (person(), "application/x-www-form-urlencoded", 200),
    ],
)
def test_only_strict_json_in_utf8_is_read(client: FlaskClient, body: str, kind: str, status: int) -> None:
    """security.md 5.3 rows 34, 35, 37, 38, 48."""
    answer = client.post("/api/run", data=body, content_type=kind)
    assert answer.status_code == status
    if status != 200:
        assert answer.content_type.startswith("application/fhir+json")
        assert json.loads(answer.data)["resourceType"] == "OperationOutcome"


def test_a_compressed_body_is_refused(client: FlaskClient) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = client.post("/api/run", data=person(), content_type="application/json", headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (RUN, {"data": {"dryRun": "true"}}),
        (RUN, {"data": "dryRun=true", "content_type": "text/plain"}),
        (RUN + "?dryRun=false&dryRun=true", {}),
        (RUN + "?dryRun=false", {"json": {"dryRun": True}}),
    ],
)
def test_a_wish_for_a_dry_run_is_never_lost(
    client: FlaskClient, service: TwinService, path: str, options: dict[str, Any]
) -> None:
    """A form was read as "no body" once, and the plan was written."""
    assert client.post(path, **options).status_code in (400, 415)
    assert client.get("/ready").status_code == 200
    held = open_server(load_settings({"server": service.source.base}, {}))
    assert held.search("CarePlan", {"patient": PATIENT}) == []


def test_a_date_means_the_same_as_on_the_command_line(client: FlaskClient) -> None:
    answer = client.post("/api/run?asOf=2026-11-01", json=load_bundles()[0])
    assert answer.json is not None
    assert answer.json["plan"]["as_of"] == moment_of("2026-11-01").isoformat() == "2026-11-01T23:59:59+00:00"


def test_ready_tells_of_a_server_that_died_and_health_does_not(all_knowledge: Knowledge) -> None:
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        settings = load_settings({"server": sandbox.base, "retries": 0}, {})
        client = create_app(open_service(settings, all_knowledge), settings).test_client()
        assert client.get("/ready").status_code == 200
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert json.loads(answer.data)["resourceType"] == "OperationOutcome"
    assert client.get("/health").status_code == 200


def test_the_service_starts_before_its_server(
    all_knowledge: Knowledge, capsys: pytest.CaptureFixture[str]
) -> None:
    """`docker compose up` starts both at once."""
    settings = load_settings({"server": "http://127.0.0.1:9/fhir", "retries": 0}, {})
    client = create_app(open_service(settings, all_knowledge, wait_for_server=True), settings).test_client()
    assert "/ready" in capsys.readouterr().err
    assert client.get("/ready").status_code == 503
    with pytest.raises(UpstreamError):
        open_service(settings, all_knowledge)


def test_a_wrong_base_url_still_stops_the_start(stocked_sandbox: str, all_knowledge: Knowledge) -> None:
    settings = load_settings({"server": stocked_sandbox.removesuffix("/fhir") + "/wrong"}, {})
    with pytest.raises(NotFound):
        open_service(settings, all_knowledge, wait_for_server=True)


def test_a_bug_with_one_patient_leaves_the_others_alone(
    service: TwinService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [patient for patient, _, _ in stories()[:3]]
    fetch = service.source.fetch

    def broken(patient: str) -> Any:
        if patient == ids[1]:
            raise RuntimeError("Mary Canary")
        return fetch(patient)

    monkeypatch.setattr(service.source, "fetch", broken)
    outcomes = list(service.run_many(ids, moment_of("2026-11-01"), dry_run=True))
    assert [o.ok for o in outcomes] == [True, False, True]
    assert outcomes[1].error is not None
    assert "Canary" not in outcomes[1].error.message
