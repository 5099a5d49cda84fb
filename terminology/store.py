"""Terminology: the questions of a terminology server, answered from imported releases (SQLite, read-only).

One file per release (terminology/library.py writes them). Releases of one system stand side by side; without a
version the newest answers. Names and negative answers follow FHIR R4 (an unknown code is no error in validate). The
same object is the shelf that terminology.fhir works on.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from terminology.fhir.canonical import newest, order
from terminology.fhir.concept import CodeSystem, Entry, Filter, text_of, value_of
from terminology.fhir.release_system import ReleaseSystem
from terminology.fhir.resource_system import ResourceSystem
from terminology.fhir.shelf import usable
from terminology.importers.rows import Release
from terminology.mapping import Match
from terminology.opened import Opened, Stamp, matches_in, open_file, stamp_of
from terminology.results import (
    Concept,
    Expansion,
    Hit,
    Outcome,
    TooCostly,
    Translation,
    UnknownCode,
    UnknownSystem,
    Validation,
)

Json = dict[str, Any]
_OUTCOMES: dict[str, Outcome] = {
    "equivalent": "equivalent", "subsumes": "subsumes", "subsumed-by": "subsumed-by",
}  # fmt: skip
MAX_EXPANSION = 10_000
_T = TypeVar("_T")


class Upstream(Protocol):
    """terminology.remote.RemoteTerminology, without its library."""

    @property
    def answered_by(self) -> str: ...
    def operation(self, path: str, parameters: list[Any], locally: Callable[[], Json]) -> Json: ...


class Terminology:
    """Open releases; close() when done. Connections are read-only; one lock serves the threads of a process."""

    def __init__(self, files: Sequence[Opened] = ()) -> None:
        self._files = list(files)
        self.upstream: Upstream | None = None  # a terminology server that is asked first
        self.place: Path | None = None  # where the releases were opened, and what was there
        self.stamp: Stamp = ()
        self._lock = threading.RLock()
        self._systems: dict[tuple[str, str], CodeSystem] = {}
        self._heads: dict[tuple[str, str, str], tuple[Opened, Json, int]] = {}
        for file in self._files:
            if file.has_concepts:
                system = ReleaseSystem(file.release, file.db)
                self._systems.setdefault((system.url, system.version), system)
            for type_, url, version, head, rowid in file.heads:
                self._heads.setdefault((type_, url, version), (file, head, rowid))
        self._read = lru_cache(maxsize=64)(self._from_file)
        self._memory = lru_cache(maxsize=32)(self._from_resource)

    @property
    def releases(self) -> tuple[Release, ...]:
        return tuple(f.release for f in self._files)

    @property
    def files(self) -> tuple[Opened, ...]:
        return tuple(self._files)

    def outdated(self) -> bool:
        """Whether a release was imported into its folder, or removed, since it was opened. Costs one listing."""
        return self.place is not None and stamp_of(self.place) != self.stamp

    def map_urls(self) -> frozenset[str]:
        """The maps that came with releases, in tables of their own."""
        found = (row[0] for f in self._files for row in f.db.execute("select distinct map_url from map"))
        return frozenset(found)

    def close(self) -> None:
        for file in self._files:
            file.db.close()

    # The shelf of terminology.fhir -----------------------------------------------------------------------------

    def versions(self, type_: str, url: str) -> list[str]:
        found = [v for (u, v) in self._systems if type_ == "CodeSystem" and u == url]
        for (kind, u, version), (_, head, _) in self._heads.items():
            if (kind, u) == (type_, url) and (kind != "CodeSystem" or usable(head | {"concept": 1})):
                found.append(version)
        return list(dict.fromkeys(found))

    def resource(self, type_: str, url: str, version: str) -> Json | None:
        if (type_, url, version) in self._heads:
            return self._locked(lambda: self._read(type_, url, version))
        system = self._systems.get((url, version)) if type_ == "CodeSystem" else None
        return dict(system.head, content="not-present") if system else None

    def resources(self, type_: str) -> Iterator[Json]:
        if type_ == "CodeSystem":
            yield from (dict(s.head) for s in self._systems.values())
        yield from (head for (kind, _, _), (_, head, _) in self._heads.items() if kind == type_)

    def system(self, url: str, version: str, supplements: Sequence[Json] = ()) -> CodeSystem | None:
        found = self._systems.get((url, version))
        if found is not None:
            return found
        if ("CodeSystem", url, version) not in self._heads:
            return None
        if supplements:
            resource = self.resource("CodeSystem", url, version)
            return ResourceSystem(resource, supplements) if resource else None
        return self._locked(lambda: self._memory(url, version))

    def _from_file(self, type_: str, url: str, version: str) -> Json:
        file, _, rowid = self._heads[type_, url, version]
        body = file.db.execute("select body from resource where rowid = ?", (rowid,)).fetchone()[0]
        found: Json = json.loads(zlib.decompress(body))
        return found

    def _from_resource(self, url: str, version: str) -> CodeSystem:
        return ResourceSystem(self._read("CodeSystem", url, version))

    def _locked(self, ask: Callable[[], _T]) -> _T:
        with self._lock:
            return ask()

    # Plain questions ---------------------------------------------------------------------------------------------

    def lookup(self, system: str, code: str, version: str = "") -> Concept:
        """Everything about one code. Raises UnknownSystem, UnknownCode."""
        found, entry = self._entry(system, code, version)
        return Concept(
            system, found.version, str(found.head.get("title") or found.head.get("name") or system), entry.code,
            entry.display, not entry.inactive, _designations(entry),
            tuple((str(p.get("code")), text_of(value_of(p))) for p in entry.properties),
            tuple(entry.parents), tuple(entry.children),
        )  # fmt: skip

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> Validation:
        """Whether the code exists (and bears that display). Raises UnknownSystem only."""
        try:
            _, entry = self._entry(system, code, version)
        except UnknownCode:
            return Validation(False, "the code is not in the code system")
        if entry.inactive:
            return Validation(True, "the code is inactive", entry.display)
        names = {entry.display.casefold(), *(text.casefold() for _, text in _designations(entry))}
        if display and display.casefold() not in names:
            return Validation(False, "the display is not one of this code's", entry.display)
        return Validation(True, "", entry.display)

    def subsumes(self, system: str, code_a: str, code_b: str, version: str = "") -> Outcome:
        """How A stands to B in the hierarchy. Raises UnknownSystem, UnknownCode."""
        found, a = self._entry(system, code_a, version)
        _, b = self._entry(system, code_b, version)
        return _OUTCOMES.get(found.relation(a.code, b.code), "not-subsumed")

    def search(self, system: str, text: str, limit: int = 10, version: str = "") -> tuple[Hit, ...]:
        """Concepts whose terms contain words that begin with every word of `text`, best first."""
        if not text.strip():
            return ()
        found = islice(self._system(system, version).each((), text), max(0, limit))
        return tuple(Hit(e.code, e.display, "", not e.inactive) for e in found)

    def expand(
        self, system: str, text: str = "", *, root: str = "", count: int | None = None, offset: int = 0,
        active_only: bool = False, include_designations: bool = False, version: str = "",
    ) -> Expansion:  # fmt: skip
        """The codes of a system, below `root` where given, that match `text`. Raises UnknownSystem, TooCostly."""
        found = self._system(system, version)
        filters = [Filter("concept", "is-a", self._entry(system, root, version)[1].code)] if root else []
        if count is None:
            total = found.page(filters, text, active_only=active_only, count=0).total
            if total is None or total - offset > MAX_EXPANSION:
                raise TooCostly(f"{total or 'very many'} codes; ask with count and offset")
        page = found.page(
            filters,
            text,
            active_only=active_only,
            count=None if count is None else max(0, count),
            offset=max(0, offset),
        )
        hits = (
            Hit(e.code, e.display, "", not e.inactive, _designations(e) if include_designations else ())
            for e in page.entries
        )
        return Expansion(
            offset + len(page.entries) if page.total is None else page.total, offset, tuple(hits)
        )

    def translate(
        self, system: str, code: str, target_system: str = "", *, map_url: str = "", reverse: bool = False
    ) -> tuple[Match, ...]:
        """Matches of the maps in release tables and of ConceptMap resources, by group and priority; with `reverse` from
        target to source, marked unsafe."""
        from terminology.fhir.scope import Scope
        from terminology.fhir.translate import Search, in_resources

        asked = Search(system, code, map_url=map_url, target_system=target_system, reverse=reverse)
        return (*self.table_matches(asked), *in_resources(Scope(self), asked))

    def table_matches(self, asked: Any) -> tuple[Match, ...]:
        """Matches of the maps that came with releases (RF2, GEM, SSSOM, OBO cross references); `asked`: a
        translate.Search."""
        return tuple(
            match
            for file in self._files
            for match in matches_in(
                file.db,
                asked.url,
                asked.code,
                asked.target_system,
                asked.map_url,
                reverse=asked.reverse,
                release=file.release.label,
            )
        )

    def successors(self, system: str, code: str, version: str = "") -> tuple[tuple[str, str], ...]:
        """(association, code) that an inactive concept is followed by, the surest kind first; () for an active one."""
        try:
            _, entry = self._entry(system, code, version)
        except LookupError:
            return ()
        if not entry.inactive:
            return ()
        found = [
            (n, text_of(value_of(p))) for p in entry.properties if (n := str(p.get("code"))) in ASSOCIATIONS
        ]
        return tuple(sorted(found, key=lambda pair: (ASSOCIATIONS.index(pair[0]), pair[1])))

    def _system(self, url: str, version: str) -> CodeSystem:
        best = version or newest(self.versions("CodeSystem", url))
        found = None if best is None else self.system(url, best)
        if found is None:
            raise UnknownSystem(f"{url}|{version}" if version else url)
        return found

    def _entry(self, url: str, code: str, version: str) -> tuple[CodeSystem, Entry]:
        system = self._system(url, version)
        entry = system.find(code)
        if entry is None:
            raise UnknownCode(code)
        return system, entry


# Historical associations, the surest first: one that may be followed without asking, then those to choose from.
ASSOCIATIONS = (
    "same-as", "replaced-by", "alternative", "possibly-replaced-by", "possibly-equivalent-to",
    "partially-equivalent-to", "was-a",
)  # fmt: skip


def open_terminology(path: Path) -> Terminology:
    """Open a release file, or every release of a folder (newest version first). A damaged file is left out."""
    stamp = stamp_of(path)
    files = sorted(path.glob("*.sqlite")) if path.is_dir() else [path]
    found: list[Opened] = []
    for file in files:
        if (opened := open_file(file)) is not None:
            found.append(opened)
    found.sort(key=lambda f: order(f.release.version), reverse=True)
    opened_all = Terminology(found)
    opened_all.place, opened_all.stamp = path, stamp
    return opened_all


def _designations(entry: Entry) -> tuple[tuple[str, str], ...]:
    found = []
    for designation in entry.designations:
        use = designation.get("use") or {}
        kind = {"900000000000003001": "fsn", "900000000000013009": "synonym"}.get(
            str(use.get("code")), use.get("code")
        )
        found.append((str(kind or "designation"), str(designation.get("value", ""))))
    return tuple(found)


__all__ = [
    "Concept", "Expansion", "Hit", "Outcome", "Terminology", "TooCostly", "Translation", "UnknownCode", "UnknownSystem",
    "Validation", "open_terminology",
]  # fmt: skip
