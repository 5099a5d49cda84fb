"""What HL7's terminology ecosystem asks for beyond R4 (requirements, languages and tests of HL7/fhir-tx-ecosystem-ig).

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/requirements.html; the test of the same behaviour is named where the
requirement is only in the tests.
"""

from __future__ import annotations

from typing import Any

import pytest
from tx import CS, VS, ask, code_system, codes, kinds, value_set, values

from terminology.fhir import operations
from terminology.fhir.batch import MAX_VALIDATIONS, batch
from terminology.fhir.operations import Asker
from terminology.fhir.problem import TxError
from terminology.store import Terminology

STANDARDS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
EVERY = value_set({"system": CS})


def marked(status: str) -> dict[str, Any]:
    return {"extension": [{"url": STANDARDS, "valueCode": status}]}


def texts(answer: dict[str, Any]) -> list[str]:
    [outcome] = values(answer, "issues") or [{"issue": []}]
    return [i["details"]["text"] for i in outcome["issue"]]


def with_concepts(*concepts: dict[str, Any]) -> dict[str, Any]:
    return code_system(concept=list(concepts))


@pytest.mark.parametrize(
    ("status", "inactive"),
    [("retired", True), ("inactive", True), ("withdrawn", True), ("deprecated", False), ("active", False)],
)
def test_which_statuses_make_a_concept_inactive(status: str, inactive: bool) -> None:
    """ "Inactive Codes": deprecated is still valid to use; an inactive one is said to be so, and why."""
    system = with_concepts(
        {"code": "a", "display": "A", "property": [{"code": "status", "valueCode": status}]}
    )
    answer = ask("validate_in_value_set", system, EVERY, url=VS, coding={"system": CS, "code": "a"})
    assert values(answer, "result") == [True] and values(answer, "inactive") == ([True] if inactive else [])
    assert values(answer, "status") == ([] if status in ("inactive", "active") else [status])
    assert kinds(answer) == ([] if status == "active" else ["code-comment"])
    assert all("its use should be reviewed" in t for t in texts(answer))
    [row] = ask("expand", system, EVERY, url=VS)["expansion"]["contains"]
    assert row.get("inactive") is (True if inactive else None)
    assert bool(codes(ask("expand", system, EVERY, url=VS, activeOnly=True))) is not inactive


def test_a_concept_that_the_value_set_is_giving_up() -> None:
    """deprecated/validate-deprecating: the standards status of include.concept."""
    listed = value_set({"system": CS, "concept": [{"code": "h", **marked("deprecated")}, {"code": "k"}]})
    answer = ask("validate_in_value_set", code_system(), listed, url=VS, coding={"system": CS, "code": "h"})
    assert values(answer, "result") == [True] and kinds(answer) == ["code-comment"]
    assert texts(answer)[0].startswith("The presence of the concept 'h' in the system") and not values(
        answer, "message"
    )
    assert (
        kinds(ask("validate_in_value_set", code_system(), listed, url=VS, coding={"system": CS, "code": "k"}))
        == []
    )


def test_a_display_that_is_no_longer_used() -> None:
    """ "provided as the display to $validate-code, an inactive display causes a warning ... (but it is valid)"."""
    old = {"value": "Dropsy", **marked("withdrawn")}
    system = with_concepts({"code": "a", "display": "Oedema", "designation": [old, {"value": "Edema"}]})
    for display, found in (("Dropsy", ["display-comment"]), ("Edema", []), ("Oedema", [])):
        coding = {"system": CS, "code": "a", "display": display}
        answer = ask("validate_in_value_set", system, EVERY, url=VS, coding=coding)
        assert values(answer, "result") == [True] and kinds(answer) == found
        assert all("Oedema, Edema" in t and "withdrawn" in t for t in texts(answer))


def test_the_default_display_where_the_language_has_none() -> None:
    """display/validation-right-de-en: right, and said so; another name is wrong."""
    coding = {"system": CS, "code": "k", "display": "Kidney disease"}
    right = ask("validate_in_value_set", code_system(), EVERY, url=VS, coding=coding, displayLanguage="de")
    assert values(right, "result") == [True] and kinds(right) == ["invalid-display"]
    assert "'Kidney disease' which is the default language display" in values(right, "message")[0]
    wrong = {**coding, "display": "Niere"}
    answer = ask("validate_in_value_set", code_system(), EVERY, url=VS, coding=wrong, displayLanguage="de")
    assert values(answer, "result") == [False]


def test_why_a_system_cannot_be_inferred() -> None:
    """errors/errors-combination-bad: all code systems that have the code are named, or those that have it not."""
    other = {**code_system(), "url": "http://example.org/other"}
    both = value_set({"system": CS}, {"system": "http://example.org/other"})
    several = ask("validate_in_value_set", code_system(), other, both, url=VS, code="h", inferSystem=True)
    assert kinds(several) == ["cannot-infer", "not-in-vs"]
    assert f"multiple matches: [{CS}, http://example.org/other]" in values(several, "message")[0]
    none = ask("validate_in_value_set", code_system(), other, both, url=VS, code="zz", inferSystem=True)
    assert f"none of [{CS}, http://example.org/other]" in values(none, "message")[0]


def test_a_system_of_which_nothing_is_known_is_named_without_its_version() -> None:
    coding = {"system": "http://nowhere", "version": "7", "code": "a"}
    answer = ask("validate_in_value_set", code_system(), EVERY, url=VS, coding=coding)
    assert values(answer, "x-unknown-system") == ["http://nowhere"]
    assert "No versions of this code system are known" in values(answer, "message")[0]


def test_the_version_of_imported_value_sets() -> None:
    """valueset-version suite: default-valueset-version, called valueset-version before release 1.7.6 of the tests."""
    inner = [value_set({"system": CS, "concept": [{"code": c}]}, url="http://example.org/in", version=v)
             for c, v in (("h", "1.0.0"), ("k", "2.0.0"))]  # fmt: skip
    outer = value_set({"valueSet": ["http://example.org/in"]})
    assert codes(ask("expand", code_system(), *inner, outer, url=VS)) == ["k"]
    for name in ("default_valueset_version", "valueset_version"):
        pinned = ask("expand", code_system(), *inner, outer, url=VS, **{name: "http://example.org/in|1.0.0"})
        assert codes(pinned) == ["h"]
        with pytest.raises(TxError, match=r"in\|3.0.0"):
            ask("expand", code_system(), *inner, outer, url=VS, **{name: "http://example.org/in|3.0.0"})


def test_a_filter_without_value_is_named_by_its_place() -> None:
    """errors/errors-broken-filter-expand."""
    broken = {"system": CS, "filter": [{"property": "concept", "op": "is-a", "value": "h"},
                                       {"property": "concept", "op": "is-a"}]}  # fmt: skip
    for call, given in (("expand", {}), ("validate_in_value_set", {"coding": {"system": CS, "code": "h"}})):
        with pytest.raises(TxError) as refused:
            ask(call, code_system(), value_set({"system": CS}, broken), url=VS, **given)
        [issue] = refused.value.issues
        assert issue.json()["expression"] == ["ValueSet.compose.include[1].filter[1].value"]
        assert issue.kind == "vs-invalid"


def test_a_circle_of_contained_value_sets() -> None:
    """simple/simple-expand-contained-circular."""
    inner = [{"resourceType": "ValueSet", "id": f"v{n}", "status": "active",
              "compose": {"include": [{"valueSet": [f"#v{3 - n}"]}]}} for n in (1, 2)]  # fmt: skip
    outer = value_set({"valueSet": ["#v1"]}, contained=inner)
    with pytest.raises(TxError, match="v1") as refused:
        ask("expand", valueSet=outer)
    assert refused.value.issues[0].kind == "vs-invalid" and refused.value.issues[0].code == "processing"


def test_contained_value_sets_are_part_of_what_holds_them() -> None:
    """simple/simple-expand-contained-nested, exclude/exclude-contained: only canonicals are named as used."""
    inner = [{"resourceType": "ValueSet", "id": "in", "status": "active",
              "compose": {"include": [{"system": CS, "concept": [{"code": "h"}, {"code": "k"}]}]}},
             {"resourceType": "ValueSet", "id": "out", "status": "active",
              "compose": {"include": [{"system": CS, "concept": [{"code": "k"}]}]}}]  # fmt: skip
    outer = value_set({"valueSet": ["#in"]}, exclude=[{"valueSet": ["#out"]}], contained=inner)
    found = ask("expand", code_system(), valueSet=outer)
    assert codes(found) == ["h"]
    assert [p["name"] for p in found["expansion"]["parameter"]] == ["used-codesystem"]


def test_an_expansion_has_one_identifier() -> None:
    """ValueSet.expansion.identifier of R4 names the expansion: of one definition, over all its pages."""

    def identifier(vs: dict[str, Any], **given: Any) -> str:
        return str(ask("expand", code_system(), valueSet=vs, **given)["expansion"]["identifier"])

    one, other = (
        value_set({"system": CS}, url=""),
        value_set({"system": CS, "concept": [{"code": "h"}]}, url=""),
    )
    assert identifier(one, count=1, offset=0) == identifier(one, count=1, offset=1) == identifier(one)
    assert identifier(one) != identifier(other) and identifier(one) != identifier(one, activeOnly=True)


def test_subsumes_needs_a_system() -> None:
    """simple/simple-subsumes-no-system: a problem of the request, not of a code system."""
    with pytest.raises(TxError) as refused:
        ask("subsumes", code_system(), codeA="d", codeB="h")
    assert refused.value.status == 400 and refused.value.issues[0].kind == "invalid-data"


def test_the_own_display_among_the_designations_of_lookup() -> None:
    designations = values(ask("lookup", code_system(), system=CS, code="h"), "designation")
    uses = {p["valueCoding"]["code"] for d in designations for p in d if p["name"] == "use"}
    assert uses == {"preferredForLanguage"}


def test_the_own_display_among_the_designations_of_an_expansion() -> None:
    """language/expand-xform-de-multi-en-default: shown in another language, the own display is a designation."""
    found = ask("expand", code_system(), EVERY, url=VS, displayLanguage="de", includeDesignations=True)
    [row] = [r for r in found["expansion"]["contains"] if r["code"] == "h"]
    assert row["display"] == "Herzkrankheit"
    [own] = row["designation"]
    assert (own["value"], own["language"], own["use"]["code"]) == (
        "Heart disease",
        "en",
        "preferredForLanguage",
    )


def test_a_value_set_without_url_is_named_so() -> None:
    """validation/validate-contained-bad."""
    given = {
        "valueSet": value_set({"system": CS, "concept": [{"code": "h"}]}, url=""),
        "coding": {"system": CS, "code": "k"},
    }
    del given["valueSet"]["version"]
    answer = ask("validate_in_value_set", code_system(), **given)
    assert values(answer, "message") == [
        f"The provided code '{CS}#k' was not found in the value set '(unidentified)'"
    ]


def test_a_coding_that_is_not_in_it_is_an_issue_of_its_own() -> None:
    """other/validation-dual-filter-out, permutations/good-cc2-isa: the message says it once, for all codings."""
    heart = value_set({"system": CS, "filter": [{"property": "concept", "op": "is-a", "value": "h"}]})
    two = {"coding": [{"system": CS, "code": "k"}, {"system": CS, "code": "old"}]}
    answer = ask("validate_in_value_set", code_system(), heart, url=VS, codeableConcept=two)
    assert kinds(answer) == ["not-in-vs", "this-code-not-in-vs", "this-code-not-in-vs"]
    assert values(answer, "message") == [f"No valid coding was found for the value set '{VS}|1'"]
    assert values(answer, "version") == ["1.0.0"] and values(answer, "code") == []
    one_in = {"coding": [{"system": CS, "code": "k"}, {"system": CS, "code": "hf"}]}
    good = ask("validate_in_value_set", code_system(), heart, url=VS, codeableConcept=one_in)
    assert (
        values(good, "result") == [True] and values(good, "message") == [] and values(good, "code") == ["hf"]
    )


def question(**given: Any) -> dict[str, Any]:
    parameters = [{"name": "url", "valueUri": VS}]
    parameters += [
        {"name": k, ("valueCoding" if k.startswith("coding") else "valueString"): v} for k, v in given.items()
    ]
    return {"name": "validation", "resource": {"resourceType": "Parameters", "parameter": parameters}}


def in_batch(*questions: dict[str, Any], more: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    shared = [{"name": "tx-resource", "resource": r} for r in (code_system(), EVERY)] + list(more)
    asker = Asker(Terminology([]), "2026-01-01T00:00:00Z")
    answer = batch(lambda one: operations.validate_in_value_set(asker, one), [*questions, *shared])
    assert {p["name"] for p in answer["parameter"]} == {"validation"}
    return [p["resource"] for p in answer["parameter"]]


def test_many_questions_at_once() -> None:
    """batch/batch-validate(-bad): each has its own answer, in order; one that cannot be answered spoils no other."""
    asked = [question(coding={"system": CS, "code": c}) for c in ("h", "zz")]
    good, bad, none = in_batch(*asked, question(codingX={"system": CS, "code": "h"}))
    assert values(good, "result") == [True] and values(bad, "result") == [False]
    assert none["resourceType"] == "OperationOutcome" and none["issue"][0]["severity"] == "error"


def test_what_is_said_beside_the_questions_holds_for_all_that_do_not_say_it_themselves() -> None:
    coding = {"system": CS, "code": "h", "display": "Herzkrankheit"}
    german = ({"name": "displayLanguage", "valueCode": "de"},)
    first, second = in_batch(
        question(coding=coding), question(coding=coding, displayLanguage="en"), more=german
    )
    assert values(first, "result") == [True] and values(second, "result") == [False]


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [{"name": "validation"}],
        [{"name": "validation", "resource": {"resourceType": "Bundle"}}],
        [question(), {"name": "code", "valueCode": "h"}],
        [question()] * (MAX_VALIDATIONS + 1),
    ],
)
def test_a_batch_that_is_none(parameters: list[dict[str, Any]]) -> None:
    with pytest.raises(TxError) as refused:
        batch(lambda one: {}, parameters)
    assert refused.value.status == 400
