"""A patient's words in terminology questions: in no log line, no header, and not in what an error of ours says."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
import responses
from test_house_canary import CANARY, NUMBER, heard, knowledge

from fhir_twin.knowledge import Knowledge
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_terminology_server
from terminology import Terminology
from terminology.remote import RemoteDown, RemoteTerminology

__all__ = ["heard", "knowledge"]
BASE = "https://tx.example.org/r4"
CS = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/cs",
    "content": "complete",
    "concept": [{"code": "a"}],
}
VS = {
    "resourceType": "ValueSet",
    "url": "http://example.org/vs",
    "compose": {"include": [{"system": CS["url"]}]},
}


def questions() -> list[tuple[str, dict[str, Any]]]:
    coding = {"system": CS["url"], "code": f"{CANARY}{NUMBER}", "display": CANARY}
    tx = [{"name": "tx-resource", "resource": r} for r in (CS, VS)]
    asked = [
        ("ValueSet/$expand", [{"name": "url", "valueUri": VS["url"]}, {"name": "filter", "valueString": CANARY}]),
        ("ValueSet/$validate-code", [
            {"name": "url", "valueUri": VS["url"]}, {"name": "coding", "valueCoding": coding}]),
        ("CodeSystem/$lookup", [{"name": "coding", "valueCoding": coding}]),
        ("CodeSystem/$validate-code", [{"name": "coding", "valueCoding": coding}]),
        ("ConceptMap/$translate", [{"name": "coding", "valueCoding": coding}]),
        ("CodeSystem/$subsumes", [{"name": "codeA", "valueCode": CANARY}]),
        ("ValueSet/$expand", [{"name": CANARY, "valueString": NUMBER}]),
    ]  # fmt: skip
    return [(path, {"resourceType": "Parameters", "parameter": [*given, *tx]}) for path, given in asked]


@responses.activate
@pytest.mark.parametrize("remote", [False, True])
def test_questions_leave_no_trace(knowledge: Knowledge, heard: io.StringIO, remote: bool) -> None:
    shelf = Terminology()
    if remote:
        shelf.upstream = open_terminology_server(load_settings({"terminology_server": BASE}, {}), shelf)
        for path in ("ValueSet/$expand", "ValueSet/$validate-code", "CodeSystem/$lookup", "CodeSystem/$validate-code",
                     "ConceptMap/$translate", "CodeSystem/$subsumes"):  # fmt: skip
            responses.post(f"{BASE}/{path}", body=requests.ConnectionError(CANARY))
    service = TwinService(None, None, knowledge)  # type: ignore[arg-type]
    client = create_app(service, load_settings({}, {}), lambda: shelf).test_client()
    for path, body in questions():
        answer = client.post(f"/fhir/{path}", json=body, base_url="http://127.0.0.1")
        assert answer.status_code < 500
        assert CANARY not in str(answer.headers) and NUMBER not in str(answer.headers)
    refused = client.post(f"/fhir/{questions()[-1][0]}", json=questions()[-1][1], base_url="http://127.0.0.1")
    assert CANARY.encode() not in refused.data and NUMBER.encode() not in refused.data
    assert CANARY not in heard.getvalue() and NUMBER not in heard.getvalue()


@responses.activate
def test_errors_of_a_server_are_told_without_its_words() -> None:
    responses.get(f"{BASE}/CodeSystem/$lookup", body=requests.ConnectionError(CANARY))
    with pytest.raises(RemoteDown) as down:
        RemoteTerminology(BASE).lookup("s", CANARY)
    assert CANARY not in str(down.value) and down.value.__cause__ is None
