"""The concept finder learns synonyms from the vocabulary itself; saved and loaded alike; nothing for noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.cli import main
from mappings import Source
from terminology.concepts import ConceptFinder, build_finder, load_finder, save_finder
from terminology.finding import open_finder
from terminology.library import import_release
from terminology.results import UnknownSystem
from terminology.store import Terminology, open_terminology

# "zorb" and "blenny" stand for one another in three concepts; the fourth is known by one of them only.
ROWS = [
    ("1", "zorb fracture"), ("1", "blenny fracture"), ("2", "zorb pain"), ("2", "blenny pain"), ("3", "zorb tumour"),
    ("3", "blenny tumour"), ("4", "zorb infarction"), ("5", "liver infarction"), ("6", "liver pain"),
]  # fmt: skip


def tokens(text: str) -> list[str]:
    return text.split()


@pytest.fixture(scope="module")
def finder() -> ConceptFinder:
    return build_finder(ROWS, tokens)


def test_a_synonym_that_the_concept_does_not_have(finder: ConceptFinder) -> None:
    assert finder.find("blenny infarction")[0].code == "4"
    assert [f.code for f in finder.find("zorb pain", 2)] == ["2", finder.find("zorb pain", 2)[1].code]


def test_misspelt_words_and_noise(finder: ConceptFinder) -> None:
    assert finder.find("lver infarcton")[0].code == "5"
    for text in ("", "   ", "qqqq", "1234", "x" * 100_000):
        assert finder.find(text) == []


def test_weights_are_unit_rows(finder: ConceptFinder) -> None:
    norms = np.sqrt(finder.matrix.multiply(finder.matrix).sum(axis=1))
    assert np.allclose(norms, 1, atol=1e-5)


def test_saved_and_loaded_alike(finder: ConceptFinder, tmp_path: Path) -> None:
    save_finder(finder, tmp_path)
    again = load_finder(tmp_path, tokens)
    for text in ("blenny infarction", "liver", "pain zorb"):
        assert again.find(text) == finder.find(text)
    with pytest.raises(ValueError, match="no terms"):
        build_finder([], tokens)


@given(st.text(max_size=200))
def test_any_text_gets_a_bounded_answer(text: str) -> None:
    found = build_finder(ROWS, tokens).find(text, 3)
    assert len(found) <= 3 and all(0 <= f.score <= 1.0001 for f in found)
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)


def test_over_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.obo").write_text(
        "format-version: 1.2\nontology: x\n\n[Term]\nid: X:1\nname: renal stone\n\n[Term]\nid: X:2\nname: gallstone\n"
    )
    release, _, _ = import_release("obo", tmp_path / "x.obo", tmp_path / "out")
    opened = open_terminology(tmp_path / "out")
    found = open_finder(opened, release.system, Source(), tmp_path / "cache")
    assert found.find("kidney stones")[0].code == "X:1"  # the lexicon's word forms count too
    again = open_finder(opened, release.system, Source(), tmp_path / "cache")
    assert again.find("kidney stones") == found.find("kidney stones")
    with pytest.raises(UnknownSystem):
        open_finder(Terminology(), release.system, Source(), tmp_path / "cache")
    flags = ["terminology", "--terminology", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main([*flags, "find", release.system, "kidney", "stone"]) == 0
    assert "X:1" in capsys.readouterr().out
    assert main([*flags, "find", "http://nowhere", "kidney"]) == 2
