"""Imported releases on disk: import, list, remove. One SQLite file each, written privately and renamed into place."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from terminology.importers import fhir_json, icd10cm, loinc, obo, rxnorm, snomed_rf2
from terminology.importers.rows import BadRelease, ConceptRow, Import, MapRow, Release, Report, Row

Progress = Callable[[int], None]
READERS: dict[str, Callable[[Path], Import]] = {
    "icd10cm": icd10cm.read,
    "snomed": snomed_rf2.read,
    "loinc": loinc.read,
    "rxnorm": rxnorm.read,
    "obo": obo.read,
    "fhir": fhir_json.read,
}
_BATCH = 5_000
_SCHEMA = """
pragma journal_mode = off; pragma synchronous = off; pragma temp_store = file;
create table meta(name text primary key, value text not null);
create table concept(id integer primary key, code text not null, display text not null, active integer not null);
create table term(concept integer not null, kind text not null, text text not null);
create table property(concept integer not null, name text not null, value text not null);
create table edge(child text not null, parent text not null);
create table map(map_url text, source_system text, source text, target_system text, target text, equivalence text,
                 grp integer, priority integer, rule text, advice text);
create virtual table words using fts5(text, concept unindexed, tokenize = 'unicode61 remove_diacritics 2');
"""
_INDEXES = """
create unique index concept_code on concept(code);
create index term_concept on term(concept);
create index property_concept on property(concept);
create index edge_child on edge(child, parent);
create index edge_parent on edge(parent, child);
create index map_source on map(source);
create index map_target on map(target);
"""


def import_release(
    kind: str, path: Path, folder: Path, progress: Progress | None = None
) -> tuple[Release, Report, Path]:
    """Read a release and write it into `folder`. An interrupted import leaves nothing; the same release is not redone.

    Raises BadRelease for files that are not such a release, KeyError for an unknown kind.
    """
    found = READERS[kind](path)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{file_stem(found.release)}.sqlite"
    if final.exists():
        return found.release, found.report, final
    private = folder / f".{final.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        write(found, private, progress)
        private.replace(final)
    finally:
        private.unlink(missing_ok=True)
    return found.release, found.report, final


def write(found: Import, path: Path, progress: Progress | None = None) -> None:
    """All rows into a new SQLite file. Raises BadRelease when there are none."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.executescript(_SCHEMA)
        numbers = _Numbers()
        done = 0
        for batch in _batches(found.rows):
            db.execute("begin")
            done += _insert(db, batch, numbers, found.report)
            db.execute("commit")
            if progress:
                progress(done)
        if not done:
            raise BadRelease(f"{found.release.name}: no concepts and no maps")
        db.executescript(_INDEXES)
        db.execute("insert into meta values ('release', ?)", (json.dumps(asdict(found.release)),))
    finally:
        db.close()


def list_releases(folder: Path) -> list[tuple[Release, Path]]:
    """Every readable release in `folder`, by system and version."""
    found: list[tuple[Release, Path]] = []
    for path in sorted(folder.glob("*.sqlite")):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            found.append((Release(**json.loads(db.execute("select value from meta").fetchone()[0])), path))
        except (sqlite3.Error, TypeError, ValueError):
            continue
        finally:
            db.close()
    return sorted(found, key=lambda pair: (pair[0].system, pair[0].version))


def remove_release(folder: Path, system: str, version: str) -> bool:
    """Delete the file of that release; False when there is none."""
    for release, path in list_releases(folder):
        if (release.system, release.version) == (system, version):
            path.unlink()
            return True
    return False


def file_stem(release: Release) -> str:
    name = re.sub(r"[^A-Za-z0-9]", "-", release.system.rsplit("/", 1)[-1])[:40]
    return f"{name}-{re.sub(r'[^A-Za-z0-9.]', '-', release.version)[:60]}-{release.checksum[:12]}"


class _Numbers:
    def __init__(self) -> None:
        self.codes: set[str] = set()
        self.next = 1


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _insert(db: sqlite3.Connection, batch: Iterable[Row], numbers: _Numbers, report: Report) -> int:
    concepts, terms, properties, edges, maps, words = [], [], [], [], [], []
    for row in batch:
        if isinstance(row, MapRow):
            maps.append(
                (row.map_url, row.source_system, row.source, row.target_system, row.target, row.equivalence,
                 row.group, row.priority, row.rule, row.advice)
            )  # fmt: skip
            continue
        if row.code in numbers.codes:
            report.defect(row.code, "the code comes twice; the first was kept")
            continue
        numbers.codes.add(row.code)
        number, numbers.next = numbers.next, numbers.next + 1
        concepts.append((number, row.code, row.display, int(row.active)))
        terms += [(number, kind, text) for kind, text in row.terms]
        properties += [(number, name, value) for name, value in row.properties]
        edges += [(row.code, parent) for parent in row.parents]
        words += [(text, number) for text in dict.fromkeys((row.display, *(t for _, t in _named(row))))]
    db.executemany("insert into concept values (?,?,?,?)", concepts)
    db.executemany("insert into term values (?,?,?)", terms)
    db.executemany("insert into property values (?,?,?)", properties)
    db.executemany("insert into edge values (?,?)", edges)
    db.executemany("insert into map values (?,?,?,?,?,?,?,?,?,?)", maps)
    db.executemany("insert into words(text, concept) values (?,?)", words)
    return len(concepts) + len(maps)


def _named(row: ConceptRow) -> tuple[tuple[str, str], ...]:
    return row.terms
