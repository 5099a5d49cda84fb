"""A code system in a release file (SQLite): every question becomes one statement, nothing is loaded.

Filters are pushed into SQL, so that the first page of an expansion over half a million concepts costs milliseconds.
"""

# ruff: noqa: S608 (every value goes in as a parameter; what is formatted in are words of this file)
from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from terminology.fhir.concept import Entry, Filter, Page, split_words
from terminology.fhir.filters import pattern
from terminology.fhir.release_filters import Clause, clause_of
from terminology.importers.rows import ICD9CM, ICD10, ICD10CM, LOINC, RXNORM, SNOMED, Release

Json = dict[str, Any]
Row = tuple[int, str, str, int, str | None]
MAX_COUNTED = 1_000  # matches counted behind a page; with more the total stays unsaid
_IS_ABOVE = (
    "with recursive above(n) as (select id from concept where code = ? union select e.parent from edge e "
    "join above a on e.child = a.n) select 1 from above where n = (select id from concept where code = ?) limit 1"
)
_ANCESTORS = "select a.codes from concept c join above a on a.id = c.id where c.code = ?"
_ICD = (ICD10CM, ICD10, ICD9CM)
_TITLES = {SNOMED: "SNOMED CT", LOINC: "LOINC", RXNORM: "RxNorm", ICD10CM: "ICD-10-CM"}
_FSN = {"system": SNOMED, "code": "900000000000003001", "display": "Fully specified name"}
_SYNONYM = {"system": SNOMED, "code": "900000000000013009", "display": "Synonym"}
_CODES = ("replaced-by", "same-as", "possibly-equivalent-to", "was-a", "alternative", "member-of", "moduleId")


class ReleaseSystem:
    """Implements concept.CodeSystem over one open release file."""

    def __init__(self, release: Release, db: sqlite3.Connection) -> None:
        self.release, self.db = release, db
        self._remembered = lru_cache(maxsize=4_096)(self._find)
        db.create_function(
            "fits", 2, lambda p, t: int(bool(t is not None and pattern(p)(t))), deterministic=True
        )

    @property
    def url(self) -> str:
        return self.release.system

    @property
    def version(self) -> str:
        return self.release.version

    @property
    def head(self) -> Json:
        title = _TITLES.get(self.url, self.release.name)
        return {
            "resourceType": "CodeSystem", "url": self.url, "version": self.version, "title": self.release.name,
            "name": "".join(c for c in title.title() if c.isalnum()) or "CodeSystem", "status": "active",
            "content": "complete", "caseSensitive": self.case_sensitive, "hierarchyMeaning": "is-a",
        }  # fmt: skip

    @property
    def case_sensitive(self) -> bool:
        return self.url not in (*_ICD, LOINC)

    @property
    def language(self) -> str:
        return "en"

    @property
    def supplements(self) -> Sequence[str]:
        return ()

    def find(self, code: str) -> Entry | None:
        return self._remembered(code)

    def _find(self, code: str) -> Entry | None:
        for text in dict.fromkeys((code, *(self._spellings(code)))):
            row = self.db.execute(f"{_SELECT} where code = ?", (text,)).fetchone()
            if row:
                return self._entry(row)
        return None

    def relation(self, a: str, b: str) -> str:
        if a == b:
            return "equivalent"
        if self._is_above(a, b):
            return "subsumes"
        return "subsumed-by" if self._is_above(b, a) else "not-subsumed"

    def _is_above(self, a: str, b: str) -> bool:
        row = self.db.execute(_ANCESTORS, (b,)).fetchone()
        if row is None:  # on a circle of parents, or without any
            return self.db.execute(_IS_ABOVE, (b, a)).fetchone() is not None
        number = self.db.execute("select id from concept where code = ?", (a,)).fetchone()
        ancestors = memoryview(row[0]).cast("i")
        place = bisect_left(ancestors, number[0]) if number else len(ancestors)
        return place < len(ancestors) and ancestors[place] == number[0]

    def page(
        self, filters: Sequence[Filter], text: str = "", *, active_only: bool = False, count: int | None = None,
        offset: int = 0,
    ) -> Page:  # fmt: skip
        clause = clause_of(self.url, filters)
        if active_only:
            clause.add("c.active")
        if text.strip():
            return self._found(clause, text, count, offset)
        statement = f"select count(*) from concept c where {clause}"
        total = int(self.db.execute(statement, clause.values).fetchone()[0])
        if count == 0:
            return Page(total)
        statement = f"{_COLUMNS} from concept c where {clause} order by c.id limit ? offset ?"
        rows = self.db.execute(statement, (*clause.values, -1 if count is None else count, offset)).fetchall()
        return Page(total, [self._entry(row) for row in rows])

    def each(self, filters: Sequence[Filter], text: str = "") -> Iterator[Entry]:
        clause = clause_of(self.url, filters)
        if text.strip():
            rows = self._matching(clause, text)
        else:
            rows = iter(
                self.db.execute(f"{_COLUMNS} from concept c where {clause} order by c.id", clause.values)
            )
        return (self._entry(row) for row in rows)

    def _matching(self, clause: Clause, text: str) -> Iterator[Row]:
        """Every concept once, by its shortest matching term: terms are numbered by length, and the index gives them
        in that order, so that a page costs what it shows and not what there is."""
        query = fts(text)
        if not query:
            return
        statement = (
            f"{_COLUMNS} from words w join term t on t.id = w.rowid join concept c on c.id = t.concept "
            f"where words match ? and {clause} order by w.rowid"
        )
        seen: set[int] = set()
        for row in self.db.execute(statement, (query, *clause.values)):
            if row[0] not in seen:
                seen.add(row[0])
                yield row

    def _found(self, clause: Clause, text: str, count: int | None, offset: int) -> Page:
        rows = self._matching(clause, text)
        last = None if count is None else offset + count
        page = [self._entry(row) for row in islice(rows, offset, last)]
        known = offset + len(page) if page or not offset else 0
        if last is not None and (count == 0 or len(page) == count):
            more = sum(1 for _ in islice(rows, MAX_COUNTED))
            return Page(None if more == MAX_COUNTED else known + more, page)
        return Page(known, page)

    def codes(self, filters: Sequence[Filter]) -> Iterator[str]:
        clause = clause_of(self.url, filters)
        return (
            str(row[0])
            for row in self.db.execute(f"select c.code from concept c where {clause}", clause.values)
        )

    def has(self, code: str, filters: Sequence[Filter]) -> bool:
        clause = clause_of(self.url, filters)
        entry = self.find(code)
        if entry is None:
            return False
        statement = f"select 1 from concept c where c.code = ? and {clause}"
        return self.db.execute(statement, (entry.code, *clause.values)).fetchone() is not None

    def _spellings(self, code: str) -> tuple[str, ...]:
        """An ICD code may come without its dot or in small letters."""
        if self.url not in _ICD:
            return () if self.case_sensitive else (code.upper(),)
        upper = code.upper().strip()
        bare = upper.replace(".", "")
        head = 4 if self.url == ICD9CM and bare.startswith("E") else 3
        return (upper, f"{bare[:head]}.{bare[head:]}" if len(bare) > head else bare)

    def _entry(self, row: Row) -> Entry:
        number, code, display, active, definition = row
        db = self.db
        terms = db.execute("select kind, text, language from term where concept = ? order by id", (number,))
        properties = db.execute(
            "select name, value from property where concept = ? order by rowid", (number,)
        )
        return Entry(
            code, display, definition or "", not active, False, "" if active else "inactive",
            [self._designation(*t) for t in terms if t[1] != display or t[0] == "fsn"],
            [_property(*p) for p in properties],
            _codes(db, "select p.code from edge e join concept p on p.id = e.parent where e.child = ?", number),
            _codes(db, "select p.code from edge e join concept p on p.id = e.child where e.parent = ?", number),
        )  # fmt: skip

    def _designation(self, kind: str, text: str, language: str | None) -> Json:
        found: Json = {"language": language} if language else {}
        if self.url == SNOMED and kind in ("fsn", "synonym"):
            found["use"] = _FSN if kind == "fsn" else _SYNONYM
        elif kind not in ("display", "synonym", "exact"):
            found["use"] = {"code": kind}
        return {**found, "value": text}


_SELECT = "select id, code, display, active, definition from concept"
_COLUMNS = "select c.id, c.code, c.display, c.active, c.definition"


def _property(name: str, value: str) -> Json:
    if value in ("true", "false"):
        return {"code": name, "valueBoolean": value == "true"}
    coded = name.isdigit() or name in _CODES
    return {"code": name, "valueCode" if coded else "valueString": value}


def _codes(db: sqlite3.Connection, statement: str, number: int) -> list[str]:
    return [str(row[0]) for row in db.execute(statement, (number,))]


def fts(text: str) -> str:
    """An FTS5 query: every word begins a word of the term."""
    return " ".join(f'"{word}"*' for word in split_words(text[:200])[:12])
