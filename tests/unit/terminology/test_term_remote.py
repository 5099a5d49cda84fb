"""An external server answers the same questions; cache, circuit breaker and local answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
import responses

from terminology.library import import_release
from terminology.remote import RemoteDown, RemoteTerminology
from terminology.store import Terminology, UnknownCode, open_terminology

BASE = "https://tx.example.org/r4"
SYSTEM = "http://example.org/cs"


def parameters(**values: object) -> dict[str, object]:
    kinds = {str: "valueString", bool: "valueBoolean"}
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": n, kinds[type(v)]: v} for n, v in values.items()],
    }


@pytest.fixture
def local(tmp_path: Path) -> Terminology:
    resource = {
        "resourceType": "CodeSystem", "url": SYSTEM, "version": "1",
        "concept": [{"code": "a", "display": "Alpha local", "concept": [{"code": "b"}]}],
    }  # fmt: skip
    (tmp_path / "cs.json").write_text(json.dumps(resource))
    import_release("fhir", tmp_path, tmp_path / "out")
    return open_terminology(tmp_path / "out")


@responses.activate
def test_the_server_answers_and_is_asked_once() -> None:
    responses.get(f"{BASE}/CodeSystem/$lookup", json=parameters(name="cs", display="Alpha", version="1"))
    remote = RemoteTerminology(BASE)
    assert remote.lookup(SYSTEM, "a").display == "Alpha" and remote.answered_by == "remote"
    assert remote.lookup(SYSTEM, "a").display == "Alpha" and remote.answered_by == "cache"
    assert len(responses.calls) == 1
    assert "system=http" in str(responses.calls[0].request.url)


@responses.activate
def test_parameter_names_are_those_of_r4() -> None:
    """OP: validate-code takes url, subsumes codeA and codeB, translate targetsystem in lower case."""
    responses.get(f"{BASE}/CodeSystem/$validate-code", json=parameters(result=True, display="Alpha"))
    responses.get(f"{BASE}/CodeSystem/$subsumes", json=parameters(outcome="subsumes"))
    responses.get(f"{BASE}/ConceptMap/$translate", json=parameters(result=False))
    remote = RemoteTerminology(BASE)
    assert remote.validate(SYSTEM, "a").result
    assert remote.subsumes(SYSTEM, "a", "b") == "subsumes"
    assert remote.translate(SYSTEM, "a", "http://t") == ()
    asked = [str(c.request.url) for c in responses.calls]
    assert "url=http" in asked[0] and "system=" not in asked[0]
    assert "codeA=a" in asked[1] and "codeB=b" in asked[1]
    assert "targetsystem=" in asked[2]


@responses.activate
def test_an_unknown_code_is_no_outage(local: Terminology) -> None:
    responses.get(f"{BASE}/CodeSystem/$lookup", status=404)
    with pytest.raises(UnknownCode):
        RemoteTerminology(BASE, local).lookup(SYSTEM, "zz")


@responses.activate
def test_down_answers_locally_and_rests(local: Terminology) -> None:
    responses.get(f"{BASE}/CodeSystem/$lookup", body=requests.ConnectionError("secret in the text"))
    now = [0.0]
    remote = RemoteTerminology(BASE, local, tries=2, rest=30, clock=lambda: now[0])
    for _ in range(5):
        assert remote.lookup(SYSTEM, "a").display == "Alpha local" and remote.answered_by == "local"
    assert len(responses.calls) == 2  # then the circuit is open
    now[0] = 31.0
    remote.lookup(SYSTEM, "a")
    assert len(responses.calls) == 3


@responses.activate
@pytest.mark.parametrize("body", ["not json", "[]", '{"resourceType": "Patient"}'])
def test_nonsense_is_an_outage_and_tells_nothing(body: str) -> None:
    responses.get(f"{BASE}/CodeSystem/$subsumes", body=body)
    with pytest.raises(RemoteDown) as caught:
        RemoteTerminology(BASE).subsumes(SYSTEM, "a", "b")
    assert "not json" not in str(caught.value)


@responses.activate
@pytest.mark.parametrize(
    "body",
    [{"resourceType": "Parameters", "parameter": "x"}, {"resourceType": "Parameters", "parameter": [1, {"name": None}]},
     {"resourceType": "ValueSet", "expansion": []}, {"resourceType": "ValueSet", "expansion": {"contains": 3}}],
)  # fmt: skip
def test_shape_without_content(local: Terminology, body: dict[str, object]) -> None:
    responses.get(f"{BASE}/ValueSet/$expand", json=body)
    responses.get(f"{BASE}/CodeSystem/$validate-code", json=body)
    remote = RemoteTerminology(BASE, local)
    assert [h.code for h in remote.expand(SYSTEM).contains] == ["a", "b"] and remote.answered_by == "local"
    assert remote.validate(SYSTEM, "a").result and remote.answered_by == "local"


@responses.activate
def test_half_open_lets_one_question_through(local: Terminology) -> None:
    now = [0.0]
    remote = RemoteTerminology(BASE, local, tries=1, rest=10, clock=lambda: now[0])
    responses.get(f"{BASE}/CodeSystem/$lookup", status=503)
    remote.lookup(SYSTEM, "a")
    now[0] = 11.0
    remote.lookup(SYSTEM, "a")  # the probe fails: open again at once
    remote.lookup(SYSTEM, "b")
    assert len(responses.calls) == 2
    now[0] = 22.0
    responses.replace(responses.GET, f"{BASE}/CodeSystem/$lookup", json=parameters(display="back"))
    assert remote.lookup(SYSTEM, "a").display == "back" and remote.answered_by == "remote"


@responses.activate
def test_answers_grow_old_and_redirects_are_not_followed(local: Terminology) -> None:
    now = [0.0]
    remote = RemoteTerminology(BASE, local, keep=60, clock=lambda: now[0])
    responses.get(f"{BASE}/CodeSystem/$subsumes", json=parameters(outcome="equivalent"))
    remote.subsumes(SYSTEM, "a", "a")
    now[0] = 61.0
    remote.subsumes(SYSTEM, "a", "a")
    assert len(responses.calls) == 2
    responses.get(f"{BASE}/ConceptMap/$translate", status=302, headers={"Location": "http://127.0.0.1/steal"})
    assert remote.translate(SYSTEM, "a") == () and remote.answered_by == "local"
    assert len(responses.calls) == 3
