"""Content negotiation, read and search, and an external terminology server in front of our own releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from flask.testing import FlaskClient

from fhir_twin.fhir.validate import validate_resource
from fhir_twin.fhir.xml import from_xml, to_xml
from fhir_twin.knowledge import Knowledge
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_terminology_server
from terminology import Terminology, open_terminology
from terminology.library import import_release

BASE = "https://tx.example.org/r4"
CS, VS = "http://example.org/cs", "http://example.org/vs"
RESOURCES = [
    {"resourceType": "CodeSystem", "id": "one", "url": CS, "version": "1", "name": "Tiny", "title": "A tiny one",
     "status": "active", "content": "complete", "concept": [{"code": "a", "display": "Alpha"}]},
    {"resourceType": "ValueSet", "url": VS, "version": "2", "name": "TinySet", "status": "draft",
     "compose": {"include": [{"system": CS}]}},
    {"resourceType": "ConceptMap", "url": "http://example.org/cm", "name": "TinyMap", "status": "active",
     "group": [{"source": CS, "target": "http://t", "element": [
         {"code": "a", "target": [{"code": "T", "equivalence": "equal"}]}]}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Terminology:
    folder = tmp_path_factory.mktemp("tx")
    entries = [{"resource": r} for r in RESOURCES]
    (folder / "b.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    import_release("fhir", folder / "b.json", folder / "out")
    return open_terminology(folder / "out")


@pytest.fixture
def client(shelf: Terminology, all_knowledge: Knowledge) -> Iterator[FlaskClient]:
    service = TwinService(None, None, all_knowledge)  # type: ignore[arg-type]
    yield create_app(service, load_settings({}, {}), lambda: shelf).test_client()
    shelf.upstream = None


def get(client: FlaskClient, path: str, **headers: str) -> Any:
    return client.get(f"/fhir/{path}", base_url="http://127.0.0.1", headers=headers)


def test_read_and_search(client: FlaskClient) -> None:
    for type_ in ("CodeSystem", "ValueSet", "ConceptMap"):
        found = get(client, type_).get_json(force=True)
        assert found["total"] == 1 and validate_resource(found) == ()
        id_ = found["entry"][0]["resource"]["id"]
        whole = get(client, f"{type_}/{id_}").get_json(force=True)
        assert (
            whole["id"] == id_
            and set(whole) & {"concept", "compose", "group"}
            and validate_resource(whole) == ()
        )
    short = get(client, "ValueSet?_summary=true").get_json(force=True)
    assert "compose" not in short["entry"][0]["resource"] and validate_resource(short) == ()
    assert get(client, "CodeSystem/one").status_code == 200  # the resource's own id, where it is unique


@pytest.mark.parametrize(
    ("query", "total"),
    [(f"url={VS}", 1), (f"url={VS}|2", 1), (f"url={VS}|3", 0), ("name=tiny", 1), ("name:exact=tiny", 0),
     ("status=draft", 1), ("status=active,draft", 1), ("title:contains=x", 0), ("version=2", 1), ("_count=0", 1)],
)  # fmt: skip
def test_search_parameters(client: FlaskClient, query: str, total: int) -> None:
    assert get(client, f"ValueSet?{query}").get_json(force=True)["total"] == total


@pytest.mark.parametrize(
    ("path", "status"),
    [("ValueSet?nonsense=1", 400), ("ValueSet/none", 404), ("ValueSet?_count=x", 400),
     ("CodeSystem/$lookup?_format=ttl", 406)],
)  # fmt: skip
def test_what_is_refused(client: FlaskClient, path: str, status: int) -> None:
    answer = get(client, path)
    assert answer.status_code == status
    assert answer.get_json(force=True)["resourceType"] == "OperationOutcome"


def test_xml_in_and_out(client: FlaskClient) -> None:
    """FA-3: _format wins over Accept; a Parameters resource may come as XML."""
    asked = {"resourceType": "Parameters", "parameter": [
        {"name": "url", "valueUri": VS}, {"name": "coding", "valueCoding": {"system": CS, "code": "a"}}]}  # fmt: skip
    answer = client.post(
        "/fhir/ValueSet/$validate-code", base_url="http://127.0.0.1", data=to_xml(asked),
        content_type="application/fhir+xml", headers={"Accept": "application/fhir+xml"},
    )  # fmt: skip
    assert answer.status_code == 200 and answer.content_type.startswith("application/fhir+xml")
    told = from_xml(answer.data)
    assert {"name": "result", "valueBoolean": True} in told["parameter"]
    expanded = get(client, f"ValueSet/$expand?url={VS}&_format=xml", Accept="application/fhir+json")
    assert from_xml(expanded.data)["expansion"]["total"] == 1
    lost = get(client, "ValueSet/$expand?url=http://nowhere", Accept="application/xml")
    assert lost.status_code == 404 and from_xml(lost.data)["resourceType"] == "OperationOutcome"
    json_again = get(client, f"ValueSet/$expand?url={VS}&_format=json", Accept="application/fhir+xml")
    assert json_again.content_type.startswith("application/fhir+json")


def test_operations_on_instances(client: FlaskClient) -> None:
    ids = {
        t: get(client, t).get_json(force=True)["entry"][0]["resource"]["id"]
        for t in ("CodeSystem", "ValueSet", "ConceptMap")
    }
    expanded = get(client, f"ValueSet/{ids['ValueSet']}/$expand").get_json(force=True)
    assert expanded["expansion"]["contains"][0]["code"] == "a"
    inside = get(client, f"ValueSet/{ids['ValueSet']}/$validate-code?system={CS}&code=a").get_json(force=True)
    known = get(client, f"CodeSystem/{ids['CodeSystem']}/$validate-code?code=a").get_json(force=True)
    mapped = get(client, f"ConceptMap/{ids['ConceptMap']}/$translate?system={CS}&code=a").get_json(force=True)
    for answer in (inside, known, mapped):
        assert {"name": "result", "valueBoolean": True} in answer["parameter"]


@responses.activate
def test_the_server_is_asked_first_and_who_answered_is_told(client: FlaskClient, shelf: Terminology) -> None:
    settings = load_settings({"terminology_server": BASE, "terminology_token": "t0p"}, {})
    shelf.upstream = open_terminology_server(settings, shelf)
    remote = {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": "equivalent"}]}
    responses.post(f"{BASE}/CodeSystem/$subsumes", json=remote)
    path = f"CodeSystem/$subsumes?system={CS}&codeA=a&codeB=a"
    assert [get(client, path).headers["X-Terminology-Answered-By"] for _ in range(2)] == ["remote", "cache"]
    assert len(responses.calls) == 1 and responses.calls[0].request.headers["Authorization"] == "Bearer t0p"
    sent = json.loads(responses.calls[0].request.body)
    assert {"name": "codeA", "valueCode": "a"} in sent["parameter"]
    responses.post(f"{BASE}/CodeSystem/$lookup", status=404, json={"resourceType": "OperationOutcome"})
    answer = get(client, f"CodeSystem/$lookup?system={CS}&code=a")
    assert answer.status_code == 200 and answer.headers["X-Terminology-Answered-By"] == "local"
    responses.post(f"{BASE}/ValueSet/$expand", body=requests.ConnectionError("secret"))
    for _ in range(5):
        answer = get(client, f"ValueSet/$expand?url={VS}")
        assert answer.status_code == 200 and answer.headers["X-Terminology-Answered-By"] == "local"
    assert sum("$expand" in str(c.request.url) for c in responses.calls) == 3  # then the circuit is open
    assert get(client, path).headers["X-Terminology-Answered-By"] == "cache"


def test_a_url_that_is_none_is_refused(shelf: Terminology) -> None:
    from fhir_twin.errors import InvalidInput

    with pytest.raises(InvalidInput):
        open_terminology_server(load_settings({"terminology_server": "file:///etc/passwd"}, {}), shelf)
    assert open_terminology_server(load_settings({}, {}), shelf) is None
