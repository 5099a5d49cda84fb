"""Every code that is shipped under mappings/: right in form, and there in the release, where one is loaded.

ICD-10-CM is always there (public domain). SNOMED CT, LOINC and RxNorm are checked against the newest release that the
user imported: a code that it does not have is a fault; one that is inactive there is told with its successors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_twin.coding.icd import below, dotted
from fhir_twin.model.check_digits import loinc_digit, snomed_digit
from fhir_twin.model.codes import ICD10CM, LOINC, RXNORM, SNOMED
from mappings import ROOT, Source
from terminology.importers.icd10cm import installed_tabular, read
from terminology.importers.rows import ConceptRow
from terminology.store import Terminology, open_terminology
from terminology.text.vocabulary import without_seventh

_KEYS = {
    "snomed": SNOMED, "icd10cm": ICD10CM, "rxcui": RXNORM, "rxnorm": RXNORM, "loinc": LOINC,
}  # fmt: skip
_CURIES = {"ICD10CM": ICD10CM, "SNOMEDCT": SNOMED, "SCTID": SNOMED, "LOINC": LOINC, "RXNORM": RXNORM}
_LOINC = re.compile(r"\d{1,7}-\d\Z")
_SNOMED = re.compile(r"\d{6,18}\Z")
_RXCUI = re.compile(r"[1-9]\d{0,7}\Z")
_NAMES = {SNOMED: "SNOMED CT", LOINC: "LOINC", RXNORM: "RxNorm", ICD10CM: "ICD-10-CM"}


@dataclass(frozen=True, slots=True)
class Shipped:
    """A code as it stands in a file."""

    system: str
    code: str
    where: str


@dataclass(slots=True)
class CodeReport:
    """faults: "file: what". notes: what is no fault but worth knowing. counts: codes looked at, by system and check."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def check_codes(source: Source, releases: Path | None = None) -> CodeReport:
    """Form of every code, existence in ICD-10-CM, and existence in every release in `releases`."""
    report = CodeReport()
    known = frozenset(r.code for r in read(installed_tabular()).rows if isinstance(r, ConceptRow))
    shelf = open_terminology(releases) if releases is not None and releases.is_dir() else Terminology()
    try:
        for shipped in dict.fromkeys(shipped_codes(source)):
            report.counts[f"{_NAMES[shipped.system]} codes, form checked"] += 1
            if not _well_formed(shipped):
                report.faults.append(
                    f"{shipped.where}: {_NAMES[shipped.system]} {shipped.code}: not a code of its form"
                )
            elif shipped.system == ICD10CM:
                report.counts["ICD-10-CM codes looked up"] += 1
                if not _in_tabular(shipped.code, known):
                    report.faults.append(
                        f"{shipped.where}: ICD-10-CM {shipped.code}: not in the tabular list"
                    )
            else:
                _look_up(shelf, shipped, report)
    finally:
        shelf.close()
    return report


def shipped_codes(source: Source) -> Iterator[Shipped]:
    """Of every TOML and TSV file: keys and columns that are named after a code system, and CURIEs in object_id."""
    for folder in sorted(p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith("_")):
        if list(source.paths(folder, ".toml")):
            for name, table in source.toml(folder):
                yield from _of_value(table, "", f"{folder}/{name}")
        if list(source.paths(folder, ".tsv")):
            for name, rows in source.tsv(folder):
                for row in rows:
                    yield from _of_row(row, f"{folder}/{name}")


def _of_value(value: Any, key: str, where: str) -> Iterator[Shipped]:
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            yield from _of_value(inner, inner_key, where)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_value(inner, key, where)
    elif isinstance(value, str) and value and (system := _system(key)):
        yield Shipped(system, value, where)


def _of_row(row: dict[str, str], where: str) -> Iterator[Shipped]:
    for column, value in row.items():
        if value and (system := _system(column)):
            yield Shipped(system, value, where)
    prefix, colon, code = row.get("object_id", "").partition(":")
    if colon and prefix.upper() in _CURIES:
        yield Shipped(_CURIES[prefix.upper()], code, where)


def _system(key: str) -> str:
    """ "loinc" and "loinc_panel" are LOINC's; "snomed_display" is no code."""
    if key.endswith(("display", "_name", "version")):
        return ""
    return _KEYS.get(key) or (LOINC if "loinc" in key else "")


def _well_formed(shipped: Shipped) -> bool:
    code = shipped.code
    if shipped.system == LOINC:
        return _LOINC.match(code) is not None and loinc_digit(code)
    if shipped.system == SNOMED:
        return _SNOMED.match(code) is not None and snomed_digit(code)
    if shipped.system == RXNORM:
        return _RXCUI.match(code) is not None
    return all(dotted(end) == end for end in code.split("-"))


def _in_tabular(code: str, known: frozenset[str]) -> bool:
    """A code, a code with its 7th character, or a range of categories that holds at least one."""
    if "-" in code:
        return any(below(k, code) for k in known if "-" not in k)
    return code in known or without_seventh(code) in known


def _look_up(shelf: Terminology, shipped: Shipped, report: CodeReport) -> None:
    name = _NAMES[shipped.system]
    try:
        concept = shelf.lookup(shipped.system, shipped.code)
    except LookupError:
        if shelf.versions("CodeSystem", shipped.system):
            report.counts[f"{name} codes looked up in the loaded release"] += 1
            report.faults.append(f"{shipped.where}: {name} {shipped.code}: not in the loaded release")
        return
    report.counts[f"{name} codes looked up in the loaded release"] += 1
    if not concept.active:
        after = ", ".join(f"{how} {code}" for how, code in shelf.successors(shipped.system, shipped.code))
        report.notes.append(
            f"{shipped.where}: {name} {shipped.code} is inactive in {concept.version}"
            + (f" ({after})" if after else "")
        )
