"""Every code in the lexicon exists in the loaded release, and says what its label says."""

from __future__ import annotations

import pytest

from mappings import Source
from terminology.importers import icd10cm
from terminology.importers.rows import ICD10CM, ConceptRow
from terminology.text.lexicon import load_lexicon


@pytest.fixture(scope="module")
def titles() -> dict[str, str]:
    rows = icd10cm.read(icd10cm.installed_tabular()).rows
    return {row.code: row.display for row in rows if isinstance(row, ConceptRow)}


def test_synonyms_name_existing_codes_with_their_titles(titles: dict[str, str]) -> None:
    rows = dict(Source().tsv("lexicon"))["synonyms.tsv"]
    assert len(rows) > 4_000
    for row in rows:
        prefix, code = row["object_id"].split(":")
        assert prefix == "ICD10CM" and titles.get(code) == row["object_label"], row


def test_no_phrase_means_two_codes() -> None:
    rows = dict(Source().tsv("lexicon"))["synonyms.tsv"]
    texts = [row["subject_label"].lower() for row in rows]
    assert len(texts) == len(set(texts))


def test_code_rules_name_existing_codes(titles: dict[str, str]) -> None:
    for rule in load_lexicon(Source()).rules:
        assert any(code.startswith(rule.prefix) for code in titles), rule
        for code in (rule.historical, rule.family):
            assert code in ("", "present", "-") or code in titles, rule


def test_every_row_says_where_it_is_from() -> None:
    for name, rows in Source().tsv("lexicon"):
        assert all(row["source"] for row in rows), name


def test_senses_are_ordered_and_weighted() -> None:
    lexicon = load_lexicon(Source())
    for key, senses in lexicon.senses.items():
        assert 0 < sum(s.prior for s in senses) <= 1.0 + 1e-9, key
        assert list(senses) == sorted(senses, key=lambda s: -s.prior)
    assert all(s.system == ICD10CM for s in lexicon.synonyms)


def test_unknown_table_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "lexicon").mkdir()
    (tmp_path / "lexicon" / "nonsense.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(ValueError, match=r"nonsense\.tsv"):
        load_lexicon(Source(root=tmp_path))
