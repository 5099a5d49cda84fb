"""`make knowledge`: every file under mappings/ is held against the rules of the house.

What each room knows (keys, predicates, groups, ranges) its own loader and `check_*` functions check; here stands
what holds for every file: it parses, its folder has a README, every evidence row names a source, a claim and
whether somebody read it, codes pass their check digits, and nothing unverified is left unmarked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_twin import assimilation, coding, recommendation, rules, simulation
from fhir_twin.errors import KnowledgeError
from fhir_twin.knowledge import load_knowledge
from fhir_twin.knowledge_codes import check_codes
from mappings import ROOT, Source

_DOI = re.compile(r"10\.\d{4,9}/\S{1,200}\Z")
_PMID = re.compile(r"\d{1,9}\Z")
_URL = re.compile(r"https?://[^\s]{3,500}\Z")
# Folders whose numbers reach advice: each file of them must carry evidence.
NUMBERS = (
    "biomarkers",
    "interventions",
    "outcomes",
    "safety",
    "guidelines",
    "pharmacogenomics",
    "screening",
    "orders",
)


@dataclass(frozen=True, slots=True)
class KnowledgeReport:
    """faults: "folder/file: what". notes: no faults, but worth knowing (codes that a loaded release calls inactive).
    counts: what was found, for the user. version: the knowledge digest."""

    version: str
    faults: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]
    notes: tuple[str, ...] = ()


def check_knowledge(
    overlay: Path | None = None, *, cache: Path | None = None, releases: Path | None = None
) -> KnowledgeReport:
    """All checks; never raises for a faulty file. releases: a folder of imported terminology releases, against which
    the shipped codes are held."""
    source = Source(overlay=overlay)
    counts: Counter[str] = Counter()
    faults = [*_files(source, counts), *_rooms(source)]
    codes = check_codes(source, releases)
    faults += codes.faults
    counts += codes.counts
    try:
        knowledge = load_knowledge(overlay, cache)
        left_out = (*knowledge.safety.left_out, *knowledge.orders.left_out)
    except KnowledgeError as error:
        faults.append(error.message)
    else:
        counts["safety rows left out of every plan (nobody has read their source)"] = len(left_out)
    found = tuple(dict.fromkeys(faults))
    return KnowledgeReport(source.digest(), found, tuple(sorted(counts.items())), tuple(codes.notes))


def _rooms(source: Source) -> Iterator[str]:
    """Every `check_*` that a room exports."""
    for room in (assimilation, coding, simulation, rules, recommendation):
        for name in sorted(vars(room)):
            if name.startswith("check_"):
                yield from getattr(room, name)(source)


def _files(source: Source, counts: Counter[str]) -> Iterator[str]:
    folders = sorted(p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith("_"))
    for folder in folders:
        if not (ROOT / folder / "README.md").exists():
            yield f"{folder}: no README.md with the legend of its keys"
        for path in source.paths(folder, ".toml"):
            counts[f"{folder} files"] += 1
            try:
                [(_, table)] = [t for t in source.toml(folder) if t[0] == path.name]
            except ValueError as error:
                yield str(error)
                continue
            where = f"{folder}/{path.name}"
            rows = list(_evidence(table))
            if folder in NUMBERS and not rows and _holds_numbers(table):
                yield f"{where}: no [[evidence]] at all"
            for row in rows:
                counts["evidence rows"] += 1
                counts["evidence rows verified"] += row.get("verified") is True
                yield from (f"{where}: {fault}" for fault in _evidence_faults(row))


def _evidence(value: Any) -> Iterator[dict[str, Any]]:
    """Every table under a key `evidence`, at any depth (a list of strings there refers to rows by key)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "evidence" and isinstance(inner, list):
                yield from (row for row in inner if isinstance(row, dict))
            else:
                yield from _evidence(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _evidence(inner)


def _holds_numbers(value: Any) -> bool:
    """A file of names and conditions alone claims nothing that wants a source."""
    if isinstance(value, dict):
        return any(_holds_numbers(v) for v in value.values())
    if isinstance(value, list):
        return any(_holds_numbers(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _evidence_faults(row: dict[str, Any]) -> Iterator[str]:
    name = row.get("key") or row.get("text", "evidence")[:40]
    if not isinstance(row.get("verified"), bool):
        yield f"{name}: verified must be true or false"
    if not row.get("claim"):
        yield f"{name}: no claim"
    if not any(row.get(key) for key in ("doi", "pmid", "url", "text", "source")):
        yield f"{name}: no source (doi, pmid, url, text or source)"
    for key, pattern in (("doi", _DOI), ("pmid", _PMID), ("url", _URL)):
        if row.get(key) and not pattern.match(str(row[key])):
            yield f"{name}: {key} is malformed"
