"""Spread cancer: the primary tumour with the secondary ones beside it (ICD-10-CM Official Guidelines I.C.2)."""

from __future__ import annotations

import pytest

from terminology import TextCoder


@pytest.mark.parametrize(
    ("text", "code", "also"),
    [
        ("metastatic pancreatic cancer", "C25.9", ["C79.9"]),
        ("metastatic melanoma", "C43.9", ["C79.9"]),
        ("prostate cancer, metastatic", "C61", ["C79.9"]),
        ("breast CA w/ bone and liver mets", "C50.919", ["C79.51", "C78.7"]),
        ("lung ca met to brain", "C34.90", ["C79.31"]),
        ("bone mets from prostate cancer", "C61", ["C79.51"]),
        ("metastatic colon cancer to liver", "C18.9", ["C78.7"]),
        ("metastatic adenocarcinoma of the lung", "C34.90", ["C79.9"]),
        ("metastatic liver cancer", "C78.7", []),
        ("brain mets", "C79.31", []),
        ("metastatic cancer", "C79.9", []),
        ("pancreatic cancer", "C25.9", []),
    ],
)
def test_primary_and_secondary(coder: TextCoder, text: str, code: str, also: list[str]) -> None:
    decision = coder.code(text)
    assert decision.chosen[0].code == code
    assert [value for name, value in decision.details if name == "additional-code"] == also


def test_a_list_gives_each_its_decision(coder: TextCoder) -> None:
    found = coder.code_all("HTN, breast ca w/ bone mets, DM2")
    assert [d.chosen[0].code for d in found] == ["I10", "C50.919", "C79.51", "E11.9"]


def test_the_past_has_no_secondary_tumour(coder: TextCoder) -> None:
    decision = coder.code("hx of metastatic breast cancer")
    assert decision.chosen[0].code == "Z85.3" and not decision.details


def test_both_parts_of_and_where_the_whole_says_no_more(coder: TextCoder) -> None:
    assert [d.chosen[0].code for d in coder.code_all("asthma and allergic rhinitis")] == ["J45.909", "J30.9"]


def test_a_drug_behind_on_changes_nothing(coder: TextCoder) -> None:
    assert coder.code("RA on MTX").chosen[0].code == coder.code("RA").chosen[0].code


def test_a_thousand_texts_one_by_one_are_answered_alike(coder: TextCoder) -> None:
    """From the thousandth on the compiled ranker answers."""
    engine = coder.engine("problem")
    before = [
        engine.code(f"{text} ") for text in ("T2DM w/ CKD 3b", "R knee OA", "hypertensn", "cataracts OU")
    ]
    for place in range(1_000):
        engine.code(f"diabetes {place}")
    assert [engine.code(d.text) for d in before] == before


def test_joined_drug_names_are_one_product(coder: TextCoder) -> None:
    details = coder.code("losartan/HCTZ 50/12.5", "drug").details
    assert [v for k, v in details if k == "ingredient"] == ["losartan", "hydrochlorothiazide"]
