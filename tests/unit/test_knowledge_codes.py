"""Shipped codes: form, existence in ICD-10-CM, existence in a loaded release (issue: every shipped code is checked)."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_twin.knowledge_codes import check_codes, shipped_codes
from fhir_twin.model.codes import ICD10CM, LOINC, SNOMED
from mappings import Source
from terminology.library import import_release
from terminology.text.vocabulary import without_seventh


def test_all_shipped_codes_are_good() -> None:
    report = check_codes(Source())
    assert report.faults == [] and report.counts["ICD-10-CM codes looked up"] > 3_000


def test_bad_codes_are_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "conditions").mkdir()
    (tmp_path / "conditions" / "site.toml").write_text(
        'icd10cm = ["E11.9", "E99.99", "e119", "S52.501A", "C00-C14"]\n'
        'snomed = ["38341003", "38341004"]\nloinc = "4548-5"\n'
    )
    report = check_codes(Source(overlay=tmp_path))
    told = sorted(f for f in report.faults if "site.toml" in f)
    assert [f.split(": ")[1].rpartition(" ")[2] for f in told] == ["E99.99", "e119", "4548-5", "38341004"]


def test_against_a_loaded_release(tmp_path: Path) -> None:
    rows = [
        "LOINC_NUM,STATUS,SHORTNAME,LONG_COMMON_NAME,VersionLastChanged",
        "4548-4,DEPRECATED,x,HbA1c,2.80",
    ]
    (tmp_path / "Loinc.csv").write_text("\n".join(rows))
    import_release("loinc", tmp_path / "Loinc.csv", tmp_path / "out")
    report = check_codes(Source(), tmp_path / "out")
    assert any("4548-4 is inactive in 2.80" in note for note in report.notes)
    assert any(fault.endswith("LOINC 2160-0: not in the loaded release") for fault in report.faults)
    assert not any("SNOMED" in fault for fault in report.faults)  # no release of it is loaded


def test_every_system_is_gathered() -> None:
    systems = {s.system for s in shipped_codes(Source())}
    assert {ICD10CM, SNOMED, LOINC} <= systems and len(systems) == 4


@pytest.mark.parametrize(
    ("code", "without"),
    [("W19.XXXA", "W19"), ("S52.501A", "S52.501"), ("H40.1190", "H40.119"), ("O32.1XX0", "O32.1"),
     ("C44.1021", "C44.1021"), ("T86.8401", "T86.8401"), ("E11.9", "E11.9")],
)  # fmt: skip
def test_seventh_characters(code: str, without: str) -> None:
    assert without_seventh(code) == without
