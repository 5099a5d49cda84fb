"""The runner of HL7's terminology tests: patterns, optional parts, order, modes; a made suite over a real socket."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tx_ecosystem.compare import Rules, difference
from tx_ecosystem.convert import from_r4, to_r4
from tx_ecosystem.older import older_forms
from tx_ecosystem.run import run_all, served
from tx_ecosystem.scrub import scrubbed

UUID = "urn:uuid:8acdbfdc-e9d2-11ed-a05b-0242ac120003"


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ({"a": [1, 2]}, {"a": [2, 1]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": "$uuid$"}, {"a": UUID}, True),
        ({"a": "$uuid$"}, {"a": "no"}, False),
        ({"a": "$instant$"}, {"a": "2026-01-01T00:00:00Z"}, True),
        ({"a": "$instant$"}, {"a": "2026-01-01"}, False),
        ({"a": "$choice:x|y$"}, {"a": "y"}, True),
        ({"a": "$fragments:code|set$"}, {"a": "the Code is not in the SET"}, True),
        ({"a": "$external:1:code1$"}, {"a": "about code1"}, True),
        ({"a": "$external:1:code1$"}, {"a": "about code2"}, False),
        ({"$optional-properties$": ["b"], "a": 1, "b": 2}, {"a": 1}, True),
        ({"$optional-properties$": ["b"], "a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ({"a": [{"$optional$": True, "x": 1}, {"x": 2}]}, {"a": [{"x": 2}]}, True),
        ({"a": [{"$optional$": True, "x": 1}, {"x": 2}]}, {"a": [{"x": 1}]}, False),
        ({"a": [{"$optional$": "!tx.fhir.org", "x": 1}]}, {"a": []}, True),
        ({"a": [{"$only$": "version:5", "x": 1}]}, {"a": []}, True),
        ({"a": [{"$only$": "version:5", "x": 1}]}, {"a": [{"x": 1}]}, False),
        ({"$count-arrays$": ["a"], "a": [1, 2]}, {"a": ["x", "y"]}, True),
        ({"a": "true"}, {"a": True}, True),
    ],
)
def test_templates(expected: dict[str, Any], actual: dict[str, Any], same: bool) -> None:
    assert (difference(expected, actual, Rules()) == "") is same


def test_own_words_for_a_message() -> None:
    rules = Rules(externals={"1": "our words"})
    assert difference({"a": "$external:1:theirs$"}, {"a": "our words"}, rules) == ""


def test_r5_and_r4() -> None:
    group = [
        {
            "element": [
                {"code": "a", "target": [{"code": "b", "relationship": "source-is-narrower-than-target"}]}
            ]
        }
    ]
    back = to_r4({"resourceType": "ConceptMap", "sourceScopeUri": "s", "group": group})
    assert back["group"][0]["element"][0]["target"][0] == {"code": "b", "equivalence": "wider"}
    assert back["sourceUri"] == "s"
    url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"
    parts = [{"url": "code", "valueCode": "status"}, {"url": "value", "valueCode": "retired"}]
    row = {"code": "x", "extension": [{"url": url, "extension": parts}]}
    read = from_r4({"resourceType": "ValueSet", "expansion": {"contains": [row]}}, "expand")
    assert read["expansion"]["contains"] == [
        {"code": "x", "property": [{"code": "status", "valueCode": "retired"}]}
    ]


CS, VS = "http://example.org/cs", "http://example.org/vs"


def test_a_made_suite_over_a_socket(tmp_path: Path) -> None:
    def write(name: str, value: Any) -> str:
        (tmp_path / name).write_text(json.dumps(value), "utf-8-sig" if name.startswith("e-") else "utf-8")
        return name

    cs = write("cs.json", {"resourceType": "CodeSystem", "url": CS, "status": "active", "content": "complete",
                           "concept": [{"code": "a", "display": "A"}, {"code": "b", "display": "B"}]})  # fmt: skip
    vs = write("vs.json", {"resourceType": "ValueSet", "url": VS, "status": "active",
                           "compose": {"include": [{"system": CS}]}})  # fmt: skip
    asked = write("q.json", {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": VS}]})
    rows = [{"system": CS, "code": c, "display": c.upper()} for c in "ba"]
    good = {"resourceType": "ValueSet", "url": VS, "status": "active", "expansion": {
        "identifier": "$uuid$", "timestamp": "$instant$", "total": 2, "contains": rows,
        "parameter": [{"name": "used-codesystem", "valueUri": CS}]}}  # fmt: skip
    tests = [
        {"name": "good", "operation": "expand", "request": asked, "response": write("e-good.json", good)},
        {"name": "bad", "operation": "expand", "request": asked,
         "response": write("e-bad.json", {**good, "url": "http://other"})},
        {"name": "other", "mode": "snomed", "operation": "expand", "request": asked, "response": "none.json"},
        {"name": "status", "operation": "lookup", "http-code": "4xx", "response": write("e-no.json", {
            "resourceType": "OperationOutcome", "$optional-properties$": ["issue"]}),
         "request": write("l.json", {"resourceType": "Parameters", "parameter": [
             {"name": "system", "valueUri": CS}, {"name": "code", "valueCode": "zz"}]})},
        {"name": "unknown", "operation": "closure", "request": asked, "response": "none.json"},
        {"name": "capability", "operation": "metadata", "response": write("e-cap.json", {
            "$optional-properties$": ["*"], "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})},
    ]  # fmt: skip
    write("test-cases.json", {"suites": [{"name": "s", "setup": [cs, vs], "tests": tests}]})
    with served(None) as base:
        counts, failures = run_all(tmp_path, base, frozenset({"general"}), {})
    assert counts["passed"] == 3 and counts["failed"] == 2 and counts["of another mode"] == 1, failures
    assert failures[0].startswith("s/bad: $.url") and "closure" in failures[1]


def test_what_the_official_runner_does_not_compare() -> None:
    known = {"url": "http://hl7.org/fhir/StructureDefinition/valueset-label", "valueString": "a."}
    other = {"url": "http://example.org/more", "valueString": "x"}
    row = {"code": "a", "extension": [known, other], "designation": [{"value": "b", "extension": [other]}]}
    given = {"resourceType": "ValueSet", "expansion": {"contains": [row]}, "compose": {"extension": [other]}}
    found = scrubbed(given, "expand")
    assert found["expansion"]["contains"] == [
        {"code": "a", "extension": [known], "designation": [{"value": "b"}]}
    ]
    assert found["compose"] == {"extension": [other]} and row["extension"] == [known, other]
    pattern = Rules(pattern=True)
    assert difference({"a": [{"x": 1}]}, {"a": [{"x": 1, "y": 2}, {"z": 3}], "b": 4}, pattern) == ""
    assert difference({"a": [{"x": 1}]}, {"a": [{"x": 2}]}, pattern)


def test_an_answer_in_the_form_of_an_older_release_of_the_tests() -> None:
    """Only a difference that a later release made is taken back; any other one stays a failure."""
    row = {"code": "x", "inactive": True}
    said = {**row, "property": [{"code": "status", "valueCode": "retired"}]}
    declared = [{"code": "status", "uri": "http://hl7.org/fhir/concept-properties#status"}]
    actual = {"resourceType": "ValueSet", "expansion": {"property": declared, "contains": [said]}}
    expected = {"resourceType": "ValueSet", "expansion": {"contains": [row]}}

    def fits(given: dict[str, Any], template: dict[str, Any]) -> bool:
        return difference(template, given, Rules()) == ""

    assert older_forms(actual, expected, fits) == ["status_of_inactive"]
    wrong = {**expected, "expansion": {"contains": [{**row, "code": "y"}]}}
    assert older_forms(actual, wrong, fits) == []
