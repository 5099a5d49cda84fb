"""Open a concept finder over a loaded release; built once into the cache, like the text index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from terminology import build
from terminology.concepts import ConceptFinder, build_finder, load_finder, save_finder
from terminology.feeding import plain_name
from terminology.opened import Opened
from terminology.results import UnknownSystem
from terminology.store import Terminology
from terminology.text.lexicon import load_lexicon
from terminology.text.words import Canon

if TYPE_CHECKING:
    from mappings import Source

_NOT_NAMES = ("broad", "related", "definition")


def open_finder(
    opened: Terminology, system: str, source: Source, cache: Path | None = None, version: str = ""
) -> ConceptFinder:
    """Of the newest release of `system` (or of `version`). Raises UnknownSystem when none with concepts is loaded."""
    file = next(
        (f for f in opened.files if f.has_concepts and f.release.system == system
         and version in ("", f.release.version)), None,
    )  # fmt: skip
    if file is None:
        raise UnknownSystem(system)
    canon = Canon(load_lexicon(source))
    cache = cache or build.default_cache()
    code = Path(__file__).with_name("concepts.py").read_bytes()
    lexicon = b"".join(p.read_bytes() for p in source.paths("lexicon", ".tsv"))
    name = "finder-" + build.key(
        [file.release.checksum.encode(), file.release.version.encode(), lexicon, code]
    )

    def make(private: Path) -> None:
        save_finder(build_finder(_rows(file), canon.of), private)

    folder = build.ensure(cache, name, make)
    try:
        return load_finder(folder, canon.of)
    except (OSError, ValueError):
        build.forget(cache, name)
        return load_finder(build.ensure(cache, name, make), canon.of)


def _rows(file: Opened) -> Iterator[tuple[str, str]]:
    """Active concepts with each of their names once."""
    statement = (
        "select c.code, t.text, t.kind from concept c join term t on t.concept = c.id "
        "where c.active order by c.id, t.id"
    )
    last, seen = "", set[str]()
    for code, text, kind in file.db.execute(statement):
        if code != last:
            last, seen = code, set()
        name = plain_name(text, kind)
        if kind not in _NOT_NAMES and name.lower() not in seen:
            seen.add(name.lower())
            yield code, name
