"""OBO ontologies (DOID, Mondo, HPO): terms, exact synonyms, is_a, and their ICD-10-CM cross references as a map.

Format: https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from terminology.importers.files import Files
from terminology.importers.rows import (
    ICD9CM,
    ICD10,
    ICD10CM,
    SNOMED,
    BadRelease,
    ConceptRow,
    Import,
    MapRow,
    Release,
    Report,
    Row,
)

_XREF = {
    "ICD10CM": ICD10CM, "ICD10WHO": ICD10, "ICD10": ICD10, "ICD9": ICD9CM, "ICD9CM": ICD9CM,
    "SNOMEDCT": SNOMED, "SCTID": SNOMED, "SNOMEDCT_US": SNOMED, "SNOMED_CT": SNOMED,
}  # fmt: skip
_SYSTEM = "http://purl.obolibrary.org/obo/{}.owl"


def read(path: Path) -> Import:
    """Raises BadRelease when the file does not begin like OBO."""
    files = Files(path)
    names = files.matching(suffix=".obo") or files.names[:1]
    header: dict[str, str] = {}
    with files.open(names[0]) as stream:
        for line in stream:
            if line.startswith("["):
                break
            tag, _, value = line.rstrip("\r\n").partition(": ")
            header.setdefault(tag, value)
    if "format-version" not in header:
        raise BadRelease(f"{path.name}: no OBO header")
    name = header.get("ontology", path.stem).lower()
    version = header.get("data-version", header.get("date", "unknown"))
    release = Release(
        _SYSTEM.format(name), version, f"{name} {version}", files.checksum(), "see the ontology"
    )
    report = Report()
    return Import(release, _rows(files, names[0], release.system, report), report)


def _rows(files: Files, name: str, system: str, report: Report) -> Iterator[Row]:
    with files.open(name) as stream:
        for number, stanza in _stanzas(stream):
            report.rows += 1
            if "id" not in stanza or "name" not in stanza:
                report.defect(f"{name}:{number}", "a term without id or name")
                continue
            yield from _term(stanza, system)


def _stanzas(stream: IO[str]) -> Iterator[tuple[int, dict[str, list[str]]]]:
    current: dict[str, list[str]] | None = None
    begun = 0
    for number, raw in enumerate(stream, 1):
        line = raw.strip()
        if line.startswith("["):
            if current is not None:
                yield begun, current
            current, begun = ({}, number) if line == "[Term]" else (None, number)
        elif current is not None and ": " in line:
            tag, _, value = line.partition(": ")
            current.setdefault(tag, []).append(value)
    if current is not None:
        yield begun, current


def _term(stanza: dict[str, list[str]], system: str) -> Iterator[Row]:
    code = stanza["id"][0]
    obsolete = stanza.get("is_obsolete", [""])[0].startswith("true")
    synonyms = [(_scope(text), _quoted(text)) for text in stanza.get("synonym", ())]
    yield ConceptRow(
        code,
        stanza["name"][0],
        not obsolete,
        parents=tuple(p.split(" ")[0] for p in stanza.get("is_a", ())),
        terms=tuple((scope, text) for scope, text in synonyms if text),
        properties=(
            *(("replaced-by", r) for r in stanza.get("replaced_by", ())),
            *(("alternative", r) for r in stanza.get("consider", ())),
            *(("alternative-id", r) for r in stanza.get("alt_id", ())),
        ),
        definition=_quoted(stanza.get("def", [""])[0]),
    )
    for xref in stanza.get("xref", ()):
        prefix, _, target = xref.split(" ")[0].partition(":")
        prefix = "SNOMEDCT" if prefix.startswith("SNOMEDCT_") else prefix  # DOID: SNOMEDCT_US_2023_03_01
        if prefix in _XREF and target:
            yield MapRow(
                f"{system}#xref", system, code, _XREF[prefix], target, "relatedto", advice="cross reference"
            )


def _quoted(text: str) -> str:
    """What stands between the first two quotation marks that are not escaped."""
    begin = text.find('"') + 1
    end = begin
    while begin and (end := text.find('"', end)) > 0 and text[end - 1] == "\\":
        end += 1
    return text[begin:end].replace('\\"', '"') if begin and end > 0 else ""


def _scope(text: str) -> str:
    after = text.rsplit('"', 1)[-1].split()
    return after[0].lower() if after and after[0] in ("EXACT", "BROAD", "NARROW", "RELATED") else "related"
