"""The tabular list as read: counts as published, notes, inherited 7th characters; bad files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminology.importers import icd10cm
from terminology.importers.rows import BadRelease, ConceptRow


@pytest.fixture(scope="module")
def concepts() -> dict[str, ConceptRow]:
    rows = icd10cm.read(icd10cm.installed_tabular()).rows
    return {row.code: row for row in rows if isinstance(row, ConceptRow)}


def test_every_code_of_the_tabular_list_is_read(concepts: dict[str, ConceptRow]) -> None:
    diags = [c for c in concepts.values() if ("kind", "diag") in c.properties]
    # the figure of the data itself: count of <diag> elements in the 2026 file
    raw = icd10cm.installed_tabular().read_bytes()
    assert len(diags) == raw.count(b"<diag>") + raw.count(b"<diag ")
    assert len([c for c in concepts.values() if ("kind", "chapter") in c.properties]) == 22


def test_tree_terms_and_notes(concepts: dict[str, ConceptRow]) -> None:
    assert concepts["E11.22"].parents == ("E11.2",)
    assert ("inclusion", "Fracture of distal end of radius") in concepts["S52.5"].terms
    notes = dict.fromkeys(name for name, _ in concepts["E11"].properties)
    assert {"use-additional", "excludes1"} <= set(notes)
    assert ("excludes1", "gestational diabetes (O24.4-)") in concepts["E11"].properties
    assert icd10cm.phrase_in_note("gestational diabetes (O24.4-)") == ("gestational diabetes", "O24.4")


def test_seventh_characters_are_inherited_and_make_a_code_not_billable(
    concepts: dict[str, ConceptRow],
) -> None:
    wrist = dict(concepts["S52.501"].properties)
    assert wrist["billable"] == "false"
    letters = [v[0] for n, v in concepts["S52.501"].properties if n == "seventh-character"]
    assert letters[:2] == ["A", "B"] and "S" in letters
    assert dict(concepts["I10"].properties)["billable"] == "true"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><ICD10CM.tabular/>", "DOCTYPE"),
        ("<ICD10CM.index/>", "not the ICD-10-CM tabular"),
        ("<ICD10CM.tabular><chapter>", "damaged"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(BadRelease, match=reason):
        icd10cm.read(path)
