"""Lists, clauses and signs: what a text of several problems comes apart into, and what each part is said to be."""

from __future__ import annotations

import pytest

from terminology import TextCoder
from terminology.text.mentions import unslashed, without_numbers
from terminology.text.normalise import fold, raw_tokens


def said(coder: TextCoder, text: str) -> dict[str, str]:
    return {d.chosen[0].code: d.assertion for d in coder.code_all(text) if d.chosen}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTN/HLD/DM2", {"I10": "present", "E78.5": "present", "E11.9": "present"}),
        (
            "1. Hypothyroidism 2. Gout 3. Anxiety",
            {"E03.9": "present", "M10.9": "present", "F41.9": "present"},
        ),
        ("s/p CABG, PAD, carotid stenosis", {"Z95.1": "present", "I73.9": "present", "I65.29": "present"}),
        ("cirrhosis 2/2 hep C", {"K74.60": "present", "B18.2": "present"}),
        ("no DM, CKD", {"E11.9": "absent", "N18.9": "absent"}),
    ],
)
def test_lists_come_apart(coder: TextCoder, text: str, expected: dict[str, str]) -> None:
    found = said(coder, text)
    assert {code: found.get(code) for code in expected} == expected


def test_the_numbers_of_a_list_are_counted(coder: TextCoder) -> None:
    assert without_numbers("CKD stage 3. HTN") == "CKD stage 3. HTN"  # no list: it does not begin at 1
    text = "1. asthma 2) gout"
    assert without_numbers(text) == "\n  asthma \n  gout"
    assert len(without_numbers(text)) == len(text)
    for decision in coder.code_all(text):
        assert text[slice(*decision.span)].strip() in ("asthma", "gout")


def test_slashes_part_only_what_is_known_on_both_sides() -> None:
    known = {"htn", "hld"}.__contains__
    assert [t for t, _, _ in unslashed(raw_tokens("htn/hld"), known)] == ["htn", ",", "hld"]
    assert [t for t, _, _ in unslashed(raw_tokens("5/325 w/o qq/hld"), known)] == ["5/325", "w/o", "qq/hld"]


def test_a_negated_pair_is_no_condition_without_the_other(coder: TextCoder) -> None:
    decision = coder.code("No N/V")
    assert decision.assertion == "absent"
    assert decision.chosen[0].code == "R11.2"  # not "vomiting without nausea"


def test_signs_are_read_by_their_place() -> None:
    assert fold("(-) fever")[0].split() == ["no", "fever"]
    assert fold("fever (-), cough (+)")[0].split() == ["fever", "neg,", "cough"]
    assert fold("HER2(-) cancer")[0] == "her2(-) cancer"  # part of a name
    for text in ("(-) fever", "fever (-), cough (+)"):
        assert len(fold(text)[0]) == len(text)


@pytest.mark.parametrize(
    ("text", "mention", "assertion"),
    [
        ("UTI, resolved.", "UTI", "historical"),
        ("Was hospitalized for heart failure in 2018.", "heart failure", "historical"),
        ("Diagnosed with diabetes in 2018.", "diabetes", "present"),
        ("Should vomiting persist, call us.", "vomiting", "hypothetical"),
        ("Patient with schizophrenia denies hallucinations.", "schizophrenia", "present"),
        ("Asthma - denies.", "Asthma", "absent"),
        ("HEENT: no pharyngitis.", "pharyngitis", "absent"),
        ("Ddx includes sarcoid, TB, and lymphoma.", "lymphoma", "possible"),
    ],
)
def test_assertions_of_clauses(coder: TextCoder, text: str, mention: str, assertion: str) -> None:
    start = text.index(mention)
    assert coder.assertion(text, (start, start + len(mention))) == assertion


def test_hypertension_with_both_is_one_code(coder: TextCoder) -> None:
    details = {
        text
        for d in coder.code_all("HTN, systolic CHF, CKD 4")
        for kind, text in d.details
        if kind == "combination"
    }
    assert any(text.startswith("I13.0") for text in details)


def test_another_sense_stays_among_the_candidates(coder: TextCoder) -> None:
    assert {"Q21.10", "F84.0"} <= {c.code for c in coder.code("ASD").candidates}


def test_a_word_spelled_right_is_not_repaired(coder: TextCoder) -> None:
    decision = coder.code("euphoria")
    assert all(not c.code.startswith("H50") for c in decision.chosen)


def test_parts_and_tests_are_not_sure(coder: TextCoder) -> None:
    for text in ("bile duct", "upper lobe", "janus kinase", "blood-brain barrier", "range of motion"):
        assert coder.code(text).confidence < 0.9, text


def test_thousands_of_mentions_in_one_sentence_are_bounded(coder: TextCoder) -> None:
    found = coder.code_all(
        "1. asthma 2. gout " * 2000
    )  # no full stop, no line end: once looked at pair by pair
    assert len(found) >= 4000
    assert {d.chosen[0].code for d in found if d.chosen} == {"J45.909", "M10.9"}


@pytest.mark.parametrize(
    "text", ["singer", "jzzt gtcx nnmz peneje", "teacher truck", "invoice monday", "asdf qwer zxcv"]
)
def test_noise_is_not_coded(coder: TextCoder, text: str) -> None:
    assert coder.code(text).abstained
