"""Floors of quality on held-out phrases (benchmarks/coder); the figures themselves are in docs/terminology.md."""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from terminology import TextCoder

BENCH = Path(__file__).parents[3] / "benchmarks" / "coder"


def rows(name: str) -> list[dict[str, str]]:
    with (BENCH / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t"))


@pytest.mark.parametrize(("name", "floor"), [("test", 0.88), ("second", 0.88), ("dev", 0.9)])
def test_shorthand_strict(coder: TextCoder, name: str, floor: float) -> None:
    phrases = rows(f"shorthand-{name}.tsv")
    assert len(phrases) > 150
    right = [coder.code(r["text"]).candidates[:1] for r in phrases]
    share = np.mean([bool(c) and c[0].code == r["code"] for c, r in zip(right, phrases, strict=True)])
    assert share >= floor


def test_every_gold_code_exists(coder: TextCoder) -> None:
    known = coder.engine("problem").ranker.index.codes.number  # type: ignore[attr-defined]
    for name in ("dev", "second", "test"):
        assert [r for r in rows(f"shorthand-{name}.tsv") if r["code"] not in known] == []


def test_no_phrase_is_in_two_sets() -> None:
    sets = [{r["text"].lower() for r in rows(f"shorthand-{n}.tsv")} for n in ("dev", "second", "test")]
    assert len(sets[0] & sets[1]) + len(sets[0] & sets[2]) + len(sets[1] & sets[2]) < 25


def test_confidence_is_worth_something(coder: TextCoder) -> None:
    """Goal: precision at least .97 where the confidence is at least .9, on at least 40 % of the phrases."""
    phrases = [*rows("shorthand-test.tsv"), *rows("shorthand-second.tsv")]
    sure = [(d, r) for r in phrases if (d := coder.code(r["text"])).confidence >= 0.9]
    right = np.mean([d.chosen[0].code == r["code"] for d, r in sure])
    assert len(sure) / len(phrases) >= 0.4 and right >= 0.97


def test_assertion_sentences(coder: TextCoder) -> None:
    sys.path.insert(0, str(BENCH))
    try:
        from asking import marked_sentences
    finally:
        sys.path.remove(str(BENCH))
    found = [coder.assertion(text, span) == label for text, span, label in marked_sentences()]
    assert len(found) >= 80 and np.mean(found) >= 0.92


def test_typos_keep_the_code(coder: TextCoder) -> None:
    rng = random.Random(5)
    words = ["hypertension", "pneumonia", "osteoporosis", "hypothyroidism", "diverticulitis", "cholelithiasis", "fibromyalgia",  # noqa: E501
             "endometriosis", "schizophrenia", "sarcoidosis", "onychomycosis", "epididymitis"]  # fmt: skip
    kept = 0
    for word in words:
        at = rng.randrange(2, len(word) - 2)
        kept += (
            coder.code(word[:at] + word[at + 1 :]).candidates[0].code == coder.code(word).candidates[0].code
        )
    assert kept >= len(words) - 1
