"""The HTTP service on a sandbox over a real socket."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator

import pytest
import requests
from werkzeug.serving import make_server

from fhir_twin.errors import LoginRequired
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

PATIENT = stories()[0][0]


@pytest.fixture(scope="module")
def base(stocked_sandbox: str, all_knowledge: Knowledge) -> Iterator[str]:
    settings = load_settings({"server": stocked_sandbox}, {})
    app = create_app(open_service(settings, all_knowledge), settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with contextlib.closing(server.socket):
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_health_and_ready(base: str) -> None:
    assert requests.get(f"{base}/health", timeout=10).json()["status"] == "ok"
    ready = requests.get(f"{base}/ready", timeout=10)
    assert ready.status_code == 200
    assert "sandbox" in ready.json()["server"]


def test_metadata_is_a_capability_statement(base: str) -> None:
    """FA-1, cpb-14."""
    answer = requests.get(f"{base}/metadata", timeout=10)
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.json()["fhirVersion"] == "4.0.1"
    assert answer.json()["implementation"]["description"]


def test_a_dry_run_then_a_run_then_nothing_new(base: str) -> None:
    dry = requests.post(f"{base}/api/patients/{PATIENT}/run?dryRun=true&asOf=2026-11-01", timeout=60).json()
    assert dry["state"] == "dry-run"
    assert dry["plan"]["recommendations"]
    wet = requests.post(f"{base}/api/patients/{PATIENT}/run", json={"asOf": "2026-11-01"}, timeout=60).json()
    assert wet["state"] == "written"
    again = requests.post(
        f"{base}/api/patients/{PATIENT}/run", json={"asOf": "2026-11-01"}, timeout=60
    ).json()
    assert again["state"] == "unchanged"


def test_a_bundle_in_the_body_gives_a_plan_and_writes_nothing(base: str) -> None:
    answer = requests.post(f"{base}/api/run?show=plan,output", json=load_bundles()[1], timeout=60)
    assert answer.status_code == 200
    assert answer.json()["output"]["type"] == "transaction"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing/here", None, 404, "not-found"),
        ("GET", f"/api/patients/{PATIENT}/run", None, 405, "not-supported"),
        ("POST", "/api/patients/nobody/run", None, 404, "not-found"),
        ("POST", "/api/patients/..%2f..%2fmetadata/run", None, 400, "invalid"),
        ("POST", f"/api/patients/{PATIENT}/run?dryRun=perhaps", None, 400, "invalid"),
        ("POST", f"/api/patients/{PATIENT}/run?surprise=1", None, 400, "invalid"),
        ("POST", f"/api/patients/{PATIENT}/run?asOf=yesterday", None, 400, "invalid"),
        ("POST", "/api/run", b"{not json", 400, "invalid"),
        ("POST", "/api/run", b'{"resourceType":"Patient"}', 400, "invalid"),
        ("POST", "/api/run", b'{"resourceType":"Bundle","type":"collection"}', 400, "invalid"),
    ],
)
def test_errors_are_operation_outcomes(
    base: str, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    """FA-5."""
    answer = requests.request(method, base + path, data=body, timeout=30)
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert answer.status_code in (status, 404) if "%2f" in path else answer.status_code == status
    if "%2f" not in path:
        assert outcome["issue"][0]["code"] == code
    assert validate_resource(outcome) == ()


def test_too_large_a_body_is_refused_and_the_service_lives(base: str) -> None:
    answer = requests.post(f"{base}/api/run", data=b" " * 17_000_000, timeout=60)
    assert answer.status_code == 413
    assert requests.get(f"{base}/health", timeout=5).ok


def test_pages_are_hardened_and_whole(base: str) -> None:
    """security.md 5.2: strict CSP, no-store, nosniff; no script is needed."""
    listing = requests.get(base + "/", headers={"Accept": "text/html"}, timeout=30)
    assert PATIENT in listing.text
    page = opened(base, PATIENT)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    for part in ("Proposals", "The twin", "<svg", "80 % interval", "<desc>"):
        assert part in page.text
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page.text, re.DOTALL)
    assert scripts
    assert not any(scripts), "a strict CSP runs no script that stands in the page"
    assert "style=" not in page.text
    assert " on" + "click=" not in page.text


def opened(base: str, patient: str) -> requests.Response:
    """The patient's page, after it was read."""
    browser = requests.Session()
    browser.headers["Accept"] = "text/html"
    page = browser.get(f"{base}/patients/{patient}", timeout=60)
    for _ in range(100):
        if "data-progress" not in page.text:
            break
        time.sleep(0.1)
        page = browser.get(page.url, timeout=60)
    return page


def test_a_page_error_is_a_page(base: str) -> None:
    page = opened(base, "nobody")
    assert page.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")


def test_a_foreign_host_header_is_refused(base: str) -> None:
    """DNS rebinding: without a key only loopback names are served."""
    for accept in ("*/*", "text/html"):
        for path in ("/api/patients", "/", "/launch", "/nowhere"):
            foreign = {"Host": "evil.example", "Accept": accept}
            assert requests.get(base + path, headers=foreign, timeout=10).status_code == 400


def test_a_host_header_that_is_no_name(stocked_sandbox: str, all_knowledge: Knowledge) -> None:
    """With a key any name is served; an error page cannot make addresses of what is no name."""
    settings = load_settings({"server": stocked_sandbox, "host": "0.0.0.0", "api_key": "k"}, {})
    app = create_app(open_service(settings, all_knowledge), settings)
    headers = {"Host": "x" * 300, "Accept": "text/html"}
    assert app.test_client().get("/", headers=headers).status_code == 401
    assert app.test_client().get("/", headers={**headers, "X-API-Key": "k"}).status_code == 400


def test_off_loopback_a_key_is_needed(stocked_sandbox: str, all_knowledge: Knowledge) -> None:
    settings = load_settings({"server": stocked_sandbox, "host": "0.0.0.0"}, {})
    service = open_service(settings, all_knowledge)
    with pytest.raises(LoginRequired):
        create_app(service, settings)
    keyed = load_settings({"server": stocked_sandbox, "host": "0.0.0.0", "api_key": "k3y"}, {})
    client = create_app(service, keyed).test_client()
    assert client.get("/health").status_code == 200
    refused = client.get("/api/patients")
    assert refused.status_code == 401
    assert json.loads(refused.data)["issue"][0]["code"] == "login"
    assert client.get("/api/patients", headers={"X-API-Key": "k3y"}).status_code == 200
    assert client.get("/api/patients", headers={"Authorization": "Bearer k3y"}).status_code == 200
