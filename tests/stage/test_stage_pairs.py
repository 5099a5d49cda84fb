"""Dangerous pairs on a list of drugs: each is found whichever of the two comes first; ordinary pairs stay silent."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from situation_runner import plan_of

TABLE = Path(__file__).parent / "situations" / "pairs.tsv"
# Ordinary company on a list: a finding here would be noise that buries the real ones.
SILENT = (
    "lisinopril|amlodipine",
    "metformin|empagliflozin",
    "atorvastatin|ezetimibe",
    "apixaban|metoprolol",
    "sertraline|metformin",
    "levothyroxine|amlodipine",
    "azithromycin|atorvastatin",
    "rosuvastatin|amlodipine",
    "losartan|hydrochlorothiazide",
    "aspirin|atorvastatin",
    "warfarin|metoprolol",
    "clopidogrel|pantoprazole",
    "apixaban|atorvastatin",
    "sertraline|sumatriptan",
    "allopurinol|losartan",
    "furosemide|carvedilol",
    "semaglutide|metformin",
    "prednisone|omeprazole",
    "lorazepam|clarithromycin",
    "pravastatin|clarithromycin",
    "venlafaxine|tamoxifen",
    "gabapentin|sertraline",
    "lisinopril|carvedilol",
    "famotidine|theophylline",
    "levetiracetam|apixaban",
    "sitagliptin|metformin",
    "tamsulosin|finasteride",
    "montelukast|albuterol",
    "amoxicillin|lisinopril",
)


def rows() -> list[tuple[str, ...]]:
    lines = TABLE.read_text("utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines if line and not line.startswith(("#", "first\t"))]


@cache
def found(first: str, second: str) -> dict[str, str]:
    """Finding key -> severity of those that rest on both drugs."""
    drugs = [name.replace(" ", "_") for name in (first, second)]
    labs = {"sbp": [125, 125], "egfr": 80, "potassium": 4.2}
    plan = plan_of({"age": 60, "sex": "male", "drugs": drugs, "labs": labs})
    pairs = [f for f in plan.findings if f.key.startswith("drug-")]
    return {f.key: f.severity for f in pairs if sum(s.startswith("Medication") for s in f.sources) > 1}


def test_the_table_is_long_enough() -> None:
    assert len({frozenset(row[:2]) for row in rows()}) >= 250


@pytest.mark.parametrize("part", range(8))
def test_every_dangerous_pair_is_found(part: int) -> None:
    missed = [row for row in rows()[part::8] if found(row[0], row[1]).get(row[2]) != row[3]]
    assert missed == []


def test_the_order_of_the_drugs_does_not_matter() -> None:
    for first, second, *_ in rows()[::9]:
        assert found(first, second) == found(second, first)


def test_ordinary_pairs_stay_silent() -> None:
    noisy = {pair: found(*pair.split("|")) for pair in SILENT}
    assert {pair: keys for pair, keys in noisy.items() if keys} == {}
