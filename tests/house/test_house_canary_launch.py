"""No PHI and no secret leaks from launches and cards: planted words and every token, in no log line and no error."""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ehr_peer import Ehr, Quirks, ehr, query_of
from test_house_canary import CANARY, canary_bundle, clean

from fhir_twin import log
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

PATIENT = f"{CANARY}-1"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    log.set_up("DEBUG", stream)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def peer() -> Iterator[Ehr]:
    with ehr(quirks=Quirks(refresh=True)) as running:
        rows = [e["resource"] for e in canary_bundle()["entry"] if isinstance(e["resource"], dict)]
        patient = next(r for r in rows if r.get("resourceType") == "Patient")
        running.put(patient)
        yield running


def client_of(peer: Ehr, folder: Path, knowledge: Knowledge) -> Any:
    file = folder / "servers.toml"
    file.write_text(f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "twin"\n', "utf-8")
    settings = load_settings({"servers_file": str(file), "cache": str(folder)}, {})
    return create_app(open_service(settings, knowledge), settings).test_client()


def test_a_launch_tells_the_log_nothing(
    peer: Ehr, tmp_path: Path, knowledge: Knowledge, heard: io.StringIO
) -> None:
    client = client_of(peer, tmp_path, knowledge)
    begun = client.get("/launch", query_string={"iss": peer.base, "launch": peer.launch(PATIENT)})
    state = query_of(begun.headers["Location"])["state"]
    import requests

    callback = requests.get(begun.headers["Location"], allow_redirects=False, timeout=30).headers["Location"]
    code = query_of(callback)["code"]
    landed = client.get("/callback", query_string=query_of(callback))
    assert landed.status_code == 303, landed.text
    page = client.get(landed.headers["Location"], headers={"Accept": "text/html"})
    assert page.status_code == 200
    about = client.get(landed.headers["Location"] + "session.json").json
    client.post(landed.headers["Location"] + "logout", data={"csrf_token": "wrong"})
    client.get("/callback", query_string={"state": state, "code": code})
    refused = client.get("/callback", query_string={"state": CANARY, "error": CANARY})
    assert clean(refused.text)
    said = heard.getvalue()
    assert '"event": "smart.session"' in said
    assert clean(said)
    seen = [f["_authorization"].removeprefix("Bearer ") for _, _, f in peer.seen if f["_authorization"]]
    for secret in (state, code, about["csrf"], *peer.tokens, *seen):
        assert secret not in said


def _foreign(resource: Any) -> bool:
    """The row that is about somebody else, for which the whole call would be refused."""
    return isinstance(resource, dict) and resource.get("id") == "o5"


def test_cards_tell_the_log_nothing(
    peer: Ehr, tmp_path: Path, knowledge: Knowledge, heard: io.StringIO
) -> None:
    client = client_of(peer, tmp_path, knowledge)
    rows = [e["resource"] for e in canary_bundle()["entry"] if not _foreign(e["resource"])]
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in rows]}
    prefetch = {
        "patient": rows[0],
        **dict.fromkeys(("observations", "conditions", "medications", "allergies"), bundle),
    }
    drafts = {"resourceType": "Bundle", "entry": [{"resource": r} for r in rows]}
    context = {"patientId": PATIENT, "userId": f"Practitioner/{CANARY}", "draftOrders": drafts}
    access = {"access_token": f"secret-{CANARY}", "token_type": "Bearer", "scope": CANARY}
    for hook in ("patient-view", "order-sign"):
        whole = {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context, "prefetch": prefetch}
        for body in (
            whole,
            {**whole, "fhirServer": peer.base, "fhirAuthorization": access},
            {**whole, "fhirServer": f"https://{CANARY}.example/fhir"},
            {**whole, "prefetch": {"patient": rows[0]}},
            {**whole, "hook": CANARY},
            {**whole, "context": {**context, "patientId": f"{CANARY} {CANARY}"}},
        ):
            answer = client.post(f"/cds-services/fhir-twin-{hook}", json=body)
            assert answer.status_code < 500, answer.text
            if answer.status_code != 200:
                assert clean(answer.text), answer.text
    told = {"card": str(uuid.uuid4()), "outcome": "overridden", "outcomeTimestamp": "2026-01-01T00:00:00Z"}
    told["overrideReason"] = {"userComment": CANARY, "reason": {"code": CANARY}}  # type: ignore[assignment]
    assert (
        client.post("/cds-services/fhir-twin-order-sign/feedback", json={"feedback": [told]}).status_code
        == 200
    )
    assert '"event": "cds.call"' in heard.getvalue()
    assert clean(heard.getvalue())
    stored = b"".join(p.read_bytes() for p in (tmp_path / "web").glob("web.sqlite*"))
    assert json.dumps(told["overrideReason"]).encode() not in stored
