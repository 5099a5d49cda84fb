"""FHIR terminology operations over the service: exact names, negative answers, errors (standards 5.2, OP-1..4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from fhir_twin.cli import main
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_library

ICD = "http://hl7.org/fhir/sid/icd-10-cm"


@pytest.fixture(scope="module")
def client(all_knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("releases")
    settings = load_settings({"terminology": str(folder)}, {})
    service = TwinService(None, None, all_knowledge)  # type: ignore[arg-type]
    yield create_app(service, settings, lambda: open_library(settings)).test_client()


def ask(
    client: FlaskClient, path: str, status: int = 200, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    call = client.post if body is not None else client.get
    answer = call(
        f"/fhir/{path}", base_url="http://127.0.0.1", **({"json": body} if body is not None else {})
    )
    assert answer.status_code == status, answer.data
    value: dict[str, Any] = answer.get_json(force=True)
    assert validate_resource(value) == ()
    return value


def parts(parameters: dict[str, Any], name: str) -> list[Any]:
    found = [p for p in parameters["parameter"] if p["name"] == name]
    return [next((v for k, v in p.items() if k.startswith("value")), p.get("part")) for p in found]


def test_lookup(client: FlaskClient) -> None:
    found = ask(client, f"CodeSystem/$lookup?system={ICD}&code=E11.22")
    assert "diabetic chronic kidney disease" in parts(found, "display")[0]
    assert parts(found, "name") and parts(found, "version")
    codes = {(p[0]["valueCode"], p[1].get("valueCode")) for p in parts(found, "property")}
    assert ("parent", "E11.2") in codes
    only = ask(client, f"CodeSystem/$lookup?system={ICD}&code=E11.22&property=parent")
    assert {p[0]["valueCode"] for p in parts(only, "property")} == {"parent"}
    posted = {"name": "coding", "valueCoding": {"system": ICD, "code": "I10"}}
    by_post = ask(client, "CodeSystem/$lookup", body={"resourceType": "Parameters", "parameter": [posted]})
    assert "hypertension" in parts(by_post, "display")[0].lower()


def test_validate_code_says_no_with_200(client: FlaskClient) -> None:
    """OP-3; CodeSystem/$validate-code takes url, ValueSet/$validate-code takes system."""
    good = ask(client, f"CodeSystem/$validate-code?url={ICD}&code=I10")
    assert parts(good, "result") == [True]
    bad = ask(client, f"CodeSystem/$validate-code?url={ICD}&code=I10.99")
    assert parts(bad, "result") == [False] and parts(bad, "message")
    wrong = ask(client, f"CodeSystem/$validate-code?url={ICD}&code=I10&display=Gout")
    assert parts(wrong, "result") == [False]
    inside = ask(client, f"ValueSet/$validate-code?url={ICD}?fhir_vs=isa/E11&system={ICD}&code=E11.22")
    assert parts(inside, "result") == [True]
    outside = ask(client, f"ValueSet/$validate-code?url={ICD}?fhir_vs=isa/E11&system={ICD}&code=I10")
    assert parts(outside, "result") == [False]


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ("E11", "E11.22", "subsumes"),
        ("E11.22", "E11", "subsumed-by"),
        ("E11", "E11", "equivalent"),
        ("E11", "I10", "not-subsumed"),
    ],
)
def test_subsumes(client: FlaskClient, a: str, b: str, outcome: str) -> None:
    assert parts(ask(client, f"CodeSystem/$subsumes?system={ICD}&codeA={a}&codeB={b}"), "outcome") == [
        outcome
    ]


def test_expand_filters_and_pages(client: FlaskClient) -> None:
    first = ask(client, f"ValueSet/$expand?url={ICD}?fhir_vs=isa/E11&count=5&includeDesignations=true")
    assert first["expansion"]["total"] > 50
    assert len(first["expansion"]["contains"]) == 5
    second = ask(client, f"ValueSet/$expand?url={ICD}?fhir_vs=isa/E11&count=5&offset=5")
    pages = [c["code"] for page in (first, second) for c in page["expansion"]["contains"]]
    assert len(set(pages)) == 10
    found = ask(client, f"ValueSet/$expand?url={ICD}?fhir_vs&filter=chronic kidney stage 3b&count=10")
    assert "N18.32" in [c["code"] for c in found["expansion"]["contains"]]
    inline = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": ICD, "filter": [
        {"property": "concept", "op": "is-a", "value": "N18"}]}]}}  # fmt: skip
    body = {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": inline}]}
    assert ask(client, "ValueSet/$expand", body=body)["expansion"]["total"] >= 9


def test_translate_through_an_imported_map(tmp_path: Path, all_knowledge: Knowledge) -> None:
    """A user's ConceptMap is imported by the command line and answers; backwards only as a suggestion (OP-1)."""
    source = tmp_path / "map.json"
    source.write_text(
        '{"resourceType":"ConceptMap","url":"http://example.org/m","version":"1","name":"M","status":"active",'
        '"group":[{"source":"http://snomed.info/sct","target":"http://hl7.org/fhir/sid/icd-10-cm","element":['
        '{"code":"38341003","target":[{"code":"I10","equivalence":"wider"}]}]}]}',
        "utf-8",
    )
    library = tmp_path / "library"
    assert main(["terminology", "--terminology", str(library), "import", "fhir", str(source)]) == 0
    settings = load_settings({"terminology": str(library)}, {})
    service = TwinService(None, None, all_knowledge)  # type: ignore[arg-type]
    client = create_app(service, settings, lambda: open_library(settings)).test_client()
    sct = "http://snomed.info/sct"
    found = ask(client, f"ConceptMap/$translate?system={sct}&code=38341003&targetsystem={ICD}")
    assert parts(found, "result") == [True]
    match = {p["name"]: p for p in parts(found, "match")[0]}
    assert match["equivalence"]["valueCode"] == "wider"
    assert match["concept"]["valueCoding"]["code"] == "I10"
    nothing = ask(client, f"ConceptMap/$translate?system={sct}&code=22298006")
    assert parts(nothing, "result") == [False] and parts(nothing, "message")
    back = ask(client, f"ConceptMap/$translate?system={ICD}&code=I10&reverse=true")
    assert "suggestion" in parts(back, "message")[0]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("CodeSystem/$lookup?code=I10", 400, "invalid"),  # OP-4
        (f"CodeSystem/$lookup?system={ICD}&code=ZZZ", 404, "not-found"),
        ("CodeSystem/$lookup?system=http://nowhere&code=1", 404, "not-found"),
        (f"CodeSystem/$lookup?system={ICD}&code=I10&surprise=1", 400, "invalid"),
        (f"CodeSystem/$validate-code?system={ICD}&code=I10", 400, "invalid"),
        (f"CodeSystem/$subsumes?system={ICD}&codeA=E11", 400, "invalid"),
        (f"ValueSet/$expand?url={ICD}?fhir_vs", 413, "too-costly"),
        ("ValueSet/$expand?url=http://nowhere/vs", 404, "not-found"),
        (f"ValueSet/$expand?url={ICD}?fhir_vs&count=-1", 400, "invalid"),
        ("CodeSystem/$nonsense", 404, "not-found"),
    ],
)
def test_errors(client: FlaskClient, path: str, status: int, code: str) -> None:
    assert ask(client, path, status)["issue"][0]["code"] == code


def test_terminology_capabilities(client: FlaskClient) -> None:
    answer = client.get("/metadata?mode=terminology", base_url="http://127.0.0.1").get_json(force=True)
    assert answer["resourceType"] == "TerminologyCapabilities"
    assert ICD in [s["uri"] for s in answer["codeSystem"]]
    assert validate_resource(answer) == ()


def test_the_library_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path)
    assert main(["terminology", "--terminology", folder, "list"]) == 0
    assert "no releases" in capsys.readouterr().out
    assert main(["terminology", "--terminology", folder, "import", "loinc", str(tmp_path / "nothing")]) == 2
    assert main(["terminology", "--terminology", folder, "info", ICD, "I10"]) == 2
    assert main(["terminology", "--terminology", folder, "remove", ICD, "2020"]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told


def test_many_codes_at_once(client: FlaskClient) -> None:
    """$batch-validate-code of HL7's terminology ecosystem, on both resource types."""

    def asked(name: str, code: str) -> dict[str, Any]:
        inner = [{"name": name, "valueUri": ICD}, {"name": "code", "valueCode": code}]
        inner += [{"name": "url", "valueUri": f"{ICD}?fhir_vs"}] if name == "system" else []
        return {"name": "validation", "resource": {"resourceType": "Parameters", "parameter": inner}}

    for type_, name in (("CodeSystem", "url"), ("ValueSet", "system")):
        questions = [asked(name, "I10"), asked(name, "I10.99")]
        body = {"resourceType": "Parameters", "parameter": questions}
        found = ask(client, f"{type_}/$batch-validate-code", body=body)
        results = [parts(p["resource"], "result") for p in found["parameter"]]
        assert results == [[True], [False]]
    ask(client, "ValueSet/$batch-validate-code", 400, {"resourceType": "Parameters"})


def test_fhir_versions_and_names_of_the_capabilities(client: FlaskClient) -> None:
    """https://hl7.org/fhir/R4/capabilitystatement-operation-versions.html; ecosystem suite `metadata`."""
    versions = ask(client, "$versions")
    assert parts(versions, "default") == ["4.0"] and parts(versions, "version") == ["4.0"]
    for path in ("metadata", "metadata?mode=terminology"):
        head = client.get(f"/fhir/{path}", base_url="http://127.0.0.1").get_json(force=True)
        assert all(head[name] for name in ("url", "version", "name", "title", "date"))
    statement = client.get("/fhir/metadata", base_url="http://127.0.0.1").get_json(force=True)
    assert statement["software"]["releaseDate"] == statement["date"]
    assert [op["name"] for op in statement["rest"][0]["operation"]] == ["versions"]
