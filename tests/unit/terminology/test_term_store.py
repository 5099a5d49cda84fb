"""Importers over tiny valid releases made here, and the questions put to what they wrote."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from terminology.importers.rows import ICD10CM, LOINC, RXNORM, SNOMED, BadRelease
from terminology.importers.snomed_rf2 import check_digit
from terminology.library import import_release, list_releases, remove_release
from terminology.store import Terminology, TooCostly, UnknownCode, UnknownSystem, open_terminology


@pytest.fixture(scope="module")
def icd(tmp_path_factory: pytest.TempPathFactory) -> Terminology:
    from terminology.importers.icd10cm import installed_tabular

    folder = tmp_path_factory.mktemp("icd")
    release, report, _ = import_release("icd10cm", installed_tabular(), folder)
    assert release.version == "2026" and not report.defects
    return open_terminology(folder)


def test_lookup(icd: Terminology) -> None:
    concept = icd.lookup(ICD10CM, "E11.22")
    assert concept.display == "Type 2 diabetes mellitus with diabetic chronic kidney disease"
    assert concept.parents == ("E11.2",) and ("billable", "true") in concept.properties
    assert icd.lookup(ICD10CM, "e1122").code == "E11.22"  # without its dot
    with pytest.raises(UnknownCode):
        icd.lookup(ICD10CM, "E99.99")
    with pytest.raises(UnknownSystem):
        icd.lookup(SNOMED, "1")
    with pytest.raises(UnknownSystem):
        icd.lookup(ICD10CM, "I10", version="1999")


def test_validate(icd: Terminology) -> None:
    assert icd.validate(ICD10CM, "I10").result
    assert not icd.validate(ICD10CM, "I10", "Gout").result
    missing = icd.validate(ICD10CM, "Z99.999")
    assert not missing.result and missing.message


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [("E11", "E11.22", "subsumes"), ("E11.22", "E11", "subsumed-by"), ("I10", "I10", "equivalent"),
     ("E11", "E10.9", "not-subsumed"), ("E08-E13", "E11.22", "subsumes")],
)  # fmt: skip
def test_subsumes(icd: Terminology, a: str, b: str, outcome: str) -> None:
    assert icd.subsumes(ICD10CM, a, b) == outcome


def test_expand_and_search(icd: Terminology) -> None:
    whole = icd.expand(ICD10CM, "diab neph", count=500)
    assert whole.total == len(whole.contains) > 3
    assert all(
        "neph" in (h.display + str(icd.lookup(ICD10CM, h.code).designations)).lower() for h in whole.contains
    )
    page = icd.expand(ICD10CM, "diab neph", count=2, offset=1)
    assert page.total == whole.total and page.contains == whole.contains[1:3]
    below = icd.expand(ICD10CM, root="E11.2")
    assert [h.code for h in below.contains] == ["E11.2", "E11.21", "E11.22", "E11.29"]
    assert icd.expand(ICD10CM, count=0).total > 46_000
    with pytest.raises(TooCostly):
        icd.expand(ICD10CM)
    assert icd.search(ICD10CM, "heart failure", 3)[0].display.lower().count("heart failure")
    assert icd.search(ICD10CM, '"; drop table concept; --') == ()


RF2_CONCEPT = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\n"
RF2_DESCRIPTION = (
    "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
)
RF2_RELATION = "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\tcharacteristicTypeId\tmodifierId\n"  # noqa: E501
RF2_MAP = (
    "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tmapGroup\tmapPriority\tmapRule\tmapAdvice\tmapTarget\t"
    "correlationId\tmapCategoryId\n"
)
RF2_ASSOCIATION = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\ttargetComponentId\n"
ROOT, DISEASE, HYPERTENSION, OLD = "138875005", "64572001", "38341003", "73211009"


def rf2(folder: Path, kind: str = "Snapshot") -> Path:
    base = folder / kind / "Terminology"
    refset = folder / kind / "Refset"
    base.mkdir(parents=True)
    refset.mkdir(parents=True)
    concepts = [(ROOT, 1), (DISEASE, 1), (HYPERTENSION, 1), (OLD, 0)]
    (base / f"sct2_Concept_{kind}_INT_20260101.txt").write_text(
        RF2_CONCEPT + "".join(f"{c}\t20260101\t{a}\tm\td\n" for c, a in concepts) + "broken\trow\n"
    )
    texts = [
        (ROOT, "SNOMED CT Concept"),
        (DISEASE, "Disease"),
        (HYPERTENSION, "Hypertensive disorder"),
        (OLD, "Old one"),
    ]
    (base / f"sct2_Description_{kind}-en_INT_20260101.txt").write_text(
        RF2_DESCRIPTION
        + "".join(
            f"{i}\t20260101\t1\tm\t{c}\ten\t900000000000013009\t{t}\tc\n" for i, (c, t) in enumerate(texts)
        )
        + f"9\t20260101\t1\tm\t{HYPERTENSION}\ten\t900000000000013009\tHigh blood pressure\tc\n"
    )
    (base / f"sct2_Relationship_{kind}_INT_20260101.txt").write_text(
        RF2_RELATION
        + f"1\t20260101\t1\tm\t{HYPERTENSION}\t{DISEASE}\t0\t116680003\tc\tm\n"
        + f"2\t20260101\t1\tm\t{DISEASE}\t{ROOT}\t0\t116680003\tc\tm\n"
        + f"3\t20250101\t1\tm\t{HYPERTENSION}\t{ROOT}\t0\t116680003\tc\tm\n"
        + f"3\t20260101\t0\tm\t{HYPERTENSION}\t{ROOT}\t0\t116680003\tc\tm\n"
    )
    (refset / f"der2_iisssccRefset_ExtendedMap{kind}_INT_20260101.txt").write_text(
        RF2_MAP
        + f"u\t20260101\t1\tm\t6011000124106\t{HYPERTENSION}\t1\t1\tTRUE\tALWAYS I10\tI10\tc\t447637006\n"
    )
    (refset / f"der2_cRefset_Association{kind}_INT_20260101.txt").write_text(
        RF2_ASSOCIATION + f"u\t20260101\t1\tm\t900000000000526001\t{OLD}\t{DISEASE}\n"
    )
    return folder


@pytest.mark.parametrize("kind", ["Snapshot", "Full"])
def test_snomed_rf2(tmp_path: Path, kind: str) -> None:
    _, report, _ = import_release("snomed", rf2(tmp_path / "in", kind), tmp_path / "out")
    assert report.defects == 1 and "broken" not in report.messages[0]
    terms = open_terminology(tmp_path / "out")
    assert terms.subsumes(SNOMED, ROOT, HYPERTENSION) == "subsumes"
    old = terms.lookup(SNOMED, OLD)
    assert not old.active and ("replaced-by", DISEASE) in old.properties
    assert terms.search(SNOMED, "high blood")[0].code == HYPERTENSION
    forward = terms.translate(SNOMED, HYPERTENSION, ICD10CM)[0]
    assert (forward.code, forward.equivalence, forward.advice, forward.unsafe) == (
        "I10",
        "equivalent",
        "ALWAYS I10",
        False,
    )
    back = terms.translate(ICD10CM, "I10", SNOMED, reverse=True)[0]
    assert back.code == HYPERTENSION and back.unsafe


def test_full_keeps_only_the_newest_state(tmp_path: Path) -> None:
    import_release("snomed", rf2(tmp_path / "in", "Full"), tmp_path / "out")
    assert open_terminology(tmp_path / "out").lookup(SNOMED, HYPERTENSION).parents == (DISEASE,)


def test_verhoeff() -> None:
    assert all(map(check_digit, (ROOT, DISEASE, HYPERTENSION)))
    assert not any(map(check_digit, ("138875004", "abc", "12", "")))


def test_zip_and_zip_slip(tmp_path: Path) -> None:
    source = rf2(tmp_path / "in")
    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w") as archive:
        for path in source.rglob("*.txt"):
            archive.write(path, path.relative_to(source).as_posix())
    assert import_release("snomed", good, tmp_path / "out")[0].system == SNOMED
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../sct2_Concept_Snapshot_INT_20260101.txt", "x")
    with pytest.raises(BadRelease, match="leaves the archive"):
        import_release("snomed", bad, tmp_path / "out")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sct2_Concept_Snapshot_INT_20260101.txt", b"0" * 50_000_000)
    with pytest.raises(BadRelease, match="too tightly"):
        import_release("snomed", bomb, tmp_path / "out")
    assert [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")] == []


def test_wrong_edition_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.txt").write_text("hello")
    for kind in ("snomed", "loinc", "rxnorm"):
        with pytest.raises(BadRelease):
            import_release(kind, tmp_path / "x", tmp_path / "out")


def test_loinc(tmp_path: Path) -> None:
    rows = [
        "LOINC_NUM,COMPONENT,STATUS,SHORTNAME,LONG_COMMON_NAME,RELATEDNAMES2,VersionLastChanged",
        '4548-4,Hemoglobin A1c/Hemoglobin.total,ACTIVE,HbA1c MFr Bld,"Hemoglobin A1c/Hemoglobin.total in Blood",A1C; HbA1c,2.78',  # noqa: E501
        "4548-5,wrong digit,ACTIVE,x,x,,2.78",
    ]
    (tmp_path / "Loinc.csv").write_text("\n".join(rows))
    release, report, _ = import_release("loinc", tmp_path / "Loinc.csv", tmp_path / "out")
    assert release.version == "2.78" and report.defects == 1
    assert open_terminology(tmp_path / "out").search(LOINC, "a1c")[0].code == "4548-4"


def test_rxnorm(tmp_path: Path) -> None:
    def conso(code: str, tty: str, name: str) -> str:
        fields = [code, "ENG", "", "", "", "", "", "a", "", "", "", "RXNORM", tty, code, name, "", "N", ""]
        return "|".join(fields) + "|\n"

    rel = [
        "314076",
        "",
        "CUI",
        "RO",
        "29046",
        "",
        "CUI",
        "has_ingredient",
        "",
        "",
        "RXNORM",
        "",
        "",
        "",
        "",
        "",
    ]
    folder = tmp_path / "RxNorm_full_01052026"
    folder.mkdir()
    (folder / "RXNCONSO.RRF").write_text(
        conso("29046", "IN", "lisinopril")
        + conso("314076", "SCD", "lisinopril 10 MG Oral Tablet")
        + "short|row|\n"
    )
    (folder / "RXNREL.RRF").write_text("|".join(rel) + "|\n")
    release, report, _ = import_release("rxnorm", folder, tmp_path / "out")
    assert release.version == "01052026" and report.defects == 1
    terms = open_terminology(tmp_path / "out")
    assert terms.lookup(RXNORM, "29046").display == "lisinopril"


def test_obo(tmp_path: Path) -> None:
    (tmp_path / "doid.obo").write_text(
        "format-version: 1.2\ndata-version: doid/releases/2026\nontology: doid\n\n[Term]\nid: DOID:5844\n"
        'name: myocardial infarction\nsynonym: "heart attack" EXACT []\nxref: ICD10CM:I21\nis_a: DOID:3393 ! x\n\n'
        "[Term]\nname: no id\n\n[Typedef]\nid: part_of\n"
    )
    release, report, _ = import_release("obo", tmp_path / "doid.obo", tmp_path / "out")
    terms = open_terminology(tmp_path / "out")
    assert report.defects == 1
    assert terms.translate(release.system, "DOID:5844", ICD10CM)[0].code == "I21"
    assert terms.search(release.system, "heart attack")[0].code == "DOID:5844"


def test_fhir_json(tmp_path: Path) -> None:
    system = {
        "resourceType": "CodeSystem", "url": "http://example.org/cs", "version": "1", "name": "Tiny",
        "concept": [{"code": "a", "display": "Alpha", "concept": [{"code": "b", "display": "Beta"}]}, {"display": "none"}],  # noqa: E501
    }  # fmt: skip
    (tmp_path / "cs.json").write_text(json.dumps(system))
    (tmp_path / "bad.json").write_text("{")
    _, report, _ = import_release("fhir", tmp_path, tmp_path / "out")
    terms = open_terminology(tmp_path / "out")
    assert terms.subsumes("http://example.org/cs", "a", "b") == "subsumes" and report.defects == 2


def test_releases_side_by_side_listed_and_removed(tmp_path: Path) -> None:
    for version in ("1", "2"):
        place = tmp_path / version
        place.mkdir()
        resource = {
            "resourceType": "CodeSystem",
            "url": "http://x.org",
            "version": version,
            "concept": [{"code": version}],
        }
        (place / "cs.json").write_text(json.dumps(resource))
        import_release("fhir", place, tmp_path / "out")
    assert [r.version for r, _ in list_releases(tmp_path / "out")] == ["1", "2"]
    terms = open_terminology(tmp_path / "out")
    assert terms.validate("http://x.org", "2").result and not terms.validate("http://x.org", "1").result
    assert terms.validate("http://x.org", "1", version="1").result
    assert remove_release(tmp_path / "out", "http://x.org", "1") and not remove_release(
        tmp_path / "out", "http://x.org", "1"
    )


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"not a database at all")
    assert open_terminology(tmp_path).releases == ()
