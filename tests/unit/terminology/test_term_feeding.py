"""Imported releases raise what the coder knows: OBO, RF2 with its map, the alphabetic index; nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tx import rf2_release

from mappings import Source
from terminology import TextCoder, open_coder
from terminology.feeding import fed_releases, phrases, release_key, shared_heading
from terminology.importers.rows import ICD10CM, SNOMED
from terminology.library import import_release

OBO = """format-version: 1.2
ontology: doid

[Term]
id: DOID:1
name: zanzibar joint plague
synonym: "wobblitis of the knees" EXACT []
synonym: "something broader" BROAD []
xref: ICD10CM:M17.9

[Term]
id: DOID:2
name: two-coded flurb
xref: ICD10CM:E11.21
xref: ICD10CM:E11.22

[Term]
id: DOID:3
name: quite unclear grumps
xref: ICD10CM:A00
xref: ICD10CM:M17.9
"""
INDEX = """<ICD10CM.index><version>2026</version><letter><title>S</title><mainTerm><title>Snurfling</title>
<term level="1"><title>nightly</title><code>G47.33</code></term></mainTerm></letter></ICD10CM.index>"""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fed")
    (folder / "doid.obo").write_text(OBO)
    (folder / "index.xml").write_text(INDEX)
    import_release("obo", folder / "doid.obo", folder / "releases")
    import_release("icd10cm-index", folder / "index.xml", folder / "releases")
    import_release("snomed", rf2_release(folder / "rf2"), folder / "releases")
    return folder / "releases"


@pytest.fixture(scope="module")
def fed(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> TextCoder:
    return open_coder(Source(), tmp_path_factory.mktemp("cache"), releases=releases)


def test_what_is_fed(releases: Path) -> None:
    found = {(p.code, p.term, p.kind) for p in phrases(releases)}
    assert ("M17.9", "wobblitis of the knees", "map") in found and (
        "E11.2",
        "two-coded flurb",
        "map",
    ) in found
    assert ("I10", "Essential hypertension", "snomed") in found  # without the semantic tag
    assert ("G47.33", "Snurfling nightly", "index") in found
    terms = {term for _, term, _ in found}
    assert not terms & {
        "something broader",
        "quite unclear grumps",
        "Infertile",
    }  # broad; no heading; depends on sex


def test_the_alphabetic_index_alone_is_fed(tmp_path: Path) -> None:
    """Its system is ICD-10-CM's own, so that its file's name begins like that of the tabular list."""
    (tmp_path / "index.xml").write_text(INDEX)
    folder = tmp_path / "releases"
    assert release_key(folder) == b""
    _, _, made = import_release("icd10cm-index", tmp_path / "index.xml", folder)
    assert fed_releases(folder) == [made] and release_key(folder)
    assert ("G47.33", "Snurfling nightly", "index") in {(p.code, p.term, p.kind) for p in phrases(folder)}
    (folder / "icd-10-cm-2026-0123456789ab.sqlite").touch()
    assert fed_releases(folder) == [made]


def test_the_coder_names_what_it_learned_from(fed: TextCoder) -> None:
    names = fed.release.split("; ")
    assert names[0].startswith("ICD-10-CM ") and len(names) == 4
    assert any(n.startswith("SNOMED CT 20260101 (Snapshot), http://snomed.info/sct/") for n in names)
    assert fed.code("essential hypertension").release == fed.release


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("wobblitis of the knees", "M17.9"),
        ("Zanzibar joint plague", "M17.9"),
        ("nightly snurfling", "G47.33"),
    ],
)
def test_recall_rises(coder: TextCoder, fed: TextCoder, text: str, code: str) -> None:
    assert code not in [c.code for c in coder.code(text, "problem").chosen]
    assert code in [c.code for c in fed.code(text, "problem").chosen]


def test_what_was_known_stays(coder: TextCoder, fed: TextCoder) -> None:
    for text in ("hypertension", "T2DM w/ CKD 3b", "R knee OA", "hx of MI"):
        assert coder.code(text, "problem").chosen == fed.code(text, "problem").chosen


def test_snomed_from_the_release_where_the_map_agrees(fed: TextCoder) -> None:
    found = fed.code("Essential hypertension", "problem")
    assert {(c.system, c.code) for c in found.chosen} == {(ICD10CM, "I10"), (SNOMED, "59621000")}


def test_without_releases_nothing_changes(tmp_path: Path) -> None:
    assert list(phrases(None)) == [] and list(phrases(tmp_path / "nothing")) == []


@pytest.mark.parametrize(
    ("codes", "heading"),
    [(["E11.21", "E11.22"], "E11.2"), (["E11.9"], "E11.9"), (["E11.9", "E10.9"], ""), ([], ""),
     (["S52.501", "S52.502"], "S52.50"), (["I25.10", "I25.2"], "I25")],
)  # fmt: skip
def test_shared_heading(codes: list[str], heading: str) -> None:
    assert shared_heading(codes) == heading
