"""The same operations on imported releases: RF2 with ECL and implicit value sets, ICD-10-CM, maps with conditions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tx import ask, codes, rf2_release, value_set, values

from terminology.fhir.problem import TxError
from terminology.importers.rows import ICD10CM, SNOMED
from terminology.library import import_release
from terminology.mapping import Match, Person, choose, holds
from terminology.store import Terminology, open_terminology

HYPERTENSION, ESSENTIAL, SECONDARY, DISEASE, SITE = (
    "38341003",
    "59621000",
    "73410007",
    "64572001",
    "363698007",
)


@pytest.fixture(scope="module")
def snomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminology]:
    folder = tmp_path_factory.mktemp("sct")
    release, report, _ = import_release("snomed", rf2_release(folder / "in"), folder / "out")
    assert report.defects == 0, report.messages
    assert release.version == "http://snomed.info/sct/900000000000207008/version/20260101"
    opened = open_terminology(folder / "out")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("ecl", "expected"),
    [
        (f"<< {HYPERTENSION} |Hypertensive disorder|", {HYPERTENSION, ESSENTIAL, SECONDARY}),
        (f"< {HYPERTENSION}", {ESSENTIAL, SECONDARY}),
        (f"<! {DISEASE}", {HYPERTENSION, "8619003"}),
        (f">> {ESSENTIAL}", {ESSENTIAL, HYPERTENSION, DISEASE, "138875005"}),
        (f">! {ESSENTIAL}", {HYPERTENSION}),
        (HYPERTENSION, {HYPERTENSION}),
        (f"<< {HYPERTENSION} MINUS {SECONDARY}", {HYPERTENSION, ESSENTIAL}),
        (f"{ESSENTIAL} OR {SECONDARY}", {ESSENTIAL, SECONDARY}),
        (f"<< {HYPERTENSION} AND (<< {ESSENTIAL} OR {DISEASE})", {ESSENTIAL}),
        (f"<< {DISEASE} : {SITE} = << 113257007", {HYPERTENSION, ESSENTIAL}),
        (f"<< {DISEASE} : {{ {SITE} = 113257007 }}", {HYPERTENSION, ESSENTIAL}),
        ("^ 733073007", {HYPERTENSION}),
    ],
)
def test_expression_constraints(snomed: Terminology, ecl: str, expected: set[str]) -> None:
    include = {"system": SNOMED, "filter": [{"property": "constraint", "op": "=", "value": ecl}]}
    assert set(codes(ask("expand", shelf=snomed, valueSet=value_set(include)))) == expected
    assert set(codes(ask("expand", shelf=snomed, url=f"{SNOMED}?fhir_vs=ecl/{ecl}"))) == expected


@pytest.mark.parametrize(
    "ecl",
    ["<<", "x", "<< 1234 |open", "(" * 50 + "1", '<< 73211009 {{ term = "x" }}', "1 2", "<< 12345678 OR"],
)
def test_what_is_not_understood_is_refused(snomed: Terminology, ecl: str) -> None:
    with pytest.raises(TxError) as refused:
        ask("expand", shelf=snomed, url=f"{SNOMED}?fhir_vs=ecl/{ecl}")
    assert refused.value.status == 400


def test_implicit_value_sets(snomed: Terminology) -> None:
    assert set(codes(ask("expand", shelf=snomed, url=f"{SNOMED}?fhir_vs=isa/{HYPERTENSION}"))) == {
        HYPERTENSION, ESSENTIAL, SECONDARY,
    }  # fmt: skip
    assert codes(ask("expand", shelf=snomed, url=f"{SNOMED}?fhir_vs=refset/733073007")) == [HYPERTENSION]
    assert codes(ask("expand", shelf=snomed, url=f"{SNOMED}?fhir_vs=refset")) == ["733073007"]
    edition = f"{SNOMED}/900000000000207008/version/20260101?fhir_vs=isa/{ESSENTIAL}"
    assert codes(ask("expand", shelf=snomed, url=edition)) == [ESSENTIAL]
    other = f"{SNOMED}/731000124108/version/20260101?fhir_vs"
    with pytest.raises(TxError, match="could not be found"):
        ask("expand", shelf=snomed, url=other)
    found = ask("expand", shelf=snomed, url=f"{SNOMED}?fhir_vs", filter="hyperten ess", count=5)
    assert codes(found) == [ESSENTIAL]
    inside = ask("validate_in_value_set", shelf=snomed, url=f"{SNOMED}?fhir_vs=isa/{HYPERTENSION}",
                 coding={"system": SNOMED, "code": ESSENTIAL, "display": "Essential hypertension (x)"})  # fmt: skip
    assert values(inside, "result") == [True]


def test_designations_say_what_they_are(snomed: Terminology) -> None:
    answer = ask("lookup", shelf=snomed, system=SNOMED, code=ESSENTIAL)
    uses = {p["valueCoding"]["code"] for d in values(answer, "designation") for p in d if p["name"] == "use"}
    assert "900000000000003001" in uses and values(answer, "display") == ["Essential hypertension"]
    told = {p[0]["valueCode"]: p[1] for p in values(answer, "property")}
    assert told["sufficientlyDefined"]["valueBoolean"] is False and told["moduleId"]["valueCode"]
    assert values(
        ask("subsumes", shelf=snomed, system=SNOMED, codeA=DISEASE, codeB=ESSENTIAL), "outcome"
    ) == ["subsumes"]


def test_inactive_concepts_are_followed(snomed: Terminology) -> None:
    assert snomed.successors(SNOMED, "155295004") == (("replaced-by", HYPERTENSION),)
    assert snomed.successors(SNOMED, HYPERTENSION) == () and snomed.successors(SNOMED, "nothing") == ()


def test_map_rules_are_decided_only_from_what_is_known(snomed: Terminology) -> None:
    found = snomed.translate(SNOMED, "8619003", ICD10CM)
    unknown = choose(found)
    assert unknown.codes == () and len(unknown.conditions) == 2
    assert choose(found, Person(sex="female")).codes == ("N97.9",)
    assert choose(found, Person(sex="male")).codes == ("N46.9",)
    assert choose(snomed.translate(SNOMED, ESSENTIAL, ICD10CM)).codes == ("I10",)
    told = ask("translate", shelf=snomed, system=SNOMED, code="8619003", targetsystem=ICD10CM)
    assert values(told, "result") == [False]  # the resources alone; the release's own map is in the tables
    from terminology.fhir import operations
    from terminology.fhir.operations import Asker

    given = [{"name": n, "valueString": v} for n, v in (("system", SNOMED), ("code", "8619003"))]
    answer = operations.translate(Asker(snomed, ""), given, snomed)
    assert values(answer, "result") == [True] and "conditional" in values(answer, "message")[0]


AGE = "IFA 445518008 | Age at onset of clinical finding (observable entity) |"


@pytest.mark.parametrize(
    ("rule", "person", "expected"),
    [
        ("TRUE", None, True), ("OTHERWISE TRUE", None, True), (f"{AGE} >= 12.0 years", None, None),
        (f"{AGE} >= 12.0 years", Person(age_days=12 * 365.25), True),
        (f"{AGE} < 12.0 years", Person(age_days=12 * 365.25), False),
        (f"{AGE} < 28.0 days", Person(age_days=3), True),
        (f"{AGE} >= 12.0 years AND {AGE} < 19.0 years", Person(age_days=15 * 365.25), True),
        (f"{AGE} >= 12.0 years AND {AGE} < 19.0 years", Person(age_days=20 * 365.25), False),
        ("IFA 248152002 | Female (finding) |", Person(), None),
        ("IFA 248152002 | Female (finding) |", Person(sex="male"), False),
        ("IFA 73211009 | Diabetes mellitus (disorder) |", Person(), None),
        ("IFA 73211009 | Diabetes mellitus (disorder) |", Person(concepts=frozenset({"73211009"})), True),
        ("something else", Person(sex="male"), None),
    ],
)  # fmt: skip
def test_rules(rule: str, person: Person | None, expected: bool | None) -> None:
    assert holds(rule, person) is expected


def test_an_undecided_rule_leaves_the_rest_to_a_person() -> None:
    rows = [Match("m", ICD10CM, "A", "", "relatedto", 1, 1, f"{AGE} < 1.0 years", "IF AGE"),
            Match("m", ICD10CM, "B", "", "relatedto", 1, 2, "OTHERWISE TRUE"),
            Match("m", ICD10CM, "C", "", "relatedto", 2, 1, "TRUE")]  # fmt: skip
    choice = choose(rows)
    assert choice.codes == ("C",) and choice.otherwise == ("B",) and choice.conditions == ("IF AGE",)
    assert choose(rows, Person(age_days=1_000)).codes == ("B", "C")
