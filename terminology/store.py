"""Terminology: the questions of a terminology server, answered from imported releases (SQLite, read-only).

One file per release (terminology/library.py writes them). Releases of one system stand side by side; without a
version the newest answers. Names and negative answers follow FHIR R4 (an unknown code is no error in validate).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from terminology.importers.rows import Release

Outcome = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]
MAX_EXPANSION = 10_000


class UnknownSystem(LookupError):
    """No release of the code system (or of that version) is loaded."""


class UnknownCode(LookupError):
    """The release has no such code."""


class TooCostly(ValueError):
    """An expansion larger than MAX_EXPANSION was asked for in one piece."""


@dataclass(frozen=True, slots=True)
class Concept:
    """`designations` are (kind, text); `properties` (name, value); `parents` and `children` codes."""

    system: str
    version: str
    name: str
    code: str
    display: str
    active: bool
    designations: tuple[tuple[str, str], ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    code: str
    display: str
    matched: str = ""
    active: bool = True
    designations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Expansion:
    total: int
    offset: int
    contains: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    result: bool
    message: str = ""
    display: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """One match of a map; equivalence in the sense of R4 ("wider": the target is wider than the source).

    `unsafe` marks a reversed map: the way back is a suggestion for a human only. `rule` and `advice` come from the
    extended map; a rule other than TRUE depends on age, sex or another code and is reported, not guessed.
    """

    map_url: str
    system: str
    code: str
    display: str
    equivalence: str
    group: int = 1
    priority: int = 1
    rule: str = ""
    advice: str = ""
    unsafe: bool = False


@dataclass(slots=True)
class _File:
    release: Release
    db: sqlite3.Connection


@dataclass(slots=True)
class Terminology:
    """Open releases; close() when done. Connections are read-only and shared between threads."""

    _files: list[_File] = field(default_factory=list)

    @property
    def releases(self) -> tuple[Release, ...]:
        return tuple(f.release for f in self._files)

    def close(self) -> None:
        for file in self._files:
            file.db.close()

    def lookup(self, system: str, code: str, version: str = "") -> Concept:
        """Everything about one code. Raises UnknownSystem, UnknownCode."""
        file = self._file(system, version)
        row = _find(file.db, code)
        if row is None:
            raise UnknownCode(code)
        number, found, display, active = row
        db, release = file.db, file.release
        return Concept(
            system, release.version, release.name, found, display, bool(active),
            tuple(db.execute("select kind, text from term where concept = ? order by rowid", (number,))),
            tuple(db.execute("select name, value from property where concept = ? order by rowid", (number,))),
            _codes(db, "select parent from edge where child = ? order by parent", found),
            _codes(db, "select child from edge where parent = ? order by child", found),
        )  # fmt: skip

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> Validation:
        """Whether the code exists (and bears that display). Raises UnknownSystem only."""
        try:
            concept = self.lookup(system, code, version)
        except UnknownCode:
            return Validation(False, f"the code is not in {self._file(system, version).release.name}")
        if not concept.active:
            return Validation(True, "the code is inactive", concept.display)
        names = {concept.display.casefold(), *(text.casefold() for _, text in concept.designations)}
        if display and display.casefold() not in names:
            return Validation(False, "the display is not one of this code's", concept.display)
        return Validation(True, "", concept.display)

    def subsumes(self, system: str, code_a: str, code_b: str, version: str = "") -> Outcome:
        """How A stands to B in the hierarchy. Raises UnknownSystem, UnknownCode."""
        a, b = self.lookup(system, code_a, version).code, self.lookup(system, code_b, version).code
        if a == b:
            return "equivalent"
        db = self._file(system, version).db
        if _is_above(db, a, b):
            return "subsumes"
        return "subsumed-by" if _is_above(db, b, a) else "not-subsumed"

    def search(self, system: str, text: str, limit: int = 10, version: str = "") -> tuple[Hit, ...]:
        """Concepts whose terms contain words that begin with every word of `text`, best first."""
        return self.expand(system, text, count=limit, version=version).contains

    def expand(
        self, system: str, text: str = "", *, root: str = "", count: int | None = None, offset: int = 0,
        active_only: bool = False, include_designations: bool = False, version: str = "",
    ) -> Expansion:  # fmt: skip
        """The codes of a system, below `root` where given, that match `text`. Raises UnknownSystem, TooCostly."""
        db = self._file(system, version).db
        where, values = ["1"], []
        if root:
            where.append(f"c.code in ({_BELOW})")
            values.append(self.lookup(system, root, version).code)
        if active_only:
            where.append("c.active")
        if text.strip():
            query = _fts(text)
            if not query:
                return Expansion(0, offset)
            source = "(select concept, min(rank) r from words where words match ? group by concept) w"
            tables, order = f"{source} join concept c on c.id = w.concept", "w.r, length(c.display), c.code"
            values.insert(0, query)
        else:
            tables, order = "concept c", "c.id"
        condition = " and ".join(where)
        total = int(db.execute(f"select count(*) from {tables} where {condition}", values).fetchone()[0])  # noqa: S608
        if count is None and total - offset > MAX_EXPANSION:
            raise TooCostly(f"{total} codes; ask with count and offset")
        rows = db.execute(
            f"select c.id, c.code, c.display, c.active from {tables} where {condition} "  # noqa: S608
            f"order by {order} limit ? offset ?",
            (*values, -1 if count is None else max(0, count), max(0, offset)),
        ).fetchall()
        return Expansion(total, offset, tuple(_hit(db, row, include_designations) for row in rows))

    def translate(
        self, system: str, code: str, target_system: str = "", *, map_url: str = "", reverse: bool = False
    ) -> tuple[Translation, ...]:
        """Matches of all loaded maps, by group and priority; with `reverse` from target to source, marked unsafe."""
        return tuple(
            match
            for file in self._files
            for match in _matches(file.db, system, code, target_system, map_url, reverse=reverse)
        )

    def _file(self, system: str, version: str) -> _File:
        for file in self._files:
            if file.release.system == system and version in ("", file.release.version):
                return file
        raise UnknownSystem(system if not version else f"{system}|{version}")


_BELOW = (
    "with recursive below(code) as (select ? union select e.child from edge e join below b on e.parent = b.code) "
    "select code from below"
)
_ABOVE = (
    "with recursive above(code) as (select ? union select e.parent from edge e join above a on e.child = a.code) "
    "select 1 from above where code = ? limit 1"
)


def open_terminology(path: Path) -> Terminology:
    """Open a release file, or every release of a folder (newest version first). A damaged file is left out."""
    files = sorted(path.glob("*.sqlite")) if path.is_dir() else [path]
    found: list[_File] = []
    for file in files:
        db = sqlite3.connect(
            f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        try:
            release = Release(
                **json.loads(db.execute("select value from meta where name = 'release'").fetchone()[0])
            )
        except (sqlite3.Error, TypeError, ValueError):
            db.close()
            continue
        found.append(_File(release, db))
    found.sort(key=lambda f: f.release.version, reverse=True)
    return Terminology(found)


def _find(db: sqlite3.Connection, code: str) -> tuple[int, str, str, int] | None:
    """By code; an ICD code may come without its dot or in small letters."""
    for text in dict.fromkeys((code, code.upper(), _dotted(code.upper()))):
        row = db.execute("select id, code, display, active from concept where code = ?", (text,)).fetchone()
        if row:
            return (int(row[0]), str(row[1]), str(row[2]), int(row[3]))
    return None


def _dotted(code: str) -> str:
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 and "." not in code and code[:1].isalpha() else code


def _codes(db: sqlite3.Connection, statement: str, code: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in db.execute(statement, (code,)))


def _is_above(db: sqlite3.Connection, ancestor: str, code: str) -> bool:
    return db.execute(_ABOVE, (code, ancestor)).fetchone() is not None


def _hit(db: sqlite3.Connection, row: tuple[int, str, str, int], with_designations: bool) -> Hit:
    number, code, display, active = row
    terms: Iterator[tuple[str, str]] = iter(())
    if with_designations:
        terms = db.execute("select kind, text from term where concept = ? order by rowid", (number,))
    return Hit(code, display, "", bool(active), tuple(terms))


def _fts(text: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in text[:200]).split()[:12]
    return " ".join(f'"{word}"*' for word in words)


def _matches(
    db: sqlite3.Connection, system: str, code: str, target_system: str, map_url: str, *, reverse: bool
) -> Iterator[Translation]:
    near, far = ("target", "source") if reverse else ("source", "target")
    statement = (
        f"select map_url, {far}_system, {far}, equivalence, grp, priority, rule, advice from map "  # noqa: S608
        f"where {near} = ? and {near}_system = ? and (? = '' or {far}_system = ?) and (? = '' or map_url = ?) "
        "order by map_url, grp, priority"
    )
    for row in db.execute(statement, (code, system, target_system, target_system, map_url, map_url)):
        equivalence = _REVERSED.get(row[3], row[3]) if reverse else row[3]
        yield Translation(row[0], row[1], row[2], "", equivalence, row[4], row[5], row[6], row[7], reverse)


_REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
