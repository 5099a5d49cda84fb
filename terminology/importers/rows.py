"""What every importer yields, whatever the release looks like.

Rows that come by the million are named tuples: they are made in a third of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD9CM = "http://hl7.org/fhir/sid/icd-9-cm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@dataclass(frozen=True, slots=True)
class Release:
    """Which edition of which code system; `checksum` is sha256 of what was read."""

    system: str
    version: str
    name: str
    checksum: str
    licence: str = ""

    @property
    def label(self) -> str:
        """Name and version, as a decision that rests on it says where it came from."""
        return self.name if not self.version or self.version in self.name else f"{self.name}, {self.version}"


@dataclass(frozen=True, slots=True)
class ConceptRow:
    """One concept. `terms` are (kind, text): kind is "inclusion", "includes", "synonym", "fsn" ...

    `properties` are (name, value). `parents` are codes of the same system. Rows may come in any order.
    """

    code: str
    display: str
    active: bool = True
    parents: tuple[str, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    definition: str = ""


class TermRow(NamedTuple):
    """One more term of a concept that came before. `display` replaces the concept's display by this text.

    Large releases hold their terms in a file of their own: nothing has to be kept in memory to bring them together.
    """

    code: str
    kind: str
    text: str
    language: str = ""
    display: bool = False


class ParentRow(NamedTuple):
    """`parent` stands above `code`; both came before as concepts (or the row is a defect)."""

    code: str
    parent: str


class PropertyRow(NamedTuple):
    code: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class MapRow:
    """One line of a map between two systems, R4 equivalence read as "target is ... than source"."""

    map_url: str
    source_system: str
    source: str
    target_system: str
    target: str
    equivalence: str
    group: int = 1
    priority: int = 1
    rule: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """A FHIR resource kept whole: CodeSystem, ValueSet, ConceptMap."""

    body: dict[str, Any] = field(repr=False)


Row = ConceptRow | TermRow | ParentRow | PropertyRow | MapRow | ResourceRow


@dataclass(slots=True)
class Report:
    """Counts and the defects that were survived (at most `limit` are kept; all are counted)."""

    rows: int = 0
    defects: int = 0
    messages: list[str] = field(default_factory=list)
    limit: int = 100

    def defect(self, where: str, what: str) -> None:
        self.defects += 1
        if len(self.messages) < self.limit:
            self.messages.append(f"{where}: {what}")


@dataclass(slots=True)
class Import:
    """A release, its rows as a stream, and the report that fills while the stream is read."""

    release: Release
    rows: Iterator[Row]
    report: Report


class BadRelease(ValueError):
    """The files are not what they claim to be (wrong edition, truncated, unsafe archive, DOCTYPE)."""
