"""The tables of a release file, and the writer that fills them from rows.

Numbers stand for codes inside (an is-a walk over integers costs a third of one over text). Terms hold every name of a
concept, its display too (kind 'display' when it is none of the terms), so that one full-text index finds them all.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from terminology.ancestors import ancestors_of, read_edges, write_ancestors
from terminology.importers.rows import (
    ConceptRow,
    MapRow,
    ParentRow,
    PropertyRow,
    Report,
    ResourceRow,
    Row,
    TermRow,
)

SCHEMA = """
pragma journal_mode = delete; pragma synchronous = off; pragma temp_store = file; pragma cache_size = -65536;
create table if not exists meta(name text primary key, value text not null);
create table if not exists concept(
    id integer primary key, code text not null, display text not null, active integer not null, definition text);
create table if not exists term(
    id integer primary key, concept integer not null, kind text not null, text text not null, language text);
create table if not exists property(concept integer not null, name text not null, value text not null);
create table if not exists edge(child integer not null, parent integer not null);
create table if not exists later_edge(child text not null, parent text not null);
create table if not exists map(
    map_url text, source_system text, source text, target_system text, target text, equivalence text,
    grp integer, priority integer, rule text, advice text);
create table if not exists resource(
    type text not null, url text not null, version text not null, id text not null, head text not null,
    body blob not null);
"""
_TABLES = """
pragma journal_mode = off; pragma synchronous = off; pragma temp_store = file; pragma cache_size = -65536;
create table meta(name text primary key, value text not null);
create table concept(
    id integer primary key, code text not null, display text not null, active integer not null, definition text);
create table term(
    id integer primary key, concept integer not null, kind text not null, text text not null, language text);
create table property(concept integer not null, name text not null, value text not null);
create table edge(child integer not null, parent integer not null);
create table above(id integer primary key, codes blob not null);
create table map(
    map_url text, source_system text, source text, target_system text, target text, equivalence text,
    grp integer, priority integer, rule text, advice text);
create table resource(
    type text not null, url text not null, version text not null, id text not null, head text not null,
    body blob not null);
"""
# Terms are numbered by their length: the full-text index then gives the shortest match first, without ranking all.
_COPY = """
insert into concept select * from old.concept;
insert into property select * from old.property order by concept, rowid;
insert into edge select distinct c.id, p.id from old.later_edge l join concept c on c.code = l.child
    join concept p on p.code = l.parent union select child, parent from old.edge;
insert into map select * from old.map;
insert into resource select * from old.resource;
create temp table named as select concept, kind, text, language, id from old.term;
create index temp.named_concept on named(concept);
update concept set display = coalesce(
    (select text from named t where t.concept = concept.id order by
        (kind = 'synonym') desc, (kind = 'fsn') desc, id limit 1), code) where display = '';
insert into named(concept, kind, text) select id, 'display', display from concept c
    where not exists (select 1 from named t where t.concept = c.id and t.text = c.display);
insert into term(concept, kind, text, language)
    select concept, kind, text, language from named order by length(text), concept, id;
drop table named;
"""
# hashsize (bytes): few large segments of the full-text index instead of many of 1 MB that are merged again and again.
_INDEXES = """
create index term_concept on term(concept);
create index property_concept on property(concept);
create index property_name on property(name, value);
create index edge_child on edge(child, parent);
create index edge_parent on edge(parent, child);
create index map_source on map(source);
create index map_target on map(target);
create index resource_url on resource(type, url);
create virtual table words using fts5(
    text, content = 'term', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
insert into words(words, rank) values ('hashsize', 67108864);
insert into words(words) values ('rebuild');
pragma analysis_limit = 1000;
analyze;
"""
# What a large CodeSystem's head leaves out; the body holds it.
_HEAVY = ("concept", "compose", "expansion", "group", "text", "contained")


def finish(part: Path, final: Path, meta: Mapping[str, str]) -> None:
    """Write the release file `final` from the rows in `part`: compact, in the order it is read, indexed.

    `part` stays as it is, so that an interrupted finish is simply done again."""
    final.unlink(missing_ok=True)
    db = sqlite3.connect(final, isolation_level=None)
    try:
        db.executescript(_TABLES)
        db.execute("attach ? as old", (str(part),))
        db.execute("begin")
        for statement in ("create unique index concept_code on concept(code)", *_statements(_COPY)):
            db.execute(statement)
        db.executemany("insert into meta values (?, ?)", meta.items())
        db.execute("commit")
        db.execute("detach old")
        with ThreadPoolExecutor(1) as beside:  # SQLite and numpy both leave the other core free
            ancestors = beside.submit(ancestors_of, read_edges(db))
            db.executescript(_INDEXES)
            write_ancestors(db, ancestors.result())
    finally:
        db.close()


def _statements(script: str) -> list[str]:
    return [part.strip() for part in script.split(";") if part.strip()]


class Writer:
    """Rows into the tables. A row about an unknown concept is reported as a defect and left out."""

    def __init__(self, db: sqlite3.Connection, report: Report) -> None:
        self.db, self.report = db, report
        self.numbers: dict[str, int] = {}
        self.done = 0

    def resume(self) -> None:
        self.numbers = dict(self.db.execute("select code, id from concept"))

    def add(self, batch: Iterable[Row]) -> None:
        concepts: list[tuple[object, ...]] = []
        terms: list[tuple[object, ...]] = []
        shown: list[tuple[str, int]] = []
        defined: list[tuple[str, int]] = []
        properties: list[tuple[object, ...]] = []
        edges: list[tuple[int, int]] = []
        late: list[tuple[str, str]] = []
        maps: list[tuple[object, ...]] = []
        resources: list[tuple[object, ...]] = []
        numbers = self.numbers
        for row in batch:
            if isinstance(row, TermRow):
                number = numbers.get(row.code)
                if number is None:
                    self.report.defect(row.code[:20], "a term of an unknown concept")
                    continue
                if row.kind == "definition":
                    defined.append((row.text, number))
                    continue
                terms.append((number, row.kind, row.text, row.language))
                if row.display:
                    shown.append((row.text, number))
            elif isinstance(row, ParentRow):
                child, parent = numbers.get(row.code), numbers.get(row.parent)
                if child is None or parent is None:
                    self.report.defect(row.code[:20], "a relationship with an unknown concept")
                else:
                    edges.append((child, parent))
            elif isinstance(row, PropertyRow):
                number = numbers.get(row.code)
                if number is None:
                    self.report.defect(row.code[:20], "a property of an unknown concept")
                else:
                    properties.append((number, row.name, row.value))
            elif isinstance(row, ConceptRow):
                if row.code in numbers:
                    self.report.defect(row.code[:20], "the code comes twice; the first was kept")
                    continue
                number = numbers[row.code] = len(numbers) + 1
                concepts.append((number, row.code, row.display, int(row.active), row.definition or None))
                terms += [(number, kind, text, None) for kind, text in row.terms]
                properties += [(number, name, value) for name, value in row.properties]
                late += [(row.code, parent) for parent in row.parents]
            elif isinstance(row, MapRow):
                maps.append(
                    (row.map_url, row.source_system, row.source, row.target_system, row.target, row.equivalence,
                     row.group, row.priority, row.rule, row.advice)
                )  # fmt: skip
            else:
                resources.append(_resource(row))
        many = self.db.executemany
        many("insert into concept values (?,?,?,?,?)", concepts)
        many("insert into term(concept, kind, text, language) values (?,?,?,?)", terms)
        many("update concept set display = ? where id = ?", shown)
        many("update concept set definition = ? where id = ?", defined)
        many("insert into property values (?,?,?)", properties)
        many("insert into edge values (?,?)", edges)
        many("insert into later_edge values (?,?)", late)
        many("insert into map values (?,?,?,?,?,?,?,?,?,?)", maps)
        many("insert into resource values (?,?,?,?,?,?)", resources)


def _resource(row: ResourceRow) -> tuple[object, ...]:
    body = row.body
    head = {k: v for k, v in body.items() if k not in _HEAVY}
    packed = zlib.compress(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(), 6)
    return (
        str(body["resourceType"]), str(body["url"]), str(body.get("version") or ""), str(body.get("id") or ""),
        json.dumps(head, separators=(",", ":")), packed,
    )  # fmt: skip
