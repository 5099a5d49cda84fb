"""SNOMED CT <-> ICD-10-CM for common problems. Data: mappings/concept-maps/starter-problems.tsv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_twin.coding.words import key, without_tag
from fhir_twin.errors import KnowledgeError
from fhir_twin.model.codes import ICD10CM, SNOMED
from mappings import Source

FOLDER, FILE = "concept-maps", "starter-problems.tsv"
COLUMNS = ("term", "snomed", "snomed_display", "icd10cm", "synonyms", "kind", "source")
KINDS = ("problem", "finding", "social")


@dataclass(frozen=True, slots=True)
class MappedProblem:
    """One row: a SNOMED CT concept, its ICD-10-CM code ("" when none says the same), the words people write."""

    term: str
    snomed: str
    display: str
    icd10cm: str
    synonyms: tuple[str, ...]
    kind: str
    source: str


@dataclass(frozen=True)
class ProblemMap:
    """by_snomed: one row per concept. names: normalised words -> SNOMED code."""

    by_snomed: Mapping[str, MappedProblem]
    names: Mapping[str, str] = field(default_factory=dict)

    def icd10cm(self, snomed: str) -> str:
        """The ICD-10-CM code for a SNOMED CT code, "" when the map has none."""
        row = self.by_snomed.get(snomed)
        return row.icd10cm if row else ""

    def suggested_snomed(self, icd10cm: str) -> tuple[MappedProblem, ...]:
        """The way back: rows whose ICD-10-CM code this is, in order of the SNOMED code. A suggestion for people only:
        an ICD-10-CM code is a class, and which concept was meant is not in it."""
        rows = (row for row in self.by_snomed.values() if row.icd10cm == icd10cm)
        return tuple(sorted(rows, key=lambda row: int(row.snomed)))

    def named(self, text: str) -> MappedProblem | None:
        """The row that has `text` as a name, None when none has."""
        return self.by_snomed.get(self.names.get(key(text), "")) if text else None

    def same_words(self, snomed: str, text: str) -> bool:
        """`text` is one of the names this map knows for `snomed`."""
        return self.names.get(key(without_tag(text))) == snomed


def load_problem_map(source: Source) -> ProblemMap:
    """Read the starter map. Raises KnowledgeError naming the column or the row."""
    rows: dict[str, MappedProblem] = {}
    names: dict[str, str] = {}
    for file, lines in source.tsv(FOLDER):
        if file != FILE:
            continue
        for line in lines:
            row = _row(line)
            if row.snomed in rows:
                raise KnowledgeError(f"{FOLDER}/{FILE}: SNOMED code {row.snomed} is in two rows")
            rows[row.snomed] = row
            for name in (row.term, row.display, *row.synonyms):
                names.setdefault(key(name), row.snomed)
    return ProblemMap(rows, names)


def _row(line: Mapping[str, str]) -> MappedProblem:
    missing = [c for c in COLUMNS if c not in line]
    if missing:
        raise KnowledgeError(f"{FOLDER}/{FILE}: column {missing[0]} is missing")
    synonyms = tuple(s.strip() for s in line["synonyms"].split("|") if s.strip())
    if not line["snomed"].isdigit() or line["kind"] not in KINDS or not line["source"]:
        raise KnowledgeError(
            f"{FOLDER}/{FILE}: row {line['term']!r} needs a SNOMED code, a known kind and a source"
        )
    return MappedProblem(
        line["term"],
        line["snomed"],
        line["snomed_display"],
        line["icd10cm"],
        synonyms,
        line["kind"],
        line["source"],
    )


def concept_map(problems: ProblemMap) -> dict[str, Any]:
    """The map as a FHIR R4 ConceptMap (JSON object), rows in order of the SNOMED code; equivalence "relatedto"
    because an ICD-10-CM code is a class of a classification, not the same meaning."""
    elements = [
        {
            "code": row.snomed,
            "display": row.display,
            "target": [{"code": row.icd10cm, "equivalence": "relatedto", "comment": row.source}],
        }
        for row in sorted(problems.by_snomed.values(), key=lambda r: int(r.snomed))
        if row.icd10cm
    ]
    return {
        "resourceType": "ConceptMap",
        "status": "active",
        "name": "FhirTwinStarterProblems",
        "title": "Common problems, SNOMED CT to ICD-10-CM",
        "group": [{"source": SNOMED, "target": ICD10CM, "element": elements}],
    }
