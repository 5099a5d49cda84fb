"""SSSOM: mapping sets as TSV with an optional YAML head in comment lines. https://mapping-commons.github.io/sssom/

Predicates become R4 equivalences (https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html, read as "the target is
... than the source"): skos:exactMatch equivalent, broadMatch wider, narrowMatch narrower, closeMatch inexact,
relatedMatch relatedto. "Not" in predicate_modifier turns a row into disjoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from terminology.importers.files import Files, table
from terminology.importers.rows import (
    ICD9CM,
    ICD10,
    ICD10CM,
    LOINC,
    RXNORM,
    SNOMED,
    BadRelease,
    Import,
    MapRow,
    Release,
    Report,
)

_PREDICATES = {
    "skos:exactMatch": "equivalent", "owl:equivalentClass": "equivalent", "owl:sameAs": "equal",
    "skos:closeMatch": "inexact", "skos:broadMatch": "wider", "skos:narrowMatch": "narrower",
    "rdfs:subClassOf": "wider", "skos:relatedMatch": "relatedto", "oboInOwl:hasDbXref": "relatedto",
}  # fmt: skip
PREFIXES = {
    "icd10cm": ICD10CM, "icd10": ICD10, "icd10who": ICD10, "icd9cm": ICD9CM, "icd9": ICD9CM,
    "snomedct": SNOMED, "snomedct_us": SNOMED, "sctid": SNOMED, "snomed": SNOMED, "sct": SNOMED,
    "loinc": LOINC, "rxnorm": RXNORM, "rxcui": RXNORM,
}  # fmt: skip
_NEEDED = ("subject_id", "predicate_id", "object_id")


def read(path: Path) -> Import:
    """Raises BadRelease when the table has not SSSOM's columns."""
    files = Files(path)
    names = files.matching(suffix=".tsv") or files.matching(suffix=".csv") or files.names[:1]
    head: dict[str, str] = {}
    with files.open(names[0]) as stream:
        first = _skip_head(stream, head)
    columns = first.rstrip("\r\n").split(_delimiter(first))
    if missing := [c for c in _NEEDED if c not in columns]:
        raise BadRelease(f"{names[0]}: not SSSOM, column {missing[0]} is missing")
    url = head.get("mapping_set_id") or f"urn:sssom:{path.stem}"
    version = head.get("mapping_set_version") or head.get("mapping_date") or "unknown"
    release = Release(
        url, version, head.get("mapping_set_title", path.stem), files.checksum(), head.get("license", "")
    )
    report = Report()
    return Import(release, _rows(files, names[0], url, report), report)


def _delimiter(header: str) -> str:
    return "\t" if "\t" in header else ","


def _skip_head(stream: IO[str], head: dict[str, str]) -> str:
    """The header line; on the way the plain `key: value` lines of the YAML head."""
    for line in stream:
        if not line.startswith("#"):
            return line
        key, colon, value = line.lstrip("#").strip().partition(":")
        if colon and value.strip():
            head[key.strip()] = value.strip().strip("\"'")
    return ""


class _Rest:
    """A stream with its first line put back."""

    def __init__(self, first: str, stream: IO[str]) -> None:
        self.first, self.stream = first, stream

    def __iter__(self) -> Iterator[str]:
        yield self.first
        yield from self.stream


def _rows(files: Files, name: str, url: str, report: Report) -> Iterator[MapRow]:
    with files.open(name) as stream:
        first = _skip_head(stream, {})
        rest: IO[str] = _Rest(first, stream)  # type: ignore[assignment]
        for row in table(rest, name, report, _delimiter(first)):
            source, target = _split(row["subject_id"]), _split(row["object_id"])
            equivalence = _PREDICATES.get(row["predicate_id"].strip())
            if source is None or target is None:
                report.defect(name, "a subject or object that is no CURIE")
            elif row["object_id"].strip() == "sssom:NoTermFound":
                yield MapRow(url, *source, "", "", "unmatched", advice=row.get("comment", ""))
            elif equivalence is None:
                report.defect(name, "a predicate that has no FHIR equivalence")
            else:
                refused = row.get("predicate_modifier", "").strip().lower() == "not"
                kind = "disjoint" if refused else equivalence
                yield MapRow(url, *source, *target, kind, advice=_advice(row))


def _advice(row: dict[str, str]) -> str:
    parts = (row.get("mapping_justification", ""), row.get("comment", ""))
    confidence = row.get("confidence", "")
    return "; ".join(p for p in (*parts, f"confidence {confidence}" if confidence else "") if p)


def _split(curie: str) -> tuple[str, str] | None:
    """(system URI, code). An OBO CURIE keeps its prefix in the code, as the OBO importer does."""
    prefix, colon, local = curie.strip().partition(":")
    if not colon or not prefix or not local:
        return None
    if local.startswith("//"):
        base, slash, code = curie.strip().rpartition("/")
        return (base, code) if slash and code else None
    known = PREFIXES.get(prefix.lower())
    if known:
        return known, local
    return f"http://purl.obolibrary.org/obo/{prefix.lower()}.owl", f"{prefix}:{local}"
