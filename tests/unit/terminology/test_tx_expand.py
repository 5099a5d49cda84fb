"""$expand and compose: includes, excludes, filters, imports, pages, hierarchy, languages, refusals (R4 semantics)."""

from __future__ import annotations

from typing import Any

import pytest
from tx import CS, VS, ask, code_system, codes, value_set

from fhir_twin.fhir.validate import validate_resource
from terminology.fhir.problem import TxError

OTHER = "http://example.org/other"


def filtered(prop: str, op: str, value: str) -> dict[str, Any]:
    return {"system": CS, "filter": [{"property": prop, "op": op, "value": value}]}


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ({"system": CS}, ["d", "h", "hf", "k", "old"]),
        ({"system": CS, "concept": [{"code": "k"}, {"code": "nothing"}, {"code": "h"}]}, ["k", "h"]),
        (filtered("concept", "is-a", "h"), ["h", "hf"]),
        (filtered("concept", "descendent-of", "h"), ["hf"]),
        (filtered("concept", "is-not-a", "h"), ["d", "k", "old"]),
        (filtered("concept", "generalizes", "hf"), ["d", "h", "hf"]),
        (filtered("concept", "child-of", "d"), ["h", "k", "old"]),
        (filtered("concept", "descendent-leaf", "d"), ["hf", "k", "old"]),
        (filtered("organ", "=", "heart"), ["h", "hf"]),
        (filtered("organ", "in", "kidney,lung"), ["k"]),
        (filtered("organ", "not-in", "kidney,heart"), ["d", "old"]),
        (filtered("organ", "exists", "false"), ["d", "old"]),
        (filtered("code", "regex", "h.?"), ["h", "hf"]),
        (filtered("concept", "is-a", "nothing"), []),
        ({"valueSet": [OTHER]}, ["h", "hf"]),
        ({"system": CS, "concept": [{"code": "hf"}, {"code": "k"}], "valueSet": [OTHER]}, ["hf"]),
    ],
)
def test_includes(include: dict[str, Any], expected: list[str]) -> None:
    other = value_set(filtered("concept", "is-a", "h"), url=OTHER)
    answer = ask("expand", code_system(), other, value_set(include), url=VS)
    assert codes(answer) == expected and answer["expansion"]["total"] == len(expected)
    assert validate_resource(answer) == ()


def test_excludes_take_away_and_includes_join() -> None:
    vs = value_set(
        {"system": CS, "concept": [{"code": "k"}]}, {"system": CS}, exclude=[filtered("organ", "=", "heart")]
    )
    assert codes(ask("expand", code_system(), vs, url=VS)) == ["k", "d", "old"]


def test_inactive_concepts_are_marked_and_can_be_left_out() -> None:
    every = ask("expand", code_system(), value_set({"system": CS}), url=VS)
    marked = {c["code"] for c in every["expansion"]["contains"] if c.get("inactive")}
    hidden = {c["code"] for c in every["expansion"]["contains"] if c.get("abstract")}
    assert marked == {"old"} and hidden == {"d"}
    assert "old" not in codes(
        ask("expand", code_system(), value_set({"system": CS}), url=VS, activeOnly=True)
    )
    active = value_set({"system": CS})
    active["compose"]["inactive"] = False
    assert "old" not in codes(ask("expand", code_system(), active, url=VS))


def test_pages_text_and_echoed_parameters() -> None:
    answer = ask(
        "expand", code_system(), value_set({"system": CS}), url=VS, filter="dis hea", count=1, offset=0
    )
    assert codes(answer) == ["h"] and answer["expansion"]["total"] == 1
    names = {p["name"] for p in answer["expansion"]["parameter"]}
    assert {"filter", "count", "offset", "used-codesystem"} <= names
    second = ask("expand", code_system(), value_set({"system": CS}), url=VS, count=2, offset=2)
    assert codes(second) == ["hf", "k"] and second["expansion"]["total"] == 5


def test_hierarchy_when_asked_for() -> None:
    answer = ask("expand", code_system(), value_set({"system": CS}), url=VS, excludeNested=False)
    [top] = answer["expansion"]["contains"]
    assert [c["code"] for c in top["contains"]] == ["h", "k", "old"]
    assert answer["expansion"]["total"] == 5 and codes(answer) == ["d", "h", "hf", "k", "old"]


def test_languages_designations_definitions_properties() -> None:
    vs = value_set(filtered("concept", "is-a", "h"))
    german = ask("expand", code_system(), vs, url=VS, displayLanguage="de")
    assert [c.get("display") for c in german["expansion"]["contains"]] == ["Herzkrankheit", "Heart failure"]
    strict = ask("expand", code_system(), vs, url=VS, language="de, *;q=0")
    assert [c.get("display") for c in strict["expansion"]["contains"]] == ["Herzkrankheit", None]
    named = ask("expand", code_system(), vs, url=VS, includeDesignations=True)
    assert named["expansion"]["contains"][0]["designation"] == [{"language": "de", "value": "Herzkrankheit"}]
    only = ask("expand", code_system(), vs, url=VS, designation=["urn:ietf:bcp:47|nl"])
    assert "designation" not in only["expansion"]["contains"][0]
    property_ = ask("expand", code_system(), vs, url=VS, property=["organ", "definition"])
    assert (
        "heart" in str(property_) and "of the heart" in str(property_) and validate_resource(property_) == ()
    )


def test_supplements_add_designations_only_where_wanted() -> None:
    supplement = {
        "resourceType": "CodeSystem", "url": "http://example.org/nl", "version": "1", "status": "active",
        "content": "supplement", "supplements": CS,
        "concept": [{"code": "h", "designation": [{"language": "nl", "value": "Hartziekte"}]}],
    }  # fmt: skip
    vs = value_set(filtered("concept", "is-a", "h"))
    without = ask("expand", code_system(), supplement, vs, url=VS, displayLanguage="nl")
    assert "Hartziekte" not in str(without)
    answer = ask(
        "expand",
        code_system(),
        supplement,
        vs,
        url=VS,
        displayLanguage="nl",
        useSupplement="http://example.org/nl",
    )
    assert answer["expansion"]["contains"][0]["display"] == "Hartziekte"
    assert {"name": "used-supplement", "valueUri": "http://example.org/nl|1"} in answer["expansion"][
        "parameter"
    ]
    with pytest.raises(TxError, match="supplement"):
        ask("expand", code_system(), vs, url=VS, useSupplement="http://example.org/none")


def test_versions() -> None:
    one, two = code_system("1.9.0"), code_system("1.10.0", concept=[{"code": "new"}])
    vs = value_set({"system": CS})
    assert codes(ask("expand", one, two, vs, url=VS)) == ["new"]  # 1.10 is newer than 1.9
    assert "h" in codes(ask("expand", one, two, vs, url=VS, system_version=f"{CS}|1.9.0"))
    pinned = value_set({"system": CS, "version": "1.9.x"})
    assert "h" in codes(ask("expand", one, two, pinned, url=VS, system_version=f"{CS}|1.10.0"))
    assert codes(ask("expand", one, two, pinned, url=VS, force_system_version=f"{CS}|1.10.0")) == ["new"]
    with pytest.raises(TxError, match="not allowed"):
        ask("expand", one, two, pinned, url=VS, check_system_version=f"{CS}|1.10.0")
    missing = value_set({"system": CS, "version": "3"})
    with pytest.raises(TxError, match=r"Valid versions: 1\.10\.0 or 1\.9\.0"):
        ask("expand", one, two, missing, url=VS)


def test_what_has_no_answer_says_so() -> None:
    big = code_system(concept=[{"code": f"c{i}"} for i in range(1_500)])
    with pytest.raises(TxError) as costly:
        ask("expand", big, value_set({"system": CS}), url=VS)
    assert costly.value.issues[0].code == "too-costly"
    assert len(codes(ask("expand", big, value_set({"system": CS}), url=VS, count=1_400))) == 1_400
    with pytest.raises(TxError, match="circularity"):
        ask(
            "expand",
            code_system(),
            value_set({"valueSet": [OTHER]}),
            value_set({"valueSet": [VS]}, url=OTHER),
            url=VS,
        )
    for include, words in (
        (filtered("concept", "is-a", ""), "has no value"),
        (filtered("concept", "resembles", "x"), "not known"),
        (filtered("code", "regex", "(a"), "no regular expression"),
        ({"system": "http://nowhere"}, "could not be found"),
        ({"valueSet": ["http://nowhere/vs"]}, "could not be found"),
        ({}, "neither"),
    ):
        with pytest.raises(TxError, match=words):
            ask("expand", code_system(), value_set(include), url=VS)


def test_a_hostile_pattern_is_bounded() -> None:
    vs = value_set(filtered("display", "regex", "(a+)+b|(a|aa)+$"))
    system = code_system(concept=[{"code": "x", "display": "a" * 50_000}])
    assert codes(ask("expand", system, vs, url=VS)) == ["x"]


def test_contained_value_sets_and_expansions_without_definition() -> None:
    inner = value_set(filtered("concept", "is-a", "h"), url="http://example.org/inner")
    vs = value_set({"valueSet": ["#in"]}, contained=[{**inner, "id": "in"}])
    assert codes(ask("expand", code_system(), vs, url=VS)) == ["h", "hf"]
    listed = {"resourceType": "ValueSet", "url": VS, "status": "active",
              "expansion": {"contains": [{"system": CS, "code": "k"}]}}  # fmt: skip
    assert codes(ask("expand", code_system(), listed, url=VS)) == ["k"]
