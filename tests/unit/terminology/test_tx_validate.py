"""$validate-code, $lookup, $subsumes, $translate: R4 names and meanings, negative answers as answers."""

from __future__ import annotations

from typing import Any

import pytest
from tx import CS, VS, ask, code_system, kinds, value_set, values

from terminology.fhir.problem import TxError

HEART = {"system": CS, "filter": [{"property": "concept", "op": "is-a", "value": "h"}]}


def check(
    system: dict[str, Any] | None = None, vs: dict[str, Any] | None = None, **given: Any
) -> dict[str, Any]:
    return ask("validate_in_value_set", system or code_system(), vs or value_set(HEART), url=VS, **given)


def test_in_and_out() -> None:
    good = check(system=None, coding={"system": CS, "code": "hf"})
    assert values(good, "result") == [True] and values(good, "display") == ["Heart failure"]
    assert values(good, "version") == ["1.0.0"] and kinds(good) == []
    bad = check(coding={"system": CS, "code": "k"})
    assert values(bad, "result") == [False] and kinds(bad) == ["not-in-vs"] and values(bad, "message")
    unknown = check(coding={"system": CS, "code": "zz"})
    assert kinds(unknown) == ["invalid-code", "not-in-vs"]
    elsewhere = check(coding={"system": "http://nowhere", "code": "zz"})
    assert kinds(elsewhere) == ["not-found", "not-in-vs"] and values(elsewhere, "x-unknown-system") == [
        "http://nowhere"
    ]


def test_code_needs_a_system_or_leave_to_infer_it() -> None:
    with pytest.raises(TxError, match="system"):
        check(code="hf")
    assert values(check(code="hf", inferSystem=True), "system") == [CS]
    assert kinds(check(code="zz", inferSystem=True)) == ["cannot-infer", "not-in-vs"]


def test_of_a_codeable_concept_one_coding_is_enough() -> None:
    both = {"coding": [{"system": CS, "code": "k"}, {"system": CS, "code": "h"}]}
    answer = check(codeableConcept=both)
    assert values(answer, "result") == [True] and values(answer, "code") == ["h"]
    neither = check(codeableConcept={"coding": [{"system": CS, "code": "k"}]})
    assert values(neither, "result") == [False] and kinds(neither) == ["not-in-vs", "this-code-not-in-vs"]


@pytest.mark.parametrize(
    ("display", "more", "result", "found"),
    [
        ("Heart disease", {}, True, []),
        ("HEART DISEASE", {}, True, []),
        ("Herzkrankheit", {}, True, []),
        ("Herzkrankheit", {"displayLanguage": "en"}, False, ["invalid-display"]),
        ("Heart  disease", {}, False, ["invalid-display"]),
        ("Gout", {}, False, ["invalid-display"]),
        ("Gout", {"lenient_display_validation": True}, True, ["invalid-display"]),
    ],
)
def test_displays(display: str, more: dict[str, Any], result: bool, found: list[str]) -> None:
    answer = check(coding={"system": CS, "code": "h", "display": display}, **more)
    assert values(answer, "result") == [result] and kinds(answer) == found


def test_case_inactive_abstract_and_fragments() -> None:
    folded = check(code_system(caseSensitive=False), coding={"system": CS, "code": "HF"})
    assert values(folded, "result") == [True] and values(folded, "normalized-code") == ["hf"]
    assert values(check(coding={"system": CS, "code": "HF"}), "result") == [False]
    every = value_set({"system": CS})
    old = check(vs=every, coding={"system": CS, "code": "old"})
    assert (
        values(old, "result") == [True]
        and values(old, "inactive") == [True]
        and kinds(old) == ["code-comment"]
    )
    refused = check(vs=every, coding={"system": CS, "code": "old"}, activeOnly=True)
    assert values(refused, "result") == [False] and "code-rule" in kinds(refused)
    assert values(check(vs=every, coding={"system": CS, "code": "d"}, abstract=False), "result") == [False]
    part = check(code_system(content="fragment"), every, coding={"system": CS, "code": "zz"})
    assert values(part, "result") == [True] and kinds(part) == ["invalid-code"]


def test_versions_that_do_not_agree_are_named() -> None:
    two = code_system("2.0.0")
    pinned = value_set({**HEART, "version": "1.0.0"})
    answer = ask("validate_in_value_set", code_system(), two, pinned, url=VS,
                 coding={"system": CS, "version": "2.0.0", "code": "h"})  # fmt: skip
    assert values(answer, "result") == [False] and kinds(answer) == ["vs-invalid"]
    unknown = check(coding={"system": CS, "version": "9", "code": "h"})
    assert kinds(unknown) == ["not-found", "vs-invalid"] and values(unknown, "result") == [False]
    assert values(unknown, "x-caused-by-unknown-system") == [f"{CS}|9"]


def test_what_the_value_set_refers_to_is_missing() -> None:
    answer = check(vs=value_set({"valueSet": ["http://nowhere"]}), coding={"system": CS, "code": "h"})
    assert values(answer, "result") == [False] and kinds(answer) == ["not-found"]
    with pytest.raises(TxError) as missing:
        ask("validate_in_value_set", code_system(), url="http://nowhere", coding={"system": CS, "code": "h"})
    assert missing.value.status == 404


def test_in_a_code_system() -> None:
    good = ask("validate_in_system", code_system(), url=CS, code="h", display="Heart disease")
    assert values(good, "result") == [True]
    assert kinds(ask("validate_in_system", code_system(), url=CS, code="zz")) == ["invalid-code"]
    assert kinds(ask("validate_in_system", url=CS, code="zz")) == ["not-found"]
    with pytest.raises(TxError, match="differ"):
        ask("validate_in_system", code_system(), url=CS, coding={"system": "http://x", "code": "h"})
    posted = ask("validate_in_system", codeSystem=code_system(), code="h")
    assert values(posted, "result") == [True]


def test_lookup() -> None:
    answer = ask("lookup", code_system(), system=CS, code="h", displayLanguage="de")
    assert values(answer, "display") == ["Herzkrankheit"] and values(answer, "name") == ["Tiny"]
    told = {p[0]["valueCode"] for p in values(answer, "property")}
    assert {"organ", "parent", "child", "inactive"} <= told
    only = ask("lookup", code_system(), system=CS, code="h", property="organ")
    assert {p[0]["valueCode"] for p in values(only, "property")} == {"organ"} and not values(
        only, "designation"
    )
    for given in ({"system": CS, "code": "zz"}, {"system": "http://nowhere", "code": "h"}):
        with pytest.raises(TxError) as missing:
            ask("lookup", code_system(), **given)
        assert missing.value.status == 404


def test_subsumes() -> None:
    for a, b, outcome in (("d", "hf", "subsumes"), ("hf", "d", "subsumed-by"), ("h", "h", "equivalent"),
                          ("hf", "k", "not-subsumed")):  # fmt: skip
        assert values(ask("subsumes", code_system(), system=CS, codeA=a, codeB=b), "outcome") == [outcome]
    coded = {"codingA": {"system": CS, "code": "d"}, "codingB": {"system": CS, "code": "h"}}
    assert values(ask("subsumes", code_system(), **coded), "outcome") == ["subsumes"]
    with pytest.raises(TxError, match="one system"):
        ask("subsumes", code_system(), codingA=coded["codingA"], codingB={"system": "http://x", "code": "h"})


TARGET = "http://example.org/target"


def concept_map(**group: Any) -> dict[str, Any]:
    element = [
        {
            "code": "h",
            "target": [{"code": "T1", "equivalence": "wider"}, {"code": "T2", "equivalence": "disjoint"}],
        },
        {"code": "k", "target": [{"equivalence": "unmatched"}]},
        {"code": "hf", "target": [{"code": "T3", "relationship": "source-is-narrower-than-target"}]},
    ]
    return {"resourceType": "ConceptMap", "url": "http://example.org/map", "status": "active",
            "group": [{"source": CS, "target": TARGET, "element": element, **group}]}  # fmt: skip


def matched(answer: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for match in values(answer, "match"):
        part = {p["name"]: p for p in match}
        found.append(
            (part["equivalence"]["valueCode"], part.get("concept", {}).get("valueCoding", {}).get("code", ""))
        )
    return found


def test_translate() -> None:
    forward = ask("translate", concept_map(), system=CS, code="h", targetsystem=TARGET)
    assert values(forward, "result") == [True] and matched(forward) == [("wider", "T1"), ("disjoint", "T2")]
    assert matched(ask("translate", concept_map(), system=CS, code="hf")) == [
        ("wider", "T3")
    ]  # R5 read as R4
    nothing = ask("translate", concept_map(), system=CS, code="k")
    assert values(nothing, "result") == [False] and values(nothing, "message")
    assert values(ask("translate", concept_map(), system=CS, code="zz"), "result") == [False]
    back = ask("translate", concept_map(), system=TARGET, code="T1", reverse=True)
    assert matched(back) == [("narrower", "h")] and "suggestion" in values(back, "message")[0]
    fixed = concept_map(unmapped={"mode": "fixed", "code": "OTHER"})
    assert matched(ask("translate", fixed, system=CS, code="zz")) == [("inexact", "OTHER")]
    other = {
        **concept_map(),
        "url": "http://example.org/other",
        "group": [
            {
                "source": CS,
                "target": TARGET,
                "element": [{"code": "zz", "target": [{"code": "T9", "equivalence": "equal"}]}],
            }
        ],
    }
    led = concept_map(unmapped={"mode": "other-map", "url": "http://example.org/other"})
    asked = {"system": CS, "url": "http://example.org/map"}
    assert matched(ask("translate", led, other, code="zz", **asked)) == [("equal", "T9")]
    back_again = {**other, "group": [{"source": CS, "target": TARGET, "element": [],
                                      "unmapped": {"mode": "other-map", "url": "http://example.org/map"}}]}  # fmt: skip
    with pytest.raises(TxError, match="circularity"):
        ask("translate", led, back_again, code="zz", **asked)
    with pytest.raises(TxError) as missing:
        ask("translate", system=CS, code="h", url="http://nowhere/map")
    assert missing.value.status == 404


@pytest.mark.parametrize(
    ("coding", "found"),
    [
        ({"code": "h"}, ["invalid-data", "not-in-vs"]), ({"system": CS}, ["invalid-data"]),
        ({"display": "x"}, ["invalid-data"]),
    ],
)  # fmt: skip
def test_a_coding_that_lacks_something_is_an_answer(coding: dict[str, str], found: list[str]) -> None:
    """What was sent is judged, not the request: result false, and what is missing said once, as a warning."""
    answer = check(coding=coding)
    assert values(answer, "result") == [False] and kinds(answer) == found
    assert kinds(ask("validate_in_system", code_system(), coding=coding)) == ["invalid-data"]
    mixed = check(codeableConcept={"coding": [coding, {"system": CS, "code": "h"}]})
    assert values(mixed, "result") == [True] and "invalid-data" in kinds(mixed)


def test_a_system_is_inferred_for_a_bare_code_only() -> None:
    assert kinds(check(coding={"code": "h"}, inferSystem=True)) == ["invalid-data", "not-in-vs"]
