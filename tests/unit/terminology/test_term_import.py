"""Importers against what is thrown at them: resume, packages, the index, SSSOM, GEM, OBO forms, damage."""

from __future__ import annotations

import io
import json
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tx import ask, codes, rf2_release

from terminology import library
from terminology.detect import kind_of
from terminology.importers import icd10cm_index, snomed_rf2
from terminology.importers.rows import ICD9CM, ICD10CM, SNOMED, BadRelease, Import, Row
from terminology.library import import_release, list_releases, unfinished
from terminology.store import open_terminology


class Interrupted(Exception):
    pass


def test_an_interrupted_import_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = rf2_release(tmp_path / "in"), tmp_path / "out"
    monkeypatch.setattr(library, "_BATCH", 5)
    real = snomed_rf2.read

    def broken(path: Path) -> Import:
        found = real(path)

        def rows() -> Iterator[Row]:
            yield from islice(found.rows, 23)
            raise Interrupted

        return Import(found.release, rows(), found.report)

    monkeypatch.setitem(library.READERS, "snomed", broken)
    with pytest.raises(Interrupted):
        import_release("snomed", source, out)
    assert [rows for _, rows in unfinished(out)] == [20] and list_releases(out) == []
    monkeypatch.setitem(library.READERS, "snomed", real)
    done: list[int] = []
    import_release("snomed", source, out, done.append)
    assert done[0] == 25 and unfinished(out) == []  # the first 20 were not written again
    import_release("snomed", source, tmp_path / "whole")
    [one], [two] = (sorted(p.glob("*.sqlite")) for p in (out, tmp_path / "whole"))
    assert one.read_bytes() == two.read_bytes()


_KILLED = """
import os, signal, sys
from pathlib import Path
from terminology import library
library._BATCH = 50
def told(rows):
    if rows >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
library.import_release("obo", Path(sys.argv[1]), Path(sys.argv[2]), told)
"""


def test_an_import_that_is_killed_again_and_again_is_whole_in_the_end(tmp_path: Path) -> None:
    """SIGKILL in the middle, three times; the file is then that of an import nobody disturbed."""
    terms = "".join(f"[Term]\nid: MADE:{n}\nname: thing {n}\nsynonym: \"alias {n}\" EXACT []\n"
                    f"is_a: MADE:{n // 2}\n\n" for n in range(1, 400))  # fmt: skip
    source = tmp_path / "made.obo"
    source.write_text(f"format-version: 1.2\ndata-version: 1\nontology: made\n\n{terms}", "utf-8")
    folder = tmp_path / "out"
    for rows in (50, 150, 300):
        command = [sys.executable, "-c", _KILLED, str(source), str(folder), str(rows)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert list(folder.glob("*.sqlite")) == [] and unfinished(folder)[0][1] >= 50
    _, _, path = import_release("obo", source, folder)
    _, _, whole = import_release("obo", source, tmp_path / "undisturbed")
    assert unfinished(folder) == []

    def rows_of(file: Path) -> dict[str, list[object]]:
        with closing(sqlite3.connect(file)) as db:
            tables = ("concept", "term", "property", "edge", "above", "map")
            return {t: sorted(db.execute(f"select * from {t}").fetchall(), key=repr) for t in tables}

    assert rows_of(path) == rows_of(whole)


def test_rows_about_unknown_concepts_are_defects(tmp_path: Path) -> None:
    source = rf2_release(tmp_path / "in")
    terms = next(source.rglob("sct2_Description*"))
    with terms.open("a") as out:
        out.write("99\t20260101\t1\tm\t22298006\ten\t900000000000013009\tNobody's term\tc\nshort\trow\n")
    _, report, _ = import_release("snomed", source, tmp_path / "out")
    assert report.defects == 2 and "Nobody" not in str(report.messages)


def package(path: Path, files: dict[str, Any]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, value in files.items():
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


SYSTEM = {"resourceType": "CodeSystem", "url": "http://example.org/cs", "version": "1", "content": "complete",
          "status": "active", "concept": [{"code": "a", "display": "Alpha"}, {"display": "no code"}]}  # fmt: skip
SET = {"resourceType": "ValueSet", "url": "http://example.org/vs", "status": "active",
       "compose": {"include": [{"system": "http://example.org/cs"}]}}  # fmt: skip


def test_a_fhir_package(tmp_path: Path) -> None:
    manifest = {
        "name": "example.pkg",
        "version": "0.1.0",
        "canonical": "http://example.org",
        "license": "CC0-1.0",
    }
    source = package(
        tmp_path / "p.tgz",
        {"package/package.json": manifest, "package/.index.json": {}, "package/cs.json": SYSTEM,
         "package/vs.json": SET, "package/twin.json": SYSTEM, "package/bad.json": b"{", "package/p.json": {
             "resourceType": "Patient", "id": "1"}},
    )  # fmt: skip
    assert kind_of(source) == "fhir"
    release, report, _ = import_release("fhir", source, tmp_path / "out")
    assert (release.name, release.version, release.licence) == ("example.pkg", "0.1.0", "CC0-1.0")
    assert report.defects == 3  # the concept without code, the doubled url, the broken file
    shelf = open_terminology(tmp_path / "out")
    assert codes(ask("expand", shelf=shelf, url="http://example.org/vs")) == ["a"]


def test_hostile_archives(tmp_path: Path) -> None:
    with pytest.raises(BadRelease, match="leaves the archive"):
        import_release("fhir", package(tmp_path / "slip.tgz", {"../../x.json": SYSTEM}), tmp_path / "out")
    whole = package(tmp_path / "w.tgz", {f"package/{i}.json": SYSTEM for i in range(2_000)}).read_bytes()
    torn = tmp_path / "torn.tgz"
    torn.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadRelease, match="damaged"):
        import_release("fhir", torn, tmp_path / "out")
    with pytest.raises(BadRelease, match="too tightly"):
        import_release(
            "fhir", package(tmp_path / "b.tgz", {"package/x.json": b" " * 60_000_000}), tmp_path / "out"
        )
    (tmp_path / "not.zip").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(BadRelease, match="damaged"):
        import_release("snomed", tmp_path / "not.zip", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


INDEX = """<?xml version="1.0"?><ICD10CM.index><version>2026</version><letter><title>D</title>
<mainTerm><title>Diabetes, diabetic <nemod>(mellitus) (sugar)</nemod></title><code>E11.9</code>
<term level="1"><title>with</title>
<term level="2"><title>chronic kidney disease</title><code>E11.22</code></term></term>
<term level="1"><title>gestational</title><code>O24.4-</code></term>
<term level="1"><title>bronzed</title><code>nonsense</code></term><term level="1"><code>E10.9</code></term></mainTerm>
<mainTerm><title>Dacryops</title><see>Disorder, lacrimal gland</see></mainTerm></letter></ICD10CM.index>"""


def test_the_alphabetic_index(tmp_path: Path) -> None:
    path = tmp_path / "icd10cm-index-2026.xml"
    path.write_text(INDEX)
    assert kind_of(path) == "icd10cm-index"
    found = icd10cm_index.read(path)
    terms = {row.code: {row.display, *(t for _, t in row.terms)} for row in found.rows}  # type: ignore[union-attr]
    assert terms["E11.22"] == {"Diabetes with chronic kidney disease", "diabetic with chronic kidney disease"}
    assert terms["O24.4"] == {"Diabetes gestational", "diabetic gestational"}
    assert found.report.defects == 2 and set(terms) == {"E11.9", "E11.22", "O24.4"}
    (tmp_path / "evil.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><ICD10CM.index/>')
    with pytest.raises(BadRelease, match="DOCTYPE"):
        icd10cm_index.read(tmp_path / "evil.xml")


def test_sssom(tmp_path: Path) -> None:
    path = tmp_path / "mondo.sssom.tsv"
    path.write_text(
        "#mapping_set_id: https://w3id.org/example\n#mapping_set_version: 2026-01\n#license: CC0\n"
        "subject_id\tpredicate_id\tobject_id\tpredicate_modifier\tconfidence\n"
        "MONDO:0005148\tskos:exactMatch\tICD10CM:E11\t\t0.9\nMONDO:0005148\tskos:broadMatch\tSCTID:73211009\t\t\n"
        "MONDO:1\tskos:exactMatch\tICD10CM:A00\tNot\t\nMONDO:2\todd:thing\tICD10CM:A01\t\t\nnothing\tskos:exactMatch\tx\t\t\n"
    )
    assert kind_of(path) == "sssom"
    release, report, _ = import_release("sssom", path, tmp_path / "out")
    assert (release.version, release.licence, report.defects) == ("2026-01", "CC0", 2)
    shelf = open_terminology(tmp_path / "out")
    mondo = "http://purl.obolibrary.org/obo/mondo.owl"
    assert [(m.code, m.equivalence) for m in shelf.translate(mondo, "MONDO:0005148")] == [
        ("E11", "equivalent"), ("73211009", "wider"),
    ]  # fmt: skip
    assert shelf.translate(mondo, "MONDO:1")[0].equivalence == "disjoint"
    (tmp_path / "x.tsv").write_text("a\tb\n")
    with pytest.raises(BadRelease, match="subject_id"):
        import_release("sssom", tmp_path / "x.tsv", tmp_path / "out")


def test_gem(tmp_path: Path) -> None:
    (tmp_path / "2018_I9gem.txt").write_text(
        "25000 E119    10000\n4019  I10     10000\n00845 A047    00000\nE8120 NoDx    11000\n80604 S14101A 10112\nodd\n"
    )
    _, report, _ = import_release("gem", tmp_path, tmp_path / "out")
    shelf = open_terminology(tmp_path / "out")
    [found] = shelf.translate(ICD9CM, "250.00", ICD10CM)
    assert (found.code, found.equivalence) == ("E11.9", "inexact") and report.defects == 1
    assert shelf.translate(ICD9CM, "008.45")[0].equivalence == "equivalent"
    assert shelf.translate(ICD9CM, "E812.0")[0].equivalence == "unmatched"
    [part] = shelf.translate(ICD9CM, "806.04")
    assert (part.code, part.group, part.priority) == ("S14.101A", 1, 2) and "combination" in part.advice


def test_obo_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "mondo.obo").write_text(
        'format-version: 1.2\nontology: mondo\n\n[Term]\nid: MONDO:1\nname: a\ndef: "says \\"so\\" here" [X:1]\n'
        'synonym: "b" EXACT [] {source="x"}\nxref: SNOMEDCT_US_2023_03_01:73211009\n'
        'xref: ICD10CM:E11 {source="MONDO:equivalentTo"}\nis_a: MONDO:2 {source="y"} ! c\n\n'
        "[Term]\nid: MONDO:2\nname: c\n\n[Term]\nid: MONDO:3\nname: obsolete d\n"
        "is_obsolete: true\nreplaced_by: MONDO:1\n"
    )
    release, _, _ = import_release("obo", tmp_path / "mondo.obo", tmp_path / "out")
    shelf = open_terminology(tmp_path / "out")
    assert shelf.subsumes(release.system, "MONDO:2", "MONDO:1") == "subsumes"
    assert {(m.system, m.code) for m in shelf.translate(release.system, "MONDO:1")} == {
        (SNOMED, "73211009"), (ICD10CM, "E11"),
    }  # fmt: skip
    assert shelf.successors(release.system, "MONDO:3") == (("replaced-by", "MONDO:1"),)
    entry = shelf.system(release.system, release.version)
    assert entry is not None and (found := entry.find("MONDO:1")) is not None
    assert found.definition == 'says "so" here'


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    (tmp_path / "x.obo").write_text(
        "format-version: 1.2\nontology: x\n\n[Term]\nid: X:1\nname: a\nis_a: X:2\n\n"
        "[Term]\nid: X:2\nname: b\nis_a: X:1\n"
        "\n[Term]\nid: X:3\nname: c\nis_a: X:1\n"
    )
    release, _, _ = import_release("obo", tmp_path / "x.obo", tmp_path / "out")
    shelf = open_terminology(tmp_path / "out")
    assert shelf.subsumes(release.system, "X:2", "X:3") == "subsumes"
    assert shelf.subsumes(release.system, "X:3", "X:1") == "subsumed-by"


def test_an_edition_for_tests_only_says_so(tmp_path: Path) -> None:
    """http://snomed.info/xsct: what SNOMED International calls trial and test editions."""
    source = rf2_release(tmp_path / "in")
    for path in list(source.rglob("*.txt")):
        path.rename(path.with_name(f"x{path.name}".replace("_INT_", "_XX_")))
    release, report, _ = import_release("snomed", source, tmp_path / "out")
    assert (
        release.version == "http://snomed.info/xsct/900000000000207008/version/20260101"
        and report.defects == 0
    )
    url = f"{release.version}?fhir_vs=isa/38341003"
    found = ask("expand", shelf=open_terminology(tmp_path / "out"), url=url)
    assert len(codes(found)) == 3
