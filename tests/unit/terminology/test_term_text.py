"""TextCoder.code_all: lists, sentences, notes with sections, spans into the original text."""

from __future__ import annotations

import pytest

from terminology import CodingDecision, TextCoder


def brief(decisions: tuple[CodingDecision, ...]) -> list[tuple[str, str]]:
    return [(d.chosen[0].code if d.chosen else "", d.assertion) for d in decisions]


def test_the_example_of_the_issue(coder: TextCoder) -> None:
    text = "T2DM w/ CKD 3b, HTN, no hx of MI"
    found = coder.code_all(text)
    codes = {(d.chosen[0].code, d.assertion) for d in found}
    assert ("N18.32", "present") in codes and ("I10", "present") in codes
    assert codes & {("E11.22", "present"), ("E11.9", "present")}
    assert ("I21.9", "absent") in codes
    assert text[found[-1].span[0] : found[-1].span[1]] == "no hx of MI"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "He denies chest pain, dyspnea or edema.",
            {("R07.9", "absent"), ("R06.00", "absent"), ("R60.9", "absent")},
        ),
        ("HTN, no DM, CKD 3", {("I10", "present"), ("E11.9", "absent"), ("N18.30", "present")}),
        ("Mother had breast cancer.", {("Z80.3", "family")}),
        ("The patient has pneumonia but no pleural effusion.", {("J18.9", "present"), ("J90", "absent")}),
        (
            "Return if you develop fever or chest pain.",
            {("R50.9", "hypothetical"), ("R07.9", "hypothetical")},
        ),
        ("Pulmonary embolism was ruled out, and he was started on metformin.", {("I26.99", "absent")}),
        ("CT was concerning for appendicitis.", {("K37", "possible")}),
    ],
)
def test_sentences(coder: TextCoder, text: str, expected: set[tuple[str, str]]) -> None:
    assert expected <= set(brief(coder.code_all(text)))


def test_sections_colour_what_stands_below(coder: TextCoder) -> None:
    note = "PMH: HTN, hx of MI\nFamily history: colon cancer, stroke\nAssessment: COPD exacerbation, r/o PE"
    found = {d.chosen[0].code: d for d in coder.code_all(note) if d.chosen}
    assert found["I10"].assertion == "present" and ("section", "past") in found["I10"].details
    assert found["I25.2"].assertion == "historical"
    assert found["Z80.0"].assertion == found["Z82.3"].assertion == "family"
    assert found["J44.1"].assertion == "present" and found["I26.99"].assertion == "possible"


def test_spans_point_into_the_original_even_after_folding(coder: TextCoder) -> None:
    text = "Pt with\u200b héart fa\u200bilure, HTN"
    spans = {text[d.span[0] : d.span[1]] for d in coder.code_all(text)}
    assert "HTN" in spans


def test_conflicts_and_presumed_combinations_are_flagged_not_replaced(coder: TextCoder) -> None:
    found = coder.code_all("HTN, CKD 4")
    assert [d.chosen[0].code for d in found] == ["I10", "N18.4"]
    assert any(name == "combination" and "I12.9" in value for name, value in found[0].details)
    two = coder.code_all("type 1 diabetes, type 2 diabetes")
    assert any(name == "conflict" for d in two for name, _ in d.details)


def test_empty_and_hostile_notes(coder: TextCoder) -> None:
    assert coder.code_all("") == ()
    for text in ("\n" * 5_000, "," * 5_000, "no " * 5_000, "(" * 5_000, "." * 5_000):
        assert all(not d.chosen for d in coder.code_all(text))
