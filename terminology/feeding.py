"""Imported releases as phrases for the text coder: (system, code, term, kind).

A term of another vocabulary means an ICD-10-CM code where a map says so without a condition: SNOMED CT by its extended
map, OBO by its cross references or an SSSOM set, the alphabetic index by itself. What a map leaves to age, sex or
another code, and what stands for several codes, is not fed: the coder would guess. Codes of one category feed its
heading.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from terminology.importers.icd10cm_index import SYSTEM as INDEX
from terminology.importers.rows import ICD10CM, SNOMED
from terminology.mapping import Match, choose
from terminology.text.index import canonical_key
from terminology.text.snomed import SnomedLinks, SnomedRow

if TYPE_CHECKING:
    from terminology.opened import Opened
    from terminology.store import Terminology

SOURCE = "release:"  # begins the source of every synonym that comes from here
_USED = ("equivalent", "equal", "relatedto", "wider", "inexact")
_NOT_NAMES = ("broad", "related", "definition", "consumer", "short")
_LINKS = "snomed-links"
_TABULAR = re.compile(r"icd-10-cm-(?!index-)")  # names as terminology.library.file_stem makes them


@dataclass(frozen=True, slots=True)
class Phrase:
    """`term` names `code`. kind: index, snomed, map. `concept`: the code it has in its own system."""

    system: str
    code: str
    term: str
    kind: str
    concept: str = ""


def fed_releases(folder: Path | None) -> list[Path]:
    """The release files that a coder can be fed from: not ICD-10-CM itself, which it reads anyway, but its index."""
    if folder is None or not folder.is_dir():
        return []
    return [p for p in sorted(folder.glob("*.sqlite")) if not _TABULAR.match(p.name)]


def fed_labels(folder: Path | None) -> list[str]:
    """Names and versions of the releases that a coder is fed from."""
    from terminology.library import release_of

    found = (release_of(path) for path in fed_releases(folder))
    return [release.label for release in found if release is not None]


def release_key(folder: Path | None) -> bytes:
    """What identifies them: names hold checksums. Empty when there are none."""
    return "\n".join(p.name for p in fed_releases(folder)).encode()


def phrases(folder: Path | None) -> Iterator[Phrase]:
    """Every phrase of every release in `folder` that names an ICD-10-CM code."""
    if not fed_releases(folder):
        return
    from terminology.store import open_terminology  # opening a coder without releases stays light

    assert folder is not None
    opened = open_terminology(folder)
    try:
        for file in opened.files:
            if not file.has_concepts or file.release.system == ICD10CM:
                continue
            if file.release.system == INDEX:
                yield from (Phrase(ICD10CM, c, t, "index") for c, t, _ in _terms(file))
            else:
                yield from _mapped(opened, file)
    finally:
        opened.close()


def _mapped(opened: Terminology, file: Opened) -> Iterator[Phrase]:
    codes = _codes_by_concept(opened, file.release.system)
    kind = "snomed" if file.release.system == SNOMED else "map"
    for concept, term, name in _terms(file):
        code = codes.get(concept)
        if code and name not in _NOT_NAMES:
            yield Phrase(ICD10CM, code, plain_name(term, name), kind, concept)


def plain_name(term: str, kind: str) -> str:
    """A fully specified name without its semantic tag: "Gout (disorder)"."""
    return term.rpartition(" (")[0] if kind == "fsn" and term.endswith(")") and " (" in term else term


def _terms(file: Opened) -> Iterator[tuple[str, str, str]]:
    return iter(
        file.db.execute(
            "select c.code, t.text, t.kind from term t join concept c on c.id = t.concept where c.active"
        )
    )


def _codes_by_concept(opened: Terminology, system: str) -> dict[str, str]:
    """concept -> the one ICD-10-CM code (or heading) that the loaded maps give it without a condition."""
    rows: dict[str, list[Match]] = {}
    statement = (
        "select source, target, equivalence, grp, priority, rule, advice, map_url from map "
        "where source_system = ? and target_system = ?"
    )
    for file in opened.files:
        for source, target, equivalence, *more, url in file.db.execute(statement, (system, ICD10CM)):
            if equivalence in _USED and target:
                rows.setdefault(source, []).append(Match(url, ICD10CM, target, "", equivalence, *more))
    found = {source: _one(matches) for source, matches in rows.items()}
    return {source: code for source, code in found.items() if code}


def _one(matches: Sequence[Match]) -> str:
    if any(m.rule for m in matches):  # an extended map, whose groups are codes to be given together
        choice = choose(matches)
        return choice.codes[0] if len(choice.codes) == 1 and not choice.conditions else ""
    codes = {m.code for m in matches if m.equivalence in ("equivalent", "equal")} or {m.code for m in matches}
    return shared_heading(codes)


def shared_heading(codes: Iterable[str]) -> str:
    """The code itself when there is one, the heading that all stand below, "" when they have none in common."""
    unique = sorted({c.upper() for c in codes})
    if len(unique) <= 1:
        return unique[0] if unique else ""
    first, last = unique[0], unique[-1]
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:length].rstrip(".") if length >= 3 else ""


def save_links(found: Iterable[Phrase], tokens: Callable[[str], Iterable[str]], folder: Path) -> None:
    """SNOMED CT's phrases by a hash of their canonical tokens, as arrays beside the index."""
    rows = [(_hash(canonical_key(tokens(p.term.lower()))), int(p.concept), p.code, p.term) for p in found
            if p.kind == "snomed" and p.concept.isdigit()]  # fmt: skip
    rows.sort(key=lambda row: (row[0], len(row[3])))
    np.save(folder / f"{_LINKS}-hash.npy", np.array([r[0] for r in rows], np.uint64))
    np.save(folder / f"{_LINKS}-concept.npy", np.array([r[1] for r in rows], np.int64))
    np.save(folder / f"{_LINKS}-icd.npy", np.array([r[2] for r in rows], "S8"))
    (folder / f"{_LINKS}.txt").write_text("\x1e".join(r[3] for r in rows), "utf-8")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class ReleaseLinks(SnomedLinks):
    """The starter map's links; where they know nothing, the concept of the loaded release that has this very name and
    whose map gives this ICD-10-CM code."""

    def __init__(self, links: SnomedLinks, folder: Path) -> None:
        self.links = links
        self._hashes: npt.NDArray[np.uint64] = np.load(folder / f"{_LINKS}-hash.npy", mmap_mode="r")
        self._concepts: npt.NDArray[np.int64] = np.load(folder / f"{_LINKS}-concept.npy", mmap_mode="r")
        self._icd = np.load(folder / f"{_LINKS}-icd.npy", mmap_mode="r")
        self._names = (folder / f"{_LINKS}.txt").read_text("utf-8").split("\x1e")

    def find(self, tokens: Sequence[str], icd10cm: str) -> SnomedRow | None:
        known = self.links.find(tokens, icd10cm)
        if known is not None:
            return known
        if not len(self._hashes):
            return None
        wanted = np.uint64(_hash(canonical_key(tokens)))
        first, last = (
            np.searchsorted(self._hashes, wanted, "left"),
            np.searchsorted(self._hashes, wanted, "right"),
        )
        for place in range(int(first), int(last)):
            code = bytes(self._icd[place]).decode()
            if icd10cm.startswith(code) or code.startswith(icd10cm):
                name = self._names[place]
                return SnomedRow(name, str(self._concepts[place]), name, code, (), "problem")
        return None
